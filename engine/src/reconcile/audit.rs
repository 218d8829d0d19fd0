//! Orders that were reported, but whose rows never came, or not to the end: a failover of Redis, say, lost the journal's
//! entries.
//!
//! The strategy's row is mended from its hash. The orders' rows are written here, from the broker's listing, so that table
//! `orders` has every order that the strategy counts. Their single reports (`order_events`) are gone for good.

use super::Reconciler;
use crate::broker::{BrokerOrder, OrderState};
use crate::failure::sentence;
use crate::store::OrderRow;
use color_eyre::Result;
use std::time::Duration;
use strat_core::{Action, Leg, Position, Quantity, Strategy, StrategyKey};
use tokio::time::timeout;

/// How long the journal may take to reach Postgres before the rows have to wait for the next reconciliation.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for Postgres to write them.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a strategy with nothing in flight accounts for an order of its current cycle: it heard of its end and of all
/// that it filled.
pub(super) fn accounts_for(strategy: &Strategy, leg: Leg, attempt: u64, state: &OrderState) -> bool {
    if !state.status.is_terminal() {
        return false;
    }
    let told = match leg {
        Leg::Entry if strategy.position == Position::None => Quantity::ZERO,
        Leg::Entry => strategy.filled,
        Leg::Exit if attempt < strategy.attempt => strategy.prior_exit.0,
        // Its end would have raised the attempt, or closed the position.
        Leg::Exit if strategy.position.is_open() => return false,
        Leg::Exit => strategy.exited.minus(strategy.prior_exit.0),
    };
    state.cum_qty == Quantity::ZERO || told >= state.cum_qty
}

/// The row of an order that its strategy accounts for; `None` where the broker does not say at what price it filled.
pub(super) fn row_of(
    key: StrategyKey<'_>,
    strategy: &Strategy,
    leg: Leg,
    attempt: u64,
    order: &BrokerOrder,
) -> Option<OrderRow> {
    let state = &order.state;
    let filled = state.cum_qty > Quantity::ZERO;
    if filled && state.avg_px.is_none() {
        return None;
    }
    let action = match (leg, strategy.position) {
        (Leg::Entry, _) => Action::entry(strategy.side),
        (Leg::Exit, Position::ExitedBySl) => Action::StopLoss,
        (Leg::Exit, Position::ExitedByTp) => Action::TakeProfit,
        (Leg::Exit, _) => strategy.retry_action.unwrap_or_else(|| Action::timed_exit(strategy.side)),
    };
    Some(OrderRow {
        client_order_id: state.client_order_id.clone(),
        user_id: key.user.to_owned(),
        strategy_id: key.strategy.to_owned(),
        symbol: order.symbol.clone(),
        cycle: strategy.cycle,
        leg: leg.as_str().to_owned(),
        attempt,
        action: action.as_str().to_owned(),
        status: state.status.as_str().to_owned(),
        quantity: order.quantity.to_string(),
        cum_qty: state.cum_qty.to_string(),
        avg_px: state.avg_px.filter(|_| filled).map(|price| price.to_string()),
        reference: state.client_order_id.clone(),
        text: state.text.replace('\0', "\u{fffd}"),
        submitted_at_ms: state.ts_ms,
        updated_at_ms: state.ts_ms,
    })
}

impl Reconciler {
    /// Writes the rows that never came. Nothing is held up by one that cannot be written: no order depends on it.
    pub(super) async fn write_lost(&self, rows: &[OrderRow]) {
        if rows.is_empty() {
            return;
        }
        match self.mend_rows(rows).await {
            Ok(mended) => mended.iter().for_each(|order| {
                tracing::warn!(order, "reports of this order never reached Postgres; its row in orders is written from the broker's listing");
            }),
            Err(error) => {
                let error = sentence(&error);
                tracing::warn!(error, orders = rows.len(), "rows in orders may be missing; the next reconciliation tries again");
            }
        }
    }

    /// The hashes that account for these orders were read before: what the journal has of them is in Postgres once it has
    /// drained, and what is not there then was lost.
    async fn mend_rows(&self, rows: &[OrderRow]) -> Result<Vec<String>> {
        self.sync.drained(&self.link, DRAIN_PATIENCE).await?;
        Ok(timeout(WRITE_TIMEOUT, self.store.mend_orders(rows)).await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::OrderSide;
    use strat_core::ExecType;

    fn strategy(pairs: &[(&str, &str)]) -> Strategy {
        let base = [("symbol", "IBM"), ("quantity", "10"), ("cycle", "2")];
        let all: Vec<_> = pairs.iter().chain(&base).collect();
        Strategy::read(|name| all.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())).unwrap()
    }

    fn state(status: ExecType, cum_qty: &str) -> OrderState {
        OrderState {
            client_order_id: "X".to_owned(),
            status,
            cum_qty: cum_qty.parse().unwrap(),
            avg_px: (cum_qty != "0").then(|| "99.5".parse().unwrap()),
            text: "a\0b".to_owned(),
            ts_ms: 7,
        }
    }

    #[test]
    fn only_an_order_whose_end_and_fills_were_told_is_accounted_for() {
        let held = strategy(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("attempt", "1")]);
        let sold = strategy(&[
            ("position", "SOLD"),
            ("filled_quantity", "10"),
            ("exit_quantity", "10"),
            ("attempt", "1"),
            ("prior_exit_quantity", "4"),
            ("prior_exit_price", "99"),
        ]);
        let refused = strategy(&[("status", "FAILED")]);
        for (title, strategy, leg, attempt, status, cum_qty, expected) in [
            ("a filled entry", &held, Leg::Entry, 0, ExecType::Fill, "10", true),
            ("an entry that filled on", &held, Leg::Entry, 0, ExecType::Fill, "11", false),
            ("an entry that works", &held, Leg::Entry, 0, ExecType::PartialFill, "4", false),
            ("an entry that nobody told of", &refused, Leg::Entry, 0, ExecType::Canceled, "4", false),
            ("a refused entry", &refused, Leg::Entry, 0, ExecType::Rejected, "0", true),
            ("an exit that was not told of", &held, Leg::Exit, 1, ExecType::Rejected, "0", false),
            ("a dead attempt", &held, Leg::Exit, 0, ExecType::Rejected, "0", true),
            ("a dead attempt with fills nobody told of", &held, Leg::Exit, 0, ExecType::Canceled, "4", false),
            ("a dead attempt with fills", &sold, Leg::Exit, 0, ExecType::Canceled, "4", true),
            ("the last exit", &sold, Leg::Exit, 1, ExecType::Fill, "6", true),
            ("an exit that filled more", &sold, Leg::Exit, 1, ExecType::Fill, "7", false),
        ] {
            assert_eq!(accounts_for(strategy, leg, attempt, &state(status, cum_qty)), expected, "{title}");
        }
    }

    #[test]
    fn the_row_says_what_the_broker_and_the_hash_say() {
        let key = StrategyKey::parse("user:a:strategy:s").unwrap();
        let order = |state| BrokerOrder {
            user: "a".to_owned(),
            symbol: "IBM".to_owned(),
            side: OrderSide::Sell,
            quantity: "10".parse().unwrap(),
            state,
        };
        let stopped = strategy(&[("position", "EXITED_BY_SL"), ("filled_quantity", "10"), ("exit_quantity", "10")]);
        let row = row_of(key, &stopped, Leg::Exit, 0, &order(state(ExecType::Fill, "10"))).unwrap();
        assert_eq!((row.action.as_str(), row.cycle, row.leg.as_str(), row.attempt), ("STOPLOSS", 2, "EXIT", 0));
        assert_eq!(
            (row.cum_qty.as_str(), row.avg_px.as_deref(), row.text.as_str()),
            ("10", Some("99.5"), "a\u{fffd}b")
        );
        let row = row_of(key, &stopped, Leg::Entry, 0, &order(state(ExecType::Rejected, "0"))).unwrap();
        assert_eq!((row.action.as_str(), row.avg_px, row.submitted_at_ms), ("BUY", None, 7));
        let priceless = OrderState { avg_px: None, ..state(ExecType::Fill, "10") };
        assert!(row_of(key, &stopped, Leg::Exit, 0, &order(priceless)).is_none());
    }
}
