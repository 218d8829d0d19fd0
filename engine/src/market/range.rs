//! Ticks of one symbol, conflated so that no stop is lost.
//!
//! Kept are the turning points of the path that the price took, in the order in which they came: the first price, each
//! at which the direction changed, and the last. While they fit, they cross every level in the order of the path, and
//! hold every fall from a high and every rise from a low that the path holds.
//!
//! There are at most [`POINTS_MAX`] of them. Where they do not fit, the smallest swing goes that is not needed
//! ([`needed`]). What stays then still has, exactly as the whole path:
//!
//! - the largest fall from a price to a later one and the largest rise, each by amount and by percentage;
//! - the lowest, the highest and the last price.
//!
//! So every stop and every target is crossed that was crossed, and every stop that follows the price at a distance fires
//! that would have fired, whatever the best price before was. What is lost then is which of two levels was crossed first,
//! and at which price.

use crate::feed::Tick;
use strat_core::{Price, Side};

/// Most turning points of one symbol, about a kilobyte.
pub(super) const POINTS_MAX: usize = 16;
/// Both ends of two falls and two rises.
const NEEDED_MAX: usize = 8;
const _: () = assert!(NEEDED_MAX < POINTS_MAX, "there must be a point that can go");

#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    price: Price,
    /// The price as the feed gave it.
    text: String,
}

/// Prices of one symbol since the last one that Redis took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// By time; neighbours differ, and each between two others is above both or below both.
    points: Vec<Point>,
    pub(super) ts_ms: i64,
}

impl Range {
    pub(super) fn of(tick: &Tick) -> Self {
        Self { points: vec![Point { price: tick.price, text: tick.price_text.clone() }], ts_ms: tick.ts_ms }
    }

    pub(super) fn add(&mut self, tick: &Tick) {
        self.ts_ms = tick.ts_ms;
        self.go_on(tick.price, &tick.price_text);
    }

    /// Takes in what was seen before.
    pub(super) fn prepend(&mut self, older: Self) {
        for Point { price, text } in std::mem::replace(&mut self.points, older.points) {
            self.go_on(price, &text);
        }
    }

    /// The prices to check, by time: the last one is the one that stays in `price:{symbol}`.
    pub(super) fn prices(&self) -> impl Iterator<Item = (Price, &str)> {
        self.points.iter().map(|point| (point.price, point.text.as_str()))
    }

    /// The next price of the path. One that does not turn takes the place of the last one, and its room.
    fn go_on(&mut self, price: Price, text: &str) {
        if self.turns_to(price) && self.points.len() >= POINTS_MAX {
            // What was the last swing may be gone afterwards, so it is looked at again.
            thin(&mut self.points);
        }
        if self.turns_to(price) {
            self.points.push(Point { price, text: text.to_owned() });
        } else if let Some(last) = self.points.last_mut() {
            last.price = price;
            text.clone_into(&mut last.text);
        }
    }

    /// Whether the path goes on to a price in another direction than it came. The first step is a turn.
    fn turns_to(&self, price: Price) -> bool {
        match self.points.as_slice() {
            [.., before, last] => price != last.price && (last.price > before.price) != (price > last.price),
            [only] => price != only.price,
            [] => true,
        }
    }
}

/// Drops the point beside the smallest swing, of those that are not needed. Its neighbours are two highs or two lows
/// then: one of them now lies on the way and goes as well, for whatever falls or rises to it does so to the next one.
fn thin(points: &mut Vec<Point>) {
    let needed = needed(points);
    let swing = |pair: &[Point]| pair[0].price.units().abs_diff(pair[1].price.units());
    let beside = |at: usize| points[at.saturating_sub(1)..points.len().min(at + 2)].windows(2).map(swing).min();
    if let Some(at) = (0..points.len()).filter(|at| !needed.contains(at)).min_by_key(|at| beside(*at)) {
        points.remove(at);
    }
    if let Some(before) = points.windows(3).position(|three| !is_turn(three)) {
        points.remove(before + 1);
    }
}

fn is_turn(three: &[Point]) -> bool {
    let (came, goes) = (three[1].price.cmp(&three[0].price), three[2].price.cmp(&three[1].price));
    came.is_ne() && came == goes.reverse()
}

/// The points that must stay. The largest moves are needed by amount and by percentage, because stops follow the price by
/// either, and one is not the other: of 10 to 5 and of 1000 to 900 the first is the larger by percentage. The lowest and
/// the highest price are among them: the largest move of all leads from the one to the other.
fn needed(points: &[Point]) -> [usize; NEEDED_MAX] {
    let mut needed = [0; NEEDED_MAX];
    for (side, needed) in Side::ALL.iter().zip(needed.chunks_exact_mut(4)) {
        let deepest = falls(points, *side).max_by_key(|fall| fall.by);
        // Compared as fractions, without dividing.
        let steepest = falls(points, *side).max_by(|a, b| (a.by * b.of).cmp(&(b.by * a.of)));
        if let Some((deepest, steepest)) = deepest.zip(steepest) {
            needed.copy_from_slice(&[deepest.from, deepest.to, steepest.from, steepest.to]);
        }
    }
    needed
}

/// What a position loses from its best price to a later one.
struct Fall {
    from: usize,
    to: usize,
    by: i128,
    /// The best price: a percentage is of that.
    of: i128,
}

/// For each point the largest fall that ends there: for a long from the highest price before, for a short from the
/// lowest. Above 0, where all prices are, it is the largest by percentage, too.
fn falls(points: &[Point], side: Side) -> impl Iterator<Item = Fall> {
    let gain = move |at: usize| i128::from(side.gain(points[at].price.units()));
    (0..points.len()).scan(0, move |best, at| {
        if gain(at) > gain(*best) {
            *best = at;
        }
        Some(Fall { from: *best, to: at, by: gain(*best) - gain(at), of: gain(*best).abs() })
    })
}

#[cfg(test)]
mod tests;
