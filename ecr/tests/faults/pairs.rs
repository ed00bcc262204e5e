//! Pairs of commands side by side on one registry. Each ends with an exit code of its own and one document, and the first
//! command that runs alone after them reaches its goal.

use std::time::{Duration, Instant};

use crate::stage::{BINARIES, Before, Case, STAGE};
use crate::support::Output;
use crate::table::{report, side_by_side};

/// Two commands, the state in which they begin, and the one that runs after them.
struct Pair {
    commands: [&'static [&'static str]; 2],
    before: Before,
    after: &'static [&'static str],
    /// Whether neither takes away what the other makes, so that both have to succeed.
    agree: bool,
}

const CREATE: &[&str] = &["ecr", "create", "--yes"];
const DELETE: &[&str] = &["ecr", "delete", "--yes"];
const PUSH: &[&str] = &["push", "--binary", BINARIES];
const PUSH_ALL: &[&str] = &["push", "--create", "--binary", BINARIES];
const STATUS: &[&str] = &["ecr", "status"];

/// Every pair whose order does not matter: the first of two is delayed in half of the runs.
const PAIRS: [Pair; 12] = [
    Pair { commands: [CREATE, CREATE], before: Before::Empty, after: CREATE, agree: true },
    Pair { commands: [CREATE, CREATE], before: Before::Plain, after: CREATE, agree: true },
    Pair { commands: [CREATE, PUSH_ALL], before: Before::Empty, after: PUSH_ALL, agree: true },
    Pair { commands: [PUSH_ALL, PUSH_ALL], before: Before::Empty, after: PUSH_ALL, agree: true },
    Pair { commands: [PUSH, PUSH], before: Before::Created, after: PUSH, agree: true },
    Pair { commands: [PUSH, STATUS], before: Before::Created, after: PUSH, agree: true },
    Pair { commands: [CREATE, DELETE], before: Before::Empty, after: CREATE, agree: false },
    Pair { commands: [CREATE, DELETE], before: Before::Pushed, after: CREATE, agree: false },
    Pair { commands: [DELETE, DELETE], before: Before::Pushed, after: DELETE, agree: true },
    Pair { commands: [PUSH, DELETE], before: Before::Created, after: PUSH_ALL, agree: false },
    Pair { commands: [PUSH_ALL, DELETE], before: Before::Pushed, after: PUSH_ALL, agree: false },
    Pair { commands: [STATUS, DELETE], before: Before::Pushed, after: STATUS, agree: false },
];

/// The runs of each pair with fixed seeds.
const ROUNDS: u64 = 6;
/// No command takes longer, and none waits for the other.
const BOUND: Duration = Duration::from_secs(60);
/// The longest delay of one of the commands. A command takes about as long.
const DELAY_MS: u64 = 80;

fn run(case: &Case, args: &[&str]) -> Output {
    case.run(&case.registry.url(), &[args, &["--format", "json"]].concat(), BOUND)
}

/// A delay that depends on the seed (the finalizer of SplitMix64).
fn delay(seed: u64) -> Duration {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    Duration::from_millis((z ^ (z >> 27)) % DELAY_MS)
}

impl Pair {
    fn judge(&self, seed: u64) {
        let case = STAGE.case(self.before);
        let [first, second] = self.commands;
        let (early, late) = if seed.is_multiple_of(2) { (first, second) } else { (second, first) };
        let (early, late) = std::thread::scope(|scope| {
            let early = scope.spawn(|| run(&case, early));
            std::thread::sleep(delay(seed));
            let late = run(&case, late);
            (early.join().unwrap(), late)
        });
        for output in [&early, &late] {
            output.json();
            // Failed, or refused: what the other has taken away.
            let is_fine = matches!(output.code, 0) || !self.agree && matches!(output.code, 1 | 5);
            assert!(is_fine, "seed {seed}: {early:#?}\n{late:#?}");
        }
        let alone = run(&case, self.after).good();
        assert_eq!(case.state(), self.goal(), "seed {seed}: {early:#?}\n{late:#?}\n{alone:#?}");
        assert!(case.leftovers().is_empty(), "seed {seed}");
    }

    /// The state after the last command, where nothing else ran.
    fn goal(&self) -> serde_json::Value {
        let before = match self.after {
            STATUS => return serde_json::json!({}),
            CREATE | DELETE => Before::Empty,
            _ => Before::Created,
        };
        let case = STAGE.case(before);
        run(&case, self.after).good();
        case.state()
    }
}

/// Runs each pair with these seeds.
fn rounds(seeds: std::ops::Range<u64>) -> usize {
    let runs: Vec<_> = PAIRS.iter().flat_map(|pair| seeds.clone().map(move |seed| (pair, seed))).collect();
    side_by_side(&runs, 4, |(pair, seed)| pair.judge(*seed));
    runs.len()
}

#[test]
fn pairs_of_commands_end_in_the_state_of_one() {
    let began = Instant::now();
    let seconds = std::env::var("XTASK_ECR_FUZZ_SECONDS").ok().and_then(|it| it.parse().ok());
    let end = Duration::from_secs(seconds.unwrap_or_default());
    let mut tried = rounds(0..ROUNDS);
    let mut next = ROUNDS;
    while began.elapsed() < end {
        tried += rounds(next..next + ROUNDS);
        next += ROUNDS;
    }
    report(&format!("pairs: {tried} right / {tried} tried"));
}
