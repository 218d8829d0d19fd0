//! What an engine has sent, so that its own jobs do not send one order beside each other.

use super::Rules;
use crate::broker::{BrokerError, Idempotency, OrderState};
use std::collections::HashMap;
use strat_core::planted::{self, Mistake};

/// Submissions remembered; more than that within the time that a broker may deny an order are none of one engine's.
const SENT_MAX: usize = 100_000;

/// A word to Redis arrives within this or not at all, ms.
const TELLING_MS: i64 = 10_000;

/// A submission: when, by the monotonic clock, and which of the engine's jobs made it.
type Made = (i64, u64);

#[derive(Debug)]
struct Sent {
    last: Made,
    /// The broker refused the last one.
    refused: bool,
    /// The one before, which a refusal of the last says nothing about.
    before: Option<Made>,
}

impl Sent {
    /// The submission that may be at the broker.
    fn alive(&self) -> Option<Made> {
        if self.refused { self.before } else { Some(self.last) }
    }
}

/// When an engine last sent each order, and when before that.
#[derive(Debug, Default)]
pub struct Submissions {
    sent: HashMap<String, Sent>,
    /// Orders whose rejection a job is telling Redis, and since when.
    telling: HashMap<String, Made>,
}

impl Submissions {
    /// Notes that a job sends an order now. `false` where another job of the engine sent it so short a time before the
    /// broker was last asked for it, at `asked_ms`, that it may not have shown: the job of the queue, and one that works
    /// without Redis. With brokers that would take it twice not even the same job may.
    pub fn may_send(&mut self, id: &str, job: u64, (asked_ms, now_ms): (i64, i64), rules: Rules) -> bool {
        let others = |by: u64| by != job || rules.idempotency != Idempotency::Dedupes;
        let fresh = |at: i64| asked_ms.saturating_sub(at) < rules.settle_ms;
        let told = self.telling.get(id).is_some_and(|(at, by)| *by != job && now_ms.saturating_sub(*at) < TELLING_MS);
        let known = self.sent.get(id);
        // One that was refused as well: whoever is about to say so must not be overtaken.
        let busy = told || known.is_some_and(|sent| fresh(sent.last.0) && others(sent.last.1));
        if busy && !planted::is(Mistake::BlindResend) {
            return false;
        }
        let before = known.and_then(Sent::alive);
        if self.sent.len() >= SENT_MAX {
            self.sent.retain(|_, sent| fresh(sent.last.0));
        }
        self.sent.insert(id.to_owned(), Sent { last: (now_ms, job), refused: false, before });
        true
    }

    /// A job is about to tell Redis that an order was rejected: until that has arrived no other job sends it. `false` where
    /// one has sent it since the broker was last asked for it, at `asked_ms`, or so short a time before that it may not
    /// have shown: then it must not be told.
    pub fn telling(&mut self, id: &str, job: u64, (asked_ms, now_ms): (i64, i64), rules: Rules) -> bool {
        if self.may_hide(id, Some(job), asked_ms, rules) {
            return false;
        }
        self.telling.retain(|_, (at, _)| now_ms.saturating_sub(*at) < TELLING_MS);
        self.telling.insert(id.to_owned(), (now_ms, job));
        true
    }

    /// Redis has answered, or will not.
    pub fn told(&mut self, id: &str, job: u64) {
        if self.telling.get(id).is_some_and(|(_, by)| *by == job) {
            self.telling.remove(id);
        }
    }

    /// Takes the broker's word on a job's submission: what it refused, or certainly never got, is not there.
    pub fn answered(&mut self, id: &str, job: u64, answer: &Result<OrderState, BrokerError>) {
        let Some(sent) = self.sent.get_mut(id).filter(|sent| sent.last.1 == job) else { return };
        match (answer, sent.before) {
            (Err(BrokerError::Rejected(_)), _) => sent.refused = true,
            (Err(BrokerError::Unavailable(_) | BrokerError::RateLimited { .. }), Some(before)) => {
                *sent = Sent { last: before, refused: false, before: None };
            }
            (Err(BrokerError::Unavailable(_) | BrokerError::RateLimited { .. }), None) => drop(self.sent.remove(id)),
            _ => {}
        }
    }

    /// Whether an order may be at the broker although it denied that when it was asked at `asked_ms`, because a job of this
    /// engine sent it so short a time before. What `asker` itself sent it knows.
    #[must_use]
    pub fn may_hide(&self, id: &str, asker: Option<u64>, asked_ms: i64, rules: Rules) -> bool {
        let made = self.sent.get(id).and_then(Sent::alive).filter(|(_, by)| Some(*by) != asker);
        made.is_some_and(|(at, _)| asked_ms.saturating_sub(at) < rules.settle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::Ladder;

    const RULES: Rules =
        Rules { idempotency: Idempotency::Dedupes, skew_ms: 0, settle_ms: 100, fresh_ms: 0, ladder: Ladder::NONE };

    #[test]
    fn two_jobs_do_not_send_one_order_beside_each_other() {
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        assert!(!sent.may_send("A", 2, (99, 99), RULES), "it may not show yet");
        assert!(sent.may_send("A", 1, (99, 99), RULES), "the same job, and the broker dedupes");
        let twice = Rules { idempotency: Idempotency::Queryable, ..RULES };
        assert!(!sent.may_send("A", 1, (150, 150), twice), "not even the same job");
        assert!(sent.may_send("A", 2, (199, 199), RULES), "it would show by now");
    }

    #[test]
    fn what_another_job_sent_a_moment_ago_may_hide() {
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        assert!(sent.may_hide("A", Some(2), 99, RULES) && sent.may_hide("A", None, 99, RULES));
        assert!(!sent.may_hide("A", Some(1), 99, RULES), "its own order");
        assert!(!sent.may_hide("A", Some(2), 100, RULES) && !sent.may_hide("B", None, 0, RULES));
    }

    #[test]
    fn what_was_never_sent_does_not_hide_what_was_sent_before() {
        let away = || Err(BrokerError::Unavailable("away".to_owned()));
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        assert!(sent.may_send("A", 1, (50, 50), RULES));
        sent.answered("A", 1, &away());
        assert!(!sent.may_send("A", 2, (60, 60), RULES));
        assert!(sent.may_send("A", 2, (100, 100), RULES));
        sent.answered("A", 1, &away());
        assert!(sent.may_hide("A", None, 110, RULES), "an answer to another job's request");
        assert!(sent.may_send("B", 1, (0, 0), RULES));
        sent.answered("B", 1, &away());
        assert!(sent.may_send("B", 2, (0, 0), RULES));
    }

    #[test]
    fn nobody_sends_what_is_being_told_to_be_rejected() {
        let mut sent = Submissions::default();
        assert!(sent.telling("A", 1, (0, 0), RULES));
        assert!(!sent.may_send("A", 2, (500, 500), RULES) && sent.may_send("B", 2, (500, 500), RULES));
        sent.told("A", 2);
        assert!(!sent.may_send("A", 2, (500, 500), RULES), "another job's word");
        sent.told("A", 1);
        assert!(sent.may_send("A", 2, (500, 500), RULES));
        assert!(sent.telling("C", 1, (0, 0), RULES));
        assert!(sent.may_send("C", 2, (TELLING_MS, TELLING_MS), RULES), "it never stands in the way for good");
    }

    #[test]
    fn nobody_tells_to_be_rejected_what_another_job_has_just_sent() {
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        assert!(sent.may_send("A", 2, (200, 200), RULES));
        assert!(!sent.telling("A", 1, (199, 201), RULES), "sent since the broker was asked");
        assert!(!sent.telling("A", 1, (299, 299), RULES), "it may not show yet");
        assert!(sent.may_send("A", 2, (299, 299), RULES), "nothing is being told");
        assert!(sent.telling("A", 2, (299, 299), RULES), "its own order");
        assert!(sent.telling("A", 1, (400, 400), RULES));
        assert!(sent.may_send("B", 2, (0, 0), RULES));
        sent.answered("B", 2, &Err(BrokerError::Rejected("no funds".to_owned())));
        assert!(sent.telling("B", 1, (1, 1), RULES), "that one was refused as well");
    }

    #[test]
    fn what_was_refused_hides_nowhere_and_is_not_overtaken() {
        let refused = || Err(BrokerError::Rejected("no funds".to_owned()));
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        sent.answered("A", 1, &refused());
        assert!(!sent.may_hide("A", None, 1, RULES));
        assert!(!sent.may_send("A", 2, (1, 1), RULES));
        // A refusal may be that of a repeat.
        assert!(sent.may_send("B", 1, (0, 0), RULES) && sent.may_send("B", 1, (10, 10), RULES));
        sent.answered("B", 1, &refused());
        assert!(sent.may_hide("B", None, 20, RULES));
    }
}
