//! One order, as Kite's order book and its updates have it.

use super::config::symbol_of;
use super::time;
use crate::broker::wire::read::{Amount, decimal, printable};
use crate::broker::{BrokerOrder, OrderSide, OrderState};
use serde::Deserialize;
use strat_core::decimal::DECIMALS;
use strat_core::{ExecType, Price, Quantity};

/// Longest tag that Kite takes. Client order ids are as long.
pub(super) const TAG_BYTES_MAX: usize = 20;

/// Whether this can be the tag of an order of ours: upper case and digits, as client order ids are.
pub(super) fn is_tag(text: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// An order of Kite's order book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(super) order_id: String,
    pub(super) variety: String,
    pub(super) exchange: String,
    pub(super) tradingsymbol: String,
    /// As it is: of anybody's making.
    pub(super) tag: String,
    pub(super) side: OrderSide,
    pub(super) quantity: Quantity,
    pub(super) status: ExecType,
    pub(super) cum_qty: Quantity,
    /// `None` where nothing is filled, and where something is that Kite has not put a price to: its trades say.
    pub(super) avg_px: Option<Price>,
    pub(super) text: String,
    pub(super) ts_ms: i64,
}

impl Listed {
    /// Fills without a price are not told to anybody.
    pub(super) fn lacks_price(&self) -> bool {
        self.cum_qty > Quantity::ZERO && self.avg_px.is_none()
    }

    /// The tag where it is one of ours; else a name that no order of ours has.
    pub(super) fn client_order_id(&self) -> String {
        if is_tag(&self.tag) { self.tag.clone() } else { format!("kite-{}", self.order_id) }
    }

    pub(super) fn state(&self) -> OrderState {
        OrderState {
            client_order_id: self.client_order_id(),
            status: self.status,
            cum_qty: self.cum_qty,
            avg_px: self.avg_px,
            text: self.text.clone(),
            ts_ms: self.ts_ms,
        }
    }

    pub(super) fn order(&self, account: &str, exchange: &str) -> BrokerOrder {
        BrokerOrder {
            user: account.to_owned(),
            symbol: symbol_of(&self.exchange, &self.tradingsymbol, exchange),
            side: self.side,
            quantity: self.quantity,
            state: self.state(),
        }
    }
}
#[derive(Deserialize)]
struct Order<'a> {
    order_id: String,
    #[serde(default)]
    variety: Option<String>,
    exchange: String,
    tradingsymbol: String,
    tag: Option<String>,
    transaction_type: OrderSide,
    #[serde(borrow)]
    quantity: Amount<'a>,
    #[serde(borrow)]
    filled_quantity: Amount<'a>,
    #[serde(borrow)]
    average_price: Amount<'a>,
    status: String,
    status_message: Option<String>,
    order_timestamp: Option<String>,
    exchange_update_timestamp: Option<String>,
}

/// Reads an order.
pub(super) fn order(json: &str) -> Result<Listed, String> {
    let order: Order<'_> =
        serde_json::from_str(json).map_err(|error| format!("{} in an order", printable(&error.to_string())))?;
    checked(order).map_err(|(id, why)| printable(&format!("order {id}: {why}")))
}

fn checked(order: Order<'_>) -> Result<Listed, (String, String)> {
    let read = || {
        let quantity = whole(order.quantity)?;
        let cum_qty = quantity_of_fills(order.filled_quantity, quantity)?;
        let status = status(&order.status, cum_qty, quantity)?;
        let average = price(order.average_price)?;
        let times = [&order.order_timestamp, &order.exchange_update_timestamp];
        let times = times.into_iter().flatten().map(|text| time::read(text).ok_or(format!("time '{text}'")));
        let ts_ms = times.collect::<Result<Vec<_>, _>>()?.into_iter().max().ok_or("it has no time")?;
        Ok((quantity, cum_qty, status, (average > Price::ZERO && cum_qty > Quantity::ZERO).then_some(average), ts_ms))
    };
    match read() {
        Err(why) => Err((order.order_id.clone(), why)),
        Ok((quantity, cum_qty, status, avg_px, ts_ms)) => Ok(Listed {
            variety: order.variety.unwrap_or_else(|| "regular".to_owned()),
            exchange: order.exchange,
            tradingsymbol: order.tradingsymbol,
            tag: order.tag.unwrap_or_default(),
            side: order.transaction_type,
            text: printable(&order.status_message.unwrap_or_default()),
            order_id: order.order_id,
            quantity,
            status,
            cum_qty,
            avg_px,
            ts_ms,
        }),
    }
}

/// Kite's word in terms of execution reports. It lists the common ones and says that there are others on the way to
/// them: each of those is an order that works. `UPDATE` is one, too.
fn status(word: &str, filled: Quantity, quantity: Quantity) -> Result<ExecType, String> {
    let (none, all) = (filled == Quantity::ZERO, filled == quantity);
    match word {
        "COMPLETE" if !all => Err(format!("COMPLETE with {filled} of {quantity} filled")),
        _ if all => Ok(ExecType::Fill),
        "REJECTED" if none => Ok(ExecType::Rejected),
        // A rest that was refused does not undo what was filled.
        "REJECTED" | "CANCELLED" | "CANCELLED AMO" => Ok(ExecType::Canceled),
        _ if none => Ok(ExecType::New),
        _ => Ok(ExecType::PartialFill),
    }
}

fn quantity_of_fills(filled: Amount<'_>, quantity: Quantity) -> Result<Quantity, String> {
    let filled = filled.quantity("filled_quantity")?;
    if filled < Quantity::ZERO || filled > quantity {
        return Err(format!("filled_quantity {filled} is not within the quantity {quantity}"));
    }
    Ok(filled)
}

/// A quantity of an order or a trade.
pub(super) fn whole(amount: Amount<'_>) -> Result<Quantity, String> {
    decimal("quantity", amount.text(), Quantity::parse_positive)
}

/// A price, which where it is an average may have more decimals than prices have: rounded half away from zero then.
pub(super) fn price(amount: Amount<'_>) -> Result<Price, String> {
    let text = amount.text();
    let cut = text.find('.').map_or(text.len(), |point| point + 1 + DECIMALS);
    let (kept, rest) = text.split_at_checked(cut).unwrap_or((text, ""));
    let price = decimal("average_price", kept, Price::parse)?;
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) || price < Price::ZERO {
        return Err(format!("average_price '{}' is no price", printable(text)));
    }
    let up = rest.bytes().next().is_some_and(|digit| digit >= b'5');
    Ok(Price::from_units(price.units() + i64::from(up)))
}
