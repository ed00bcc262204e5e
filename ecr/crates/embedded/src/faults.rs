//! Failures on demand: for tests of clients, ours and others'.
//!
//! `KIND=OPERATION` concerns every request of an operation, `KIND=OPERATION:N` the first N, `KIND=OPERATION:P%` each with
//! that probability, drawn from a generator that `seed=NUMBER` starts. `*` stands for every operation. On `/v2/` the
//! operations are those whose permission ECR asks for, such as PutImage for a PUT of a manifest.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use ecr_types::document::did_you_mean;
use ecr_types::lock;
use thiserror::Error;

use super::service_model::operations;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `deny`: the permission is missing.
    Deny,
    /// `ignore`: a change of a repository's settings is answered well, and not made.
    Ignore,
    /// `throttle`: there were too many.
    Throttle,
    /// `error`: status 500.
    Error,
    /// `drop`: the connection ends in the middle of a body.
    Drop,
    /// `expire`: the credentials have expired.
    Expire,
    /// `forget`: the upload is unknown, once its bytes are there.
    Forget,
    /// `slow=OPERATION:MILLISECONDSms`: the answer waits.
    Slow(Duration),
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Always,
    First(u32),
    Percent(u32),
}

/// A fault to inject, as `ecr serve --fault` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something that happens to requests of an operation.
    Inject(Rule),
    /// `seed=NUMBER`: where the generator for percentages starts.
    Seed(u64),
}

/// Why a text is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidFault {
    /// It is not written as a fault.
    #[error(
        "`{0}` is not a fault: write KIND=OPERATION, KIND=OPERATION:N or KIND=OPERATION:P%, with the kinds \
         deny, ignore, throttle, error, drop, expire, forget and slow (slow=OPERATION:200ms); or seed=NUMBER"
    )]
    Syntax(String),
    /// ECR has no such operation.
    #[error("ECR has no operation `{0}`")]
    Operation(String),
    /// ECR has no such operation, but one that is spelt like it.
    #[error("ECR has no operation `{0}`: did you mean `{1}`?")]
    Misspelt(String, &'static str),
    /// The kind goes with other operations only.
    #[error("`{0}` goes with {1} only")]
    Only(&'static str, String),
    /// The one operation that no policy can deny.
    #[error("AWS never denies GetCallerIdentity")]
    NeverDenied,
}

/// What happens to which requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    kind: Kind,
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
        if kind == "ignore" && !IGNORABLE.contains(&operation.as_str()) {
            return Err(InvalidFault::Only("ignore", IGNORABLE.join(" and ")));
        }
        if kind == "forget" && operation != "CompleteLayerUpload" {
            return Err(InvalidFault::Only("forget", "CompleteLayerUpload".to_owned()));
        }
        if kind == "deny" && operation == "GetCallerIdentity" {
            return Err(InvalidFault::NeverDenied);
        }
        let kind = match kind {
            "deny" => Kind::Deny,
            "ignore" => Kind::Ignore,
            "throttle" => Kind::Throttle,
            "error" => Kind::Error,
            "drop" => Kind::Drop,
            "expire" => Kind::Expire,
            "forget" => Kind::Forget,
            "slow" => {
                let time =
                    parts.next().and_then(|it| it.strip_suffix("ms")?.parse().ok()).ok_or_else(wrong)?;
                Kind::Slow(Duration::from_millis(time))
            }
            _ => return Err(wrong()),
        };
        let rate = match parts.next() {
            None => Rate::Always,
            Some(rate) => match rate.strip_suffix('%') {
                Some(percent) => {
                    Rate::Percent(percent.parse().ok().filter(|it| *it <= 100).ok_or_else(wrong)?)
                }
                None => Rate::First(rate.parse().map_err(|_| wrong())?),
            },
        };
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self::Inject(Rule { kind, operation, rate }))
    }
}

/// Changes that a setting of the registry as a whole can leave without effect.
const IGNORABLE: [&str; 2] = ["PutImageTagMutability", "PutImageScanningConfiguration"];

/// An operation's name as the model has it, with or without `ecr:` before it.
fn known_operation(text: &str) -> Result<String, InvalidFault> {
    let name = text.strip_prefix("ecr:").unwrap_or(text);
    if matches!(name, "*" | "GetCallerIdentity") || operations().any(|it| it == name) {
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
    /// There were too many.
    pub throttle: bool,
    /// Status 500.
    pub error: bool,
    /// The connection ends in the middle of a body.
    pub drop: bool,
    /// The credentials have expired.
    pub expire: bool,
    /// The upload is unknown.
    pub forget: bool,
    /// The answer waits.
    pub delay: Duration,
}

impl InjectedFaults {
    /// Waits as long as the answer has to.
    pub async fn wait(&self) {
        // A timer takes a millisecond even for no time at all.
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

/// The faults of a server, and what is left of them.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    generator: u64,
}

impl Faults {
    /// The faults to inject.
    pub fn new(faults: &[Fault]) -> Self {
        let mut state = State::default();
        for fault in faults {
            match fault {
                Fault::Inject(rule) => state.rules.push(rule.clone()),
                Fault::Seed(seed) => state.generator = *seed,
            }
        }
        Self { state: Mutex::new(state) }
    }

    /// Whether the permission for an operation is missing, this time.
    pub fn denies(&self, operation: &str) -> bool {
        self.next(operation, |it| it == Kind::Deny).is_some()
    }

    /// Whether an operation changes nothing, this time.
    pub fn ignores(&self, operation: &str) -> bool {
        self.next(operation, |it| it == Kind::Ignore).is_some()
    }

    /// The other faults of this request. Each call counts as one request.
    pub fn inject(&self, operation: &str) -> InjectedFaults {
        let is = |kind: Kind| self.next(operation, |it| it == kind).is_some();
        let delay = match self.next(operation, |it| matches!(it, Kind::Slow(_))) {
            Some(Kind::Slow(delay)) => delay,
            _ => Duration::ZERO,
        };
        InjectedFaults {
            throttle: is(Kind::Throttle),
            error: is(Kind::Error),
            drop: is(Kind::Drop),
            expire: is(Kind::Expire),
            forget: is(Kind::Forget),
            delay,
        }
    }

    fn next(&self, operation: &str, is_wanted: impl Fn(Kind) -> bool) -> Option<Kind> {
        let mut state = lock(&self.state);
        let State { rules, generator } = &mut *state;
        let is_about =
            |it: &&mut Rule| is_wanted(it.kind) && (it.operation == "*" || it.operation == operation);
        rules.iter_mut().filter(is_about).find_map(|rule| rule.applies(generator).then_some(rule.kind))
    }
}

impl Rule {
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
    fn faults_are_injected_as_often_as_they_say() {
        let it = faults(&["deny=TagResource", "throttle=PutImage:2", "slow=*:200ms:1"]);
        assert!(it.denies("TagResource") && it.denies("TagResource") && !it.denies("PutImage"));
        let struck: Vec<_> = (0..3).map(|_| it.inject("PutImage").throttle).collect();
        assert_eq!(struck, [true, true, false]);
        assert_eq!(it.inject("PutImage").delay, Duration::ZERO);
    }

    #[test]
    fn faults_by_chance_repeat_with_their_seed() {
        let run = |seed: &str| {
            let it = faults(&["error=PutImage:30%", seed]);
            (0..1000).map(|_| it.inject("PutImage").error).collect::<Vec<_>>()
        };
        assert_eq!(run("seed=1"), run("seed=1"));
        assert_ne!(run("seed=1"), run("seed=2"));
        let struck = run("seed=1").iter().filter(|it| **it).count();
        assert!((250..350).contains(&struck), "{struck}");
    }

    #[test]
    fn faults_that_cannot_be_read_are_refused() {
        let told = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(told("deny=PutImagee"), "ECR has no operation `PutImagee`: did you mean `PutImage`?");
        for text in ["deny", "hit=PutImage", "throttle=PutImage:x", "error=PutImage:101%", "slow=PutImage:1"]
        {
            assert!(told(text).contains("is not a fault"), "{text}");
        }
    }
}
