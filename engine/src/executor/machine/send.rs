//! Sending the order.

use super::unknown::Unknown;
use super::{Effect, Known, OrderMachine, OrderName, PAUSE_MS, REFUSED_WAIT_MS, State, TRIES, Waits, facts};
use crate::broker::{BrokerError, OrderRequest, OrderState};
use strat_core::planted::{self, Mistake};
use strat_core::risk::Cleared;
use strat_core::{ExecType, Quantity};

impl OrderMachine {
    /// The steps before may have taken longer than the lock lives. Where there were none, one more durable write would
    /// only make a stop later.
    pub(super) fn extend(&mut self, request: Cleared<OrderRequest>, tries: u32) -> Effect {
        // Before it is sent, so that no report can arrive for an order that is not known here.
        self.order = Some(OrderName::of(&request));
        let asked = self.own != Known::NotAsked || self.entry != Known::NotAsked || !self.others.is_empty();
        let fresh =
            !asked && !self.job.must_query && self.now.mono_ms.saturating_sub(self.claimed_ms) < self.rules.fresh_ms;
        if self.alone || fresh {
            return self.submit(request, tries);
        }
        self.to(State::Extending(request, tries), Effect::Extend)
    }

    pub(super) fn submit(&mut self, request: Cleared<OrderRequest>, tries: u32) -> Effect {
        if tries == 1 {
            self.tell_used_up(&request.client_order_id);
        }
        let effect = Effect::Submit(request.clone());
        self.to(State::Submitting(request, tries), effect)
    }

    pub(super) fn submitted(
        &mut self,
        request: Cleared<OrderRequest>,
        tries: u32,
        outcome: Result<OrderState, BrokerError>,
    ) -> Effect {
        match outcome {
            Ok(state) => {
                let key = &self.job.key;
                tracing::info!(key, action = %self.job.action, order = request.client_order_id, status = %state.status, quantity = %request.quantity, symbol = request.symbol, "order");
                self.job.sent_ms = Some(self.now.mono_ms);
                if self.is_of_the_past(&state) {
                    // An order of the past is not to be reported: the next step says what to do about it.
                    self.own = Known::There(state);
                    return self.look_again();
                }
                self.found(&state)
            }
            // It may have been refused as the repeat of an order that is at the broker, or will be in a moment: sent by this
            // job before, by another engine that held the lock, or by anybody before the gate opened.
            Err(BrokerError::Rejected(reason)) => {
                let sent_ms = self.job.sent_ms.max(self.opened_ms).max(self.rival_ms);
                self.ask(Unknown::refused(request, reason, sent_ms))
            }
            Err(BrokerError::RateLimited { retry_after }) => {
                let ms = i64::try_from(retry_after.as_millis()).unwrap_or(i64::MAX);
                self.release_and_wait(ms, Waits::Turn, "the broker's rate limit")
            }
            Err(error @ BrokerError::Unknown(_)) => {
                tracing::warn!(order = request.client_order_id, tries, %error, "the order's outcome is not known");
                if planted::is(Mistake::TimeoutIsRejection) {
                    return self.rejected(&request, error.to_string());
                }
                self.job.sent_ms = Some(self.now.mono_ms);
                self.ask(Unknown::new(request, tries, self.now.mono_ms))
            }
            Err(error) => self.again(request, tries, error),
        }
    }

    /// What is certainly not at the broker is sent again after a pause, a few times.
    pub(super) fn again(&mut self, request: Cleared<OrderRequest>, tries: u32, error: BrokerError) -> Effect {
        if tries >= TRIES {
            return self.broker_trouble(error);
        }
        let ms = PAUSE_MS << (tries - 1);
        self.to(State::Extending(request, tries + 1), Effect::Wait { ms, waits: Waits::Pause, why: error.to_string() })
    }

    pub(super) fn is_of_the_past(&self, state: &OrderState) -> bool {
        let Some(strategy) = &self.strategy else { return false };
        facts::is_of_the_past(strategy, self.job.action, state, self.rules.skew_ms)
    }

    pub(super) fn rejected(&mut self, request: &OrderRequest, reason: String) -> Effect {
        let (key, action, order) = (&self.job.key, self.job.action, &request.client_order_id);
        if self.alone {
            // Without Redis there is no next attempt, and the broker has no trace of this one. Others may know of the refusal,
            // and go on with the next: all of those are looked for again.
            self.others.retain(|_, found| found.is_some());
            tracing::error!(key, %action, order, reason, "EXIT NOT EXECUTED: the broker refuses it; it is tried again");
            return self.release_and_wait(REFUSED_WAIT_MS, Waits::Turn, "the broker refuses it");
        }
        tracing::info!(key, %action, order, reason, "order rejected");
        let state = self.dead(request.client_order_id.clone(), &reason);
        self.found(&state)
    }

    /// An order that the broker does not have, and never will.
    pub(super) fn dead(&self, client_order_id: String, text: &str) -> OrderState {
        OrderState {
            client_order_id,
            status: ExecType::Rejected,
            cum_qty: Quantity::ZERO,
            avg_px: None,
            text: text.to_owned(),
            ts_ms: self.now.wall_ms,
        }
    }
}
