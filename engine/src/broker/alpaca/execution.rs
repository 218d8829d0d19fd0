//! Orders and positions as Alpaca writes them, read into ours.
//!
//! Sources: "Placing Orders" and "Positions" at docs.alpaca.markets. What a person does beside us (orders by notional
//! value, of several legs, of nine decimals) is in the same lists and is passed over: no order of ours looks so.

use crate::broker::wire::read::{Amount, average, cut, decimal, json, printable};
use crate::broker::{BrokerOrder, BrokerPosition, OrderRef, OrderSide, OrderState};
use jiff::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use strat_core::decimal::DecimalError;
use strat_core::{ExecType, Price, Quantity};

/// An order of Alpaca's.
#[derive(Debug, Deserialize)]
pub(super) struct Order<'a> {
    /// Alpaca's own id: cancellations are by it.
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    client_order_id: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    side: Option<Cow<'a, str>>,
    /// `null` where the order is by value.
    #[serde(borrow)]
    qty: Option<Amount<'a>>,
    #[serde(borrow)]
    filled_qty: Amount<'a>,
    #[serde(borrow)]
    filled_avg_price: Option<Amount<'a>>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    order_class: Option<Cow<'a, str>>,
    #[serde(borrow)]
    replaced_by: Option<Cow<'a, str>>,
    submitted_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Position<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    qty: Amount<'a>,
    #[serde(borrow)]
    side: Cow<'a, str>,
}

/// A page of a list of orders.
#[derive(Debug)]
pub(super) struct Page {
    /// Alpaca's id and the order, where it may be one of ours.
    pub(super) orders: Vec<(String, Option<BrokerOrder>)>,
    /// When the last of them was submitted.
    pub(super) last: Option<Timestamp>,
}

/// One order and Alpaca's id of it. It must be the one that was asked for.
pub(super) fn order(body: &[u8], user: &str, asked: OrderRef<'_>) -> Result<(String, BrokerOrder), String> {
    let order: Order<'_> = json(body)?;
    let id = order.id.clone().into_owned();
    let read = order
        .read(user)?
        .ok_or_else(|| "the order is by value, of several legs or of more than 8 decimals".to_owned())?;
    for (what, got, wanted) in [
        ("client_order_id", &read.state.client_order_id, asked.client_order_id),
        ("symbol", &read.symbol, asked.symbol),
    ] {
        if got != wanted {
            return Err(format!("the answer is about {what} '{}', not '{wanted}'", printable(got)));
        }
    }
    Ok((id, read))
}

/// A page, whole or not at all.
pub(super) fn page(body: &[u8], user: &str) -> Result<Page, String> {
    let orders: Vec<Order<'_>> = json(body)?;
    let last = orders.last().map(|order| order.submitted_at.unwrap_or(order.created_at));
    let read = orders.into_iter().map(|order| Ok((order.id.clone().into_owned(), order.read(user)?)));
    Ok(Page { orders: read.collect::<Result<_, String>>()?, last })
}

/// All positions, or none.
pub(super) fn positions(body: &[u8], user: &str) -> Result<Vec<BrokerPosition>, String> {
    let listed: Vec<Position<'_>> = json(body)?;
    let held: Vec<_> = listed.into_iter().map(|position| position.read(user)).collect::<Result<_, _>>()?;
    // Flat is no position.
    Ok(held.into_iter().filter(|position| position.quantity != Quantity::ZERO).collect())
}

impl Position<'_> {
    fn read(self, user: &str) -> Result<BrokerPosition, String> {
        // What a person bought by value has nine digits; it is only compared.
        let quantity = decimal("qty", cut(self.qty.text()), Quantity::parse)?;
        // The sign is told twice, and not always both times.
        let size = quantity.units().saturating_abs();
        let units = match &*self.side {
            "long" => size,
            "short" => -size,
            other => return Err(format!("side '{}' of a position is unknown", printable(other))),
        };
        let quantity = Quantity::from_units(units);
        Ok(BrokerPosition { user: user.to_owned(), symbol: self.symbol.into_owned(), quantity })
    }
}

impl Order<'_> {
    /// In our words; `None` for what is none of ours: by value, of several legs, or finer than our quantities are.
    pub(super) fn read(self, user: &str) -> Result<Option<BrokerOrder>, String> {
        let Some(asked) = self.qty.filter(|_| self.order_class.as_deref() != Some("mleg")) else { return Ok(None) };
        if Quantity::parse(asked.text().as_bytes()) == Err(DecimalError::TooManyDecimals) {
            return Ok(None);
        }
        let quantity = decimal("qty", asked.text(), Quantity::parse_positive)?;
        let cum_qty = decimal("filled_qty", self.filled_qty.text(), Quantity::parse)?;
        if cum_qty < Quantity::ZERO || cum_qty > quantity {
            return Err(format!("filled_qty {cum_qty} is not within qty {quantity}"));
        }
        let (status, text) = self.status(quantity, cum_qty)?;
        let symbol = self.symbol.as_deref().filter(|symbol| !symbol.is_empty());
        let changed = self.updated_at.or(self.submitted_at).unwrap_or(self.created_at);
        Ok(Some(BrokerOrder {
            user: user.to_owned(),
            symbol: symbol.ok_or_else(|| "symbol is missing".to_owned())?.to_owned(),
            side: self.side()?,
            quantity,
            state: OrderState {
                client_order_id: self.client_order_id.clone().into_owned(),
                status,
                cum_qty,
                avg_px: self.average_price(cum_qty)?,
                text,
                ts_ms: changed.as_millisecond().max(0),
            },
        }))
    }

    fn side(&self) -> Result<OrderSide, String> {
        match self.side.as_deref() {
            Some("buy") => Ok(OrderSide::Buy),
            Some("sell") => Ok(OrderSide::Sell),
            other => Err(format!("side '{}' is unknown", printable(other.unwrap_or("null")))),
        }
    }

    fn average_price(&self, cum_qty: Quantity) -> Result<Option<Price>, String> {
        if cum_qty == Quantity::ZERO {
            return Ok(None);
        }
        let price = self.filled_avg_price.ok_or_else(|| format!("{cum_qty} are filled without a price"))?;
        average("filled_avg_price", price.text()).map(Some)
    }

    /// Ours for one of Alpaca's order statuses, and what is to be said about it.
    fn status(&self, quantity: Quantity, cum_qty: Quantity) -> Result<(ExecType, String), String> {
        let (none, whole) = (cum_qty == Quantity::ZERO, cum_qty == quantity);
        let status = match &*self.status {
            "filled" => ExecType::Fill,
            "canceled" | "replaced" => ExecType::Canceled,
            "expired" => ExecType::Expired,
            "rejected" => ExecType::Rejected,
            // `done_for_day` and `calculated` are followed by one of those above.
            "new"
            | "accepted"
            | "accepted_for_bidding"
            | "pending_new"
            | "partially_filled"
            | "pending_cancel"
            | "pending_replace"
            | "pending_review"
            | "stopped"
            | "suspended"
            | "held"
            | "done_for_day"
            | "calculated" => {
                if none {
                    ExecType::New
                } else {
                    ExecType::PartialFill
                }
            }
            other => return Err(format!("status '{}' is unknown", printable(other))),
        };
        if (status == ExecType::Fill && !whole) || (status == ExecType::Rejected && !none) {
            return Err(format!("status {status} with {cum_qty} of {quantity} filled"));
        }
        let status = if whole { ExecType::Fill } else { status };
        let text = match &*self.status {
            "accepted" => "accepted: it works when the regular session is open".to_owned(),
            "replaced" => {
                format!("replaced by order {}", printable(self.replaced_by.as_deref().unwrap_or("unknown")))
            }
            other => other.to_owned(),
        };
        Ok((status, text))
    }
}
