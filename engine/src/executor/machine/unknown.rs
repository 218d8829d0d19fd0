//! UNKNOWN: a request was sent and no usable answer came. **That is never a rejection.** Only a look-up decides.
//!
//! | broker | the look-up finds it | it does not |
//! |---|---|---|
//! | dedupes ids | followed | sent again: the same order |
//! | can be asked | followed | asked until the request must show by now; then sent again |
//! | neither | followed | asked as long; then given up: a person must decide, nothing is sent again |

use super::{Effect, Input, OrderMachine, OrderName, PAUSE_MS, State, TRIES, Waits, astray};
use crate::broker::{BrokerError, Idempotency, OrderRequest};
use strat_core::planted::{self, Mistake};
use strat_core::risk::Cleared;

/// Longest pause between two look-ups, ms.
const PAUSE_MS_MAX: i64 = 500;

/// Pause before an exit is looked up and sent again without Redis, ms.
const ALONE_PAUSE_MS: i64 = 200;

/// An order whose outcome is not known.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    request: Cleared<OrderRequest>,
    /// Submissions so far.
    tries: u32,
    /// Look-ups that got no answer, one after the other.
    mute: u32,
    pause_ms: i64,
    /// The broker refused the order, perhaps as a repeat of itself.
    refused: Option<String>,
    /// When it was last sent without a usable answer, by the monotonic clock; `None`: never.
    sent_ms: Option<i64>,
}

impl Unknown {
    pub(super) const fn new(request: Cleared<OrderRequest>, tries: u32, sent_ms: i64) -> Self {
        Self { request, tries, mute: 0, pause_ms: PAUSE_MS, refused: None, sent_ms: Some(sent_ms) }
    }

    pub(super) const fn refused(request: Cleared<OrderRequest>, reason: String, sent_ms: Option<i64>) -> Self {
        Self { request, tries: TRIES, mute: 0, pause_ms: PAUSE_MS, refused: Some(reason), sent_ms }
    }
}

impl OrderMachine {
    /// Looks the order up.
    pub(super) fn ask(&mut self, unknown: Unknown) -> Effect {
        if planted::is(Mistake::BlindResend) && unknown.refused.is_none() && unknown.tries < TRIES {
            return self.submit(unknown.request, unknown.tries + 1);
        }
        let name = OrderName::of(&unknown.request);
        self.asked_ms = self.now.mono_ms;
        self.to(State::Unknown(unknown), Effect::Lookup(name))
    }

    pub(super) fn resolve(&mut self, mut unknown: Unknown, input: Input) -> Effect {
        match input {
            Input::Go { .. } => self.ask(unknown),
            Input::Looked(Ok(Some(state))) => self.found(&state),
            Input::Looked(Ok(None)) => self.absent(unknown),
            Input::Looked(Err(error)) => {
                unknown.mute += 1;
                if unknown.mute >= TRIES {
                    return self.broker_trouble(error);
                }
                self.ask_later(unknown, error.to_string())
            }
            other => {
                astray(&other, "an unknown outcome");
                self.ask(unknown)
            }
        }
    }

    fn absent(&mut self, unknown: Unknown) -> Effect {
        let settled = unknown.sent_ms.is_none_or(|sent| self.asked_ms >= sent.saturating_add(self.rules.settle_ms))
            || planted::is(Mistake::AbsenceUnproven);
        match self.rules.idempotency {
            _ if unknown.refused.is_some() && settled => {
                let reason = unknown.refused.unwrap_or_default();
                self.rejected(&unknown.request, reason)
            }
            // Others may have gone on meanwhile, with Redis or without.
            Idempotency::Dedupes | Idempotency::Queryable if self.alone && (settled || self.dedupes()) => {
                self.release_and_wait(ALONE_PAUSE_MS, Waits::Turn, "the broker does not have it")
            }
            Idempotency::Dedupes if unknown.refused.is_none() => {
                let error = BrokerError::Unknown("the broker does not have it".to_owned());
                self.again(unknown.request, unknown.tries, error)
            }
            _ if !settled => self.ask_later(unknown, "the request may still arrive".to_owned()),
            Idempotency::Queryable => {
                let error = BrokerError::Unknown("proven absent".to_owned());
                self.again(unknown.request, unknown.tries, error)
            }
            // The next look says that a person must decide.
            _ => self.give_back("nobody knows whether the order was sent"),
        }
    }

    fn dedupes(&self) -> bool {
        self.rules.idempotency == Idempotency::Dedupes
    }

    fn ask_later(&mut self, mut unknown: Unknown, why: String) -> Effect {
        let ms = unknown.pause_ms;
        unknown.pause_ms = (ms * 2).min(PAUSE_MS_MAX);
        self.to(State::Unknown(unknown), Effect::Wait { ms, waits: Waits::Pause, why })
    }
}
