//! Prices on their way to Redis, and to the guard while Redis does not take them.

use super::range::{POINTS_MAX, Range};
use super::{Batch, Market, PROBE_EVERY, lock};
use crate::clock::{Clock as _, LiveClock};
use crate::executor::crash_point;
use std::sync::Arc;
use std::time::Duration;
use strat_client::StratCommands as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Symbols in one `STRAT.SLCHECK`.
pub(super) const SYMBOLS_PER_CALL: usize = 200;
/// Prices that the module takes in one call.
const PRICES_PER_CALL_MAX: usize = 10_000;
const _: () = assert!(SYMBOLS_PER_CALL * POINTS_MAX <= PRICES_PER_CALL_MAX);
/// First and longest pause after Redis did not take prices.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));
/// Why prices that Redis takes may meet no level.
const UNSYNCED: &str = "it may have lost writes and is not reconciled yet";

impl Market {
    /// Sends what arrives until the feed has `ended` and everything is sent.
    pub(super) async fn send(&self, ended: &CancellationToken) {
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
                    () = sleep(PROBE_EVERY) => self.probe().await,
                }
                continue;
            }
            self.taken.notify_one();
            match self.send_batch(batch).await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    let unsent = lock(&self.waiting).len();
                    tracing::warn!(%error, symbols = unsent, "Redis does not take prices; keeping the turning points of each symbol and trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Sends a batch; what was not taken goes back, before what came meanwhile.
    pub(super) async fn send_batch(&self, mut batch: Batch) -> strat_client::Result<()> {
        while !batch.is_empty() {
            let rest = batch.keys().nth(SYMBOLS_PER_CALL).cloned().map(|key| batch.split_off(&key)).unwrap_or_default();
            crash_point("tick_taken");
            match self.slcheck(&batch, &rest).await {
                Ok((fired, epoch)) => {
                    if fired > 0 {
                        crash_point("fired");
                    }
                    self.sent(fired);
                    if self.guard.taken(&epoch) {
                        self.guard.see(batch.iter().map(|(symbol, range)| (&**symbol, range.prices())));
                    } else {
                        self.lost(UNSYNCED, &[&batch, &rest], true);
                    }
                }
                Err(error) => {
                    lock(&self.stats).watching = false;
                    self.lost(&error.to_string(), &[&batch, &rest], false);
                    self.put_back(batch.into_iter().chain(rest));
                    return Err(error);
                }
            }
            batch = rest;
        }
        Ok(())
    }

    /// Sends prices; while there is no answer, the guard watches these and those that come after them.
    async fn slcheck(&self, batch: &Batch, rest: &Batch) -> strat_client::Result<(u64, String)> {
        let ts_ms = batch.values().map(|range| range.ts_ms).max();
        let name = |symbol: &str| format!("{}{symbol}", self.prefix);
        let ticks: Vec<(String, &str)> = batch
            .iter()
            .flat_map(|(symbol, range)| range.prices().map(move |(_, price)| (name(symbol), price)))
            .collect();
        let mut redis = self.redis.clone();
        let answer = redis.strat_slcheck_in_epoch(&ticks, ts_ms);
        tokio::pin!(answer);
        match timeout(self.guard.settings().notice, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.lost("it does not answer", &[batch, rest], false);
                answer.await
            }
        }
    }

    /// Where the answer was lost, Redis may have taken them and sees them twice: then their last price is followed by their
    /// first once more, and a stop that follows the price takes that for a move. One too early, never one too few.
    fn put_back(&self, batch: impl Iterator<Item = (Arc<str>, Range)>) {
        let mut waiting = lock(&self.waiting);
        for (symbol, older) in batch {
            match waiting.get_mut(&symbol) {
                Some(newer) => newer.prepend(older),
                None => drop(waiting.insert(symbol, older)),
            }
        }
    }

    /// Redis does not watch: the guard checks what is on its way to it, what waits, and from now on every tick.
    fn lost(&self, why: &str, on_the_way: &[&Batch], taking: bool) {
        let unseen = {
            let waiting = lock(&self.waiting);
            if !self.guard.lost(why, taking) {
                // Every tick has been checked as it came.
                return;
            }
            waiting.clone()
        };
        for (symbol, range) in on_the_way.iter().copied().chain([&unseen]).flatten() {
            self.guard.check(symbol, range.prices(), range.ts_ms);
        }
    }

    /// Whether Redis would take a price, where none comes. Nothing is due at 0, but a server that refuses writes says so.
    pub(super) async fn probe(&self) {
        let mut redis = self.redis.clone();
        let ask = async {
            redis.strat_due(0, None, Some(1)).await?;
            redis.strat_epoch().await
        };
        match ask.await {
            Ok(epoch) if self.guard.taken(&epoch) => {}
            Ok(_) => self.lost(UNSYNCED, &[], true),
            Err(error) => {
                lock(&self.stats).watching = false;
                self.lost(&error.to_string(), &[], false);
            }
        }
    }

    pub(super) fn sent(&self, fired: u64) {
        let mut stats = lock(&self.stats);
        stats.fired += fired;
        stats.watching = true;
        stats.last_sent_ms = Some(LiveClock.now_ms());
    }
}
