//! The scheduler: gives strategies their times, and calls `STRAT.DUE` when one has come.

use super::decide::{Wish, wish};
use super::{Missed, Plan, ScheduleError};
use crate::calendar::Calendars;
use crate::clock::Clock;
use crate::gate::EpochGate;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{
    Connection, JournalDelivery, JournalEntry, JournalFollower, ListQuery, StratCommands as _, StrategyUpdate,
};
use strat_core::{Code, Status, key};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longest sleep between two looks at the clock: a clock that is set, or a machine that slept, is noticed soon.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Strategies enqueued by one `STRAT.DUE`.
const DUE_LIMIT: u32 = 1_000;
/// Strategies in one page.
const PAGE: u32 = 500;
/// Time between two reads of the journal that find nothing. Nobody is woken by every entry: in the moment in which a stop
/// fires its order goes first, and times are good for minutes.
const READ_EVERY: Duration = Duration::from_millis(25);
/// Journal entries read at once.
const READ_COUNT: usize = 500;
/// Tries to change a strategy that others change at the same time.
const TRIES: usize = 5;
/// Pause after Redis failed.
const TROUBLE_WAIT: Duration = Duration::from_millis(500);
/// Fields of which the times are made.
const TIME_FIELDS: [&str; 6] = ["buy_time", "sell_time", "timezone", "calendar", "side", "repeat"];

/// Settings of the scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// Tag of the partition, without braces.
    pub tag: Option<String>,
    /// What becomes of missed entries; a strategy's field `grace_seconds` overrules the window.
    pub missed: Missed,
}

/// Why a strategy could not be scheduled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// Redis gave no usable answer.
    #[error(transparent)]
    Redis(#[from] strat_client::Error),
}

/// Gives strategies their times and enqueues what has become due.
pub struct Scheduler {
    settings: SchedulerSettings,
    calendars: Calendars,
    redis: Connection,
    clock: Arc<dyn Clock>,
    gate: EpochGate,
    /// Rings when times have changed.
    changed: Notify,
}

impl Scheduler {
    /// A scheduler that has not begun.
    #[must_use]
    pub fn new(
        settings: SchedulerSettings,
        calendars: Calendars,
        redis: Connection,
        clock: Arc<dyn Clock>,
        gate: EpochGate,
    ) -> Self {
        Self { settings, calendars, redis, clock, gate, changed: Notify::new() }
    }

    /// Works until `cancel`.
    ///
    /// # Errors
    /// Where the address of Redis cannot be used.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) -> Result<(), SchedulerError> {
        let prefix = key::prefix_of_tag(self.settings.tag.as_deref());
        let journal = JournalFollower::new(&self.redis, &prefix, Duration::ZERO)?;
        tokio::select! {
            () = cancel.cancelled() => {}
            ((), ()) = async { tokio::join!(self.follow(journal), self.tick()) } => {}
        }
        Ok(())
    }

    /// Enqueues what is due, again and again.
    async fn tick(&self) {
        // Missed times are judged before the first call would enqueue them.
        let mut epoch = String::new();
        let mut looked_ms = i64::MIN;
        loop {
            let current = self.gate.current().await;
            let now = self.clock.now_ms();
            let grace = self.settings.missed.grace_ms().max(LOOK_EVERY.as_millis() as i64 * 5);
            let stalled = looked_ms != i64::MIN && now.saturating_sub(looked_ms) > grace;
            if *current != *epoch || stalled {
                if stalled {
                    tracing::warn!(
                        ms = now - looked_ms,
                        "time has passed unnoticed (a stopped process, a clock that was set); judging missed times"
                    );
                }
                if let Err(error) = self.review().await {
                    tracing::error!(%error, "cannot look through the strategies, trying again");
                    sleep(TROUBLE_WAIT).await;
                    continue;
                }
                epoch = current.to_string();
            }
            let next = match self.due(now).await {
                Ok(next) => {
                    looked_ms = now;
                    next
                }
                Err(error) => {
                    tracing::error!(%error, "cannot enqueue due orders, trying again");
                    sleep(TROUBLE_WAIT).await;
                    continue;
                }
            };
            let until = next.map_or(LOOK_EVERY, |at| {
                Duration::from_millis(at.saturating_sub(self.clock.now_ms()).max(1).unsigned_abs())
            });
            tokio::select! {
                () = sleep(until.min(LOOK_EVERY)) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Enqueues everything that is due at `now_ms`; answers with the next time.
    async fn due(&self, now_ms: i64) -> Result<Option<i64>, SchedulerError> {
        loop {
            let due = self.redis.clone().strat_due(now_ms, self.settings.tag.as_deref(), Some(DUE_LIMIT)).await?;
            if due.enqueued > 0 {
                tracing::info!(count = due.enqueued, "times have come");
            }
            // Not by the count: what completes without an order takes a place in the limit and is not counted.
            if due.next_due_ms.is_none_or(|next| next > now_ms) {
                return Ok(due.next_due_ms);
            }
        }
    }

    /// Looks at every RUNNING strategy: gives times to those without, and judges those that were missed. And at those that have
    /// completed: some begin again.
    ///
    /// # Errors
    /// Where Redis fails.
    pub async fn review(&self) -> Result<(), SchedulerError> {
        self.review_those(Status::Running).await?;
        self.review_those(Status::Completed).await
    }

    async fn review_those(&self, status: Status) -> Result<(), SchedulerError> {
        let mut query = ListQuery::new().status(status).count(PAGE);
        if let Some(tag) = &self.settings.tag {
            query = query.tag(tag);
        }
        let mut cursor: Option<String> = None;
        loop {
            let page = match &cursor {
                None => query.clone(),
                Some(cursor) => query.clone().cursor(cursor),
            };
            let page = self.redis.clone().strat_list_values(&page).await?;
            for strategy in &page.items {
                if !matches!(self.wish_of(strategy, false), Wish::Nothing) {
                    self.schedule(strategy.key(), false).await?;
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn wish_of(&self, strategy: &strat_client::Strategy, anew: bool) -> Wish {
        wish(strategy, &self.calendars, self.clock.now_ms(), self.settings.missed, anew)
    }

    /// `anew`: the times that it has are of wishes that have changed since.
    async fn schedule(&self, key: &str, anew: bool) -> Result<(), SchedulerError> {
        for _ in 0..TRIES {
            let mut redis = self.redis.clone();
            let Some(strategy) = redis.strat_get(key).await? else { return Ok(()) };
            let update = match self.wish_of(&strategy, anew) {
                Wish::Nothing => return Ok(()),
                Wish::Times(plan, skipped) => {
                    let note = skipped.map(|at| {
                        let missed = strat_core::time::rfc3339(at);
                        format!("the entry time {missed} was missed; waiting for the next session")
                    });
                    if let Some(note) = &note {
                        tracing::warn!(key, note, "entry skipped");
                    }
                    let update = times_of(plan);
                    note.map_or(update.clone(), |note| update.error(note))
                }
                Wish::Again(plan) => {
                    tracing::info!(key, buy_at = ?plan.buy_at, sell_at = ?plan.sell_at, "begins again");
                    times_of(plan).status("RUNNING").field("position", "NONE")
                }
                Wish::Trouble(error) => {
                    let text = format!("cannot be scheduled: {error}");
                    tracing::error!(key, %error, "a strategy cannot be scheduled");
                    if strategy.text("error") == text {
                        return Ok(());
                    }
                    StrategyUpdate::new().error(text)
                }
            };
            match redis.strat_update(key, &update.if_version(strategy.version())).await {
                Ok(_) => {
                    self.changed.notify_one();
                    return Ok(());
                }
                // Somebody changed it meanwhile: look again.
                Err(error) if error.code() == Some(Code::BadVersion) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tracing::warn!(key, "the strategy changes all the time; it is scheduled when its journal entries are read");
        Ok(())
    }

    /// Follows the journal: strategies that came or changed get their times. The journal is read without a group:
    /// what is missed while away is seen by the review when the gate opens again.
    async fn follow(&self, mut journal: JournalFollower) {
        let (mut standing, mut unread) = (false, VecDeque::new());
        loop {
            if let Err(error) = self.read_journal(&mut journal, &mut standing, &mut unread).await {
                tracing::warn!(%error, "cannot follow the journal, trying again");
                sleep(TROUBLE_WAIT).await;
                // Whatever was trimmed in between is found by looking at everything.
                if let Err(error) = self.review().await {
                    tracing::warn!(%error, "cannot look through the strategies");
                }
            }
        }
    }

    /// One read. What could not be worked off stays in `unread`.
    async fn read_journal(
        &self,
        journal: &mut JournalFollower,
        standing: &mut bool,
        unread: &mut VecDeque<JournalDelivery>,
    ) -> Result<(), SchedulerError> {
        if !*standing {
            journal.stand_at_end().await?;
            self.review().await?;
            *standing = true;
        }
        if unread.is_empty() {
            unread.extend(journal.read(READ_COUNT, Duration::ZERO).await?);
        }
        if unread.is_empty() {
            sleep(READ_EVERY).await;
        }
        while let Some(entry) = unread.front() {
            match entry {
                Ok(entry) => match self.heed(entry).await {
                    // One strategy that Redis will not have changed must not stop everybody else's.
                    Err(SchedulerError::Redis(error)) if error.code().is_some_and(|code| code != Code::Loading) => {
                        tracing::error!(key = entry.key, %error, "this strategy cannot be scheduled; correct the field");
                    }
                    heeded => heeded?,
                },
                Err(bad) => {
                    tracing::warn!(%bad, "an entry of the journal does not read; looking at every strategy");
                    self.review().await?;
                }
            }
            unread.pop_front();
        }
        Ok(())
    }

    async fn heed(&self, entry: &JournalEntry) -> Result<(), SchedulerError> {
        let wishes = TIME_FIELDS.iter().any(|field| entry.data.contains_key(*field));
        let times = ["buy_at", "sell_at"].iter().any(|field| entry.data.contains_key(*field));
        let whole = entry.replace;
        // What is held from now on may have to be squared off.
        let held = self.calendars.square_off() && entry.data.contains_key("position");
        if whole || wishes || held || entry.data.contains_key("status") {
            self.schedule(&entry.key, wishes && !times && !whole).await?;
        }
        if whole || times || entry.data.contains_key("retry_at") {
            self.changed.notify_one();
        }
        Ok(())
    }
}

fn times_of(plan: Plan) -> StrategyUpdate {
    let text = |at: Option<i64>| at.map_or_else(String::new, |at| at.to_string());
    StrategyUpdate::new().buy_at(text(plan.buy_at)).sell_at(text(plan.sell_at))
}

impl From<ScheduleError> for Wish {
    fn from(error: ScheduleError) -> Self {
        Self::Trouble(error)
    }
}
