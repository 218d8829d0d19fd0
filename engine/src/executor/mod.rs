//! Turns queue entries into broker orders, and broker reports into `STRAT.REPORT`.
//!
//! - [`machine`] is one order's life, pure: what happened in, what to do next out.
//! - [`Executor`] is what all orders share; `shell` carries the machine's effects out.
//! - [`live`] and `drain` drive: with tasks and blocking reads, or step by step on a replay clock.
//! - [`alone`] sends exits while Redis is away.
//!
//! A queue entry stays unacknowledged until its order has ended, so whatever dies in between, the entry comes back
//! and the order is looked up at the broker before anything is sent again.

pub mod alone;
mod drain;
mod hands;
pub mod live;
pub mod machine;
pub mod records;
pub mod risk;
mod shell;

pub use alone::Unclaimed;
pub use drain::{DrainError, Drainer};
pub use records::Records;
pub use risk::{Candidate, EntryRisk};
pub(crate) use shell::crash_point;

use crate::broker::{Broker, OrderRequest, OrderState};
use crate::clock::Clock;
use crate::gate::EpochGate;
use crate::lease::Lease;
use crate::schedule::Missed;
use alone::Alone;
use hands::Hands;
use machine::{Input, Now, Rules};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use strat_client::{Connection, QueueEntry};
use strat_core::{Action, Ladder, Leg, Price, Strategy};
use tokio::sync::watch;

/// Part of a lock's life for which it needs no second look: less than what a stopped process may sleep over.
const FRESH_SHARE: u32 = 4;

/// Settings of the executor.
#[derive(Clone)]
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
    /// What must have heard of an entry before it is sent; nothing in a replay.
    pub records: Option<Arc<dyn Records>>,
    /// What entries are held against; nothing in a replay.
    pub risk: Option<Arc<dyn EntryRisk>>,
    /// The right to trade, where not every engine may.
    pub lease: Lease,
    /// How late an entry may still be sent; `None` in a replay, where nothing is late.
    pub missed: Option<Missed>,
    /// How exits are protected.
    pub exits: ExitProtection,
}

/// How exits are protected from prices that an emptied order book offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExitProtection {
    /// How far they may trade from the last price, attempt by attempt.
    pub ladder: Ladder,
    /// An exit of which nothing is filled for so long gives way to the next attempt.
    pub rest: Duration,
}

/// Whoever hears the market.
pub trait LastPrices: Send + Sync {
    /// The last price of a symbol, where it is fresh.
    fn last_price(&self, symbol: &str) -> Option<Price>;
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
    /// Whoever had it before may have sent it a moment ago.
    pub doubtful: bool,
    /// The last moment at which it was sent, or may have been, by the monotonic clock.
    pub sent_ms: Option<i64>,
    /// When the broker was first asked for the entry that an exit must end first, by the monotonic clock.
    pub entry_asked_ms: Option<i64>,
    /// It was sent without the strategy having asked for it: Redis was away.
    pub unasked: bool,
    /// Epoch ms of the tick or of the time that asked for it.
    pub due_ms: Option<i64>,
}

impl Job {
    fn new(key: String, action: Action, cycle: u64) -> Self {
        Self {
            key,
            action,
            cycle,
            ack: None,
            must_query: false,
            doubtful: false,
            sent_ms: None,
            entry_asked_ms: None,
            unasked: false,
            due_ms: None,
        }
    }

    /// The job of an order that the hash says is at the broker, or should be: how a restored strategy is taken up
    /// where no queue entry speaks for it. `None` where nothing is in flight.
    #[must_use]
    pub fn adopt(key: &str, strategy: &Strategy) -> Option<Self> {
        let exit = |action: &Action| action.leg(strategy.side) == Leg::Exit;
        // An exit that works is the order of every other exit too, and only it can be claimed.
        let action = (strategy.working.filter(exit))
            .or(strategy.pending.filter(exit))
            .or(strategy.working)
            .or(strategy.pending)?;
        Some(Self { must_query: true, doubtful: true, ..Self::new(key.to_owned(), action, strategy.cycle) })
    }

    /// The job of an exit that the strategy has not asked for.
    #[must_use]
    pub fn unasked(key: String, action: Action, cycle: u64) -> Self {
        Self { must_query: true, unasked: true, ..Self::new(key, action, cycle) }
    }

    /// The job of a queue entry. `epoch_began_ms`: what was enqueued before may have been handed out and forgotten.
    #[must_use]
    pub fn of_entry(entry: QueueEntry, epoch_began_ms: Option<i64>) -> Self {
        let enqueued_ms: Option<i64> = entry.id.split('-').next().and_then(|ms| ms.parse().ok());
        let before_epoch = epoch_began_ms.is_some_and(|began| enqueued_ms.is_none_or(|at| at <= began));
        let again = entry.deliveries > 1 || before_epoch;
        Self {
            must_query: again,
            doubtful: again,
            due_ms: entry.ts_ms,
            ack: Some((entry.stream, entry.id)),
            ..Self::new(entry.key, entry.action, entry.cycle)
        }
    }

    /// A request for it may be on its way as of now.
    pub(crate) fn doubt(&mut self, now_ms: i64) {
        self.must_query = true;
        self.sent_ms = Some(self.sent_ms.map_or(now_ms, |sent| sent.max(now_ms)));
    }
}

/// Carries orders out. Shared by all tasks of a driver.
pub struct Executor {
    settings: ExecutorSettings,
    redis: Connection,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    epoch: EpochGate,
    hands: Hands,
    alone: Alone,
    /// Number of the next job.
    next_job: AtomicU64,
    /// Orders whose jobs no queue entry speaks for, while those are at work.
    adopted: Mutex<HashSet<(String, Action)>>,
    /// Where the monotonic clock of the orders begins.
    started: Instant,
    /// Counts orders that have ended: jobs that wait for that look again.
    ended: watch::Sender<u64>,
    /// Whoever hears the market, which hears of this executor too.
    prices: OnceLock<Weak<dyn LastPrices>>,
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
            hands: Hands::default(),
            alone: Alone::default(),
            next_job: AtomicU64::default(),
            adopted: Mutex::default(),
            started: Instant::now(),
            ended: watch::Sender::new(0),
            prices: OnceLock::new(),
        }
    }

    /// Asks `prices` for the last prices that exits are protected from. Once.
    pub fn measure_from(&self, prices: Weak<dyn LastPrices>) {
        if self.prices.set(prices).is_err() {
            tracing::error!("an executor has its prices already");
        }
    }

    /// The order with the price that its protection is measured from.
    fn measured<'a>(&self, order: &'a OrderRequest) -> Cow<'a, OrderRequest> {
        if order.protection.is_none() {
            return Cow::Borrowed(order);
        }
        let prices = self.prices.get().and_then(Weak::upgrade);
        let last_price = prices.and_then(|prices| prices.last_price(&order.symbol));
        Cow::Owned(OrderRequest { last_price, ..order.clone() })
    }

    /// Whether an order of this strategy is in hand here.
    #[must_use]
    pub fn tracks(&self, key: &str) -> bool {
        self.hands.has_key(key) || self.adopted().iter().any(|(adopted, _)| adopted == key)
    }

    /// Whether a job for this action of a strategy is at work here. One for another action does not stand in its way: an
    /// exit without Redis may wait for the very order that Redis asks for.
    #[must_use]
    pub fn tracks_order(&self, key: &str, action: Action) -> bool {
        self.hands.has_order(key, action) || self.adopted().contains(&(key.to_owned(), action))
    }

    fn adopted(&self) -> MutexGuard<'_, HashSet<(String, Action)>> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders in hand that may be at the broker.
    #[must_use]
    pub fn working(&self) -> usize {
        self.hands.orders()
    }

    /// Orders of which nobody knows whether the broker has them: how many, and the longest time of one.
    #[must_use]
    pub fn unknown(&self) -> (usize, Duration) {
        let unknown = self.hands.unknown();
        (unknown.len(), unknown.into_iter().max().unwrap_or_default())
    }

    /// Settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ExecutorSettings {
        &self.settings
    }

    /// The broker that it trades with.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// What every order's machine goes by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Rules {
            idempotency: self.broker.idempotency(),
            skew_ms: ms(self.broker.clock_skew()),
            settle_ms: ms(self.broker.settles_within()),
            fresh_ms: ms(self.settings.lock_ttl / FRESH_SHARE),
            ladder: self.settings.exits.ladder,
        }
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.clock.now_ms(), mono_ms: self.mono_ms(Instant::now()) }
    }

    fn mono_ms(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(i64::MAX)
    }

    /// What every machine begins with, or goes on with after a wait.
    fn go(&self) -> Input {
        // What others sent before, under another epoch or by their right to trade, may not show at the broker yet.
        let opened = self.epoch.opened().max(self.settings.lease.since().map(tokio::time::Instant::into_std));
        let opened_ms = opened.map(|at| self.mono_ms(at));
        Input::Go { epoch: self.epoch.peek(), opened_ms, redis_away: self.epoch.redis_away() }
    }

    /// Passes on what the broker reported. Reports on orders that are not in hand come back by a look-up, when their
    /// queue entry is handed out again, or by the reconciliation with the broker.
    fn on_report(&self, state: &OrderState) {
        if !self.hands.tell(state) {
            tracing::debug!(order = state.client_order_id, status = %state.status, "report on an order that is not in hand here");
        }
    }
}
