//! How a property is held, for the tests of this workspace.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Runs a property with a fixed seed, so that each run is like the last. With `XTASK_ECR_FUZZ_SECONDS=30` it goes on with
/// random seeds for so many seconds, as in `.ci/run`.
///
/// # Panics
/// The property does not hold.
pub fn hold<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let run = |rng_seed| {
        let config = Config { cases: 256, rng_seed, failure_persistence: None, ..Config::default() };
        let result = TestRunner::new(config).run(&strategy, &property);
        result.unwrap_or_else(|it| panic!("{it}"));
    };
    run(RngSeed::Fixed(42));
    let seconds = std::env::var("XTASK_ECR_FUZZ_SECONDS").ok().and_then(|it| it.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    while Instant::now() < end {
        run(RngSeed::Random);
    }
}
