//! Which trades of a symbol come in the market's order, and which were told before. Pure.

use super::refusal::Refusal;
use crate::feed::{Stamp, Tick, TradeId};
use strat_core::Price;

/// Trades remembered of the newest stamp. A market that repeats more of one millisecond tells prices that it had in it.
pub(super) const REMEMBERED: usize = 8;

/// The newest stamp that was accepted of a symbol, with its last trades.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps {
    newest_ms: Option<i64>,
    trades: [(Price, Option<TradeId>); REMEMBERED],
    /// Trades of the newest stamp; only the last are remembered.
    count: usize,
}

impl Stamps {
    /// What is wrong with a tick's stamp; nothing with one that the market did not give.
    ///
    /// Other trades of the newest stamp are as they should be: a millisecond may have many. Without a name only one exactly
    /// like the last counts as told before. It changes no price, whether it is a repeat or not.
    pub(super) fn refuse(&self, tick: &Tick) -> Option<Refusal> {
        let newest_ms = self.newest_ms.filter(|_| tick.stamp == Stamp::Market)?;
        if tick.ts_ms != newest_ms {
            return (tick.ts_ms < newest_ms).then_some(Refusal::Late);
        }
        let trade = (tick.price, tick.id);
        let known = &self.trades[..self.count.min(REMEMBERED)];
        let last = self.trades[self.count.saturating_sub(1) % REMEMBERED];
        let told = if tick.id.is_some() { known.contains(&trade) } else { trade == last };
        told.then_some(Refusal::Duplicate)
    }

    /// A tick that is believed. One that is older than the newest changes nothing.
    pub(super) fn accept(&mut self, tick: &Tick) {
        if tick.stamp == Stamp::Arrival || self.newest_ms > Some(tick.ts_ms) {
            return;
        }
        if self.newest_ms != Some(tick.ts_ms) {
            self.newest_ms = Some(tick.ts_ms);
            self.count = 0;
        }
        self.trades[self.count % REMEMBERED] = (tick.price, tick.id);
        self.count += 1;
    }
}

/// Whether two ticks tell the same trade.
pub(super) fn is_same(one: &Tick, other: &Tick) -> bool {
    let market = one.stamp == Stamp::Market && other.stamp == Stamp::Market;
    market && (one.ts_ms, one.price, one.id) == (other.ts_ms, other.price, other.id)
}

/// Two ticks in the market's order, as far as it told one.
pub(super) fn in_order(first: Tick, second: Tick) -> (Tick, Tick) {
    let market = first.stamp == Stamp::Market && second.stamp == Stamp::Market;
    if market && second.ts_ms < first.ts_ms { (second, first) } else { (first, second) }
}
