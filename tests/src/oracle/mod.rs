//! The oracle: thousands of strategies over a day of ticks, each result compared with an independent
//! straightforward calculation, to the last digit.

mod small;

use crate::rng::Rng;
use crate::servers::paths;
use crate::servers::process::temp_dir;
use crate::support::loudly;
use std::collections::BTreeMap;
use std::path::PathBuf;
use strat_harness::oracle::calc::{Day, Outcome, Plan, play};
use strat_harness::oracle::replay::{RUN_LIMIT, compare, replay};
use strat_harness::oracle::{generate, input};

const STRATEGIES: usize = 2_600;
/// Each way to end must occur this often, or the comparison says little.
const EACH_MIN: usize = 50;

#[test]
fn a_real_day_gives_what_the_calculation_gives() {
    let folder =
        std::env::var_os("STRAT_TEST_DATA").map_or_else(|| paths::root().join("../shared/data"), PathBuf::from);
    let ticks = folder.join("us-trades-2013-10-08.csv.gz");
    if !ticks.is_file() {
        loudly(&format!(
            "SKIPPED the oracle over a real day: no {}; name its folder in STRAT_TEST_DATA",
            ticks.display()
        ));
        return;
    }
    let seed = std::env::var("STRAT_ORACLE_SEED").map_or(20_131_008, |text| text.parse().unwrap());
    let day = input::day(&ticks);
    let csv = generate::strategies_csv(&day, STRATEGIES, &mut Rng::new(seed));
    let plans = input::plans(&csv, day.ticks[0].ts_ms, generate::offset_min);
    let expected: Vec<_> = plans.iter().map(|plan| play(plan, &day)).collect();
    check_mix(&expected, EACH_MIN);
    check_trails(&plans, &expected, &day, EACH_MIN / 2);

    let dir = temp_dir();
    let strategies = dir.path().join("strategies.csv");
    std::fs::write(&strategies, csv).unwrap();
    let (report, took) = replay(&ticks, &strategies);
    let (count, seconds) = (day.ticks.len(), took.as_secs_f64());
    loudly(&format!(
        "oracle: {STRATEGIES} strategies (STRAT_ORACLE_SEED={seed}) over {count} ticks replayed in {seconds:.1} s"
    ));
    compare(&plans, &expected, &report);
    if paths::engine().to_string_lossy().contains("/release/") {
        assert!(took < RUN_LIMIT, "the replay took {took:?}");
    }
}

#[test]
fn the_sample_day_gives_what_the_calculation_gives() {
    let samples = paths::root().join("samples");
    let (ticks, strategies) = (samples.join("ticks.csv.gz"), samples.join("strategies-day.csv"));
    let day = input::day(&ticks);
    let csv = std::fs::read_to_string(&strategies).unwrap();
    let plans = input::plans(&csv, day.ticks[0].ts_ms, sample_offset_min);
    let expected: Vec<_> = plans.iter().map(|plan| play(plan, &day)).collect();
    check_mix(&expected, EACH_MIN / 10);
    check_trails(&plans, &expected, &day, 1);
    let (report, _) = replay(&ticks, &strategies);
    compare(&plans, &expected, &report);
}

/// Offset of the sample's zone on its day, 3 June 2025: summer time.
fn sample_offset_min(zone: &str) -> i64 {
    assert_eq!(zone, "America/New_York", "write the offset of the sample's new zone down here");
    -240
}

/// How often each way to end occurs; each of the usual ones at least `least` times.
fn check_mix(expected: &[Outcome], least: usize) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in expected {
        *kinds.entry(format!("{} {} {}", outcome.status, outcome.position, outcome.exit_reason)).or_default() += 1;
    }
    println!("mix: {kinds:#?}");
    let count = |wanted: &dyn Fn(&Outcome) -> bool| expected.iter().filter(|outcome| wanted(outcome)).count();
    for reason in ["SELL", "BUY", "STOPLOSS", "TAKEPROFIT"] {
        assert!(count(&|o| o.exit_reason == reason) >= least, "{reason} is rare: {kinds:?}");
    }
    assert!(count(&|o| o.entry_price.is_empty()) >= least, "never entered is rare: {kinds:?}");
    assert!(count(&|o| o.status == "RUNNING") > 0, "nothing is open in the end: {kinds:?}");
}

/// How many positions ended by their trailing stop and by nothing else: without it, they would have ended otherwise. Of
/// absolute ones and of percentages, on both sides, at least `least`.
fn check_trails(plans: &[Plan], expected: &[Outcome], day: &Day, least: usize) {
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let mut kinds = BTreeMap::from(kinds.map(|kind| (kind, 0)));
    for (plan, outcome) in plans.iter().zip(expected).filter(|(plan, _)| !plan.trail.is_empty()) {
        let without = Plan { trail: String::new(), ..plan.clone() };
        if play(&without, day) != *outcome {
            assert_eq!(outcome.exit_reason, "STOPLOSS", "a trail can do nothing else: {plan:?}");
            *kinds.entry((plan.trail.ends_with('%'), plan.long)).or_default() += 1;
        }
    }
    println!("ended by the trailing stop alone, by (percent, long): {kinds:?}");
    assert!(kinds.values().all(|count| *count >= least), "trailing stops are rare: {kinds:?}");
}
