//! One side of a symbol's trigger book: levels in firing order, with the best one at hand.

use super::Slot;
use crate::decimal::Price;
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// Which way the price must move to fire.
pub(super) trait Direction: Default + std::fmt::Debug {
    /// Maps a level so that the level that fires first sorts first.
    fn rank(level: Price) -> i64;
}

/// Fires at prices at or below the level: the highest level first.
#[derive(Debug, Default)]
pub(super) struct Fall;

/// Fires at prices at or above the level: the lowest level first.
#[derive(Debug, Default)]
pub(super) struct Rise;

impl Direction for Fall {
    fn rank(level: Price) -> i64 {
        // Prices are far from i64::MIN, so the negation is exact.
        -level.units()
    }
}

impl Direction for Rise {
    fn rank(level: Price) -> i64 {
        level.units()
    }
}

/// Bytes of one level in the tree.
pub(super) const LEVEL_BYTES: usize = size_of::<(i64, Slot)>();

#[derive(Debug)]
pub(super) struct Levels<D> {
    /// Rank and slot, so that equal levels fire in slot order.
    ranks: BTreeSet<(i64, Slot)>,
    /// Rank of the first level: a tick that crosses nothing looks at nothing else.
    best: i64,
    direction: PhantomData<D>,
}

impl<D> Default for Levels<D> {
    fn default() -> Self {
        Self { ranks: BTreeSet::new(), best: i64::MAX, direction: PhantomData }
    }
}

impl<D: Direction> Levels<D> {
    pub(super) fn insert(&mut self, level: Option<Price>, slot: Slot) {
        if let Some(level) = level {
            let rank = D::rank(level);
            self.ranks.insert((rank, slot));
            self.best = self.best.min(rank);
        }
    }

    pub(super) fn remove(&mut self, level: Option<Price>, slot: Slot) {
        if let Some(level) = level {
            self.ranks.remove(&(D::rank(level), slot));
            self.best = self.ranks.first().map_or(i64::MAX, |(rank, _)| *rank);
        }
    }

    /// Slots whose level `price` crosses, first to fire first.
    pub(super) fn crossed(&self, price: Price) -> impl Iterator<Item = Slot> + '_ {
        let rank = D::rank(price);
        let any = self.best <= rank;
        let crossed = any.then(|| self.ranks.range(..=(rank, Slot::MAX)));
        crossed.into_iter().flatten().map(|(_, slot)| *slot)
    }

    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }
}
