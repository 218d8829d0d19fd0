//! Execution reports on their way from a broker to the executor.

use super::OrderState;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A queue that holds the newest report of each order.
///
/// Reports are cumulative, so one that waits may be replaced by the next of the same order. That bounds the queue
/// by the number of orders, without ever making the broker's side wait.
#[derive(Debug, Default)]
pub struct ReportQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<String>,
    newest: HashMap<String, OrderState>,
}

impl ReportQueue {
    /// Adds a report.
    pub fn push(&self, report: OrderState) {
        {
            let mut waiting = self.lock();
            let id = report.client_order_id.clone();
            if waiting.newest.insert(id.clone(), report).is_none() {
                waiting.order.push_back(id);
            }
        }
        self.arrived.notify_one();
    }

    /// The oldest order's newest report, if one waits.
    #[must_use]
    pub fn try_next(&self) -> Option<OrderState> {
        let mut waiting = self.lock();
        let id = waiting.order.pop_front()?;
        waiting.newest.remove(&id)
    }

    /// Waits for a report. Cancel safe.
    pub async fn next(&self) -> OrderState {
        loop {
            let arrived = self.arrived.notified();
            if let Some(report) = self.try_next() {
                return report;
            }
            arrived.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::{ExecType, Quantity};

    fn report(id: &str, status: ExecType, units: i64) -> OrderState {
        let cum_qty = Quantity::from_units(units);
        OrderState { client_order_id: id.into(), status, cum_qty, avg_px: None, text: String::new(), ts_ms: 0 }
    }

    #[tokio::test]
    async fn a_newer_report_of_an_order_takes_the_place_of_the_older() {
        let queue = ReportQueue::default();
        queue.push(report("a", ExecType::New, 0));
        queue.push(report("b", ExecType::New, 0));
        queue.push(report("a", ExecType::Fill, 5));
        assert_eq!(queue.next().await, report("a", ExecType::Fill, 5));
        assert_eq!(queue.next().await.client_order_id, "b");
        assert_eq!(queue.try_next(), None);
    }
}
