//! What Kite says, read strictly: an order of ours that contradicts itself is no answer, and nobody guesses.
//!
//! Shapes: <https://kite.trade/docs/connect/v3/orders/>, …/portfolio/, …/user/, …/exceptions/. Numbers that are prices or
//! quantities are read as the digits that were sent.

use super::config::{Product, symbol_of};
use super::time;
use crate::broker::wire::read::{Amount, decimal, excerpt, printable};
use crate::broker::{BrokerOrder, BrokerPosition, OrderSide, OrderState};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use strat_core::decimal::{DECIMALS, average_price};
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
struct Envelope<T> {
    status: String,
    data: T,
}

#[derive(Deserialize)]
struct Failure {
    error_type: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Placed {
    order_id: String,
}

#[derive(Deserialize)]
struct Tagged {
    tag: Option<String>,
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

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(borrow)]
    quantity: Amount<'a>,
    #[serde(borrow)]
    average_price: Amount<'a>,
}

#[derive(Deserialize)]
struct Positions<'a> {
    #[serde(borrow)]
    net: Vec<Position<'a>>,
}

#[derive(Deserialize)]
struct Position<'a> {
    exchange: String,
    tradingsymbol: String,
    product: String,
    #[serde(borrow)]
    quantity: Amount<'a>,
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
}

/// A text message of the ticker.
#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What a text message of the ticker says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// An order changed; or why what is said of it cannot be read.
    Order(Box<Result<Listed, String>>),
    /// Something is wrong.
    Error(String),
    /// Nothing that is needed here.
    Other,
}

/// The broker's words of a refusal: exception and message.
pub(super) fn failure(body: &[u8]) -> Option<(String, String)> {
    let failure: Failure = serde_json::from_slice(body).ok()?;
    Some((failure.error_type, printable(&failure.message)))
}

/// Number of an order that was taken.
pub(super) fn placed(body: &[u8]) -> Result<String, String> {
    data::<Placed>(body).map(|placed| placed.order_id)
}

pub(super) fn access_token(body: &[u8]) -> Result<String, String> {
    // Never with an excerpt: it holds the token.
    let session: Envelope<Session> = serde_json::from_slice(body)
        .map_err(|error| format!("the answer holds no access token ({:?})", error.classify()))?;
    Ok(session.data.access_token)
}

/// The order book, whole: orders of ours all of them, or it is an error. An order of others that cannot be read is
/// left out, for nothing that they do may keep an exit from being sent.
pub(super) fn orders(body: &[u8]) -> Result<Vec<Listed>, String> {
    let mut orders = Vec::new();
    for raw in data::<Vec<&RawValue>>(body)? {
        match order(raw.get()) {
            Ok(order) => orders.push(order),
            Err(why) => match serde_json::from_str::<Tagged>(raw.get()) {
                Ok(Tagged { tag }) if !tag.as_deref().is_some_and(is_tag) => {
                    tracing::warn!(why, "an order of others cannot be read and is left out");
                }
                _ => return Err(why),
            },
        }
    }
    Ok(orders)
}

/// Quantity and average price of an order's trades.
pub(super) fn trades(body: &[u8]) -> Result<(Quantity, Price), String> {
    let mut sum = (Quantity::ZERO, Price::ZERO);
    for trade in data::<Vec<Trade<'_>>>(body)? {
        let next = (whole(trade.quantity)?, price(trade.average_price)?);
        let average = average_price(sum, next).ok_or("trades whose average is no price")?;
        sum = (sum.0.plus(next.0), average);
    }
    Ok(sum)
}

/// Net positions of one product. The same instrument may stand there once for each product.
pub(super) fn positions(
    body: &[u8],
    product: Product,
    account: &str,
    exchange: &str,
) -> Result<Vec<BrokerPosition>, String> {
    let mut held: BTreeMap<String, Quantity> = BTreeMap::new();
    for position in data::<Positions<'_>>(body)?.net {
        if position.product != product.as_str() {
            continue;
        }
        let quantity = position.quantity.quantity("quantity")?;
        let symbol = symbol_of(&position.exchange, &position.tradingsymbol, exchange);
        if held.insert(symbol, quantity).is_some() {
            return Err(format!("two positions in {}", printable(&position.tradingsymbol)));
        }
    }
    let open = held.into_iter().filter(|(_, quantity)| *quantity != Quantity::ZERO);
    Ok(open.map(|(symbol, quantity)| BrokerPosition { user: account.to_owned(), symbol, quantity }).collect())
}

/// A text message of the ticker.
pub(crate) fn news(text: &[u8]) -> News {
    let Ok(Text { kind, data }) = serde_json::from_slice::<Text<'_>>(text) else { return News::Other };
    match kind.as_str() {
        "order" => News::Order(Box::new(order(data.map_or("", RawValue::get)))),
        "error" => News::Error(printable(data.map_or("", RawValue::get))),
        _ => News::Other,
    }
}

fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    let envelope: Envelope<T> = serde_json::from_slice(body)
        .map_err(|error| format!("{} in '{}'", printable(&error.to_string()), excerpt(body)))?;
    if envelope.status == "success" {
        Ok(envelope.data)
    } else {
        Err(format!("status '{}'", printable(&envelope.status)))
    }
}

fn order(json: &str) -> Result<Listed, String> {
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

fn whole(amount: Amount<'_>) -> Result<Quantity, String> {
    decimal("quantity", amount.text(), Quantity::parse_positive)
}

/// A price, which where it is an average may have more decimals than prices have: rounded half away from zero then.
fn price(amount: Amount<'_>) -> Result<Price, String> {
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
