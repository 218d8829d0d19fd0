//! Carries the effects of an order's machine out, against Redis and the broker.

use super::hands::{Hand, SILENCE};
use super::machine::{
    Claim, Effect, Found, Holder, Input, OrderMachine, OrderName, ReportFailure, Seen, Verdict, is_restored,
};
use super::{Executor, FRESH_SHARE, Job};
use crate::broker::{BrokerError, OrderRef, OrderState};
use crate::metrics;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strat_client::{Claimed, LockToken, ReportRequest, StratCommands as _, StrategyUpdate, discard_own};
use strat_core::lock::Lock;
use strat_core::order::OrderIdentity;
use strat_core::planted::{self, Mistake};
use strat_core::{Code, Leg, Strategy, StrategyKey};
use tokio::time::{Instant, timeout};

/// How old a strategy may be that came with its claim: its user may have changed it since.
const READ_AHEAD_MAX: Duration = Duration::from_millis(50);
/// How long an entry waits before it looks whether Postgres is back, ms.
const POSTGRES_AWAY_WAIT_MS: i64 = 500;
/// How long it waits for the journal to reach Postgres, ms: that takes a few.
const POSTGRES_BEHIND_WAIT_MS: i64 = 20;

/// A claim that came with the queue entry.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The epoch that it was asked for with.
    pub(super) epoch: Arc<str>,
    pub(super) claim: Claimed,
}

/// A machine in the hands of this engine. Whatever ends it, the order is not in hand any more.
pub(super) struct Run {
    executor: Arc<Executor>,
    hand: Arc<Hand>,
    machine: OrderMachine,
    /// Tells this engine's jobs apart.
    number: u64,
    /// Orders that had ended when the machine last began.
    pub(super) ended_before: u64,
    /// Epoch when the machine last began.
    epoch: Option<Arc<str>>,
    /// When the lock was last seen to be held.
    extended: Option<Instant>,
    /// The claim that came with the entry, until it is asked for.
    ahead: Option<Ahead>,
    /// The strategy as it was right after it was claimed, until it is asked for.
    read_ahead: Option<strat_client::Strategy>,
    /// What was last written to the strategy's field `error`.
    alarm: String,
    /// It was said that the exit is not sent because another engine trades.
    told_not_sent: bool,
    /// It waits for its account.
    put_off: bool,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.executor.hands.drop_hand(&self.hand);
    }
}

impl Run {
    pub(super) fn new(executor: Arc<Executor>, machine: OrderMachine) -> Self {
        let hand = executor.hands.take(&machine.job().key, machine.job().action);
        let number = executor.next_job.fetch_add(1, Ordering::Relaxed);
        Self {
            executor,
            hand,
            machine,
            number,
            ended_before: 0,
            epoch: None,
            extended: None,
            ahead: None,
            read_ahead: None,
            alarm: String::new(),
            told_not_sent: false,
            put_off: false,
        }
    }

    /// The machine's strategy is claimed already.
    pub(super) fn with_claim(mut self, ahead: Option<Ahead>) -> Self {
        self.ahead = ahead;
        self
    }

    pub(super) fn job(&self) -> &Job {
        self.machine.job()
    }

    /// Whose order it is; nobody's where its key is none.
    pub(super) fn user(&self) -> &str {
        StrategyKey::parse(&self.job().key).map_or("", |key| key.user)
    }

    /// Whether it waits for its account: for the limit of calls, or for word of what it has.
    pub(super) const fn is_put_off(&self) -> bool {
        self.put_off
    }

    pub(super) fn machine(&self) -> &OrderMachine {
        &self.machine
    }

    /// Begins, or goes on after a wait.
    pub(super) fn go(&mut self) -> Effect {
        if self.is_overtaken() {
            tracing::info!(key = self.job().key, "a later attempt of this exit is asked for; this one is not sent");
            return Effect::Done;
        }
        self.ended_before = *self.executor.ended.borrow();
        self.put_off = false;
        let go = self.executor.go();
        if let Input::Go { epoch, .. } = &go {
            self.epoch.clone_from(epoch);
        }
        self.step(go)
    }

    /// Whether another job of this engine works on a later attempt of an exit that this one has not sent.
    fn is_overtaken(&self) -> bool {
        let (Job { key, cycle, .. }, executor) = (self.job(), &self.executor);
        self.machine.is_alone() && self.machine.is_superseded(|later| executor.asks_for(key, *cycle, later), |_| false)
    }

    /// Whether this engine knows of a later attempt of the exit that was not looked for.
    fn is_superseded(&self) -> bool {
        let (Job { key, cycle, .. }, executor) = (self.job(), &self.executor);
        let knows = |attempt| executor.knows_exit(key, *cycle, attempt);
        let hides = |attempt| executor.exit_may_hide(key, *cycle, attempt, self.machine.asked_ms());
        self.machine.is_superseded(knows, hides)
    }

    /// Looks an order up. What another job of this engine sent a moment ago may not show yet.
    async fn look_up(&self, name: &OrderName) -> Result<Option<OrderState>, BrokerError> {
        let id = &name.client_order_id;
        let own = self.machine.order().is_some_and(|order| order.client_order_id == *id);
        let asked_ms = self.executor.now().mono_ms;
        let found = self.executor.broker_lookup(name.order_ref()).await?;
        if found.is_none() && self.executor.may_hide(id, own.then_some(self.number), asked_ms) {
            return Err(BrokerError::Unknown("another job of this engine sent it a moment ago".to_owned()));
        }
        Ok(found)
    }

    pub(super) fn step(&mut self, input: Input) -> Effect {
        let effect = self.machine.step(self.executor.now(), input);
        self.executor.hands.follow(&self.hand, &self.machine);
        if effect == Effect::Done {
            self.executor.ended.send_modify(|ended| *ended += 1);
        }
        effect
    }

    /// Waits for something that concerns the order.
    pub(super) async fn watch(&self) -> Input {
        tokio::select! {
            input = self.hand.watch(self.patience()) => input,
            () = self.may_claim_anew() => Input::EpochChanged,
        }
    }

    /// Waits until the gate has opened for another epoch, for this account as well: until then its fills are reported as before.
    async fn may_claim_anew(&self) {
        let gate = &self.executor.epoch;
        gate.moved(self.epoch.as_deref()).await;
        gate.account_told(&self.executor.broker.account_of(self.user())).await;
    }

    /// How long an order may go without a word of the broker before it is looked at.
    fn patience(&self) -> Duration {
        if self.machine.may_rest() { self.executor.settings.exits.rest } else { SILENCE }
    }

    /// Carries one effect out; waits are the driver's.
    pub(super) async fn perform(&mut self, effect: Effect) -> Input {
        let executor = Arc::clone(&self.executor);
        // Whatever is done in between, it is not as new any more.
        let read_ahead = self.read_ahead.take();
        let job = self.machine.job();
        match effect {
            Effect::Claim { epoch } => {
                let put_off = executor.untold(job).or_else(|| executor.entry_put_off(job));
                self.put_off = put_off.is_some();
                if let Some(why) = put_off {
                    self.give_back_ahead().await;
                    return Input::Claimed(Claim::Trouble(why));
                }
                let ahead = self.claimed_ahead(&epoch).await;
                // Before the question: the lock lives at least from then on.
                let asked = ahead.as_ref().map_or_else(Instant::now, |ahead| ahead.asked.into());
                let (claim, hash) = match ahead {
                    Some(ahead) => (Claim::Token(ahead.token), ahead.strategy),
                    None => executor.claim(self.job(), &epoch).await,
                };
                claim.refusal().into_iter().for_each(metrics::lock_refused);
                self.extended = Some(asked);
                self.read_ahead = hash;
                Input::Claimed(claim)
            }
            Effect::Inspect => Input::Inspected(executor.inspect(&job.key).await),
            Effect::Read => {
                let hash = match read_ahead {
                    Some(hash) => Ok(Some(hash)),
                    None => executor.redis.clone().strat_get(&job.key).await,
                };
                Input::Read(executor.read(job, hash).await)
            }
            Effect::Lookup(name) => Input::Looked(self.look_up(&name).await),
            Effect::Cancel(name) => Input::Canceled(executor.broker_cancel(name.order_ref()).await),
            Effect::Extend => {
                // Before the question: the lock lives at least from then on.
                let asked = Instant::now();
                let extended = executor.extend(job, self.machine.lock()).await;
                self.extended = Some(asked);
                Input::Extended(extended)
            }
            Effect::Submit(request) => {
                crash_point("before_submit");
                // A process that was stopped here must not send under a lock that may be somebody else's by now.
                let stale = self.extended.is_some_and(|at| at.elapsed() > executor.settings.lock_ttl / 2);
                if stale && !self.machine.is_alone() {
                    return Input::Submitted(Err(BrokerError::Unavailable("the lock has to be seen again".to_owned())));
                }
                // Redis came back while it was looked up, and another job has told it that this attempt is dead.
                if self.is_superseded() || self.machine.is_alone() && executor.has_ended(&request.client_order_id) {
                    return Input::Submitted(Err(BrokerError::Unavailable("a later attempt is asked for".to_owned())));
                }
                if let Some(why) = executor.untold(job).filter(|_| !self.machine.is_alone()) {
                    return Input::Submitted(Err(BrokerError::Unavailable(why)));
                }
                let lease = &executor.settings.lease;
                if !(if self.machine.is_alone() { lease.may_act() } else { lease.may_trade() }) {
                    self.tell_not_sent();
                    return Input::Submitted(Err(BrokerError::Unavailable("another engine trades".to_owned())));
                }
                if !executor.may_send(&request.client_order_id, self.number, self.machine.asked_ms()) {
                    let why = "another job of this engine sent it a moment ago".to_owned();
                    return Input::Submitted(Err(BrokerError::Unknown(why)));
                }
                let request = executor.measured(&request);
                let answer = timeout(executor.settings.broker_timeout, executor.broker.submit(&request)).await;
                crash_point("after_submit");
                let answer = answer.unwrap_or_else(|_| Err(BrokerError::Unknown("no answer in time".to_owned())));
                metrics::submitted(job, &answer, executor.now().wall_ms);
                executor.answered(&request.client_order_id, self.number, &answer);
                Input::Submitted(answer)
            }
            Effect::Report(report) => {
                crash_point("before_report");
                let tell = executor.report(job, self.machine.lock(), &report);
                let outcome = executor.telling(&report, (self.number, self.machine.asked_ms()), tell).await;
                crash_point("after_report");
                if let (Ok(()), Some(id)) = (&outcome, order_ended_by(&report)) {
                    executor.note_end(id);
                }
                Input::Reported(outcome)
            }
            Effect::Release => {
                self.release().await;
                Input::Released
            }
            Effect::Discard { why } => Input::Discarded(executor.discard(job, &why).await),
            Effect::Wait { .. } | Effect::AwaitEpoch | Effect::Watch | Effect::Done => {
                debug_assert!(false, "{effect:?} is the driver's");
                executor.go()
            }
        }
    }

    /// Writes why a person is needed into the strategy, once: its owner gets the event, and Postgres the row.
    pub(super) async fn alarm(&mut self, why: &str) {
        if self.alarm == why {
            return;
        }
        let update = StrategyUpdate::new().error(format!("{}: {why}", self.job().action));
        match self.executor.redis.clone().strat_update(&self.job().key, &update).await {
            Ok(_) => why.clone_into(&mut self.alarm),
            Err(error) => tracing::warn!(key = self.job().key, %error, "cannot write the alarm into the strategy yet"),
        }
    }

    /// Another engine trades, and does not know of an exit that this one saw asked for while Redis was away. Said once.
    fn tell_not_sent(&mut self) {
        let Job { key, action, unasked, .. } = self.machine.job();
        if *unasked && !self.told_not_sent {
            tracing::error!(key, %action, "EXIT NOT SENT: another engine trades now; this one saw the level crossed while Redis was away");
            self.told_not_sent = true;
        }
    }

    /// The claim that came with the entry, if it is as good as one made now; else its lock is given back.
    async fn claimed_ahead(&mut self, epoch: &str) -> Option<Claimed> {
        let Ahead { epoch: asked_with, mut claim } = self.ahead.take()?;
        if *asked_with != *epoch || claim.asked.elapsed() >= self.executor.settings.lock_ttl / FRESH_SHARE {
            self.executor.unlock(&self.job().key, &claim.token).await;
            return None;
        }
        crash_point("locked");
        if claim.answered.elapsed() >= READ_AHEAD_MAX {
            claim.strategy = None;
        }
        Some(claim)
    }

    /// Gives the lock back, if there is one.
    pub(super) async fn release(&mut self) {
        self.give_back_ahead().await;
        if let Some(token) = self.machine.lock() {
            self.executor.unlock(&self.job().key, token).await;
        }
    }

    /// Gives the lock back that came with the entry, if it was not needed yet.
    async fn give_back_ahead(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            self.executor.unlock(&self.job().key, &ahead.claim.token).await;
        }
    }
}

impl Executor {
    /// Asks for the lock, and for the strategy as it is then: a round trip less before the order is out.
    async fn claim(&self, job: &Job, epoch: &Arc<str>) -> (Claim, Option<strat_client::Strategy>) {
        if StrategyKey::parse(&job.key).is_none() {
            return (Claim::NotWanted("its key is not a strategy's".to_owned()), None);
        }
        let epoch_given = (!planted::is(Mistake::StaleEpoch)).then_some(&**epoch);
        let settings = &self.settings;
        let (owner, ttl) = (&settings.owner, settings.lock_ttl);
        let locked = self.redis.clone().strat_lock_and_get(&job.key, job.action, owner, ttl, epoch_given).await;
        let claim = match locked {
            Ok((Some(token), hash)) => {
                crash_point("locked");
                return (Claim::Token(token), hash);
            }
            Ok((None, _)) => Claim::Held,
            Err(error) => match error.code() {
                Some(code @ (Code::Busy | Code::NoStrat)) => Claim::NotWanted(format!("{} {error}", code.as_str())),
                Some(Code::Unsynced) => {
                    self.epoch.invalidate(epoch);
                    Claim::Unsynced
                }
                Some(Code::BadField | Code::BadPrice | Code::WrongType) => Claim::Broken(error.to_string()),
                _ => Claim::Trouble(error.to_string()),
            },
        };
        (claim, None)
    }

    /// Gives a lock back.
    pub(super) async fn unlock(&self, key: &str, token: &LockToken) {
        if let Err(error) = self.redis.clone().strat_unlock(key, token).await {
            tracing::warn!(key, %error, "cannot give a lock back; it will run out");
        }
    }

    /// Why an order is not even claimed: its account has not told what it has since Redis may have lost some of it.
    fn untold(&self, job: &Job) -> Option<String> {
        self.is_untold(&job.key).then(|| "its account has not told its orders: /health names it".to_owned())
    }

    /// Whether a strategy's orders wait for its account to tell those that it has.
    pub(super) fn is_untold(&self, key: &str) -> bool {
        StrategyKey::parse(key).is_some_and(|key| self.epoch.is_silent(&self.broker.account_of(key.user)))
    }

    /// Why an entry from the queue is not even claimed yet: its account makes as many calls as the broker takes. One that may be
    /// at the broker already is not put off.
    fn entry_put_off(&self, job: &Job) -> Option<String> {
        let is_entry = job.ack.as_ref().is_some_and(|(stream, _)| stream.ends_with("orders"));
        let key = StrategyKey::parse(&job.key).filter(|_| is_entry && job.sent_ms.is_none())?;
        let id = OrderIdentity { key, cycle: job.cycle, leg: Leg::Entry, attempt: 0 }.client_order_id();
        let entry = OrderRef { client_order_id: &id, user: key.user, symbol: "" };
        self.broker.puts_off(entry).then(|| "the account's calls to the broker are used up for now".to_owned())
    }

    async fn inspect(&self, key: &str) -> Option<Holder> {
        let lock = StrategyKey::parse(key)?.lock();
        let mut redis = self.redis.clone();
        let holder: redis::RedisResult<Option<String>> = redis::cmd("GET").arg(lock).query_async(&mut redis).await;
        let holder = holder.ok()?;
        let lock = holder.as_deref().and_then(|value| Lock::parse(value.as_bytes()));
        let (action, own) = (lock.map(|lock| lock.action), lock.is_some_and(|lock| lock.owner == self.settings.owner));
        let strategy = redis.strat_get(key).await.ok()?.and_then(|hash| hash.state().ok());
        Some(Holder { action, own, strategy })
    }

    async fn read(&self, job: &Job, hash: strat_client::Result<Option<strat_client::Strategy>>) -> Found {
        let hash = match hash {
            Ok(Some(hash)) => hash,
            Ok(None) => return Found::Gone,
            Err(error) => return Found::Trouble(error.to_string()),
        };
        match hash.state() {
            Ok(strategy) => {
                let entries_wait = self.entries_wait(job, &strategy).await;
                let risk = match entries_wait {
                    None => self.verdict(job, &strategy, &hash).await,
                    Some(_) => Verdict::NotAsked,
                };
                Found::Strategy(Box::new(Seen {
                    grace_ms: self.settings.missed.map(|missed| missed.of(&hash).grace_ms()),
                    entries_wait,
                    risk,
                    sent_alone: self.sent_alone(&job.key, &strategy),
                    restored: is_restored(&strategy, self.epoch.began_ms(), self.rules().skew_ms),
                    strategy,
                }))
            }
            Err(error) => Found::Broken(error.to_string()),
        }
    }

    /// How long an entry has to wait before it is looked at again. What Postgres has not heard of would be lost with
    /// Redis, and its position with it.
    async fn entries_wait(&self, job: &Job, strategy: &Strategy) -> Option<i64> {
        if job.action.leg(strategy.side) == Leg::Exit {
            return None;
        }
        let waits = StrategyKey::parse(&job.key).is_none_or(|key| self.epoch.entries_of_wait(key.user));
        if waits {
            return Some(POSTGRES_AWAY_WAIT_MS);
        }
        let records = self.settings.records.as_ref()?;
        (!records.knows(&job.key, job.cycle).await).then_some(POSTGRES_BEHIND_WAIT_MS)
    }

    async fn extend(&self, job: &Job, token: Option<&LockToken>) -> Result<bool, String> {
        let Some(token) = token else { return Ok(false) };
        let extended = self.redis.clone().strat_extend(&job.key, token, self.settings.lock_ttl).await;
        extended.map_err(|error| error.to_string())
    }

    /// Keeps the lock of an order alive.
    pub(super) async fn keep_lock(&self, hand: &Hand) {
        let Some(token) = hand.lock() else { return };
        match self.redis.clone().strat_extend(&hand.key, &token, self.settings.lock_ttl).await {
            Ok(true) => {}
            Ok(false) => {
                // Given back or reported since: nothing is lost.
                if hand.lose(&token) {
                    tracing::debug!(key = hand.key, "a lock could not be extended");
                }
            }
            Err(error) => tracing::warn!(key = hand.key, %error, "cannot extend a lock"),
        }
    }

    async fn report(&self, job: &Job, token: Option<&LockToken>, report: &ReportRequest) -> Result<(), ReportFailure> {
        let Some(token) = token else { return Err(ReportFailure::NotOurs("no lock is held".to_owned())) };
        let mut redis = self.redis.clone();
        let mut told = redis.strat_report(&job.key, token, report).await;
        if let (Err(error), Some(bare)) = (&told, report.without_ack())
            && error.code() == Some(Code::BadField)
        {
            // Nothing was written: a failover has given the entry's id to another order, which needs its entry.
            told = redis.strat_report(&job.key, token, &bare).await;
        }
        match told {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.code(), Some(Code::BadToken | Code::NoStrat)) => {
                Err(ReportFailure::NotOurs(error.to_string()))
            }
            Err(error) => Err(ReportFailure::Trouble(error.to_string())),
        }
    }

    /// Takes a queue entry that is not wanted out of the queue.
    async fn discard(&self, job: &Job, why: &str) -> Result<(), String> {
        tracing::debug!(key = job.key, action = %job.action, why, "queue entry dropped");
        let Some((stream, id)) = &job.ack else { return Ok(()) };
        let mut redis = self.redis.clone();
        let done = discard_own(&mut redis, stream, id, &job.key).await;
        done.map_err(|error| error.to_string())
    }

    /// Asks for a cancellation within the time that an answer may take.
    async fn broker_cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        match timeout(self.settings.broker_timeout, self.broker.cancel(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(BrokerError::Unknown("no answer to a cancellation".to_owned())),
        }
    }

    /// Looks an order up within the time that an answer may take.
    async fn broker_lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        match timeout(self.settings.broker_timeout, self.broker.lookup(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(BrokerError::Unknown("no answer to a look-up".to_owned())),
        }
    }
}

/// The order whose end a report tells: not always the job's own, because an exit tells of its entry's end too.
fn order_ended_by(report: &ReportRequest) -> Option<&str> {
    report.order().filter(|_| report.exec_type().is_terminal())
}

/// Ends the process as `kill -9` would, where a test asks for it here: with this name in `STRAT_CRASH_AT`, or in the file that
/// stands there behind an `@`, so that an engine can be asked while it runs. Not in released binaries.
#[cfg(feature = "planted")]
pub(crate) fn crash_point(name: &str) {
    let Ok(asked) = std::env::var("STRAT_CRASH_AT") else { return };
    let asked = match asked.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
        None => asked,
    };
    if asked == name {
        tracing::warn!(name, "crash point");
        std::process::abort();
    }
}

/// Nothing, in a released binary.
#[cfg(not(feature = "planted"))]
pub(crate) const fn crash_point(_: &str) {}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::Action;
    use strat_core::ExecType;

    #[test]
    fn an_exit_that_tells_of_its_entrys_end_has_not_ended_itself() {
        let entry = ReportRequest::new(ExecType::Canceled).order_id("ENTRY").action(Action::Buy);
        assert_eq!(order_ended_by(&entry), Some("ENTRY"));
        assert_eq!(order_ended_by(&ReportRequest::new(ExecType::PartialFill).order_id("EXIT")), None);
        // Nothing was held, so nothing was sent that could have ended.
        assert_eq!(order_ended_by(&ReportRequest::new(ExecType::Canceled)), None);
    }
}
