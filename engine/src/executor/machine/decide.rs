//! From what is known to the next effect.

use super::{COPY_LIFE_MS, Effect, Facts, OrderMachine, OrderName, State, Step, Waits, facts};
use crate::metrics;
use strat_core::{ExecType, Leg, Strategy, StrategyKey};

impl OrderMachine {
    pub(super) fn decide(&mut self) -> Effect {
        let Some(strategy) = self.strategy.clone() else { return self.give_back("the strategy is not known") };
        let key = self.job.key.clone();
        let Some(key) = StrategyKey::parse(&key) else {
            return self.release_and_discard("its key is not a strategy's");
        };
        let facts = Facts {
            key,
            strategy: &strategy,
            action: self.job.action,
            cycle: self.job.cycle,
            now: self.now,
            asked_ms: self.asked_ms,
            opened_ms: self.opened_ms,
            unasked: self.job.unasked,
            must_query: self.job.must_query,
            sent_ms: self.job.sent_ms,
            entry_asked_ms: self.job.entry_asked_ms,
            skew_ms: self.rules.skew_ms,
            settle_ms: self.rules.settle_ms,
            due_ms: self.job.due_ms,
            grace_ms: self.grace_ms,
            entries_wait: self.entries_wait,
            risk: self.risk.clone(),
            idempotency: self.rules.idempotency,
            ladder: self.rules.ladder,
            own: self.own.clone(),
            entry: self.entry.clone(),
            entry_reported: self.entry_reported,
            others: &self.others,
            alone: self.alone,
            stale: self.alone && self.now.mono_ms.saturating_sub(self.copied_ms) > COPY_LIFE_MS,
            later_alone: self.later_alone,
            restored: self.restored,
        };
        let (step, id) = (facts.next_step(), facts.own_id());
        self.carry_out(step, &strategy, id)
    }

    fn carry_out(&mut self, step: Step, strategy: &Strategy, id: String) -> Effect {
        match step {
            Step::QueryAttempt(attempt) => match self.name_of(&Strategy { attempt, ..strategy.clone() }, Leg::Exit) {
                Some(name) => self.to(State::LookingForAttempt(attempt), Effect::Lookup(name)),
                None => self.give_back("the order has no name"),
            },
            Step::KillBefore(attempt) => match self.name_of(&Strategy { attempt, ..strategy.clone() }, Leg::Exit) {
                Some(name) => self.to(State::CancelingBefore, Effect::Cancel(name)),
                None => self.give_back("the order has no name"),
            },
            Step::Superseded => {
                tracing::warn!(
                    key = self.job.key,
                    order = id,
                    "the broker has a later attempt of this exit, which is followed"
                );
                self.report(&self.dead(id, "the broker has a later attempt of this exit"))
            }
            Step::Drop(why) => self.release_and_discard(why),
            Step::Wait { ms, why } => self.release_and_wait(ms, Waits::Turn, why),
            Step::Alarm { ms, why } => {
                tracing::error!(key = self.job.key, action = %self.job.action, order = id, why, "ORDER NOT SENT");
                self.release_and_wait(ms, Waits::Person, why)
            }
            Step::Refuse(why) => {
                tracing::error!(key = self.job.key, action = %self.job.action, order = id, why, "entry refused");
                self.end(ExecType::Rejected, why)
            }
            Step::Deny(refused) => {
                metrics::risk_refused(refused.rule);
                tracing::warn!(key = self.job.key, action = %self.job.action, order = id, %refused, "entry refused");
                self.end(ExecType::Rejected, &refused.to_string())
            }
            Step::Expire(why) => {
                tracing::warn!(key = self.job.key, action = %self.job.action, why, "entry not sent");
                self.end(ExecType::Expired, &why)
            }
            Step::Conclude => self.end(ExecType::Canceled, "nothing to exit"),
            Step::KillEntry => match self.name_of(strategy, Leg::Entry) {
                Some(name) => self.to(State::CancelingEntry(name.clone()), Effect::Cancel(name)),
                None => self.give_back("the entry has no name"),
            },
            Step::ReportEntry(state) => self.report_entry(strategy, &state),
            Step::Query => match self.name_of(strategy, self.job.action.leg(strategy.side)) {
                Some(name) => {
                    // Before the question, so that no report can fall between it and the answer.
                    self.order = Some(name.clone());
                    self.to(State::Looking, Effect::Lookup(name))
                }
                None => self.give_back("the order has no name"),
            },
            Step::Adopt(state) => {
                self.order = self.name_of(strategy, self.job.action.leg(strategy.side));
                self.found(&state)
            }
            Step::Submit(request) => self.extend(request, 1),
        }
    }

    /// How an order of this cycle is called at the broker.
    pub(super) fn name_of(&self, strategy: &Strategy, leg: Leg) -> Option<OrderName> {
        let key = StrategyKey::parse(&self.job.key)?;
        let id = facts::order_id(key, strategy, (self.job.cycle, leg), self.job.action);
        Some(OrderName { client_order_id: id, user: key.user.to_owned(), symbol: strategy.symbol.clone() })
    }
}
