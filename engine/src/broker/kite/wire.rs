//! What Kite says, read strictly: an order of ours that contradicts itself is no answer, and nobody guesses.
//!
//! Shapes: <https://kite.trade/docs/connect/v3/orders/>, …/portfolio/, …/user/, …/exceptions/. Numbers that are prices or
//! quantities are read as the digits that were sent.

use super::config::{Product, symbol_of};
use super::order::{Listed, is_tag, order, price, whole};
use crate::broker::BrokerPosition;
use crate::broker::wire::read::{Amount, excerpt, printable};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use strat_core::decimal::average_price;
use strat_core::{Price, Quantity};

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
