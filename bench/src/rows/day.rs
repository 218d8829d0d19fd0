//! A day of 5,000 symbols at 5 ticks a second each: Kite's ticker, a real engine, a broker; fakes of both over real sockets.
//!
//! Each symbol has a stop of a long and one of a short. As many of them as the broker takes orders are met by a price that lasts
//! for a single tick. The day is shortened in length only, never in rate.

mod desk;

use super::engine::look_sharp;
use crate::report::{Goal, Report, Row};
use crate::scale::Scale;
use crate::stats::{Spread, percentile};
use desk::{Counts, Desk};

const PER_SECOND: usize = 5;
/// Parts of the day: each gives one ratio, for the spread.
const PARTS: usize = 5;
/// Longest day at the broker that is only for orientation.
const KITE_SECONDS_MAX: usize = 60;

/// Where orders go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    /// A broker that notices an order that comes twice: the engine sends it at once.
    Alpaca,
    /// One that does not: the engine reads the order book before it sends anything.
    Kite,
}

impl Road {
    /// Stops that are met in a second: many, and as many as Kite takes calls for, 400 a minute, two for each.
    const fn stops_per_second(self) -> usize {
        match self {
            Self::Alpaca => 10,
            Self::Kite => 3,
        }
    }
}

/// From a tick to its order, against a durable SET beside it; and what that took.
pub(crate) fn run(report: &mut Report, scale: &Scale) {
    look_sharp();
    let (symbols, seconds) = scale.day;
    play(report, "day", Road::Alpaca, (symbols, seconds));
    play(report, "day_kite", Road::Kite, (symbols, seconds.min(KITE_SECONDS_MAX)));
}

fn play(report: &mut Report, id: &str, road: Road, (symbols, seconds): (usize, usize)) {
    let desk = Desk::open(road, symbols, seconds);
    let before = desk.counts();
    let sets = desk.play();
    let after = desk.counts();
    let orders = desk.settle(&before);
    let alone = desk.metric("strat_guard_exits_total");
    let most = (road == Road::Alpaca).then_some(Goal::AtMost(10.0));
    for (percent, goal) in [(50.0, None), (99.0, most)] {
        report.add(ratio((id, road), percent, goal, &orders, &sets));
    }
    let took = (after.at - before.at).as_secs_f64();
    let told = desk.day.told_ticks();
    let sent = after.sent - before.sent;
    let rate = Spread::of(&[(after.taken - before.taken) as f64 / took]);
    let what = format!("ticks taken, of {symbols} symbols at {PER_SECOND} a second each");
    let note = format!(
        "{told} told, the latest {:.1} ms late; {sent} prices in {} calls to Redis; {} of {} stops met, each by one tick, each ordered once, {alone} of them without Redis",
        desk.day.late().as_secs_f64() * 1e3,
        after.calls - before.calls,
        orders.len(),
        desk.day.levels().len(),
    );
    report.add(Row::figure(&format!("{id}_ticks"), &what, "ticks/s", None, rate).note(note));
    report.add(processors(id, &before, &after, took));
}

/// Percentiles of all, with the spread of those of parts of the day. A SET is the usual one, not the slowest in a hundred.
fn ratio((id, road): (&str, Road), percent: f64, goal: Option<Goal>, orders: &[f64], sets: &[f64]) -> Row {
    let of = |orders: &[f64], sets: &[f64]| percentile(orders, percent) / percentile(sets, 50.0);
    let part = |all: &[f64], n: usize| all[n * all.len() / PARTS..(n + 1) * all.len() / PARTS].to_vec();
    let parts: Vec<_> = (0..PARTS).map(|n| of(&part(orders, n), &part(sets, n))).collect();
    let spread = Spread { median: of(orders, sets), ..Spread::of(&parts) };
    let what = format!("tick to order at {road:?} through a day, p{percent:.0}, against a durable SET's median");
    let row = Row::figure(&format!("{id}_p{percent:.0}"), &what, "x", goal, spread);
    row.note(format!(
        "{:.0} µs of {} stops against {:.0} µs; the SET's own p99 is {:.0} µs",
        percentile(orders, percent),
        orders.len(),
        percentile(sets, 50.0),
        percentile(sets, 99.0),
    ))
}

/// What share of the processors the load generator takes, and everybody else.
fn processors(id: &str, before: &Counts, after: &Counts, took: f64) -> Row {
    let used = |name: &str| (after.cpu[name] - before.cpu.get(name).unwrap_or(&0.0)) / took * 100.0;
    let engine: f64 = after.cpu.keys().filter(|name| name.starts_with("engine/")).map(|name| used(name)).sum();
    let ours = engine + used("fake") + used("redis") + used("postgres");
    let shares =
        ["engine/ticks", "engine/exits", "redis", "postgres"].map(|name| format!("{name} {:.0} %", used(name)));
    let others = used("all") - ours;
    let note = format!("engine in all {engine:.0} %, {}, others on this machine {others:.0} %", shares.join(", "));
    let what = "share of one processor that tells the ticks and takes the orders";
    Row::figure(&format!("{id}_load"), what, "%", None, Spread::of(&[used("fake")])).note(note)
}
