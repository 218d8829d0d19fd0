//! What of a feed is believed. Pure.
//!
//! A price of 0 would fire every stop of a long, so it is never believed. A jump beyond a limit, where one is set, is held
//! until the next tick of the symbol confirms it.

use crate::feed::Tick;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use strat_core::Price;
use tokio::time::Instant;

/// Symbols remembered; a feed with more than that is not one of an exchange.
const SYMBOLS_MAX: usize = 1_000_000;

/// Numbers of the filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterStats {
    /// Prices of 0 or below, refused.
    pub refused: u64,
    /// Jumps that nothing confirmed, dropped.
    pub dropped: u64,
}

#[derive(Debug)]
struct Symbol {
    /// The last price that was believed.
    accepted: Option<Price>,
    /// A jump that waits to be confirmed.
    held: Option<Tick>,
    heard: Instant,
}

/// Passes on what is believed.
#[derive(Debug)]
pub(super) struct Filter {
    /// Largest step from one price to the next, in percent; 0 for any.
    max_jump_percent: u32,
    symbols: HashMap<Arc<str>, Symbol>,
    stats: FilterStats,
}

/// Ticks to pass on, in their order: none, one, or a confirmed jump and what confirmed it.
pub(super) type Passed = (Option<Tick>, Option<Tick>);

impl Filter {
    pub(super) fn new(max_jump_percent: u32) -> Self {
        Self { max_jump_percent, symbols: HashMap::new(), stats: FilterStats::default() }
    }

    pub(super) fn stats(&self) -> FilterStats {
        self.stats
    }

    /// When a symbol was last heard of, believed or not.
    pub(super) fn heard(&self, symbol: &str) -> Option<Instant> {
        self.symbols.get(symbol).map(|symbol| symbol.heard)
    }

    /// The last price of a symbol that was believed, where it was heard of no longer ago than `fresh`.
    pub(super) fn last_price(&self, symbol: &str, fresh: Duration, now: Instant) -> Option<Price> {
        let known = self.symbols.get(symbol)?;
        known.accepted.filter(|_| now.saturating_duration_since(known.heard) <= fresh)
    }

    /// Judges a tick.
    pub(super) fn pass(&mut self, tick: Tick, now: Instant) -> Passed {
        if tick.price <= Price::ZERO {
            self.stats.refused += 1;
            // A feed that has gone mad must not fill the disk.
            if self.stats.refused.is_power_of_two() {
                let total = self.stats.refused;
                tracing::error!(
                    symbol = &*tick.symbol,
                    price = tick.price_text,
                    total,
                    "a price that is not above 0 is refused"
                );
            }
            return (None, None);
        }
        let percent = self.max_jump_percent;
        let Some(symbol) = self.symbols.get_mut(&tick.symbol) else {
            if self.symbols.len() < SYMBOLS_MAX {
                let known = Symbol { accepted: Some(tick.price), held: None, heard: now };
                self.symbols.insert(Arc::clone(&tick.symbol), known);
            }
            return (Some(tick), None);
        };
        symbol.heard = now;
        let near = |other: Price| percent == 0 || is_near(tick.price, other, percent);
        let held = symbol.held.take();
        if let Some(jump) = held {
            if near(jump.price) {
                symbol.accepted = Some(tick.price);
                return (Some(jump), Some(tick));
            }
            self.stats.dropped += 1;
            let (price, next, total) = (&jump.price_text, &tick.price_text, self.stats.dropped);
            tracing::warn!(
                symbol = &*tick.symbol,
                price,
                next,
                total,
                "a jump that the next tick does not confirm is dropped"
            );
        }
        if symbol.accepted.is_none_or(near) {
            symbol.accepted = Some(tick.price);
            return (Some(tick), None);
        }
        symbol.held = Some(tick);
        (None, None)
    }
}

/// Whether `price` is no further than `percent` from `other`.
fn is_near(price: Price, other: Price, percent: u32) -> bool {
    let (price, other) = (i128::from(price.units()), i128::from(other.units()));
    (price - other).abs() * 100 <= other.abs() * i128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(percent: u32, prices: &[&str]) -> (Vec<String>, FilterStats) {
        let mut filter = Filter::new(percent);
        let mut all = Vec::new();
        for text in prices {
            let tick = Tick {
                ts_ms: 1,
                symbol: "IBM".into(),
                price: text.parse().unwrap(),
                price_text: (*text).to_owned(),
                size: None,
            };
            let (first, second) = filter.pass(tick, Instant::now());
            all.extend(first.into_iter().chain(second).map(|tick| tick.price_text));
        }
        (all, filter.stats())
    }

    #[test]
    fn a_jump_is_believed_once_the_next_tick_confirms_it() {
        for (prices, believed, dropped) in [
            (&["100", "101", "99"][..], &["100", "101", "99"][..], 0),
            (&["100", "1", "100"], &["100", "100"], 1),
            (&["100", "1", "1.05", "1"], &["100", "1", "1.05", "1"], 0),
            (&["100", "110"], &["100", "110"], 0),
            (&["100", "110.00000001"], &["100"], 0),
            (&["100", "89.99", "90"], &["100", "89.99", "90"], 0),
            // Two jumps that do not confirm each other.
            (&["100", "50", "200", "100"], &["100", "100"], 2),
            (&["100", "50", "200", "201"], &["100", "200", "201"], 1),
        ] {
            let (passed, stats) = passed(10, prices);
            assert_eq!(
                (passed, stats.dropped),
                (believed.iter().map(ToString::to_string).collect(), dropped),
                "{prices:?}"
            );
        }
    }

    #[test]
    fn without_a_limit_everything_above_0_is_believed() {
        let (all, stats) = passed(0, &["100", "0.00000001", "0", "-5", "90000000"]);
        assert_eq!((all.join(" ").as_str(), stats.refused), ("100 0.00000001 90000000", 2));
    }

    #[test]
    fn a_price_of_0_neither_confirms_nor_counts_as_heard() {
        let (all, stats) = passed(10, &["0", "100", "50", "0", "49"]);
        assert_eq!((all.join(" ").as_str(), stats), ("100 50 49", FilterStats { refused: 2, dropped: 0 }));
        assert_eq!(Filter::new(0).heard("IBM"), None);
    }
}
