//! The replay itself, tick by tick.
//!
//! Most ticks do nothing but find nothing to fire. Those are sent in windows, one round trip for many: a window
//! holds only ticks before the next due time and of symbols without open orders, so no tick of it can change what
//! another one finds, except by firing, and what it fires is carried out tick by tick, in order, afterwards. What fires
//! more than one call may ends the round trip: the rest of it belongs to that tick, and would be fired by the next one.
//! The result is the same as with one round trip per tick.

use super::ReplaySummary;
use super::pace::{Pace, Speed};
use crate::broker::{Broker, Ledger, PaperBroker, PaperSettings};
use crate::clock::{Clock as _, ReplayClock};
use crate::executor::{Drainer, Executor, ExecutorSettings, ExitProtection};
use crate::failure::failure;
use crate::feed::{CsvFeed, Tick};
use crate::gate::EpochGate;
use crate::link::Link;
use color_eyre::Result;
use indicatif::{ProgressBar, ProgressStyle};
use redis::Script;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Connection, QueueEntry, StratCommands as _};
use strat_core::key;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// Life of the order locks, the longest that the module allows: a replay holds its orders alone.
const LOCK_TTL: Duration = Duration::from_secs(3_600);
/// Time between two extensions of them.
const EXTEND_EVERY: Duration = Duration::from_secs(600);
/// Strategies enqueued by one `STRAT.DUE`.
const DUE_LIMIT: u32 = 1_000;
/// Ticks between two updates of the progress bar.
const PROGRESS_EVERY: u64 = 5_000;
/// Most ticks in one round trip.
const WINDOW: usize = 128;
/// Sends ticks, three arguments each, until one leaves a storm. Answers how many triggers each of those fired.
const SEND: &str = r"
    local fired = {}
    for i = 1, #ARGV, 3 do
        local count = redis.call('STRAT.SLCHECK', ARGV[i], ARGV[i + 1], 'TS', ARGV[i + 2])
        table.insert(fired, count)
        if count > 0 and redis.call('EXISTS', KEYS[(i + 2) / 3]) == 1 then break end
    end
    return fired";
/// Rounds of a storm's slices at one tick; each takes about a millisecond.
const STORM_ROUNDS_MAX: u32 = 60_000;

pub(super) struct Session {
    redis: Connection,
    clock: Arc<ReplayClock>,
    broker: Arc<PaperBroker>,
    drainer: Drainer,
    /// When `STRAT.DUE` has to be asked next; `None` asks at once.
    next_due_ms: Option<i64>,
    /// Ticks not sent yet.
    window: Vec<Tick>,
    send: Script,
    summary: ReplaySummary,
}

impl Session {
    pub(super) async fn open(link: &Link, first_ms: i64) -> Result<Self> {
        let mut redis = link.connection();
        let clock = Arc::new(ReplayClock::at(first_ms));
        // No latency, no partial fills, no trouble, no file: the same input gives the same result.
        let broker =
            Arc::new(PaperBroker::new(PaperSettings::default(), Arc::clone(&clock) as _, Ledger::in_memory(), &[]));
        let gate = EpochGate::new();
        gate.open(&redis.strat_epoch().await?);
        let settings = ExecutorSettings {
            owner: "replay".to_owned(),
            prefix: String::new(),
            lock_ttl: LOCK_TTL,
            broker_timeout: Duration::from_secs(10),
            concurrency: 1,
            records: None,
            risk: None,
            lease: crate::lease::Lease::not_needed(),
            missed: None,
            exits: ExitProtection::default(),
        };
        let executor = Executor::new(
            settings,
            redis.clone(),
            Arc::clone(&broker) as Arc<dyn Broker>,
            Arc::clone(&clock) as _,
            gate,
        );
        let drainer = Drainer::open(Arc::new(executor), &redis).await?;
        Ok(Self {
            redis,
            clock,
            broker,
            drainer,
            next_due_ms: None,
            window: Vec::new(),
            send: Script::new(SEND),
            summary: ReplaySummary::default(),
        })
    }

    /// Plays `first` and the rest of the feed.
    pub(super) async fn play(
        &mut self,
        first: Tick,
        feed: &mut CsvFeed,
        speed: Speed,
        cancel: &CancellationToken,
    ) -> Result<ReplaySummary> {
        let progress = progress_bar();
        let pace = Pace::new(speed, first.ts_ms);
        let mut next = Some(first);
        let mut extension = interval(EXTEND_EVERY);
        extension.tick().await;
        while let Some(tick) = next {
            loop {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(failure("the replay was interrupted", "no report was written; run it again")),
                    _ = extension.tick() => self.drainer.extend().await,
                    () = pace.wait_for(tick.ts_ms) => break,
                }
            }
            self.step(tick, if speed == Speed::Max { WINDOW } else { 1 }).await?;
            if self.summary.ticks.is_multiple_of(PROGRESS_EVERY) {
                progress.set_position(self.summary.ticks);
                progress.set_message(strat_core::time::rfc3339(self.clock.now_ms()));
            }
            next = feed.read().transpose()?;
        }
        self.flush().await?;
        progress.finish_and_clear();
        Ok(self.summary.clone())
    }

    async fn step(&mut self, tick: Tick, window: usize) -> Result<()> {
        self.summary.ticks += 1;
        let due = self.next_due_ms.is_none_or(|at| at <= tick.ts_ms);
        let alone = due || self.broker.has_open(&tick.symbol);
        if alone {
            self.flush().await?;
        }
        // Sending the window may have changed what is known of due times.
        if due || self.next_due_ms.is_none_or(|at| at <= tick.ts_ms) {
            self.clock.set(tick.ts_ms);
            self.due(tick.ts_ms).await?;
        }
        self.window.push(tick);
        if alone || self.window.len() >= window { self.flush().await } else { Ok(()) }
    }

    /// Sends the window, and carries out what its ticks fire, tick by tick.
    async fn flush(&mut self) -> Result<()> {
        let mut window = std::mem::take(&mut self.window);
        while !window.is_empty() {
            let mut send = self.send.prepare_invoke();
            for tick in &window {
                send.key(key::drain("", &tick.symbol)).arg(&*tick.symbol).arg(&tick.price_text).arg(tick.ts_ms);
            }
            let fired: Vec<u64> = send.invoke_async(&mut self.redis).await?;
            let rest = window.split_off(fired.len().clamp(1, window.len()));
            self.carry_out(&window, &fired).await?;
            window = rest;
        }
        Ok(())
    }

    /// Carries out what these ticks fired, and fills what is open at each.
    async fn carry_out(&mut self, ticks: &[Tick], fired: &[u64]) -> Result<()> {
        let last = fired.iter().rposition(|count| *count > 0);
        let mut entries = VecDeque::new();
        if last.is_some() {
            self.read_into(&mut entries).await?;
        }
        for (index, (tick, fired)) in ticks.iter().zip(fired).enumerate() {
            self.clock.set(tick.ts_ms);
            if *fired > 0 {
                self.summary.fired += fired;
                // They stand in the queue in the order of the ticks.
                let count = entries.len().min(usize::try_from(*fired).unwrap_or(usize::MAX));
                let mine = entries.drain(..count).collect();
                self.drainer.carry_out(mine).await?;
            }
            if Some(index) == last {
                self.carry_out_storm(tick, &mut entries).await?;
            }
            let fills = self.broker.on_tick(&tick.symbol, tick.price, tick.ts_ms)?;
            if fills > 0 {
                self.summary.fills += fills as u64;
                self.drainer.reports().await?;
                // A report may have set a time.
                self.next_due_ms = None;
            }
        }
        Ok(())
    }

    /// A storm of more triggers than one call fires goes on in the module by itself: all of it belongs to its tick, which
    /// is the last one that was sent.
    async fn carry_out_storm(&mut self, tick: &Tick, entries: &mut VecDeque<QueueEntry>) -> Result<()> {
        let drain = key::drain("", &tick.symbol);
        for _ in 0..STORM_ROUNDS_MAX {
            // First, so that what the last slice enqueued is seen.
            let storm: bool = redis::cmd("EXISTS").arg(&drain).query_async(&mut self.redis).await?;
            self.read_into(entries).await?;
            self.drainer.carry_out(entries.drain(..).collect()).await?;
            if !storm {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(failure(format!("the storm of {} does not end", tick.symbol), "see INFO strat and the server's log"))
    }

    /// Everything that is enqueued.
    async fn read_into(&mut self, entries: &mut VecDeque<QueueEntry>) -> Result<()> {
        loop {
            let fresh = self.drainer.read().await?;
            if fresh.is_empty() {
                return Ok(());
            }
            entries.extend(fresh);
        }
    }

    /// Submits what is due at or before `now_ms`.
    async fn due(&mut self, now_ms: i64) -> Result<()> {
        loop {
            let due = self.redis.strat_due(now_ms, None, Some(DUE_LIMIT)).await?;
            if due.enqueued > 0 {
                self.drainer.drain().await?;
            }
            let next = due.next_due_ms.unwrap_or(i64::MAX);
            self.next_due_ms = Some(next);
            // Not by the count: what completes without an order takes a place in the limit and is not counted.
            if next > now_ms {
                return Ok(());
            }
        }
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // Shown on a terminal only; elsewhere indicatif draws nothing.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} ticks, {per_sec}, {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar
}
