//! What an engine has sent, so that its own jobs do not send one order beside each other.

use super::Rules;
use crate::broker::Idempotency;
use std::collections::HashMap;
use strat_core::planted::{self, Mistake};

/// Submissions remembered; more than that within the time that a broker may deny an order are none of one engine's.
const SENT_MAX: usize = 100_000;

/// When an engine last sent each order, by the monotonic clock, and which of its jobs did.
#[derive(Debug, Default)]
pub struct Submissions(HashMap<String, (i64, u64)>);

impl Submissions {
    /// Notes that a job sends an order now. `false` where another job of the engine sent it so short a time before the
    /// broker was last asked for it, at `asked_ms`, that it may not have shown: the job of the queue, and one that works
    /// without Redis. With brokers that would take it twice not even the same job may.
    pub fn may_send(&mut self, id: &str, job: u64, (asked_ms, now_ms): (i64, i64), rules: Rules) -> bool {
        let others = |by: u64| by != job || rules.idempotency != Idempotency::Dedupes;
        let fresh = |at: i64| asked_ms.saturating_sub(at) < rules.settle_ms;
        if self.0.get(id).is_some_and(|(at, by)| fresh(*at) && others(*by)) && !planted::is(Mistake::BlindResend) {
            return false;
        }
        if self.0.len() >= SENT_MAX {
            self.0.retain(|_, (at, _)| fresh(*at));
        }
        self.0.insert(id.to_owned(), (now_ms, job));
        true
    }

    /// Takes a submission back that certainly never was one.
    pub fn never_sent(&mut self, id: &str) {
        self.0.remove(id);
    }
}
