//! Days of a few ticks, each for one corner of the replay.

use crate::servers::process::temp_dir;
use strat_harness::oracle::calc::play;
use strat_harness::oracle::replay::{compare, replay};
use strat_harness::oracle::{generate, input};

/// 2013-10-08T08:00:17.034Z.
const START_MS: i64 = 1_381_219_217_034;

/// Many more than one `STRAT.DUE` handles or one tick fires.
const CROWD: usize = 4_500;

/// A long position in IBM from the first tick on, with these levels: `stop_loss,take_profit,trail`.
fn long(number: usize, levels: &str) -> String {
    format!("u,s{number},IBM,LONG,1,07:00:00,23:00:00,UTC,{levels}")
}

/// A short one.
fn short(number: usize, levels: &str) -> String {
    format!("u,s{number},IBM,SHORT,1,23:00:00,07:00:00,UTC,{levels}")
}

/// More strategies are due at one tick than one `STRAT.DUE` handles, and most of them need no order.
#[test]
fn a_crowd_at_one_tick_is_handled_at_that_tick() {
    let strategy = |number: usize| match number % 3 {
        // Over before it began; then an entry that ends by its stop, and one that stays open.
        0 | 1 if number < 3_000 => format!("u,s{number},IBM,LONG,1,00:02:00,00:01:00,UTC,,,"),
        0 | 1 => long(number, "9.60,,"),
        _ => short(number, ",,"),
    };
    check_seconds(&["10.00", "10.01", "9.50", "9.75", "10.30"], (0..CROWD).map(strategy));
}

/// Many times more stops are crossed by one tick than one call fires, and the next tick crosses them as well.
#[test]
fn a_storm_fills_at_its_own_tick_though_the_price_falls_on() {
    check_seconds(&["10.00", "10.01", "9.50", "9.40", "9.30"], (0..1_500).map(|number| long(number, "9.60,,")));
}

/// As before, with trailing stops on both sides. The next tick is better than all that were before, or crosses the rest.
#[test]
fn storms_of_trailing_stops_fill_at_the_tick_that_crossed_them() {
    let prices = ["10.00", "10.20", "9.80", "10.40", "9.60", "9.59", "9.90", "10.60", "10.61"];
    let strategy = |number: usize| match number % 10 {
        0 | 1 => long(number, ",,0.30"),
        2 => long(number, "9.70,,3%"),
        3 => long(number, ",,4.4%"),
        4 => long(number, "9.65,,"),
        5 | 6 => short(number, ",,0.30"),
        7 => short(number, "10.50,,3%"),
        8 => short(number, ",,0.50"),
        _ => short(number, ",9.60,8%"),
    };
    check_seconds(&prices, (0..CROWD).map(strategy));
}

/// The price comes back to the best of the one, which is a new best for the other: both follow it from there.
#[test]
fn who_entered_later_has_a_best_price_of_its_own() {
    let late = |number: usize, trail: &str| format!("u,s{number},IBM,LONG,1,08:00:19,23:00:00,UTC,,,{trail}");
    let rows = [long(0, ",,0.12"), late(1, "0.12"), late(2, "0.21"), long(3, ",,0.23"), late(4, "0.23")];
    check_seconds(&["10.00", "10.20", "10.10", "10.15", "10.20", "10.09", "10.08", "9.98", "9.97"], rows.into_iter());
}

/// Two symbols are fired in one millisecond and by the same price: each fills at its own tick.
#[test]
fn an_exit_waits_for_the_tick_that_fired_it() {
    let entries = [(0, "IBM", "10.00"), (0, "SPY", "9.00"), (1, "IBM", "9.90")];
    let exits = [(2, "IBM", "9.50"), (2, "SPY", "9.20"), (2, "SPY", "9.50")];
    let ticks = [entries, exits].concat();
    check(&ticks, [long(0, "9.50,,"), short(1, "9.50,,").replace("IBM", "SPY")].into_iter());
}

/// Ticks of IBM, one a second.
fn check_seconds(prices: &[&str], rows: impl Iterator<Item = String>) {
    let ticks: Vec<_> = (0..).zip(prices).map(|(second, price)| (second, "IBM", *price)).collect();
    check(&ticks, rows);
}

/// Replays ticks, each with its second, and compares the result with the calculation.
fn check(ticks: &[(i64, &str, &str)], rows: impl Iterator<Item = String>) {
    let dir = temp_dir();
    let file = |name: &str, header: &str, lines: &[String]| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
        path
    };
    let line =
        |(second, symbol, price): &(i64, &str, &str)| format!("{},{symbol},{price},1", START_MS + 1_000 * second);
    let ticks = file("ticks.csv", "ts_ms,symbol,price,size", &ticks.iter().map(line).collect::<Vec<_>>());
    let strategies = file("strategies.csv", input::COLUMNS, &rows.collect::<Vec<_>>());
    let day = input::day(&ticks);
    let plans = input::plans(&std::fs::read_to_string(&strategies).unwrap(), START_MS, generate::offset_min);
    let expected: Vec<_> = plans.iter().map(|plan| play(plan, &day)).collect();
    let (report, _) = replay(&ticks, &strategies);
    compare(&plans, &expected, &report);
}
