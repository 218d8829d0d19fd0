//! Turns queue entries into broker orders, and broker reports into `STRAT.REPORT`.
//!
//! - [`decide`] is the pure part: what to do next, given what is known.
//! - [`Executor`] is the shell: it finds out, does it, and asks again.
//! - [`live`] and [`drain`] drive the shell: with tasks and blocking reads, or step by step on a replay clock.
//!
//! A queue entry stays unacknowledged until its order has ended, so whatever dies in between, the entry comes back
//! and the order is looked up at the broker before anything is sent again.

pub mod decide;
mod drain;
pub mod live;
mod place;
mod tracked;
mod work;

pub use drain::{DrainError, Drainer};
pub use tracked::{Tracked, TrackedOrders};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::gate::EpochGate;
use crate::schedule::Missed;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strat_client::{Connection, QueueEntry};
use strat_core::{Action, Leg, Strategy};
use tokio::sync::Notify;

/// Settings of the executor.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    /// Owner in the order locks; different for each engine that runs.
    pub owner: String,
    /// `{tag}` of the partition with its braces, or empty.
    pub prefix: String,
    /// Life of an order lock unless extended.
    pub lock_ttl: Duration,
    /// Longest wait for one answer of the broker.
    pub broker_timeout: Duration,
    /// Requests to the broker at the same time, exits and entries counted apart.
    pub concurrency: usize,
    /// How late an entry may still be sent; `None` in a replay, where nothing is late.
    pub missed: Option<Missed>,
}

/// One order to be carried out.
#[derive(Debug, Clone)]
pub struct Job {
    /// Key of the strategy's hash.
    pub key: String,
    /// What to do.
    pub action: Action,
    /// Cycle that the order belongs to.
    pub cycle: u64,
    /// Queue entry to acknowledge when the order has ended.
    pub ack: Option<(String, String)>,
    /// The order may exist already: ask the broker before sending it.
    pub must_query: bool,
    /// A request for it may be on its way, by this engine or by the one before.
    pub sent: bool,
    /// Epoch ms when its queue entry was written; `None` without one, and in a replay.
    pub enqueued_ms: Option<i64>,
    /// Epoch ms of the tick or of the time that asked for it.
    pub due_ms: Option<i64>,
    /// Client order id under which this job's order is tracked, once it is.
    order_id: Option<String>,
}

impl Job {
    /// The job of an order that the hash says is at the broker, or should be: how a restored strategy is taken up
    /// where no queue entry speaks for it. `None` where nothing is in flight.
    #[must_use]
    pub fn adopt(key: &str, strategy: &Strategy) -> Option<Self> {
        let action = strategy
            .pending
            .filter(|action| action.leg(strategy.side) == Leg::Exit)
            .or(strategy.working)
            .or(strategy.pending)?;
        Some(Self {
            key: key.to_owned(),
            action,
            cycle: strategy.cycle,
            ack: None,
            must_query: true,
            sent: true,
            enqueued_ms: None,
            due_ms: None,
            order_id: None,
        })
    }

    /// The job of a queue entry on a clock of its own, which ids of entries know nothing of.
    fn replayed(entry: QueueEntry) -> Self {
        Self { enqueued_ms: None, ..Self::from(entry) }
    }
}

impl From<QueueEntry> for Job {
    fn from(entry: QueueEntry) -> Self {
        Self {
            must_query: entry.deliveries > 1,
            sent: entry.deliveries > 1,
            enqueued_ms: entry.id.split('-').next().and_then(|ms| ms.parse().ok()),
            due_ms: entry.ts_ms,
            key: entry.key,
            action: entry.action,
            cycle: entry.cycle,
            ack: Some((entry.stream, entry.id)),
            order_id: None,
        }
    }
}

/// How far a job got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do for it.
    Done,
    /// Its order works at the broker; reports will end it.
    Working,
    /// It has to wait this long, or until another order ends.
    Later {
        /// The wait.
        after: Duration,
        /// Why, for the log.
        why: String,
        /// It waits for another order of its strategy: the end of one is worth a look.
        for_another: bool,
    },
    /// Redis may have lost writes: wait until everything is reconciled.
    Unsynced,
}

impl Outcome {
    fn later(after_ms: u64, why: impl Into<String>) -> Self {
        Self::Later { after: Duration::from_millis(after_ms), why: why.into(), for_another: false }
    }

    fn held(after_ms: u64, why: impl Into<String>) -> Self {
        Self::Later { after: Duration::from_millis(after_ms), why: why.into(), for_another: true }
    }
}

/// Carries orders out. Shared by all tasks of a driver.
pub struct Executor {
    settings: ExecutorSettings,
    redis: Connection,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    epoch: EpochGate,
    orders: TrackedOrders,
    /// Keys whose jobs no queue entry speaks for, while those are at work.
    adopted: Mutex<HashSet<String>>,
    /// Rings whenever an order has ended: jobs that wait for that look again.
    ended: Notify,
}

impl Executor {
    /// An executor; it does nothing until a driver hands it jobs.
    #[must_use]
    pub fn new(
        settings: ExecutorSettings,
        redis: Connection,
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        epoch: EpochGate,
    ) -> Self {
        Self {
            settings,
            redis,
            broker,
            clock,
            epoch,
            orders: TrackedOrders::default(),
            adopted: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Whether an order of this strategy works here, or a job that no queue entry speaks for is at work on it.
    #[must_use]
    pub fn tracks(&self, key: &str) -> bool {
        self.orders.has_key(key) || self.adopted.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Orders that work at the broker and are held by this engine.
    #[must_use]
    pub fn working(&self) -> usize {
        self.orders.len()
    }

    /// Settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ExecutorSettings {
        &self.settings
    }
}
