//! What the bridge says, read strictly: a contradiction is no answer, and nobody guesses.

use crate::broker::wire::read::{decimal, json, printable};
use crate::broker::{BrokerOrder, BrokerPosition, OrderRef, OrderRequest, OrderSide, OrderState};
use crate::failure::one_line;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use strat_core::{ExecType, Price, Quantity};

/// The one refusal that says that the order exists.
pub(super) const DUPLICATE: &str = "duplicate order";
/// The one answer that says that it does not.
pub(super) const ABSENT: &str = "no such order";

/// Body of a submission.
#[derive(Serialize)]
pub(super) struct Submission<'a> {
    client_order_id: &'a str,
    user: &'a str,
    symbol: &'a str,
    side: OrderSide,
    quantity: String,
    /// Percent from the last price that it may trade at; absent: any price.
    #[serde(skip_serializing_if = "Option::is_none")]
    protection_percent: Option<String>,
    /// The worst price of that, where the last one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
}

impl<'a> From<&'a OrderRequest> for Submission<'a> {
    fn from(order: &'a OrderRequest) -> Self {
        Self {
            client_order_id: &order.client_order_id,
            user: &order.user,
            symbol: &order.symbol,
            side: order.side,
            quantity: order.quantity.to_string(),
            protection_percent: order.protection.map(|step| step.to_string()),
            limit_price: order.limit().map(|price| price.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct Order {
    client_order_id: String,
    user: String,
    symbol: String,
    side: OrderSide,
    quantity: String,
    status: String,
    cum_qty: String,
    avg_px: String,
    #[serde(default)]
    text: String,
    ts_ms: i64,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

#[derive(Deserialize)]
struct Orders {
    orders: Vec<Order>,
}

#[derive(Deserialize)]
struct Positions {
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    user: String,
    symbol: String,
    quantity: String,
}

/// Answer to a poll for reports; each report is read by itself, so that one that is broken loses nobody else's.
#[derive(Deserialize)]
pub(super) struct Reports {
    pub(super) last: i64,
    pub(super) reports: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: i64,
    #[serde(flatten)]
    order: Order,
}

/// The order that was asked for.
pub(super) fn order(body: &[u8], asked: OrderRef<'_>) -> Result<BrokerOrder, String> {
    let order = json::<Order>(body)?.checked()?;
    for (what, got, wanted) in [
        ("client_order_id", &order.state.client_order_id, asked.client_order_id),
        ("user", &order.user, asked.user),
        ("symbol", &order.symbol, asked.symbol),
    ] {
        if got != wanted {
            return Err(format!("the answer is about {what} '{}', not '{wanted}'", printable(got)));
        }
    }
    Ok(order)
}

/// The reason of a refusal.
pub(super) fn refusal(body: &[u8]) -> Result<String, String> {
    json::<Refusal>(body).map(|refusal| printable(&refusal.error))
}

/// All orders, or none: half a list would be taken for the whole.
pub(super) fn orders(body: &[u8]) -> Result<Vec<BrokerOrder>, String> {
    json::<Orders>(body)?.orders.into_iter().map(Order::checked).collect()
}

/// All positions, or none.
pub(super) fn positions(body: &[u8]) -> Result<Vec<BrokerPosition>, String> {
    let mut seen = HashSet::new();
    let positions = json::<Positions>(body)?.positions.into_iter().map(|Position { user, symbol, quantity }| {
        let quantity = decimal("quantity", &quantity, Quantity::parse)?;
        if !seen.insert((user.clone(), symbol.clone())) {
            return Err(format!("{} has two positions in {}", printable(&user), printable(&symbol)));
        }
        Ok(BrokerPosition { user, symbol, quantity })
    });
    // Flat is no position.
    Ok(positions.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|held| held.quantity != Quantity::ZERO).collect())
}

pub(super) fn reports(body: &[u8]) -> Result<Reports, String> {
    let reports: Reports = json(body)?;
    if reports.last < 0 { Err(format!("last {} is below 0", reports.last)) } else { Ok(reports) }
}

/// A report and its number.
pub(super) fn report(value: serde_json::Value) -> Result<(i64, OrderState), String> {
    let numbered: Numbered = serde_json::from_value(value).map_err(|error| one_line(&error.to_string()))?;
    Ok((numbered.seq, numbered.order.checked()?.state))
}

impl Order {
    /// Makes sure that the order does not contradict itself.
    fn checked(self) -> Result<BrokerOrder, String> {
        let quantity = decimal("quantity", &self.quantity, Quantity::parse_positive)?;
        let cum_qty = decimal("cum_qty", &self.cum_qty, Quantity::parse)?;
        let status =
            ExecType::parse(&self.status).ok_or_else(|| format!("status '{}' is unknown", printable(&self.status)))?;
        let avg_px = if self.avg_px.is_empty() { None } else { Some(decimal("avg_px", &self.avg_px, Price::parse)?) };
        if cum_qty < Quantity::ZERO || cum_qty > quantity {
            return Err(format!("cum_qty {cum_qty} is not within the quantity {quantity}"));
        }
        let (none, whole) = (cum_qty == Quantity::ZERO, cum_qty == quantity);
        let possible = match status {
            ExecType::New | ExecType::Rejected => none,
            ExecType::PartialFill => !none && !whole,
            ExecType::Fill => whole,
            ExecType::Canceled | ExecType::Expired => true,
        };
        if !possible {
            return Err(format!("status {status} with {cum_qty} of {quantity} filled"));
        }
        if !none && avg_px.is_none() {
            return Err(format!("{cum_qty} are filled without a price"));
        }
        if self.ts_ms < 0 {
            return Err(format!("ts_ms {} is below 0", self.ts_ms));
        }
        Ok(BrokerOrder {
            user: self.user,
            symbol: self.symbol,
            side: self.side,
            quantity,
            state: OrderState {
                client_order_id: self.client_order_id,
                status,
                cum_qty,
                avg_px: avg_px.filter(|_| !none),
                text: printable(&self.text),
                ts_ms: self.ts_ms,
            },
        })
    }
}
