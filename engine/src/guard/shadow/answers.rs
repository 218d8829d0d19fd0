//! What the shadow is asked.

use super::Shadow;
use std::collections::BTreeMap;
use strat_core::Strategy;

/// Numbers of the shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShadowStats {
    /// Live strategies.
    pub strategies: usize,
    /// Armed price triggers.
    pub armed: usize,
    /// Hashes that do not parse: nobody guards those.
    pub invalid: usize,
}

impl Shadow {
    /// The version known of a strategy.
    #[must_use]
    pub fn version(&self, key: &str) -> Option<u64> {
        self.known.get(key).map(|known| known.version)
    }

    /// Strategies whose entry may work at the broker, at most `limit`.
    #[must_use]
    pub fn entries_in_flight(&self, limit: usize) -> Vec<(String, Strategy)> {
        let flying = self.entering.iter().filter_map(|key| Some((key.clone(), self.known.get(key)?.strategy().ok()?)));
        flying.take(limit).collect()
    }

    /// Symbols whose prices trailing stops follow.
    #[must_use]
    pub fn trail_symbols(&self) -> Vec<String> {
        self.book.trail_symbols().map(ToOwned::to_owned).collect()
    }

    /// What trailing stops of a symbol follow by the prices that Redis took, as fields of its durable key.
    #[must_use]
    pub fn taken_trail(&self, symbol: &str) -> BTreeMap<String, String> {
        let held = self.held_trails.as_ref().map(|held| held.get(symbol).cloned().unwrap_or_default());
        held.unwrap_or_else(|| self.book.trail_fields(symbol))
    }

    /// Keys of every live strategy.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.known.keys().cloned().collect()
    }

    /// Symbols in which something is held.
    #[must_use]
    pub fn open_symbols(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }

    /// Keys of the strategies that hold something of a symbol, at most `limit`.
    #[must_use]
    pub fn open_in(&self, symbol: &str, limit: usize) -> Vec<String> {
        self.open.get(symbol).into_iter().flat_map(|holders| &holders.keys).take(limit).cloned().collect()
    }

    /// Calendars by which the strategies that hold something of a symbol trade; an empty name for none.
    pub fn calendars_of(&self, symbol: &str) -> impl Iterator<Item = &str> {
        self.open.get(symbol).into_iter().flat_map(|holders| holders.calendars.keys()).map(AsRef::as_ref)
    }

    /// Numbers.
    #[must_use]
    pub fn stats(&self) -> ShadowStats {
        let book = self.book.stats();
        ShadowStats { strategies: self.known.len(), armed: book.triggers, invalid: book.invalid }
    }
}
