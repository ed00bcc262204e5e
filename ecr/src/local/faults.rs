//! Failures on demand: for tests of clients, ours and others'.
//!
//! `KIND=OPERATION` strikes every request of an operation, `KIND=OPERATION:N` the first N, `KIND=OPERATION:P%` each with
//! that probability, drawn from a generator that `seed=NUMBER` starts. `*` stands for every operation. On `/v2/` the
//! operations are those whose permission ECR asks for, such as PutImage for a PUT of a manifest.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use super::api::operations;
use crate::source::did_you_mean;

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
    Strike(Rule),
    /// `seed=NUMBER`: where the generator for percentages starts.
    Seed(u64),
}

/// What happens to which requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    kind: Kind,
    operation: String,
    rate: Rate,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a fault: write KIND=OPERATION, KIND=OPERATION:N or KIND=OPERATION:P%, with the kinds \
                 deny, ignore, throttle, error, drop, expire, forget and slow (slow=OPERATION:200ms); or seed=NUMBER"
            )
        };
        let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
        if kind == "seed" {
            return Ok(Self::Seed(rest.parse().map_err(|_| wrong())?));
        }
        let mut parts = rest.split(':');
        let operation = known_operation(parts.next().unwrap_or_default())?;
        if kind == "ignore" && !IGNORABLE.contains(&operation.as_str()) {
            return Err(format!("`ignore` goes with {} only", IGNORABLE.join(" and ")));
        }
        if kind == "forget" && operation != "CompleteLayerUpload" {
            return Err("`forget` goes with CompleteLayerUpload only".to_owned());
        }
        if kind == "deny" && operation == "GetCallerIdentity" {
            return Err("AWS never denies GetCallerIdentity".to_owned());
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
        Ok(Self::Strike(Rule { kind, operation, rate }))
    }
}

/// Changes that a setting of the registry as a whole can leave without effect.
const IGNORABLE: [&str; 2] = ["PutImageTagMutability", "PutImageScanningConfiguration"];

/// An operation's name as the model has it, with or without `ecr:` before it.
fn known_operation(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("ecr:").unwrap_or(text);
    if matches!(name, "*" | "GetCallerIdentity") || operations().any(|it| it == name) {
        return Ok(name.to_owned());
    }
    Err(match did_you_mean(name, operations()) {
        Some(similar) => format!("ECR has no operation `{name}`: did you mean `{similar}`?"),
        None => format!("ECR has no operation `{name}`"),
    })
}

/// What strikes one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strikes {
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

impl Strikes {
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
                Fault::Strike(rule) => state.rules.push(rule.clone()),
                Fault::Seed(seed) => state.generator = *seed,
            }
        }
        Self { state: Mutex::new(state) }
    }

    /// Whether the permission for an operation is missing, this time.
    pub fn denies(&self, operation: &str) -> bool {
        self.struck(operation, |it| it == Kind::Deny).is_some()
    }

    /// Whether an operation changes nothing, this time.
    pub fn ignores(&self, operation: &str) -> bool {
        self.struck(operation, |it| it == Kind::Ignore).is_some()
    }

    /// What else strikes this request; each call uses it up.
    pub fn strike(&self, operation: &str) -> Strikes {
        let is = |kind: Kind| self.struck(operation, |it| it == kind).is_some();
        let delay = match self.struck(operation, |it| matches!(it, Kind::Slow(_))) {
            Some(Kind::Slow(delay)) => delay,
            _ => Duration::ZERO,
        };
        Strikes {
            throttle: is(Kind::Throttle),
            error: is(Kind::Error),
            drop: is(Kind::Drop),
            expire: is(Kind::Expire),
            forget: is(Kind::Forget),
            delay,
        }
    }

    fn struck(&self, operation: &str, is_wanted: impl Fn(Kind) -> bool) -> Option<Kind> {
        let mut state = self.state.lock().unwrap_or_else(|it| it.into_inner());
        let State { rules, generator } = &mut *state;
        let is_about =
            |it: &&mut Rule| is_wanted(it.kind) && (it.operation == "*" || it.operation == operation);
        rules.iter_mut().filter(is_about).find_map(|rule| rule.strikes(generator).then_some(rule.kind))
    }
}

impl Rule {
    fn strikes(&mut self, generator: &mut u64) -> bool {
        match &mut self.rate {
            Rate::Always => true,
            Rate::First(left) => {
                let strikes = *left > 0;
                *left = left.saturating_sub(1);
                strikes
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
    fn faults_strike_as_often_as_they_say() {
        let it = faults(&["deny=TagResource", "throttle=PutImage:2", "slow=*:200ms:1"]);
        assert!(it.denies("TagResource") && it.denies("TagResource") && !it.denies("PutImage"));
        let struck: Vec<_> = (0..3).map(|_| it.strike("PutImage").throttle).collect();
        assert_eq!(struck, [true, true, false]);
        assert_eq!(it.strike("PutImage").delay, Duration::ZERO);
    }

    #[test]
    fn chances_repeat_with_their_seed() {
        let run = |seed: &str| {
            let it = faults(&["error=PutImage:30%", seed]);
            (0..1000).map(|_| it.strike("PutImage").error).collect::<Vec<_>>()
        };
        assert_eq!(run("seed=1"), run("seed=1"));
        assert_ne!(run("seed=1"), run("seed=2"));
        let struck = run("seed=1").iter().filter(|it| **it).count();
        assert!((250..350).contains(&struck), "{struck}");
    }

    #[test]
    fn what_is_no_fault_is_told() {
        let told = |text: &str| text.parse::<Fault>().unwrap_err();
        assert_eq!(told("deny=PutImagee"), "ECR has no operation `PutImagee`: did you mean `PutImage`?");
        for text in ["deny", "hit=PutImage", "throttle=PutImage:x", "error=PutImage:101%", "slow=PutImage:1"]
        {
            assert!(told(text).contains("is not a fault"), "{text}");
        }
    }
}
