//! What an exit must make sure of before it is sent.

use super::super::{EARLIER_ATTEMPTS_MAX, LATER_ATTEMPTS_MAX};
use super::{CANCEL_WAIT_MS, CLOCK_LOOK_MS, Facts, Known, PERSON_WAIT_MS, SETTLE_LOOK_MS, Step};
use crate::broker::OrderState;
use strat_core::planted::{self, Mistake};
use strat_core::{ExecType, Leg, Position, Quantity};

impl Facts<'_> {
    /// An exit first makes sure that the entry is dead and that what it filled is known.
    pub(super) fn before_exit(&self) -> Option<Step> {
        let strategy = self.strategy;
        if let Some(left) = strategy.retry_at.map(|at| at - self.now.wall_ms).filter(|left| *left > 0) {
            // In steps: a clock that was behind may be set right meanwhile.
            return Some(Step::Wait { ms: left.min(CLOCK_LOOK_MS), why: "the last attempt failed a moment ago" });
        }
        let entry_works = strategy.working.is_some_and(|working| working.leg(strategy.side) == Leg::Entry);
        let entry_open = entry_works || strategy.position == Position::None;
        match &self.entry {
            _ if self.entry_reported => None,
            Known::NotAsked => entry_open.then_some(Step::KillEntry),
            Known::There(state) if !state.status.is_terminal() => {
                Some(Step::Wait { ms: CANCEL_WAIT_MS, why: "the entry's cancellation is under way" })
            }
            Known::There(state) => {
                let news = entry_works
                    || state.cum_qty > strategy.filled
                    || (strategy.position == Position::None && state.cum_qty > Quantity::ZERO);
                news.then(|| Step::ReportEntry(state.clone()))
            }
            Known::Absent => match self.unsettled(self.entry_asked_ms) {
                Some(ms) => Some(Step::Wait { ms, why: "the entry may still show at the broker" }),
                None => entry_works.then(|| Step::ReportEntry(self.never_arrived())),
            },
        }
    }

    /// How much longer a look-up may miss what was sent at `since_ms`, in steps of which each asks again. Counted from when
    /// the broker was asked: its answer may have taken its time.
    pub(super) fn unsettled(&self, since_ms: Option<i64>) -> Option<i64> {
        let left = since_ms?.saturating_add(self.settle_ms).saturating_sub(self.asked_ms);
        (left > 0 && !planted::is(Mistake::AbsenceUnproven)).then(|| left.min(SETTLE_LOOK_MS))
    }

    /// The end of an entry that the broker does not know.
    fn never_arrived(&self) -> OrderState {
        OrderState {
            client_order_id: self.order_id(Leg::Entry),
            status: ExecType::Canceled,
            cum_qty: Quantity::ZERO,
            avg_px: None,
            text: "the broker does not have the order".to_owned(),
            ts_ms: self.now.wall_ms,
        }
    }

    /// Two attempts alive would sell twice. On each side the likeliest is asked for last, and the later ones after the
    /// earlier: what the broker said of them must not grow old.
    pub(super) fn beside_other_attempts(&self) -> Option<Step> {
        self.beside_earlier().or_else(|| self.beside_later())
    }

    /// The strategy may be further than is known: what comes fresh from the queue is as new as it gets, everything else may
    /// come from an older copy.
    fn beside_later(&self) -> Option<Step> {
        if !self.alone && !self.must_query {
            return None;
        }
        let attempt = self.strategy.attempt;
        let first = self.later_alone.unwrap_or(attempt + 1);
        let last = if self.stale { attempt + LATER_ATTEMPTS_MAX } else { first };
        for later in (first..=last).rev() {
            match self.others.get(&later) {
                None => return Some(Step::QueryAttempt(later)),
                Some(Some(_)) if self.alone => {
                    return alarm(
                        "the broker has a later attempt: the strategy is further than this engine knows, Redis must say",
                    );
                }
                // This one is dead, but where somebody without Redis sent it a moment ago it may not show yet.
                Some(Some(_)) => {
                    let ms = self.unsettled(self.sent_ms.max(self.opened_ms));
                    return Some(ms.map_or(Step::Superseded, |ms| Step::Wait { ms, why: "it may still show" }));
                }
                Some(None) => {}
            }
        }
        // An exit that is said to work, and the broker does not have it: it died, and Redis has lost that.
        let works = self.strategy.working.is_some_and(|action| action.leg(self.strategy.side) == Leg::Exit);
        let lost = self.later_alone.is_some() || (self.restored && works);
        let ms = self.unsettled(self.sent_ms.filter(|_| lost))?;
        Some(Step::Wait { ms, why: "a later attempt may still show at the broker" })
    }

    /// Attempts that were taken for dead must be: an engine that had not heard of it may have sent one late.
    fn beside_earlier(&self) -> Option<Step> {
        let attempt = self.strategy.attempt;
        let mut filled = Quantity::ZERO;
        for earlier in attempt.saturating_sub(EARLIER_ATTEMPTS_MAX)..attempt {
            match self.others.get(&earlier) {
                None => return Some(Step::QueryAttempt(earlier)),
                Some(Some(state)) if !state.status.is_terminal() => return Some(Step::KillBefore(earlier)),
                Some(Some(state)) => filled = filled.plus(state.cum_qty),
                Some(None) => {}
            }
        }
        if filled > self.strategy.prior_exit.0 {
            return alarm("an attempt that was taken for dead has filled: compare the position at the broker");
        }
        None
    }
}

fn alarm(why: &'static str) -> Option<Step> {
    Some(Step::Alarm { ms: PERSON_WAIT_MS, why })
}
