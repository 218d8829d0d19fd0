//! Trailing stops that share one running extreme, in firing order.

use crate::book::Slot;
use crate::strategy::Distance;
use std::collections::BTreeSet;

/// The stops of one extreme. Whatever the extreme is, the smallest distance fires first, so a new extreme changes
/// nothing in here.
#[derive(Debug, Default)]
pub(super) struct Group {
    absolute: BTreeSet<(i64, Slot)>,
    percent: BTreeSet<(i64, Slot)>,
    /// Followed, but not armed: an exit is in flight.
    resting: BTreeSet<Slot>,
}

impl Group {
    pub(super) fn insert(&mut self, distance: Distance, armed: bool, slot: Slot) {
        match distance {
            _ if !armed => self.resting.insert(slot),
            Distance::Absolute(units) => self.absolute.insert((units, slot)),
            Distance::Percent(units) => self.percent.insert((units, slot)),
        };
    }

    pub(super) fn remove(&mut self, distance: Distance, armed: bool, slot: Slot) {
        match distance {
            _ if !armed => self.resting.remove(&slot),
            Distance::Absolute(units) => self.absolute.remove(&(units, slot)),
            Distance::Percent(units) => self.percent.remove(&(units, slot)),
        };
    }

    /// Both as one. The small one moves, so that a stop moves at most as often as its group doubles.
    pub(super) fn merged(self, other: Self) -> Self {
        let (mut large, small) = if self.len() >= other.len() { (self, other) } else { (other, self) };
        #[cfg(test)]
        super::tests::count_moves(small.len());
        large.absolute.extend(small.absolute);
        large.percent.extend(small.percent);
        large.resting.extend(small.resting);
        large
    }

    /// The level that fires first, in heights, where the extreme is `best`; none where nothing is armed.
    pub(super) fn top(&self, best: i64) -> Option<i64> {
        let absolute = self.absolute.first().map(|(units, _)| Distance::Absolute(*units).below(best));
        let percent = self.percent.first().map(|(units, _)| Distance::Percent(*units).below(best));
        absolute.max(percent)
    }

    /// Levels and slots where the extreme is `best`, first to fire first.
    pub(super) fn levels(&self, best: i64) -> impl Iterator<Item = (i64, Slot)> + '_ {
        let absolute = self.absolute.iter().map(move |(units, slot)| (Distance::Absolute(*units).below(best), *slot));
        let percent = self.percent.iter().map(move |(units, slot)| (Distance::Percent(*units).below(best), *slot));
        merge(absolute, percent)
    }

    /// Every distance and slot, resting ones with none.
    pub(super) fn members(&self) -> Vec<(Option<Distance>, Slot)> {
        let absolute = self.absolute.iter().map(|(units, slot)| (Some(Distance::Absolute(*units)), *slot));
        let percent = self.percent.iter().map(|(units, slot)| (Some(Distance::Percent(*units)), *slot));
        absolute.chain(percent).chain(self.resting.iter().map(|slot| (None, *slot))).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.absolute.len() + self.percent.len() + self.resting.len()
    }
}

/// Two falling orders as one.
fn merge<A, B>(a: A, b: B) -> impl Iterator<Item = (i64, Slot)>
where
    A: Iterator<Item = (i64, Slot)>,
    B: Iterator<Item = (i64, Slot)>,
{
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some((first, _)), Some((second, _))) if first >= second => a.next(),
        (_, Some(_)) => b.next(),
        _ => a.next(),
    })
}
