//! Injected faults, for tests of clients.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use ecr_types::document::did_you_mean;
use ecr_types::{lock, permission};
use thiserror::Error;

use super::service_model::operations;
use super::sts;

/// The effect of a fault on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `deny`: the permission for the operation is missing.
    Deny,
    /// `ignore`: the change of a repository's settings succeeds and has no effect.
    Ignore,
    /// `throttle`: the rate of requests is exceeded.
    Throttle,
    /// `error`: an internal error, status 500.
    Error,
    /// `drop`: the connection is closed in the middle of a body.
    Drop,
    /// `expire`: the credentials have expired.
    Expire,
    /// `forget`: the upload is unknown after its content was received.
    Forget,
    /// `slow=OPERATION:MILLISECONDSms`: the response is delayed.
    Slow(Duration),
}

/// The requests of an operation that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Always,
    First(u32),
    Percent(u32),
}

/// A fault to inject, in the syntax of `ecr serve --fault`.
///
/// `KIND=OPERATION` affects all requests of an operation, `KIND=OPERATION:N` the first N requests, and `KIND=OPERATION:P%` each
/// request with this probability. `seed=NUMBER` is the seed of the random numbers. The operation `*` means all operations.
/// Requests under `/v2/` have the operation whose permission ECR requires for them, such as `PutImage` for the PUT request of a
/// manifest.
///
/// | Kind | Effect |
/// | --- | --- |
/// | `deny` | the permission for the operation is missing |
/// | `ignore` | `PutImageTagMutability` or `PutImageScanningConfiguration` succeeds and has no effect |
/// | `throttle` | the rate of requests is exceeded |
/// | `error` | an internal error, status 500 |
/// | `drop` | the connection is closed in the middle of a body |
/// | `expire` | the credentials have expired |
/// | `forget` | `CompleteLayerUpload`: the upload is unknown after its content was received |
/// | `slow` | the response is delayed: `slow=OPERATION:200ms` |
///
/// ```
/// use ecr_embedded::Fault;
///
/// assert!("throttle=PutImage:2".parse::<Fault>().is_ok());
/// assert!("slow=*:200ms:50%".parse::<Fault>().is_ok());
/// let error = "deny=PutImagee".parse::<Fault>().unwrap_err();
/// assert_eq!(error.to_string(), "ECR has no operation `PutImagee`: did you mean `PutImage`?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A fault that affects requests of an operation.
    Inject(FaultRule),
    /// `seed=NUMBER`: the seed of the random numbers for percentages. The default is 0.
    Seed(u64),
}

/// The text is not a fault in the syntax of [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidFault {
    /// The text does not have the syntax of a fault.
    #[error(
        "`{0}` is not a fault: write KIND=OPERATION, KIND=OPERATION:N or KIND=OPERATION:P%, with the kinds \
         deny, ignore, throttle, error, drop, expire, forget and slow (slow=OPERATION:200ms); or seed=NUMBER"
    )]
    Syntax(String),
    /// ECR has no operation with this name.
    #[error("ECR has no operation `{0}`")]
    Operation(String),
    /// ECR has no operation with the first name, but one with the similar second name.
    #[error("ECR has no operation `{0}`: did you mean `{1}`?")]
    Misspelt(String, &'static str),
    /// The kind of fault is possible with certain operations only: the kind, and these operations.
    #[error("`{0}` is possible with {1} only")]
    Only(&'static str, String),
    /// `deny` for an operation that AWS checks as the action of another one: both names.
    #[error("AWS checks {0} as {1}: write `deny={1}`")]
    CheckedAs(String, String),
    /// `deny=GetCallerIdentity`: no policy of AWS can deny this operation (STS API, `GetCallerIdentity`).
    #[error("AWS never denies GetCallerIdentity")]
    NeverDenied,
}

/// A fault of one kind for one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    kind: FaultKind,
    operation: String,
    rate: Rate,
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let wrong = || InvalidFault::Syntax(text.to_owned());
        let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
        if kind == "seed" {
            return Ok(Self::Seed(rest.parse().map_err(|_| wrong())?));
        }
        let mut parts = rest.split(':');
        let operation = known_operation(parts.next().unwrap_or_default())?;
        let kind = FaultKind::parse(kind, &mut parts).ok_or_else(wrong)?;
        kind.check(&operation)?;
        let rate = parts.next().map_or(Some(Rate::Always), Rate::parse).ok_or_else(wrong)?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self::Inject(FaultRule { kind, operation, rate }))
    }
}

impl FaultKind {
    /// The kind with this name. `slow` takes its time from the next of the parts.
    fn parse<'a>(name: &str, parts: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(match name {
            "deny" => Self::Deny,
            "ignore" => Self::Ignore,
            "throttle" => Self::Throttle,
            "error" => Self::Error,
            "drop" => Self::Drop,
            "expire" => Self::Expire,
            "forget" => Self::Forget,
            "slow" => Self::Slow(Duration::from_millis(parts.next()?.strip_suffix("ms")?.parse().ok()?)),
            _ => return None,
        })
    }

    /// Whether ECR can fail in this way for the operation.
    fn check(self, operation: &str) -> Result<(), InvalidFault> {
        match self {
            Self::Ignore if !IGNORABLE.contains(&operation) => {
                Err(InvalidFault::Only("ignore", IGNORABLE.join(" and ")))
            }
            Self::Forget if operation != "CompleteLayerUpload" => {
                Err(InvalidFault::Only("forget", "CompleteLayerUpload".to_owned()))
            }
            Self::Deny if operation == "GetCallerIdentity" => Err(InvalidFault::NeverDenied),
            Self::Deny if permission::of_operation(operation) != operation => Err(InvalidFault::CheckedAs(
                operation.to_owned(),
                permission::of_operation(operation).to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

impl Rate {
    /// `N`, or `P%`.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|it| *it <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::First),
        }
    }
}

/// The operations whose effect a setting of the registry as a whole can suppress.
const IGNORABLE: [&str; 2] = ["PutImageTagMutability", "PutImageScanningConfiguration"];

/// The name of an operation in the service model or of STS, or `*`; with or without the prefix `ecr:`.
fn known_operation(text: &str) -> Result<String, InvalidFault> {
    let name = text.strip_prefix("ecr:").unwrap_or(text);
    if name == "*" || sts::OPERATIONS.contains(&name) || operations().any(|it| it == name) {
        return Ok(name.to_owned());
    }
    Err(match did_you_mean(name, operations()) {
        Some(similar) => InvalidFault::Misspelt(name.to_owned(), similar),
        None => InvalidFault::Operation(name.to_owned()),
    })
}

/// The faults that are injected into one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InjectedFaults {
    pub throttle: bool,
    pub error: bool,
    pub drop: bool,
    pub expire: bool,
    pub forget: bool,
    pub delay: Duration,
}

impl InjectedFaults {
    /// Waits for the injected delay.
    pub async fn wait(&self) {
        // Even a timer of zero length takes a millisecond.
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

/// The faults of a server, with the remaining number of requests of each.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<FaultState>,
}

#[derive(Debug, Default)]
struct FaultState {
    rules: Vec<FaultRule>,
    generator: u64,
}

impl Faults {
    /// The faults of a server that has not received a request.
    pub fn new(faults: &[Fault]) -> Self {
        let mut state = FaultState::default();
        for fault in faults {
            match fault {
                Fault::Inject(rule) => state.rules.push(rule.clone()),
                Fault::Seed(seed) => state.generator = *seed,
            }
        }
        Self { state: Mutex::new(state) }
    }

    /// Whether `deny` affects this request of an operation.
    pub fn denies(&self, operation: &str) -> bool {
        self.next(operation, |it| it == FaultKind::Deny).is_some()
    }

    /// Whether `ignore` affects this request of an operation.
    pub fn ignores(&self, operation: &str) -> bool {
        self.next(operation, |it| it == FaultKind::Ignore).is_some()
    }

    /// The other faults that affect this request. Each call counts as one request.
    pub fn inject(&self, operation: &str) -> InjectedFaults {
        let is = |kind: FaultKind| self.next(operation, |it| it == kind).is_some();
        let delay = match self.next(operation, |it| matches!(it, FaultKind::Slow(_))) {
            Some(FaultKind::Slow(delay)) => delay,
            _ => Duration::ZERO,
        };
        InjectedFaults {
            throttle: is(FaultKind::Throttle),
            error: is(FaultKind::Error),
            drop: is(FaultKind::Drop),
            expire: is(FaultKind::Expire),
            forget: is(FaultKind::Forget),
            delay,
        }
    }

    fn next(&self, operation: &str, is_wanted: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let mut state = lock(&self.state);
        let FaultState { rules, generator } = &mut *state;
        let is_about =
            |it: &&mut FaultRule| is_wanted(it.kind) && (it.operation == "*" || it.operation == operation);
        rules.iter_mut().filter(is_about).find_map(|rule| rule.applies(generator).then_some(rule.kind))
    }
}

impl FaultRule {
    fn applies(&mut self, generator: &mut u64) -> bool {
        match &mut self.rate {
            Rate::Always => true,
            Rate::First(left) => {
                let applies = *left > 0;
                *left = left.saturating_sub(1);
                applies
            }
            Rate::Percent(percent) => next(generator) % 100 < u64::from(*percent),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(texts: &[&str]) -> Faults {
        Faults::new(&texts.iter().map(|it| it.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn faults_affect_the_given_number_of_requests() {
        let it = faults(&["deny=TagResource", "throttle=PutImage:2", "slow=*:200ms:1"]);
        assert!(it.denies("TagResource") && it.denies("TagResource") && !it.denies("PutImage"));
        let throttled: Vec<_> = (0..3).map(|_| it.inject("PutImage").throttle).collect();
        assert_eq!(throttled, [true, true, false]);
        assert_eq!(it.inject("PutImage").delay, Duration::ZERO);
    }

    #[test]
    fn faults_with_a_probability_depend_on_the_seed() {
        let run = |seed: &str| {
            let it = faults(&["error=PutImage:30%", seed]);
            (0..1000).map(|_| it.inject("PutImage").error).collect::<Vec<_>>()
        };
        assert_eq!(run("seed=1"), run("seed=1"));
        assert_ne!(run("seed=1"), run("seed=2"));
        let failed = run("seed=1").iter().filter(|it| **it).count();
        assert!((250..350).contains(&failed), "{failed}");
    }

    #[test]
    fn faults_with_wrong_syntax_are_rejected() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(
            error("deny=ListImageReferrers"),
            "AWS checks ListImageReferrers as BatchGetImage: write `deny=BatchGetImage`"
        );
        assert_eq!(error("deny=PutImagee"), "ECR has no operation `PutImagee`: did you mean `PutImage`?");
        for text in ["deny", "hit=PutImage", "throttle=PutImage:x", "error=PutImage:101%", "slow=PutImage:1"]
        {
            assert!(error(text).contains("is not a fault"), "{text}");
        }
    }
}
