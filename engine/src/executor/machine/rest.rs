//! Exits that rest at the broker because the market has left the prices that they may trade at.

use super::state::State;
use super::{Effect, OrderMachine};
use crate::broker::BrokerError;
use crate::metrics;
use strat_core::{Leg, Protection};

impl OrderMachine {
    /// The broker has not said anything of the order for a while.
    pub(super) fn silent(&mut self) -> Effect {
        let (Some(name), Some(step)) = (self.order.clone(), self.protection()) else {
            return self.look_while_watching();
        };
        // Nothing was filled meanwhile, so nothing will be near that price: once its end is told, the next attempt may
        // trade further away.
        let Self { job, .. } = self;
        tracing::warn!(key = job.key, action = %job.action, order = name.client_order_id, percent = %step, "EXIT NOT FILLED within its protection; it is cancelled, and sent anew with more");
        self.to(State::GivingUp, Effect::Cancel(name))
    }

    /// Whatever became of the cancellation, how the order stands is what a look-up says.
    pub(super) fn given_up(&mut self, outcome: Result<(), BrokerError>) -> Effect {
        if let Err(error) = outcome {
            tracing::warn!(key = self.job.key, %error, "an exit that is not filled cannot be cancelled yet");
        }
        self.look_while_watching()
    }

    fn look_while_watching(&mut self) -> Effect {
        match self.order.clone() {
            Some(name) => self.to(State::WatchLooking, Effect::Lookup(name)),
            None => self.watch(),
        }
    }

    /// Whether the order is an exit that rests where the market leaves the prices that it may trade at.
    #[must_use]
    pub fn may_rest(&self) -> bool {
        self.protection().is_some()
    }

    fn protection(&self) -> Option<Protection> {
        self.rules.ladder.step(self.exit_attempt()?)
    }

    /// Which attempt it is, of an exit.
    fn exit_attempt(&self) -> Option<u64> {
        let strategy = self.strategy.as_ref()?;
        (self.job.action.leg(strategy.side) == Leg::Exit).then_some(strategy.attempt)
    }

    /// Every step of protection was tried: the exit goes on, and a person hears of it.
    pub(super) fn tell_used_up(&self, order: &str) {
        let used_up = self.exit_attempt().filter(|attempt| self.rules.ladder.is_used_up(*attempt));
        if let Some(attempt) = used_up {
            metrics::protection_used_up();
            let (key, action) = (&self.job.key, self.job.action);
            tracing::error!(key, %action, order, attempt, "EXIT NOT FILLED within its widest protection: look at the market, end the position by hand if need be; it is sent again");
        }
    }
}
