//! What an engine has sent, so that its own jobs do not send one order beside each other.

use super::Rules;
use crate::broker::Idempotency;
use std::collections::HashMap;
use strat_core::planted::{self, Mistake};

/// Submissions remembered; more than that within the time that a broker may deny an order are none of one engine's.
const SENT_MAX: usize = 100_000;

/// A submission: when, by the monotonic clock, and which of the engine's jobs made it.
type Made = (i64, u64);

/// When an engine last sent each order, and when before that.
#[derive(Debug, Default)]
pub struct Submissions(HashMap<String, (Made, Option<Made>)>);

impl Submissions {
    /// Notes that a job sends an order now. `false` where another job of the engine sent it so short a time before the
    /// broker was last asked for it, at `asked_ms`, that it may not have shown: the job of the queue, and one that works
    /// without Redis. With brokers that would take it twice not even the same job may.
    pub fn may_send(&mut self, id: &str, job: u64, (asked_ms, now_ms): (i64, i64), rules: Rules) -> bool {
        let others = |by: u64| by != job || rules.idempotency != Idempotency::Dedupes;
        let fresh = |at: i64| asked_ms.saturating_sub(at) < rules.settle_ms;
        let last = self.0.get(id).map(|(last, _)| *last);
        if last.is_some_and(|(at, by)| fresh(at) && others(by)) && !planted::is(Mistake::BlindResend) {
            return false;
        }
        if self.0.len() >= SENT_MAX {
            self.0.retain(|_, ((at, _), _)| fresh(*at));
        }
        self.0.insert(id.to_owned(), ((now_ms, job), last));
        true
    }

    /// Whether an order may be at the broker although it denied that when it was asked at `asked_ms`, because a job of this
    /// engine sent it so short a time before. What `asker` itself sent it knows.
    #[must_use]
    pub fn may_hide(&self, id: &str, asker: Option<u64>, asked_ms: i64, rules: Rules) -> bool {
        let made = self.0.get(id).map(|(last, _)| *last).filter(|(_, by)| Some(*by) != asker);
        made.is_some_and(|(at, _)| asked_ms.saturating_sub(at) < rules.settle_ms)
    }

    /// Takes the last submission of an order back, which certainly never was one. What was sent before stands.
    pub fn never_sent(&mut self, id: &str) {
        let before = self.0.remove(id).and_then(|(_, before)| before);
        if let Some(before) = before {
            self.0.insert(id.to_owned(), (before, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { idempotency: Idempotency::Dedupes, skew_ms: 0, settle_ms: 100 };

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
        let mut sent = Submissions::default();
        assert!(sent.may_send("A", 1, (0, 0), RULES));
        assert!(sent.may_send("A", 1, (50, 50), RULES));
        sent.never_sent("A");
        assert!(!sent.may_send("A", 2, (60, 60), RULES));
        assert!(sent.may_send("B", 1, (0, 0), RULES));
        sent.never_sent("B");
        assert!(sent.may_send("B", 2, (0, 0), RULES));
    }
}
