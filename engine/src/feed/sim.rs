//! A simulated market: seeded random walks with exact prices, paced by the clock.
//!
//! Prices move in whole ticks of 0.01 and are drawn back to where they started, so that a market left running
//! for days stays near its strategies' levels. The same seed gives the same prices; only their times differ.

use super::{Feed, FeedError, Stamp, Tick};
use crate::clock::Clock;
use crate::random::SplitMix;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use strat_core::{Price, Quantity};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Smallest price step: 0.01.
const TICK_UNITS: i64 = strat_core::decimal::SCALE / 100;
/// The pull home is one part in so many of the distance per step.
const PULL: i64 = 400;

/// What the market looks like.
#[derive(Debug, Clone)]
pub struct SimSettings {
    /// The same seed gives the same walk.
    pub seed: u64,
    /// Symbols and first prices; at least one.
    pub symbols: Vec<(String, Price)>,
    /// Time between two ticks of one symbol.
    pub tick: Duration,
    /// Largest step, in basis points of the price.
    pub step_bps: u32,
}

/// The simulated market.
pub struct SimFeed {
    clock: Arc<dyn Clock>,
    random: SplitMix,
    symbols: Vec<Walk>,
    next: usize,
    step_bps: i64,
    pace: Interval,
}

struct Walk {
    symbol: Arc<str>,
    /// In ticks.
    home: i64,
    price: i64,
}

impl SimFeed {
    /// A market that starts now. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(settings: &SimSettings, clock: Arc<dyn Clock>) -> Self {
        let walk = |(symbol, price): &(String, Price)| {
            let home = (price.units() / TICK_UNITS).max(1);
            Walk { symbol: symbol.as_str().into(), home, price: home }
        };
        // Symbols take turns, so each gets its tick once per `tick`.
        let turns = u32::try_from(settings.symbols.len().max(1)).unwrap_or(u32::MAX);
        let mut pace = interval((settings.tick / turns).max(Duration::from_millis(1)));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            clock,
            random: SplitMix::new(settings.seed),
            symbols: settings.symbols.iter().map(walk).collect(),
            next: 0,
            step_bps: i64::from(settings.step_bps),
            pace,
        }
    }

    fn step(&mut self) -> Option<Tick> {
        let count = self.symbols.len();
        let walk = self.symbols.get_mut(self.next)?;
        self.next = (self.next + 1) % count;
        let largest = (walk.price * self.step_bps / 10_000).max(1);
        let pull = (walk.home - walk.price) / PULL;
        walk.price = (walk.price + self.random.around(largest) + pull).max(1);
        let price = Price::from_units(walk.price * TICK_UNITS);
        let size = Quantity::from_units((1 + self.random.below(200) as i64) * strat_core::decimal::SCALE);
        Some(Tick {
            ts_ms: self.clock.now_ms(),
            stamp: Stamp::Arrival,
            symbol: Arc::clone(&walk.symbol),
            price,
            price_text: format!("{}.{:02}", walk.price / 100, walk.price % 100),
            size: Some(size),
            id: None,
        })
    }
}

#[async_trait]
impl Feed for SimFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        self.pace.tick().await;
        self.step().map(Ok)
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ReplayClock;

    fn prices(seed: u64, steps: usize) -> Vec<(String, String)> {
        let symbols =
            vec![("INFY".to_owned(), "1500".parse().unwrap()), ("SBIN".to_owned(), "820.55".parse().unwrap())];
        let settings = SimSettings { seed, symbols, tick: Duration::from_millis(10), step_bps: 8 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let mut feed = SimFeed::new(&settings, Arc::new(ReplayClock::at(5)));
        (0..steps).filter_map(|_| feed.step()).map(|tick| (tick.symbol.to_string(), tick.price_text)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_market() {
        assert_eq!(prices(42, 500), prices(42, 500));
        assert_ne!(prices(42, 500), prices(43, 500));
    }

    #[test]
    fn prices_stay_near_home_and_symbols_take_turns() {
        let all = prices(1, 200_000);
        assert!(all.chunks(2).all(|pair| pair[0].0 == "INFY" && pair[1].0 == "SBIN"));
        let infy: Vec<f64> = all.iter().filter(|(s, _)| s == "INFY").map(|(_, p)| p.parse().unwrap()).collect();
        assert!(infy.iter().all(|price| (1_000.0..2_000.0).contains(price)), "{:?}", infy.last());
    }
}
