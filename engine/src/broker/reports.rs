//! Execution reports on their way from a broker to the executor.

use super::OrderState;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use strat_core::{ExecType, Quantity};
use tokio::sync::Notify;

/// A queue that holds one report of each order: what all those that wait say together.
///
/// Reports are cumulative, so one that waits and the next of the same order become one. That bounds the queue by the
/// number of orders, without ever making the broker's side wait. Brokers repeat themselves and speak out of turn, so
/// the later report is not always the newer one: see `merged`.
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
            match waiting.newest.remove(&id) {
                Some(before) => drop(waiting.newest.insert(id, merged(before, report))),
                None => {
                    waiting.newest.insert(id.clone(), report);
                    waiting.order.push_back(id);
                }
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

/// What two reports of one order say together. Fills are never taken back, and an order that has ended stays ended
/// even if a fill arrives late.
fn merged(before: OrderState, after: OrderState) -> OrderState {
    let (fuller, other) = if before.cum_qty > after.cum_qty { (before, after) } else { (after, before) };
    let ended = other.status.is_terminal() && !fuller.status.is_terminal();
    // A rejection beside a fill contradicts it: the fill is what cannot be undone.
    if !ended || (other.status == ExecType::Rejected && fuller.cum_qty > Quantity::ZERO) {
        return fuller;
    }
    OrderState { status: other.status, text: other.text, ts_ms: other.ts_ms.max(fuller.ts_ms), ..fuller }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test]
    async fn what_speaks_out_of_turn_takes_nothing_back() {
        use ExecType::{Canceled, Fill, New, PartialFill, Rejected};
        for (first, second, together) in [
            ((Fill, 10), (PartialFill, 5), (Fill, 10)),
            ((PartialFill, 5), (PartialFill, 3), (PartialFill, 5)),
            ((Canceled, 3), (PartialFill, 5), (Canceled, 5)),
            ((PartialFill, 5), (Canceled, 3), (Canceled, 5)),
            ((Canceled, 0), (Fill, 10), (Fill, 10)),
            ((Canceled, 0), (New, 0), (Canceled, 0)),
            ((Rejected, 0), (PartialFill, 5), (PartialFill, 5)),
        ] {
            let queue = ReportQueue::default();
            queue.push(report("a", first.0, first.1));
            queue.push(report("a", second.0, second.1));
            assert_eq!(queue.try_next(), Some(report("a", together.0, together.1)), "{first:?} then {second:?}");
        }
    }
}
