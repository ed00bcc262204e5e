//! The runner of property tests in this workspace.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Tests `property` on 256 values of `strategy` with a fixed seed, so that every run is the same. If the environment
/// variable `XTASK_ECR_FUZZ_SECONDS` is set, as in `.ci/run`, it continues with random seeds for that many seconds.
///
/// # Panics
/// The property fails for a value.
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
