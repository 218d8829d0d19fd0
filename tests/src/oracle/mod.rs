//! The oracle: thousands of strategies over a day of ticks, each result compared with an independent
//! straightforward calculation, to the last digit.

use crate::rng::Rng;
use crate::servers::paths;
use crate::servers::process::temp_dir;
use crate::support::loudly;
use std::collections::BTreeMap;
use std::path::PathBuf;
use strat_tests::oracle::calc::{Outcome, play};
use strat_tests::oracle::replay::{RUN_LIMIT, compare, replay};
use strat_tests::oracle::{generate, input};

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
    let (report, _) = replay(&ticks, &strategies);
    compare(&plans, &expected, &report);
}

/// More strategies are due at one tick than one `STRAT.DUE` handles, and most of them need no order.
#[test]
fn a_crowd_at_one_tick_is_handled_at_that_tick() {
    let dir = temp_dir();
    let (ticks, strategies) = (dir.path().join("ticks.csv"), dir.path().join("strategies.csv"));
    let start_ms = 1_381_219_217_034;
    let prices = ["10.00", "10.01", "9.50", "9.75", "10.30"];
    let lines = prices.iter().enumerate().map(|(n, price)| format!("{},IBM,{price},1\n", start_ms + 1_000 * n as i64));
    std::fs::write(&ticks, format!("ts_ms,symbol,price,size\n{}", lines.collect::<String>())).unwrap();
    let strategy = |number: usize| match number % 3 {
        // Over before it began; then an entry that ends by its stop, and one that stays open.
        0 | 1 if number < 3_000 => format!("u,s{number},IBM,LONG,1,00:02:00,00:01:00,UTC,,"),
        0 | 1 => format!("u,s{number},IBM,LONG,1,07:00:00,23:00:00,UTC,9.60,"),
        _ => format!("u,s{number},IBM,SHORT,1,23:00:00,07:00:00,UTC,,"),
    };
    let rows: Vec<_> = (0..4_500).map(strategy).collect();
    std::fs::write(&strategies, format!("{}\n{}\n", input::COLUMNS, rows.join("\n"))).unwrap();
    let day = input::day(&ticks);
    let csv = std::fs::read_to_string(&strategies).unwrap();
    let plans = input::plans(&csv, start_ms, generate::offset_min);
    let expected: Vec<_> = plans.iter().map(|plan| play(plan, &day)).collect();
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
