//! Trailing stops while every tick is a new high, against fixed stops on the same ticks.

use crate::data::{Dataset, Shape};
use crate::load::{self, Work, paired};
use crate::report::{Report, Row};
use crate::scale::Scale;
use crate::wire::words;
use crate::world::{Kind, Server, Stored};

const ID: &str = "trailing";
const WHAT: &str = "trailing stops, every tick a new high, against fixed stops";
const AT_LEAST: f64 = 0.7;

pub(crate) fn run(report: &mut Report, scale: &Scale) {
    let start = |shape| {
        let data = Dataset { strategies: scale.armed, symbols: 1, shape };
        let server = Server::start(Kind::Module, Some(&Stored::new(&data)));
        assert_eq!(server.strat("strat_armed"), scale.armed as u64, "every {shape:?} is armed");
        server
    };
    let (trailing, fixed) = (start(Shape::Trail), start(Shape::Stop));
    let run = |server: &Server, pair: usize| super::quiet(server, &rising(pair, scale.ticks));
    let compared = paired(scale.pairs, |pair| run(&trailing, pair), |pair| run(&fixed, pair));
    // The stops moved: the tightest one, 1.00 below the high, fires at a price far above where it began.
    let high = price((scale.pairs + 1) * scale.ticks);
    let fell = load::push(&trailing, &Work::new(&[words(&format!("STRAT.SLCHECK RELIANCE {}", below(&high)))], 1));
    assert!(fell.sum > 0, "trailing stops follow the price up");
    report.add(Row::ratio(ID, WHAT, Some(AT_LEAST), compared));
}

/// The next highs, in steps of a millionth.
fn rising(pair: usize, count: usize) -> Work {
    let tick = |n: usize| words(&format!("STRAT.SLCHECK RELIANCE {}", price(pair * count + n + 1)));
    Work::new(&(0..count).map(tick).collect::<Vec<_>>(), 1)
}

fn price(step: usize) -> String {
    format!("{}.{:06}", 2_501 + step / 1_000_000, step % 1_000_000)
}

/// A price just far enough below for the tightest stop.
fn below(high: &str) -> String {
    let (whole, fraction) = high.split_once('.').unwrap();
    format!("{}.{fraction}", whole.parse::<i64>().unwrap() - 1)
}
