//! What the stages of an order's machine have in common: going on, waiting, and giving the lock back.

use super::state::{After, State};
use super::{ANSWERS_LIFE_MS, Effect, Known, OrderMachine, TROUBLE_WAIT_MS, Waits};
use crate::broker::{BrokerError, OrderState};
use std::sync::Arc;

impl OrderMachine {
    pub(super) fn to(&mut self, state: State, effect: Effect) -> Effect {
        self.state = state;
        effect
    }

    pub(super) fn go(&mut self, epoch: Option<Arc<str>>) -> Effect {
        (self.own, self.entry, self.entry_reported) = (Known::NotAsked, Known::NotAsked, false);
        self.forget_others();
        self.asked_ms = self.now.mono_ms;
        if std::mem::take(&mut self.job.doubtful) {
            self.job.doubt(self.now.mono_ms);
        }
        if self.alone {
            return self.decide();
        }
        if self.lock.is_some() {
            return self.to(State::ReleasingBeforeClaim, Effect::Release);
        }
        match epoch {
            None => self.await_epoch(),
            Some(epoch) => {
                self.claimed_ms = self.now.mono_ms;
                self.to(State::Claiming, Effect::Claim { epoch })
            }
        }
    }

    /// Without Redis there is nothing left to do: only Redis has to hear of it.
    pub(super) fn hand_to_redis(&mut self) {
        (self.alone, self.handed) = (false, true);
        self.forget_entry_asked();
    }

    /// Somebody with Redis may have sent the entry while this one looked for it without: that time does not count.
    pub(super) fn forget_entry_asked(&mut self) {
        self.job.entry_asked_ms = None;
    }

    /// Other attempts are asked for anew, but for what has ended for good, and, without Redis, those that are farther than
    /// the next: a broker that takes few requests must not be asked for all of them over and over. Not for long, for others
    /// may send them meanwhile.
    fn forget_others(&mut self) {
        let next = self.strategy.as_ref().map_or(0, |strategy| strategy.attempt + 1);
        let ended = |found: &Option<OrderState>| found.as_ref().is_some_and(|state| state.status.is_terminal());
        let kept = self.alone && self.now.mono_ms.saturating_sub(self.others_ms) < ANSWERS_LIFE_MS;
        self.others.retain(|attempt, found| ended(found) || (kept && *attempt > next));
    }

    /// What a look-up found, or had found before: an order that has ended does not become one that never was.
    pub(super) fn recall(&mut self, found: Option<OrderState>) -> Option<OrderState> {
        let found = found.or_else(|| self.ended.clone().filter(|ended| self.is_own(ended)));
        self.ended = found.clone().filter(|state| state.status.is_terminal()).or(self.ended.take());
        found
    }

    /// Waits until the gate is open. An exit that is not out yet looks again itself: Redis may go away meanwhile.
    pub(super) fn await_epoch(&mut self) -> Effect {
        if self.job.unasked && !self.handed {
            return self.wait(TROUBLE_WAIT_MS, Waits::Turn, "the gate is shut");
        }
        self.to(State::Idle, Effect::AwaitEpoch)
    }

    /// The strategy may have changed while the broker was asked.
    pub(super) fn look_again(&mut self) -> Effect {
        if self.alone { self.decide() } else { self.to(State::Reading, Effect::Read) }
    }

    pub(super) fn broker_trouble(&mut self, error: BrokerError) -> Effect {
        let ms = match &error {
            BrokerError::RateLimited { retry_after } => i64::try_from(retry_after.as_millis()).unwrap_or(i64::MAX),
            _ => TROUBLE_WAIT_MS,
        };
        self.release_and_wait(ms, Waits::Turn, error.to_string())
    }

    pub(super) fn give_back(&mut self, why: impl Into<String>) -> Effect {
        self.release_and_wait(TROUBLE_WAIT_MS, Waits::Turn, why)
    }

    /// Whatever was sent before the wait, the next look begins with a question.
    pub(super) fn wait(&mut self, ms: i64, waits: Waits, why: impl Into<String>) -> Effect {
        self.to(State::Idle, Effect::Wait { ms, waits, why: why.into() })
    }

    pub(super) fn release_and_wait(&mut self, ms: i64, waits: Waits, why: impl Into<String>) -> Effect {
        self.job.must_query = true;
        self.reported = None;
        let wait = Effect::Wait { ms, waits, why: why.into() };
        if self.lock.is_none() {
            return self.to(State::Idle, wait);
        }
        self.to(State::Releasing(After::Wait(wait)), Effect::Release)
    }

    pub(super) fn release_and_discard(&mut self, why: impl Into<String>) -> Effect {
        let why = why.into();
        if self.lock.is_none() {
            return self.to(State::Discarding, Effect::Discard { why });
        }
        self.to(State::Releasing(After::Discard(why)), Effect::Release)
    }
}
