//! Sending an order, and reporting what becomes of it.

use super::work::report_of;
use super::{Executor, Job, Tracked};
use crate::broker::{BrokerError, Idempotency, OrderRef, OrderRequest, OrderState};
use futures_util::stream::{self, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use strat_client::StratCommands as _;
use strat_core::{Code, ExecType};
use tokio::time::{sleep, timeout};

/// Tries for what may be tried again.
const TRIES: u32 = 3;
/// First pause between tries; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// Locks extended at the same time.
const EXTEND_CONCURRENCY: usize = 32;
/// An order that the broker has not spoken of for this long is looked up, ms: terminal reports get lost.
const SILENCE_MS: i64 = 5_000;

/// What came of sending an order.
pub(super) enum Placed {
    /// The broker has it.
    Order(OrderState),
    /// The broker refused it.
    Rejected(String),
    /// Not sent, or nobody knows. Only a look-up may go on from here.
    Unsure(BrokerError),
}

impl Executor {
    /// Sends an order. An unknown outcome is looked up; only what is proven absent is sent again.
    pub(super) async fn place(&self, job: &mut Job, tracked: &Tracked, request: &OrderRequest) -> Placed {
        let order =
            OrderRef { client_order_id: &request.client_order_id, user: &request.user, symbol: &request.symbol };
        let mut pause = PAUSE;
        let mut last = BrokerError::Unavailable("not tried".to_owned());
        for attempt in 1..=TRIES {
            if attempt > 1 && !self.holds(tracked) {
                return Placed::Unsure(last);
            }
            let answer = timeout(self.settings.broker_timeout, self.broker.submit(request)).await;
            last = match answer.unwrap_or_else(|_| Err(BrokerError::Unknown("no answer in time".to_owned()))) {
                Ok(state) => return Placed::Order(state),
                // What is refused may be the repeat, and what it repeats may be at the broker.
                Err(BrokerError::Rejected(reason)) if job.sent => {
                    return match self.ask(order).await {
                        Ok(Some(state)) => Placed::Order(state),
                        Ok(None) => Placed::Rejected(reason),
                        Err(error) => Placed::Unsure(error),
                    };
                }
                Err(BrokerError::Rejected(reason)) => return Placed::Rejected(reason),
                Err(error @ BrokerError::RateLimited { .. }) => return Placed::Unsure(error),
                Err(error) => error,
            };
            tracing::warn!(order = request.client_order_id, attempt, error = %last, "the order's outcome is not known");
            if matches!(last, BrokerError::Unknown(_)) {
                job.sent = true;
                match self.ask(order).await {
                    Ok(Some(state)) => return Placed::Order(state),
                    Ok(None) if self.broker.idempotency() == Idempotency::None => return Placed::Unsure(last),
                    Ok(None) => {}
                    Err(error) => return Placed::Unsure(error),
                }
            }
            sleep(pause).await;
            pause *= 2;
        }
        Placed::Unsure(last)
    }

    /// Looks an order up, a few times if need be.
    async fn ask(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            match self.broker_lookup(order).await {
                Err(error) if attempt < TRIES => {
                    tracing::warn!(order = order.client_order_id, attempt, %error, "look-up failed")
                }
                settled => return settled,
            }
            sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    /// Passes on what the broker reported. Reports on orders that are not held here come back by a look-up, when
    /// their queue entry is handed out again.
    pub async fn on_report(&self, state: &OrderState) {
        match self.orders.get(&state.client_order_id) {
            Some(tracked) => self.report(&tracked, state).await,
            None => {
                tracing::debug!(order = state.client_order_id, status = %state.status, "report on an order that is not held here")
            }
        }
    }

    /// Writes a state to Redis, once. The order is no longer held here when it has ended, or when the lock is lost.
    pub(super) async fn report(&self, tracked: &Arc<Tracked>, state: &OrderState) {
        let mut reported = tracked.reported.lock().await;
        tracked.heard(self.clock.now_ms());
        let news = (state.status, state.cum_qty);
        let stale = reported
            .is_some_and(|(status, filled)| status.is_terminal() || filled > news.1 || (status, filled) == news);
        if stale || (news.0 == ExecType::New && reported.is_some()) {
            return;
        }
        let mut request = report_of(state);
        if let (true, Some((stream, id))) = (state.status.is_terminal(), &tracked.ack) {
            request = request.ack(stream, id);
        }
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            let Err(error) = self.redis.clone().strat_report(&tracked.key, &tracked.token, &request).await else {
                *reported = Some(news);
                if state.status.is_terminal() {
                    self.forget(tracked);
                }
                return;
            };
            if matches!(error.code(), Some(Code::BadToken | Code::NoStrat)) {
                if !state.status.is_terminal() {
                    tracing::error!(key = tracked.key, order = tracked.client_order_id, status = %state.status, %error, "AN ORDER WORKS WITHOUT ITS LOCK; its queue entry is kept, and the order is looked up again");
                    return self.forget(tracked);
                }
                tracing::warn!(key = tracked.key, order = tracked.client_order_id, %error, "the lock is lost; the queue entry will bring the order back");
                return self.forget(tracked);
            }
            tracing::error!(key = tracked.key, order = tracked.client_order_id, status = %state.status, attempt, %error, "cannot report an order");
            sleep(pause).await;
            pause *= 2;
        }
        // The queue entry is not acknowledged: when the lock runs out, the order is claimed and looked up again.
        self.forget(tracked);
    }

    /// Whether this order, with its lock, is still this engine's as far as it knows.
    pub(super) fn holds(&self, order: &Tracked) -> bool {
        self.orders.get(&order.client_order_id).is_some_and(|held| held.token == order.token)
    }

    /// Extends the locks of working orders.
    pub(super) async fn extend_locks(&self) {
        stream::iter(self.orders.all())
            .for_each_concurrent(EXTEND_CONCURRENCY, |order| async move { self.extend_lock(&order).await })
            .await;
    }

    async fn extend_lock(&self, order: &Tracked) {
        match self.redis.clone().strat_extend(&order.key, &order.token, self.settings.lock_ttl).await {
            Ok(true) => {}
            Ok(false) => {
                // Ended and reported since the list was made: nothing is lost.
                if self.holds(order) {
                    tracing::warn!(
                        key = order.key,
                        order = order.client_order_id,
                        "the lock was lost; the order is looked up again"
                    );
                    self.forget(order);
                }
            }
            Err(error) => tracing::warn!(key = order.key, %error, "cannot extend a lock"),
        }
    }

    /// Asks about orders that the broker is silent about. Apart from the locks, which must not wait for a broker.
    pub(super) async fn ask_of_silent(&self) {
        stream::iter(self.orders.all())
            .for_each_concurrent(EXTEND_CONCURRENCY, |order| async move { self.ask_if_silent(&order).await })
            .await;
    }

    async fn ask_if_silent(&self, order: &Tracked) {
        let now = self.clock.now_ms();
        if now - order.heard_ms() > SILENCE_MS {
            order.heard(now);
            if let Ok(Some(state)) = self.broker_lookup(order.name()).await {
                self.on_report(&state).await;
            }
        }
    }

    fn forget(&self, tracked: &Tracked) {
        self.orders.remove(tracked);
        self.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
