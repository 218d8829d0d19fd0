//! The module on a real server against a reference model of the rules: after every step the replies, the hashes, the
//! locks, the queues and the sets must be what the model says. A failure is shrunk to the fewest steps.
//!
//! `STRAT_MODEL_CASES` is the number of stories, a few by default; proptest's own variables hold too
//! (`PROPTEST_RNG_SEED` repeats a run).

mod rules;
mod steps;
mod system;
mod world;

use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;
use system::System;

fn config() -> Config {
    let cases = std::env::var("STRAT_MODEL_CASES").map_or(12, |text| text.parse().expect("STRAT_MODEL_CASES"));
    Config { cases, max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_module_does_what_the_model_says(sequential 1..120 => System);
}
