//! Entries go on filling at the broker while Redis is away, and what they fill is to be guarded like the rest.

use super::{Guard, lock};
use crate::broker::{Broker, BrokerError, OrderRef, OrderState};
use std::time::Duration;
use strat_core::order::OrderIdentity;
use strat_core::strategy::Report;
use strat_core::{Leg, Strategy, StrategyKey};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two rounds.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Entries asked for in one round.
const ENTRIES_MAX: usize = 1_000;
/// Longest wait for one answer of the broker.
const ANSWER_MAX: Duration = Duration::from_secs(2);

impl Guard {
    /// Asks the broker for the entries in flight while Redis is away, until `cancel`.
    pub async fn ask_of_entries(&self, broker: &dyn Broker, cancel: CancellationToken) {
        let mut rounds = interval(ASK_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = rounds.tick() => {}
            }
            if !self.is_acting() {
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.ask_once(broker) => {}
            }
        }
    }

    pub(super) async fn ask_once(&self, broker: &dyn Broker) {
        let flying = lock(&self.shadow).entries_in_flight(ENTRIES_MAX);
        for (key, strategy) in flying {
            // One that does not answer is not asked a thousand times more.
            if !self.is_acting() || self.ask_of(broker, &key, &strategy).await.is_err() {
                return;
            }
        }
    }

    async fn ask_of(&self, broker: &dyn Broker, key: &str, strategy: &Strategy) -> Result<(), BrokerError> {
        let Some(id) = StrategyKey::parse(key) else { return Ok(()) };
        // A cycle has one entry order.
        let order = OrderIdentity { key: id, cycle: strategy.cycle, leg: Leg::Entry, attempt: 0 }.client_order_id();
        let order = OrderRef { client_order_id: &order, user: id.user, symbol: &strategy.symbol };
        let answer = timeout(ANSWER_MAX, broker.lookup(order)).await;
        let found = answer.unwrap_or_else(|_| Err(BrokerError::Unknown("no answer in time".to_owned())))?;
        // One that is not there may be on its way, or wait in the queue.
        let Some(report) = found.and_then(|state| fill_of(strategy, state, broker.clock_skew())) else { return Ok(()) };
        let filled = report.filled.unwrap_or_default().0;
        tracing::warn!(key, %filled, "an entry was filled while Redis is away; the engine guards what it filled");
        lock(&self.shadow).entry_reported(key, strategy, &report);
        Ok(())
    }
}

/// What the broker's word of an entry adds to what is known. Pure.
fn fill_of(strategy: &Strategy, state: OrderState, skew: Duration) -> Option<Report> {
    let price = state.avg_px.filter(|_| state.cum_qty > strategy.filled)?;
    // A strategy that was deleted and created again counts its cycles, and with them its order ids, from the start.
    let latest = state.ts_ms.saturating_add(i64::try_from(skew.as_millis()).unwrap_or(i64::MAX));
    let ours = strategy.working.is_some_and(|working| working.leg(strategy.side) == Leg::Entry)
        || strategy.cycle_at.is_some_and(|began| latest >= began);
    ours.then_some(Report {
        exec_type: state.status,
        filled: Some((state.cum_qty, price)),
        order_id: state.client_order_id,
        text: state.text,
        ts_ms: state.ts_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::{ExecType, Quantity};

    fn strategy(fields: &[(&str, &str)]) -> Strategy {
        let base = [("symbol", "IBM"), ("quantity", "10")];
        let get =
            |name: &str| base.iter().chain(fields).find(|(known, _)| *known == name).map(|(_, text)| text.as_bytes());
        Strategy::read(get).unwrap()
    }

    #[test]
    fn only_news_of_this_cycle_s_entry_counts() {
        let state = |filled: &str, ts_ms| OrderState {
            client_order_id: "X".to_owned(),
            status: ExecType::PartialFill,
            cum_qty: filled.parse::<Quantity>().unwrap(),
            avg_px: (filled != "0").then(|| "99.5".parse().unwrap()),
            text: String::new(),
            ts_ms,
        };
        let pending = ("pending", "BUY");
        for (fields, filled, ts_ms, counts) in [
            (&[("working", "BUY")][..], "4", 1, true),
            (&[("working", "BUY")], "0", 1, false),
            (&[("working", "BUY"), ("position", "BOUGHT"), ("filled_quantity", "4")], "4", 1, false),
            (&[("working", "BUY"), ("position", "BOUGHT"), ("filled_quantity", "3")], "4", 1, true),
            (&[pending, ("cycle_at", "5000")], "4", 5_000, true),
            (&[pending, ("cycle_at", "5000")], "4", 4_000, true),
            // Of a former life, or nobody knows.
            (&[pending, ("cycle_at", "5000")], "4", 3_999, false),
            (&[pending], "4", 9_000, false),
        ] {
            let report = fill_of(&strategy(fields), state(filled, ts_ms), Duration::from_secs(1));
            assert_eq!(report.is_some(), counts, "{fields:?} {filled} {ts_ms}");
        }
    }
}
