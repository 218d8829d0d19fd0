//! Execution reports, numbered. They live in memory only: after a restart the numbers begin anew, and what was not
//! fetched is gone.

use serde_json::{Value, json};
use std::collections::VecDeque;

/// Reports kept; whoever is further behind misses some.
const KEPT: usize = 10_000;
/// Most reports in one answer.
const ANSWER_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Feed {
    reports: VecDeque<(i64, Value)>,
    last: i64,
}

impl Feed {
    /// Adds a report of an order.
    pub(crate) fn push(&mut self, order: &Value) {
        self.last += 1;
        self.add(order);
    }

    /// Adds a report under the number of the last one.
    pub(crate) fn repeat(&mut self, order: &Value) {
        self.add(order);
    }

    fn add(&mut self, order: &Value) {
        let mut report = order.clone();
        report["seq"] = json!(self.last);
        self.reports.push_back((self.last, report));
        if self.reports.len() > KEPT {
            self.reports.pop_front();
        }
    }

    /// Whether somebody who has seen `after` has something to learn.
    pub(crate) const fn has_news(&self, after: i64) -> bool {
        after != self.last
    }

    /// What follows `after`; with -1, only the number of the last one.
    pub(crate) fn answer(&self, after: i64) -> Value {
        let news = self.reports.iter().filter(|(seq, _)| after >= 0 && *seq > after);
        let reports: Vec<_> = news.take(ANSWER_MAX).map(|(_, report)| report.clone()).collect();
        json!({ "last": self.last, "reports": reports })
    }
}
