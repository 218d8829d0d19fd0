//! The shell: one job from its lock to its order.

use super::decide::{Facts, Known, Step};
use super::place::Placed;
use super::{Executor, Job, Outcome, Tracked};
use crate::broker::{BrokerError, OrderRef, OrderRequest, OrderState};
use std::sync::Arc;
use strat_client::{Error, LockToken, ReportRequest, StratCommands as _};
use strat_core::{Action, Code, ExecType, Leg, Quantity, StrategyKey};
use tokio::time::timeout;

/// Most steps for one job before it has to wait: none needs more than about five.
const STEPS_MAX: usize = 16;
/// Wait of a job whose strategy is locked by somebody else, ms. Cut short when an order of this engine ends.
const HELD_WAIT_MS: u64 = 100;
/// Wait after Redis or the broker gave no answer, ms.
const TROUBLE_WAIT_MS: u64 = 500;

/// Why a job stops before its order is placed.
enum Stop {
    Redis(Error),
    Broker(BrokerError),
}

/// What came of a submission.
enum Sent {
    /// The broker has an order of this id.
    There(Arc<Tracked>, OrderState),
    /// It was refused, and that was reported.
    Rejected(Outcome),
    /// The lock ran out before: nothing was sent.
    Unlocked,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Redis(error)
    }
}

impl From<BrokerError> for Stop {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Executor {
    /// Carries a job as far as it goes now. May be called again with the same job after [`Outcome::Later`].
    pub async fn work(&self, job: &mut Job) -> Outcome {
        let key = job.key.clone();
        let Some(parsed) = StrategyKey::parse(&key) else {
            return self.discard(job, "its key is not a strategy's").await;
        };
        let Some(epoch) = self.epoch.peek() else { return Outcome::Unsynced };
        let lock = self
            .redis
            .clone()
            .strat_lock(&key, job.action, &self.settings.owner, self.settings.lock_ttl, Some(&epoch))
            .await;
        let token = match lock {
            Ok(Some(token)) => token,
            Ok(None) => return self.held_by_another(job, parsed).await,
            Err(error) => match error.code() {
                Some(code @ (Code::Busy | Code::NoStrat)) => {
                    return self.discard(job, &format!("{} {error}", code.as_str())).await;
                }
                Some(Code::Unsynced) => {
                    self.epoch.invalidate(&epoch);
                    return Outcome::Unsynced;
                }
                Some(Code::BadField | Code::BadPrice | Code::WrongType) => return self.broken(job, &error).await,
                _ => return Outcome::later(TROUBLE_WAIT_MS, format!("no lock: {error}")),
            },
        };
        let outcome = match self.claimed(job, parsed, &token).await {
            Ok(outcome) => outcome,
            Err(Stop::Broker(BrokerError::RateLimited { retry_after })) => {
                Outcome::Later { after: retry_after, why: "the broker's rate limit".to_owned(), for_another: false }
            }
            Err(Stop::Broker(error)) => Outcome::later(TROUBLE_WAIT_MS, error.to_string()),
            Err(Stop::Redis(error)) => Outcome::later(TROUBLE_WAIT_MS, error.to_string()),
        };
        if outcome != Outcome::Working
            && let Some(order) =
                job.order_id.take().and_then(|id| self.orders.get(&id)).filter(|order| order.token == token)
        {
            self.orders.remove(&order);
        }
        if matches!(outcome, Outcome::Later { .. }) {
            // Whatever was sent before the trouble, the next look begins with a question.
            job.must_query = true;
            self.release(&key, &token).await;
        }
        outcome
    }

    async fn release(&self, key: &str, token: &LockToken) {
        if let Err(error) = self.redis.clone().strat_unlock(key, token).await {
            tracing::warn!(key, %error, "cannot give a lock back; it will run out");
        }
    }

    /// The strategy is ours: look, decide, do, until there is nothing more to do now.
    async fn claimed(&self, job: &mut Job, key: StrategyKey<'_>, token: &LockToken) -> Result<Outcome, Stop> {
        let (mut own, mut entry, mut entry_reported) = (Known::NotAsked, Known::NotAsked, false);
        for _ in 0..STEPS_MAX {
            let Some(hash) = self.redis.clone().strat_get(&job.key).await? else {
                return Ok(self.discard(job, "the strategy is gone").await);
            };
            let strategy = match hash.state() {
                Ok(strategy) => strategy,
                Err(error) => {
                    self.release(&job.key, token).await;
                    return Ok(self.broken(job, &error).await);
                }
            };
            let facts = Facts {
                key,
                strategy: &strategy,
                action: job.action,
                cycle: job.cycle,
                now_ms: self.clock.now_ms(),
                must_query: job.must_query,
                sent: job.sent,
                enqueued_ms: job.enqueued_ms,
                skew_ms: i64::try_from(self.broker.clock_skew().as_millis()).unwrap_or(i64::MAX),
                due_ms: job.due_ms,
                grace_ms: self.settings.missed.map(|missed| missed.of(&hash).grace_ms()),
                idempotency: self.broker.idempotency(),
                own: own.clone(),
                entry: entry.clone(),
                entry_reported,
            };
            let order = |id| OrderRef { client_order_id: id, user: key.user, symbol: &strategy.symbol };
            match facts.next_step() {
                Step::Drop(why) => {
                    self.release(&job.key, token).await;
                    return Ok(self.discard(job, &why).await);
                }
                Step::Wait { ms, why } => return Ok(Outcome::later(ms.unsigned_abs(), why)),
                Step::Alarm { ms, why } => {
                    tracing::error!(key = job.key, action = %job.action, order = facts.own_id(), why, "ORDER NOT SENT");
                    return Ok(Outcome::later(ms.unsigned_abs(), why));
                }
                Step::Refuse(why) => {
                    tracing::error!(key = job.key, action = %job.action, order = facts.own_id(), why, "entry refused");
                    return self.end(job, token, ExecType::Rejected, why).await;
                }
                Step::Expire(why) => {
                    tracing::warn!(key = job.key, action = %job.action, why, "entry not sent");
                    return self.end(job, token, ExecType::Expired, &why).await;
                }
                Step::KillEntry => {
                    let id = facts.order_id(Leg::Entry);
                    self.broker_cancel(order(&id)).await?;
                    entry = self.broker_lookup(order(&id)).await?.into();
                }
                Step::ReportEntry(state) => {
                    let action = Action::entry(strategy.side);
                    self.report_other(job, token, action, &state).await?;
                    entry_reported = true;
                }
                Step::Conclude => return self.end(job, token, ExecType::Canceled, "nothing to exit").await,
                Step::Query => {
                    // Before the question, so that no report can fall between it and the answer.
                    let names = (facts.own_id(), key.user, strategy.symbol.as_str());
                    let tracked = self.track(job, names, token);
                    own = self.broker_lookup(tracked.name()).await?.into();
                }
                Step::Adopt(state) => {
                    // It ended, and was reported, while the answer was on its way.
                    let Some(tracked) = self.orders.get(&facts.own_id()) else { return Ok(Outcome::Done) };
                    self.report(&tracked, &state).await;
                    return Ok(self.after_report(&tracked));
                }
                Step::Submit(request) => match self.submit(job, token, &request).await? {
                    // An order of the past is not to be reported: the next step says what to do about it.
                    Sent::There(_, state) if facts.is_of_the_past(&state) => own = Known::There(state),
                    Sent::There(tracked, state) => {
                        self.report(&tracked, &state).await;
                        return Ok(self.after_report(&tracked));
                    }
                    Sent::Rejected(outcome) => return Ok(outcome),
                    Sent::Unlocked => return Ok(Outcome::held(HELD_WAIT_MS, "the lock is lost")),
                },
            }
        }
        Ok(Outcome::later(TROUBLE_WAIT_MS, "the strategy keeps changing"))
    }

    fn track(&self, job: &mut Job, names: (String, &str, &str), token: &LockToken) -> Arc<Tracked> {
        job.order_id = Some(names.0.clone());
        self.orders.insert(Tracked::new(job, names, token.clone(), self.clock.now_ms()))
    }

    async fn submit(&self, job: &mut Job, token: &LockToken, request: &OrderRequest) -> Result<Sent, Stop> {
        let names = (request.client_order_id.clone(), request.user.as_str(), request.symbol.as_str());
        // Before it is sent, so that no report can arrive for an order that is not known here.
        let tracked = self.track(job, names, token);
        // The steps before may have taken longer than the lock lives.
        if !self.redis.clone().strat_extend(&job.key, token, self.settings.lock_ttl).await? {
            return Ok(Sent::Unlocked);
        }
        let state = match self.place(job, &tracked, request).await {
            Placed::Order(state) => {
                tracing::info!(key = job.key, action = %job.action, order = request.client_order_id, status = %state.status, quantity = %request.quantity, symbol = request.symbol, "order");
                return Ok(Sent::There(tracked, state));
            }
            Placed::Rejected(reason) => OrderState {
                client_order_id: request.client_order_id.clone(),
                status: ExecType::Rejected,
                cum_qty: Quantity::ZERO,
                avg_px: None,
                text: reason,
                ts_ms: self.clock.now_ms(),
            },
            Placed::Unsure(error) => return Err(error.into()),
        };
        tracing::info!(key = job.key, action = %job.action, order = request.client_order_id, reason = state.text, "order rejected");
        self.report(&tracked, &state).await;
        Ok(Sent::Rejected(self.after_report(&tracked)))
    }

    fn after_report(&self, tracked: &Arc<Tracked>) -> Outcome {
        if self.holds(tracked) { Outcome::Working } else { Outcome::Done }
    }

    /// Reports how the entry ended, holding the exit's lock.
    async fn report_other(
        &self,
        job: &Job,
        token: &LockToken,
        action: Action,
        state: &OrderState,
    ) -> Result<(), Error> {
        tracing::info!(key = job.key, status = %state.status, filled = %state.cum_qty, "the entry ended before its exit");
        let report = report_of(state).action(action);
        self.redis.clone().strat_report(&job.key, token, &report).await.map(drop)
    }

    /// Reports the end of an order that the broker does not have.
    async fn end(&self, job: &Job, token: &LockToken, status: ExecType, text: &str) -> Result<Outcome, Stop> {
        let mut report = ReportRequest::new(status).text(text).ts_ms(self.clock.now_ms());
        if let Some((stream, id)) = &job.ack {
            report = report.ack(stream, id);
        }
        self.redis.clone().strat_report(&job.key, token, &report).await?;
        self.ended.notify_waiters();
        Ok(Outcome::Done)
    }

    /// An exit does not wait for an entry that works on: it has the entry cancelled, whoever holds it.
    async fn held_by_another(&self, job: &Job, key: StrategyKey<'_>) -> Outcome {
        let held = || Outcome::held(HELD_WAIT_MS, "another order of the strategy is in flight");
        let mut redis = self.redis.clone();
        let holder: redis::RedisResult<Option<String>> =
            redis::cmd("GET").arg(key.lock()).query_async(&mut redis).await;
        let holder = holder.ok().flatten();
        let holder = holder.as_deref().and_then(|value| value.split(' ').next()).and_then(Action::parse);
        let Ok(Some(hash)) = redis.strat_get(&job.key).await else { return held() };
        let Ok(strategy) = hash.state() else { return held() };
        let exit = job.action.leg(strategy.side) == Leg::Exit && job.cycle == strategy.cycle;
        if !exit || holder.map(|action| action.leg(strategy.side)) != Some(Leg::Entry) {
            return held();
        }
        let identity = strat_core::order::OrderIdentity { key, cycle: job.cycle, leg: Leg::Entry, attempt: 0 };
        let id = identity.client_order_id();
        if let Err(error) =
            self.broker_cancel(OrderRef { client_order_id: &id, user: key.user, symbol: &strategy.symbol }).await
        {
            tracing::warn!(key = job.key, %error, "cannot cancel the entry yet, its exit waits");
        }
        held()
    }

    /// Takes a queue entry that is not wanted out of the queue.
    async fn discard(&self, job: &Job, why: &str) -> Outcome {
        tracing::debug!(key = job.key, action = %job.action, why, "queue entry dropped");
        let Some((stream, id)) = &job.ack else { return Outcome::Done };
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .cmd("XACK")
            .arg(stream)
            .arg(strat_client::ENGINE_GROUP)
            .arg(id)
            .ignore()
            .cmd("XDEL")
            .arg(stream)
            .arg(id)
            .ignore();
        match pipeline.exec_async(&mut self.redis.clone()).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::later(TROUBLE_WAIT_MS, error.to_string()),
        }
    }

    /// A hash that does not parse cannot be traded. The entry is kept: once the hash is mended it is carried out.
    async fn broken(&self, job: &Job, error: &Error) -> Outcome {
        tracing::error!(key = job.key, action = %job.action, %error, "ORDER NOT POSSIBLE: the strategy's hash is not valid; mend its fields");
        Outcome::later(10 * TROUBLE_WAIT_MS, "the strategy's hash is not valid")
    }

    /// Asks for a cancellation within the time that an answer may take.
    pub(super) async fn broker_cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        match timeout(self.settings.broker_timeout, self.broker.cancel(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(BrokerError::Unknown("no answer to a cancellation".to_owned())),
        }
    }

    /// Looks an order up within the time that an answer may take.
    pub(super) async fn broker_lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        match timeout(self.settings.broker_timeout, self.broker.lookup(order)).await {
            Ok(answer) => answer,
            Err(_) => Err(BrokerError::Unknown("no answer to a look-up".to_owned())),
        }
    }
}

/// The command for a broker's state of an order.
pub(super) fn report_of(state: &OrderState) -> ReportRequest {
    let report = ReportRequest::new(state.status).order_id(&state.client_order_id).ts_ms(state.ts_ms);
    let report = match state.avg_px.filter(|_| state.cum_qty > Quantity::ZERO) {
        Some(price) => report.cumulative(state.cum_qty, price),
        None => report,
    };
    if state.text.is_empty() { report } else { report.text(&state.text) }
}
