//! What the book keeps per symbol, and per tag.

use super::Slot;
use super::alerts::AlertLevels;
use super::entry::fall_rank;
use super::ranked::Ranked;
use crate::decimal::Price;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Armed levels of both sides.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Those that fire at prices at or below.
    pub(super) falls: Ranked<i64>,
    /// Those that fire at prices at or above.
    pub(super) rises: Ranked<i64>,
}

impl Levels {
    /// Whether `price` crosses a level: it is enough to look at the best one of each side.
    pub(super) fn is_crossed(&self, price: Price) -> bool {
        let by = |side: &Ranked<i64>, rank: i64| side.first().is_some_and(|(best, _)| best <= rank);
        by(&self.falls, fall_rank(price.units())) || by(&self.rises, price.units())
    }

    /// Slots whose level `price` crosses: falls first, each side in firing order.
    pub(super) fn crossed(&self, price: Price) -> impl Iterator<Item = Slot> + '_ {
        let falls = self.falls.up_to(fall_rank(price.units()));
        falls.chain(self.rises.up_to(price.units()))
    }

    pub(super) fn is_sound(&self) -> bool {
        self.falls.is_sound() && self.rises.is_sound()
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        self.falls.heap_bytes() + self.rises.heap_bytes()
    }
}

/// What is kept per `{tag}symbol`, the argument of `SLCHECK`.
#[derive(Debug, Default)]
pub(super) struct SymbolBook {
    /// Of its strategies.
    pub(super) levels: Levels,
    /// Every strategy of the symbol, whatever its status.
    pub(super) members: Ranked<()>,
    pub(super) running: usize,
    /// When the time to live of its stored price was last renewed, epoch ms.
    renewed_ms: i64,
    pub(super) serial: Serial,
    pub(super) alerts: Option<Box<AlertLevels>>,
}

/// A number that no symbol of any book had before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Serial(pub(super) u64);

impl Default for Serial {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl SymbolBook {
    /// Whether the time to live of the stored price is to be renewed now; not within `pause_ms` after the last time.
    pub(super) fn renews(&mut self, now_ms: i64, pause_ms: i64) -> bool {
        // A clock that was set back renews.
        let renews = !(0..pause_ms).contains(&now_ms.saturating_sub(self.renewed_ms));
        if renews {
            self.renewed_ms = now_ms;
        }
        renews
    }

    /// The time to live is to be renewed with the next tick.
    pub(super) const fn forget_renewal(&mut self) {
        self.renewed_ms = i64::MIN;
    }

    /// Forgets levels and members.
    pub(super) fn forget(&mut self) {
        self.levels = Levels::default();
        self.members = Ranked::default();
    }

    /// Whether `price` crosses a level, of a strategy or of an alert.
    pub(super) fn is_crossed(&self, price: Price) -> bool {
        self.levels.is_crossed(price) || self.alerts.as_deref().is_some_and(|alerts| alerts.levels.is_crossed(price))
    }

    /// Whether it has neither a strategy nor an alert.
    pub(super) const fn is_unused(&self) -> bool {
        self.members.is_empty() && self.alerts.is_none()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let alerts = self.alerts.as_deref().map_or(0, AlertLevels::heap_bytes);
        self.levels.heap_bytes() + self.members.heap_bytes() + alerts
    }
}

/// What is kept per tag.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) entry_times: Ranked<i64>,
    pub(super) exit_times: Ranked<i64>,
    /// Every strategy of the tag.
    pub(super) members: Ranked<()>,
    /// Every symbol with a strategy.
    pub(super) symbols: BTreeSet<u32>,
}

impl Partition {
    /// Forgets times and members.
    pub(super) fn forget(&mut self) {
        self.entry_times = Ranked::default();
        self.exit_times = Ranked::default();
        self.members = Ranked::default();
        self.symbols.clear();
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<i64> {
        let first = |times: &Ranked<i64>| times.first().map(|(at, _)| at);
        first(&self.entry_times).into_iter().chain(first(&self.exit_times)).min()
    }

    /// What has come by `now_ms`, earliest first, at most `limit`.
    pub(super) fn come(&self, now_ms: i64, limit: usize) -> impl Iterator<Item = Slot> {
        let come = |times: &Ranked<i64>, found: &mut Vec<(i64, Slot)>| {
            found.extend(times.iter().take_while(|(at, _)| *at <= now_ms).take(limit));
        };
        let mut found = Vec::new();
        come(&self.entry_times, &mut found);
        come(&self.exit_times, &mut found);
        found.sort_unstable();
        found.into_iter().take(limit).map(|(_, slot)| slot)
    }

    /// Armed times.
    pub(super) const fn armed(&self) -> usize {
        self.entry_times.len() + self.exit_times.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // A B-tree's node is about two thirds full.
        let symbols = self.symbols.len() * size_of::<u32>() * 3 / 2;
        self.entry_times.heap_bytes() + self.exit_times.heap_bytes() + self.members.heap_bytes() + symbols
    }
}

/// What is kept per user of a tag.
#[derive(Debug, Default)]
pub(super) struct User {
    /// Index of the tag.
    pub(super) partition: u32,
    pub(super) members: Ranked<()>,
}
