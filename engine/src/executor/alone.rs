//! Exits that are sent while Redis is away.
//!
//! They carry the client order id that they would have had anyway, so whoever sends the same exit later, from the
//! queue, finds it at the broker. Once Redis is back the strategy is claimed and told what became of it.

use super::machine::{OrderMachine, ReportFailure, SentAlone, Submissions};
use super::{Executor, Job};
use crate::broker::{BrokerError, OrderState};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use strat_client::ReportRequest;
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Strategy, StrategyKey};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// Exits that may wait for the driver to take them up.
const WAITING_MAX: usize = 10_000;
/// Exits remembered that Redis had lost.
const FOUND_MAX: usize = 100_000;
/// Ended orders remembered.
const ENDED_MAX: usize = 100_000;

/// An exit that no lock can be taken for.
#[derive(Debug, Clone)]
pub struct Unclaimed {
    /// Key of the strategy's hash.
    pub key: String,
    /// Which exit.
    pub action: Action,
    /// The strategy as it was last known: cycle, attempt and quantities count.
    pub strategy: Strategy,
    /// Epoch ms of the tick or of the time that asks for it.
    pub ts_ms: i64,
    /// How long ago the strategy was known to be as Redis has it, ms.
    pub age_ms: i64,
}

/// Exits that were handed over and have not been reported to Redis yet.
#[derive(Debug)]
pub(super) struct Alone {
    known: Mutex<HashSet<String>>,
    /// Exits that the broker has, of later attempts than Redis knew of when it was asked; and since when, by the
    /// monotonic clock.
    found: Mutex<HashMap<String, i64>>,
    /// Exits whose end this engine has reported: what it knows of the strategy by the journal may be a moment older.
    ended: Mutex<Ended>,
    sent: Mutex<Submissions>,
    sender: mpsc::Sender<Unclaimed>,
    pub(super) receiver: AsyncMutex<mpsc::Receiver<Unclaimed>>,
}

impl Default for Alone {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            known: Mutex::default(),
            found: Mutex::default(),
            ended: Mutex::default(),
            sent: Mutex::default(),
            sender,
            receiver: AsyncMutex::new(receiver),
        }
    }
}

/// The newest of them, and in which order they came.
#[derive(Debug, Default)]
struct Ended {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

/// The order id of an exit.
fn exit_id(key: &str, cycle: u64, attempt: u64) -> Option<String> {
    let key = StrategyKey::parse(key)?;
    Some(OrderIdentity { key, cycle, leg: Leg::Exit, attempt }.client_order_id())
}

impl Executor {
    /// Takes an exit over for good: it is looked up and sent without a lock, and reported when Redis is back.
    /// One that is in hand already is left alone.
    pub async fn exit_unclaimed(&self, exit: Unclaimed) {
        let Some(id) = exit_id(&exit.key, exit.strategy.cycle, exit.strategy.attempt) else { return };
        if self.has_ended(&id) || !self.known_alone().insert(id.clone()) {
            return;
        }
        let (key, action) = (exit.key.clone(), exit.action);
        tracing::warn!(key, %action, order = id, "Redis is away: the engine sends this exit itself");
        if self.alone.sender.send(exit).await.is_err() {
            tracing::error!(key, %action, "STOP NOT EXECUTED: the executor has ended");
        }
    }

    /// Whether a job of this engine works on an exit without Redis.
    pub(super) fn asks_for(&self, key: &str, cycle: u64, attempt: u64) -> bool {
        let known = self.known_alone();
        !known.is_empty() && exit_id(key, cycle, attempt).is_some_and(|id| known.contains(&id))
    }

    /// Whether this engine sent an exit, or is about to, or saw it at the broker, without Redis having heard of it yet.
    #[must_use]
    pub fn knows_exit(&self, key: &str, cycle: u64, attempt: u64) -> bool {
        // Asked for every order, and nearly always there is none: no id is made for nothing.
        let (known, found) = (self.known_alone(), self.found());
        let none = known.is_empty() && found.is_empty();
        !none && exit_id(key, cycle, attempt).is_some_and(|id| known.contains(&id) || found.contains_key(&id))
    }

    /// Notes an exit that the broker has, of a later attempt than the strategy's: Redis has lost the one before. Answers
    /// whether it has been known for so long that whatever was sent before it must show at the broker.
    pub(crate) fn note_found(&self, id: &str) -> bool {
        let (mut found, now_ms) = (self.found(), self.now().mono_ms);
        if found.len() >= FOUND_MAX {
            found.clear();
        }
        let since = *found.entry(id.to_owned()).or_insert(now_ms);
        now_ms.saturating_sub(since) >= self.rules().settle_ms
    }

    fn found(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.alone.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this engine knows of the strategy's exit that Redis has not heard of.
    pub(super) fn sent_alone(&self, key: &str, strategy: &Strategy) -> SentAlone {
        SentAlone::of(strategy.attempt, |attempt| self.knows_exit(key, strategy.cycle, attempt))
    }

    /// Notes the end of an order that Redis has heard of.
    pub(super) fn note_end(&self, id: &str) {
        self.found().remove(id);
        let mut ended = self.alone.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.ids.insert(id.to_owned()) {
            ended.order.push_back(id.to_owned());
        }
        if ended.order.len() > ENDED_MAX
            && let Some(oldest) = ended.order.pop_front()
        {
            ended.ids.remove(&oldest);
        }
    }

    /// Notes that a job sends an order now; `false` where it must not, see [`Submissions::may_send`].
    pub(super) fn may_send(&self, id: &str, job: u64, asked_ms: i64) -> bool {
        let (rules, now_ms) = (self.rules(), self.now().mono_ms);
        self.sent().may_send(id, job, (asked_ms, now_ms), rules)
    }

    /// Whether a job of this engine sent an order so shortly before the broker was asked that a denial proves nothing.
    pub(super) fn may_hide(&self, id: &str, asker: Option<u64>, asked_ms: i64) -> bool {
        self.sent().may_hide(id, asker, asked_ms, self.rules())
    }

    /// As [`Executor::may_hide`] of an exit, whichever job sent it.
    pub(super) fn exit_may_hide(&self, key: &str, cycle: u64, attempt: u64, asked_ms: i64) -> bool {
        exit_id(key, cycle, attempt).is_some_and(|id| self.may_hide(&id, None, asked_ms))
    }

    /// Tells Redis by `tell` how an order goes on. While that is a rejection no other job sends the order, and it is not told
    /// where one has just done so.
    pub(super) async fn telling(
        &self,
        report: &ReportRequest,
        (job, asked_ms): (u64, i64),
        tell: impl Future<Output = Result<(), ReportFailure>>,
    ) -> Result<(), ReportFailure> {
        let rejected = report.order().filter(|_| report.exec_type() == ExecType::Rejected);
        if let Some(id) = rejected {
            let (rules, now_ms) = (self.rules(), self.now().mono_ms);
            if !self.sent().telling(id, job, (asked_ms, now_ms), rules) {
                return Err(ReportFailure::Trouble("another job of this engine has just sent the order".to_owned()));
            }
        }
        let answer = tell.await;
        if let Some(id) = rejected {
            self.sent().told(id, job);
        }
        answer
    }

    /// Takes the broker's word on a submission.
    pub(super) fn answered(&self, id: &str, job: u64, answer: &Result<OrderState, BrokerError>) {
        self.sent().answered(id, job, answer);
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Submissions> {
        self.alone.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.alone.ended.lock().unwrap_or_else(PoisonError::into_inner).ids.contains(id)
    }

    pub(super) fn forget_exit(&self, id: &str) {
        self.known_alone().remove(id);
    }

    fn known_alone(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.alone.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine of an exit, and the order id under which it is known.
    pub(super) fn machine_alone(&self, exit: Unclaimed) -> (OrderMachine, String) {
        let Unclaimed { key, action, strategy, ts_ms, age_ms } = exit;
        let id = exit_id(&key, strategy.cycle, strategy.attempt).unwrap_or_default();
        // Another job of this engine may have sent it a moment ago, or whoever the strategy says is at it.
        let works = strategy.working.is_some_and(|working| working.leg(strategy.side) == Leg::Exit);
        let doubtful = works || self.hands.has_key(&key);
        let job = Job { due_ms: Some(ts_ms), doubtful, ..Job::unasked(key, action, strategy.cycle) };
        let copied_ms = self.now().mono_ms.saturating_sub(age_ms);
        (OrderMachine::unclaimed(job, strategy, copied_ms, self.rules()), id)
    }
}
