//! What the book is asked about trailing stops.

use super::trails::Place;
use super::{Book, Extreme, Raised, Slot, Sweep};
use crate::decimal::Price;
use crate::key::StrategyKey;
use crate::strategy::{Side, Strategy, Trailing};

impl Book {
    /// Takes a price over as the new extreme of every trailing stop to which it is news. Answers the extremes (of longs,
    /// of shorts) that are to be written into `trail:{symbol}` in the same command. `symbol` carries the tag's prefix.
    /// Costs two comparisons where it is news to nobody.
    pub fn raise(&mut self, symbol: &str, price: Price) -> Raised {
        if self.trails.is_empty() {
            return Raised::default();
        }
        let raised = self.trails.raise(symbol, price);
        // A level that moved is armed later than a storm that came before.
        self.seq += u64::from(raised.extremes.iter().any(Option::is_some));
        raised
    }

    /// Whether [`Book::raise`] has anything to do.
    #[must_use]
    pub fn is_trail_news(&self, symbol: &str, price: Price) -> bool {
        self.trails.is_news(symbol, price)
    }

    /// Keys of the strategies of a symbol whose trailing stop begins nowhere yet, at most `limit`.
    #[must_use]
    pub fn anchorless(&self, symbol: &str, limit: usize) -> Vec<Box<str>> {
        if self.trails.is_empty() {
            return Vec::new();
        }
        let entries = self.trails.anchorless(symbol).filter_map(|slot| self.slab.get(slot));
        entries.take(limit).map(|entry| self.key_of(entry).hash().into()).collect()
    }

    /// The best price that a trailing stop of a symbol has seen; with `fence`, that it had seen when a storm came.
    #[must_use]
    pub fn best_price(&self, symbol: &str, trailing: &Trailing, fence: Option<i64>) -> Option<Price> {
        self.trails.best(symbol, trailing, fence)
    }

    /// The number at which a trailing stop of a symbol begins now.
    #[must_use]
    pub fn trail_start(&self, symbol: &str, side: Side, now_ms: i64) -> i64 {
        self.trails.start(symbol, side, now_ms)
    }

    /// The number that a storm of a symbol remembers: extremes that come later have higher ones.
    #[must_use]
    pub fn trail_fence(&self, symbol: &str) -> i64 {
        self.trails.fence(symbol)
    }

    /// Says which storms of a symbol are not drained yet, by the numbers that they remember.
    pub fn set_trail_fences(&mut self, symbol: &str, fences: Vec<i64>) {
        self.trails.set_fences(symbol, fences);
    }

    /// Notes that somebody else wrote `trail:{symbol}`: it is to be read again.
    pub fn soil_trail(&mut self, symbol: &str) {
        self.trails.soil(symbol);
    }

    /// The symbols whose `trail:{symbol}` is to be read again.
    pub fn take_soiled_trails(&mut self) -> Vec<Box<str>> {
        self.trails.take_dirty()
    }

    /// Takes a symbol's extremes for what its key says.
    pub fn load_trail(&mut self, symbol: &str, extremes: Vec<Extreme>) {
        self.trails.load(symbol, extremes);
    }

    /// Fields of `trail:{symbol}` that nobody needs any more, at most `limit`: they are to be deleted.
    pub fn take_stale_extremes(&mut self, symbol: &str, limit: usize) -> Vec<String> {
        self.trails.take_stale(symbol, limit)
    }

    /// The next `trail:{symbol}` with anything to be deleted, at most `limit` fields.
    pub fn next_trail_sweep(&mut self, limit: usize) -> Option<(Box<str>, Sweep)> {
        self.trails.next_sweep(limit)
    }

    /// Whether any `trail:{symbol}` holds what is to be deleted.
    #[must_use]
    pub fn needs_trail_sweep(&self) -> bool {
        self.trails.needs_sweep()
    }

    /// Leaves what is to be deleted to somebody else: a replica's primary.
    pub fn forget_trail_sweeps(&mut self) {
        self.trails.forget_stale();
    }

    /// The extremes of a symbol, and fields that its key may hold beside them.
    #[must_use]
    pub fn extremes(&self, symbol: &str) -> (Vec<Extreme>, Vec<String>) {
        let (extremes, stale) = self.trails.extremes(symbol);
        (extremes, stale.into_iter().map(|(side, number)| Extreme::field(side, number)).collect())
    }

    /// Symbols with a trailing stop, with the tag's prefix.
    pub fn trail_symbols(&self) -> impl Iterator<Item = &str> {
        self.trails.symbols()
    }

    /// Whether the book follows the trailing stop of `key` as the hash has it.
    #[must_use]
    pub fn follows_trail(&self, key: &str, trailing: Option<&Trailing>) -> bool {
        let place = StrategyKey::parse(key).and_then(|key| self.trail_place(&key));
        self.trails.is_followed(place.as_ref(), trailing)
    }

    pub(super) fn trail_place(&self, key: &StrategyKey<'_>) -> Option<Place> {
        if self.trails.is_empty() {
            return None;
        }
        let slot = self.slot_of(key)?;
        let symbol = self.slab.get(slot)?.symbol;
        self.trails.place(self.symbols.name(symbol), slot)
    }

    /// Takes the change of a strategy's trailing stop over.
    pub(super) fn follow_trail(&mut self, was: Option<Place>, now: Option<(&StrategyKey<'_>, &Strategy, Slot)>) {
        let trailing = now.and_then(|(key, strategy, slot)| Some((key, strategy, slot, strategy.trailing()?)));
        if was.is_none() && trailing.is_none() {
            return;
        }
        let now = trailing.as_ref().map(|(key, strategy, slot, trailing)| {
            let symbol = format!("{}{}", key.prefix, strategy.symbol).into();
            (Place { symbol, side: trailing.side, slot: *slot }, trailing)
        });
        self.seq += u64::from(self.trails.put(was, now, self.seq + 1));
    }
}
