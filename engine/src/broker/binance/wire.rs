//! Orders and balances as Binance writes them, read strictly: a contradiction is no answer.

use super::super::wire::read::{decimal, json, printable};
use crate::broker::{BrokerOrder, OrderRef, OrderSide, OrderState};
use serde::Deserialize;
use strat_core::{ExecType, Price, Quantity};

/// An order, in the answers of `POST`, `GET` and `DELETE /api/v3/order`, `openOrders` and `allOrders`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    symbol: String,
    order_id: i64,
    client_order_id: String,
    /// In the answer to a cancellation, where `clientOrderId` is the cancellation's own.
    orig_client_order_id: Option<String>,
    side: OrderSide,
    orig_qty: String,
    executed_qty: String,
    cummulative_quote_qty: String,
    status: String,
    expiry_reason: Option<String>,
    /// When a request changed it; a look-up has `updateTime` instead.
    transact_time: Option<i64>,
    update_time: Option<i64>,
}

/// An order of a list, with Binance's own number for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) order_id: i64,
    pub(super) order: BrokerOrder,
}

#[derive(Deserialize)]
struct Account {
    balances: Vec<Balance>,
}

/// What an account has of an asset.
#[derive(Debug, Deserialize)]
struct Balance {
    asset: String,
    free: String,
    locked: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerTime {
    server_time: i64,
}

#[derive(Deserialize)]
struct Average {
    price: String,
}

/// The order that was asked for.
pub(super) fn order(body: &[u8], asked: OrderRef<'_>) -> Result<BrokerOrder, String> {
    let Listed { order, .. } = json::<Order>(body)?.checked(asked.user)?;
    let got = (order.state.client_order_id.as_str(), order.symbol.as_str());
    if got != (asked.client_order_id, asked.symbol) {
        return Err(format!("the answer is about order '{}' in {}", printable(got.0), printable(got.1)));
    }
    Ok(order)
}

/// All orders of a list, or none: half of it would be taken for the whole.
pub(super) fn orders(body: &[u8], user: &str) -> Result<Vec<Listed>, String> {
    json::<Vec<Order>>(body)?.into_iter().map(|order| order.checked(user)).collect()
}

/// Assets and how much of each the account has, free and locked together.
pub(super) fn balances(body: &[u8]) -> Result<Vec<(String, Quantity)>, String> {
    let parse = |Balance { asset, free, locked }: Balance| {
        let parts = (decimal("free", &free, Quantity::parse)?, decimal("locked", &locked, Quantity::parse)?);
        Ok((asset, parts.0.plus(parts.1)))
    };
    json::<Account>(body)?.balances.into_iter().map(parse).collect()
}

/// Epoch ms at the server.
pub(super) fn server_time(body: &[u8]) -> Result<i64, String> {
    let time = json::<ServerTime>(body)?.server_time;
    // Microseconds, or no time at all.
    if (1_000_000_000_000..100_000_000_000_000).contains(&time) { Ok(time) } else { Err(format!("serverTime {time}")) }
}

/// The average price that filters value market orders at.
pub(super) fn average(body: &[u8]) -> Result<Price, String> {
    let price = decimal("price", &json::<Average>(body)?.price, Price::parse)?;
    if price > Price::ZERO { Ok(price) } else { Err(format!("average price {price}")) }
}

impl Order {
    fn checked(self, user: &str) -> Result<Listed, String> {
        let ts_ms = self.transact_time.or(self.update_time).ok_or("neither transactTime nor updateTime")?;
        let order = Facts {
            client_order_id: self.orig_client_order_id.unwrap_or(self.client_order_id),
            symbol: self.symbol,
            side: self.side,
            quantity: &self.orig_qty,
            cum_qty: &self.executed_qty,
            cum_quote: &self.cummulative_quote_qty,
            status: &self.status,
            text: self.expiry_reason.unwrap_or_default(),
            ts_ms,
        };
        Ok(Listed { order_id: self.order_id, order: order.checked(user)? })
    }
}

/// What an answer and an event say of an order alike.
pub(super) struct Facts<'a> {
    pub(super) client_order_id: String,
    pub(super) symbol: String,
    pub(super) side: OrderSide,
    pub(super) quantity: &'a str,
    pub(super) cum_qty: &'a str,
    pub(super) cum_quote: &'a str,
    pub(super) status: &'a str,
    pub(super) text: String,
    pub(super) ts_ms: i64,
}

impl Facts<'_> {
    /// Makes sure that the order does not contradict itself.
    pub(super) fn checked(self, user: &str) -> Result<BrokerOrder, String> {
        // 0 is what an order by somebody else has that is to spend an amount, until it has.
        let quantity = decimal("quantity", self.quantity, Quantity::parse)?;
        let cum_qty = decimal("filled quantity", self.cum_qty, Quantity::parse)?;
        let status = status(self.status, cum_qty)?;
        if cum_qty < Quantity::ZERO || cum_qty > quantity {
            return Err(format!("filled quantity {cum_qty} is not within {quantity}"));
        }
        let possible = match status {
            ExecType::New | ExecType::Rejected => cum_qty == Quantity::ZERO,
            ExecType::PartialFill => cum_qty > Quantity::ZERO && cum_qty < quantity,
            ExecType::Fill => cum_qty == quantity,
            ExecType::Canceled | ExecType::Expired => true,
        };
        if !possible {
            return Err(format!("status {} with {cum_qty} of {quantity} filled", printable(self.status)));
        }
        let avg_px = if cum_qty > Quantity::ZERO { Some(average_of(self.cum_quote, cum_qty)?) } else { None };
        let text = printable(&self.text);
        let state =
            OrderState { client_order_id: self.client_order_id, status, cum_qty, avg_px, text, ts_ms: self.ts_ms };
        Ok(BrokerOrder { user: user.to_owned(), symbol: self.symbol, side: self.side, quantity, state })
    }
}

/// "Order status" of the enums.
fn status(status: &str, cum_qty: Quantity) -> Result<ExecType, String> {
    Ok(match status {
        "NEW" | "PENDING_NEW" => ExecType::New,
        "PARTIALLY_FILLED" => ExecType::PartialFill,
        "FILLED" => ExecType::Fill,
        "CANCELED" => ExecType::Canceled,
        // The documentation calls it unused; an order in it has not ended.
        "PENDING_CANCEL" if cum_qty == Quantity::ZERO => ExecType::New,
        "PENDING_CANCEL" => ExecType::PartialFill,
        "REJECTED" => ExecType::Rejected,
        "EXPIRED" | "EXPIRED_IN_MATCH" => ExecType::Expired,
        other => return Err(format!("status '{}' is unknown", printable(other))),
    })
}

/// What was paid by what was bought, rounded half up to 10⁻⁸: how the documentation says that the average is found.
fn average_of(cum_quote: &str, cum_qty: Quantity) -> Result<Price, String> {
    // Below 0 where Binance does not have it any more.
    let quote = i128::from(decimal("quote quantity", cum_quote, Quantity::parse_positive)?.units());
    let quantity = i128::from(cum_qty.units());
    let units = (quote * i128::from(strat_core::decimal::SCALE) + quantity / 2) / quantity;
    let price = i64::try_from(units).ok().filter(|units| *units > 0).map(Price::from_units);
    price.ok_or_else(|| format!("{cum_quote} for {cum_qty} is no price"))
}
