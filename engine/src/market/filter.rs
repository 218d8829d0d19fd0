//! What of a feed is believed. Pure.
//!
//! A price of 0 would fire every stop of a long, so it is never believed. Of a live feed nothing is believed that comes
//! after something newer of its symbol ([`super::stamps`]), a second time, from the future or while its market is closed
//! ([`super::sessions`]). A jump beyond a limit, where one is set, is held until the next tick of the symbol confirms it.
//!
//! What is kept away from the stops may still be a trade of its candle: see [`Passed::aside`].

use super::refusal::{Refusal, Refusals};
use super::sessions::Openings;
use super::stamps::{Stamps, in_order, is_same};
use super::steady::Moment;
use crate::feed::{Stamp, Tick};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use strat_core::Price;
use tokio::time::Instant;

/// Symbols remembered; a feed with more than that is not one of an exchange.
const SYMBOLS_MAX: usize = 1_000_000;

/// What is believed.
#[derive(Debug, Clone, Copy)]
pub struct FilterSettings {
    /// Largest step from one price to the next, in percent; 0 for any.
    pub max_jump_percent: u32,
    /// How far ahead of this machine's clock a stamp may be. A stamp within it that is wrong makes the symbol's later ticks
    /// late for no longer than that.
    pub max_ahead: Duration,
}

#[derive(Debug)]
struct Symbol {
    /// The last price that was believed.
    accepted: Price,
    stamps: Stamps,
    /// A jump that waits to be confirmed.
    held: Option<Tick>,
    heard: Instant,
}

impl Symbol {
    fn new(first: &Tick, heard: Instant) -> Self {
        let mut symbol = Self { accepted: first.price, stamps: Stamps::default(), held: None, heard };
        symbol.stamps.accept(first);
        symbol
    }

    fn refuse(&self, tick: &Tick) -> Option<Refusal> {
        // Else a jump that is told twice would confirm itself.
        let held = self.held.as_ref().filter(|held| is_same(held, tick)).map(|_| Refusal::Duplicate);
        self.stamps.refuse(tick).or(held)
    }

    fn accept(&mut self, tick: Tick) -> Tick {
        self.accepted = tick.price;
        self.stamps.accept(&tick);
        tick
    }
}

/// What becomes of a tick.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// To act upon, in their order: none, one, or a confirmed jump and what confirmed it.
    pub(super) ticks: (Option<Tick>, Option<Tick>),
    /// Kept away from the stops and yet a trade, at a price that is believed: for the candle that it belongs to.
    pub(super) aside: Option<Tick>,
}

impl Passed {
    fn one(tick: Tick) -> Self {
        Self { ticks: (Some(tick), None), aside: None }
    }
}

/// Passes on what is believed.
#[derive(Debug)]
pub(super) struct Filter {
    settings: FilterSettings,
    /// Whether stamps are to be near this machine's clock, and in order.
    live: bool,
    openings: Openings,
    symbols: HashMap<Arc<str>, Symbol>,
    refused: Refusals,
}

impl Filter {
    /// For a feed that is not live, until told otherwise.
    pub(super) fn new(settings: FilterSettings) -> Self {
        let (openings, symbols) = (Openings::default(), HashMap::new());
        Self { settings, live: false, openings, symbols, refused: Refusals::default() }
    }

    pub(super) fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    pub(super) fn set_openings(&mut self, openings: Openings) {
        self.openings = openings;
    }

    pub(super) fn refused(&self) -> Refusals {
        self.refused
    }

    /// When a symbol last said something that was believed or held.
    pub(super) fn heard(&self, symbol: &str) -> Option<Instant> {
        self.symbols.get(symbol).map(|symbol| symbol.heard)
    }

    /// The last price of a symbol that was believed, where it was heard of no longer ago than `fresh`.
    pub(super) fn last_price(&self, symbol: &str, fresh: Duration, now: Instant) -> Option<Price> {
        let known = self.symbols.get(symbol)?;
        (now.saturating_duration_since(known.heard) <= fresh).then_some(known.accepted)
    }

    /// Judges a tick.
    pub(super) fn pass(&mut self, tick: Tick, now: Moment) -> Passed {
        if let Some(why) = self.refuse(&tick, now.ms) {
            self.refused.add(why, &tick, now.ms);
            let aside = Some(tick).filter(|tick| self.is_trade(tick, why));
            return Passed { aside, ..Passed::default() };
        }
        let percent = self.settings.max_jump_percent;
        let Some(symbol) = self.symbols.get_mut(&tick.symbol) else {
            if self.symbols.len() < SYMBOLS_MAX {
                self.symbols.insert(Arc::clone(&tick.symbol), Symbol::new(&tick, now.at));
            }
            return Passed::one(tick);
        };
        symbol.heard = now.at;
        if let Some(jump) = symbol.held.take() {
            if is_near(tick.price, jump.price, percent) {
                let (first, second) = in_order(jump, tick);
                let ticks = (Some(symbol.accept(first)), Some(symbol.accept(second)));
                return Passed { ticks, aside: None };
            }
            self.refused.add(Refusal::Jump, &jump, now.ms);
        }
        if is_near(tick.price, symbol.accepted, percent) {
            return Passed::one(symbol.accept(tick));
        }
        symbol.held = Some(tick);
        Passed::default()
    }

    fn refuse(&self, tick: &Tick, now_ms: i64) -> Option<Refusal> {
        if tick.price <= Price::ZERO {
            return Some(Refusal::Price);
        }
        if !self.live {
            return None;
        }
        let ahead_ms = i64::try_from(self.settings.max_ahead.as_millis()).unwrap_or(i64::MAX);
        if tick.stamp == Stamp::Market && tick.ts_ms > now_ms.saturating_add(ahead_ms) {
            return Some(Refusal::Future);
        }
        if !self.openings.is_open(tick, now_ms, ahead_ms) {
            return Some(Refusal::Session);
        }
        self.symbols.get(&tick.symbol)?.refuse(tick)
    }

    /// Whether a candle may have it all the same. A repeat that has a name is none, and without one it may be another trade.
    fn is_trade(&self, tick: &Tick, why: Refusal) -> bool {
        let trade = match why {
            Refusal::Late | Refusal::Session => true,
            Refusal::Duplicate => tick.id.is_none(),
            Refusal::Price | Refusal::Jump | Refusal::Future => false,
        };
        let near = |symbol: &Symbol| is_near(tick.price, symbol.accepted, self.settings.max_jump_percent);
        trade && self.symbols.get(&tick.symbol).is_none_or(near)
    }
}

/// Whether `price` is no further than `percent` from `other`; 0 for any distance.
fn is_near(price: Price, other: Price, percent: u32) -> bool {
    let (price, other) = (i128::from(price.units()), i128::from(other.units()));
    percent == 0 || (price - other).abs() * 100 <= other.abs() * i128::from(percent)
}

#[cfg(test)]
mod tests;
