//! The market listener: every tick goes to `STRAT.SLCHECK`, and to the paper broker.
//!
//! While Redis is slow or away, ticks are kept conflated: per symbol the last price, and the lowest and highest
//! since the last one that Redis took, so that no stop in between is missed and memory stays bounded.

use crate::broker::PaperBroker;
use crate::clock::{Clock as _, LiveClock};
use crate::feed::{Feed, FeedError, Tick};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::{Connection, StratCommands as _};
use strat_core::Price;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Symbols in one `STRAT.SLCHECK`.
const SYMBOLS_PER_CALL: usize = 200;
/// First and longest pause after Redis did not take prices.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Most symbols kept while Redis is away; a feed with more than that is not one of an exchange.
const SYMBOLS_MAX: usize = 1_000_000;

/// Numbers of the listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MarketStats {
    /// Ticks read from the feed.
    pub ticks: u64,
    /// Triggers that they fired.
    pub fired: u64,
    /// Whether Redis takes prices: stops are watched. Not before it has taken the first.
    pub watching: bool,
    /// Epoch ms when Redis last took a price.
    pub last_sent_ms: Option<i64>,
    /// The feed has ended: no price comes any more.
    pub ended: bool,
}

/// Feeds the module and the paper broker with prices.
pub struct Market {
    redis: Connection,
    paper: Option<Arc<PaperBroker>>,
    /// `{tag}` of the partition with its braces, or empty.
    prefix: String,
    waiting: Mutex<BTreeMap<Arc<str>, Range>>,
    arrived: Notify,
    /// Rings when waiting prices are taken up, for feeds that wait.
    taken: Notify,
    stats: Mutex<MarketStats>,
}

impl Market {
    /// A listener that has heard nothing yet.
    #[must_use]
    pub fn new(redis: Connection, paper: Option<Arc<PaperBroker>>, prefix: &str) -> Self {
        Self {
            redis,
            paper,
            prefix: prefix.to_owned(),
            waiting: Mutex::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
            stats: Mutex::default(),
        }
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> MarketStats {
        *lock(&self.stats)
    }

    /// Works until `cancel`, or until the feed ends and everything is sent.
    ///
    /// # Errors
    /// Where the feed fails.
    pub async fn run(self: Arc<Self>, mut feed: Box<dyn Feed>, cancel: CancellationToken) -> Result<(), FeedError> {
        let ended = CancellationToken::new();
        let listen = async {
            let outcome = self.listen(&mut *feed).await;
            lock(&self.stats).ended = true;
            ended.cancel();
            outcome
        };
        tokio::select! {
            () = cancel.cancelled() => Ok(()),
            (outcome, ()) = async { tokio::join!(listen, self.send(&ended)) } => outcome,
        }
    }

    async fn listen(&self, feed: &mut dyn Feed) -> Result<(), FeedError> {
        let can_wait = feed.can_wait();
        while let Some(tick) = feed.next().await {
            let tick = tick?;
            if can_wait {
                self.room_for(&tick.symbol).await;
            }
            self.take(tick);
            // A feed that always has a tick must not keep the sender, or a stop, from its turn.
            tokio::task::yield_now().await;
        }
        tracing::info!("the feed has ended");
        Ok(())
    }

    /// Waits until no price of the symbol waits.
    async fn room_for(&self, symbol: &str) {
        loop {
            let taken = self.taken.notified();
            if !lock(&self.waiting).contains_key(symbol) {
                return;
            }
            taken.await;
        }
    }

    fn take(&self, tick: Tick) {
        lock(&self.stats).ticks += 1;
        {
            let mut waiting = lock(&self.waiting);
            if let Some(range) = waiting.get_mut(&tick.symbol) {
                range.add(&tick);
            } else if waiting.len() < SYMBOLS_MAX {
                waiting.insert(Arc::clone(&tick.symbol), Range::of(&tick));
            }
        }
        self.arrived.notify_one();
        // The paper broker is an exchange of its own: it trades whether or not Redis is there.
        if let Some(paper) = &self.paper
            && let Err(error) = paper.on_tick(&tick.symbol, tick.price, tick.ts_ms)
        {
            tracing::error!(%error, "the paper broker cannot write its ledger; orders do not fill");
        }
    }

    async fn send(&self, ended: &CancellationToken) {
        let mut pause = PAUSES.0;
        loop {
            let arrived = self.arrived.notified();
            let batch = std::mem::take(&mut *lock(&self.waiting));
            if batch.is_empty() {
                if ended.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = arrived => {}
                    () = ended.cancelled() => {}
                }
                continue;
            }
            self.taken.notify_one();
            match self.send_batch(batch).await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    let unsent = lock(&self.waiting).len();
                    lock(&self.stats).watching = false;
                    tracing::error!(%error, symbols = unsent, "STOPS ARE NOT WATCHED: Redis does not take prices; keeping low and high of each symbol and trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Sends a batch; what was not taken goes back, under what came meanwhile.
    async fn send_batch(&self, mut batch: BTreeMap<Arc<str>, Range>) -> strat_client::Result<()> {
        while !batch.is_empty() {
            let rest = batch.keys().nth(SYMBOLS_PER_CALL).cloned().map(|key| batch.split_off(&key)).unwrap_or_default();
            let ts_ms = batch.values().map(|range| range.ts_ms).max();
            let pairs: Vec<(String, &str)> = batch
                .iter()
                .flat_map(|(symbol, range)| {
                    range.texts().into_iter().map(move |price| (format!("{}{symbol}", self.prefix), price))
                })
                .collect();
            match self.redis.clone().strat_slcheck_many(&pairs, ts_ms).await {
                Ok(fired) => self.sent(fired),
                Err(error) => {
                    let mut waiting = lock(&self.waiting);
                    for (symbol, older) in batch.into_iter().chain(rest) {
                        match waiting.get_mut(&symbol) {
                            Some(newer) => newer.widen(&older),
                            None => drop(waiting.insert(symbol, older)),
                        }
                    }
                    return Err(error);
                }
            }
            batch = rest;
        }
        Ok(())
    }

    fn sent(&self, fired: u64) {
        let mut stats = lock(&self.stats);
        stats.fired += fired;
        if !stats.watching && stats.last_sent_ms.is_some() {
            tracing::warn!("Redis takes prices again; stops are watched");
        }
        stats.watching = true;
        stats.last_sent_ms = Some(LiveClock.now_ms());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prices of one symbol since the last one that Redis took.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    low: (Price, String),
    high: (Price, String),
    last: (Price, String),
    ts_ms: i64,
}

impl Range {
    fn of(tick: &Tick) -> Self {
        let price = (tick.price, tick.price_text.clone());
        Self { low: price.clone(), high: price.clone(), last: price, ts_ms: tick.ts_ms }
    }

    fn add(&mut self, tick: &Tick) {
        let newer = Self::of(tick);
        let older = std::mem::replace(self, newer);
        self.widen(&older);
    }

    /// Takes in what was seen before; the last price stays the newer one.
    fn widen(&mut self, older: &Self) {
        if older.low.0 < self.low.0 {
            self.low = older.low.clone();
        }
        if older.high.0 > self.high.0 {
            self.high = older.high.clone();
        }
    }

    /// The prices to check, the last one last: it is the one that stays in `price:{symbol}`.
    fn texts(&self) -> Vec<&str> {
        let extremes = [&self.low, &self.high].into_iter().filter(|price| price.0 != self.last.0);
        extremes.chain([&self.last]).map(|price| price.1.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(text: &str, ts_ms: i64) -> Tick {
        Tick { ts_ms, symbol: "IBM".into(), price: text.parse().unwrap(), price_text: text.to_owned(), size: None }
    }

    #[test]
    fn low_and_high_survive_and_the_last_price_is_sent_last() {
        let mut range = Range::of(&tick("100.00", 1));
        assert_eq!(range.texts(), ["100.00"]);
        for (ts_ms, text) in [(2, "98"), (3, "103"), (4, "101")] {
            range.add(&tick(text, ts_ms));
        }
        assert_eq!((range.texts(), range.ts_ms), (vec!["98", "103", "101"], 4));
    }

    #[test]
    fn what_was_not_sent_widens_what_came_meanwhile() {
        let mut newer = Range::of(&tick("99", 9));
        newer.widen(&Range::of(&tick("90", 1)));
        assert_eq!((newer.texts(), newer.ts_ms), (vec!["90", "99"], 9));
    }

    #[tokio::test]
    async fn a_feed_that_can_wait_waits_for_the_symbol_s_last_tick() {
        // Never reached.
        let redis = Connection::lazy(&strat_client::Config::from_url("redis://127.0.0.1:1/").unwrap()).unwrap();
        let market = Market::new(redis, None, "");
        assert_eq!((market.stats().watching, market.stats().last_sent_ms), (false, None));
        market.take(tick("100", 1));
        market.room_for("TCS").await;
        let waits = market.room_for("IBM");
        tokio::pin!(waits);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waits).await.is_err());
        lock(&market.waiting).clear();
        market.taken.notify_one();
        assert!(tokio::time::timeout(Duration::from_secs(5), waits).await.is_ok());
        market.sent(2);
        assert!(market.stats().watching && market.stats().last_sent_ms.is_some() && market.stats().fired == 2);
    }
}
