//! What a harness sets and asks, without any lie.

use crate::broker::{Broker, now_ms};
use crate::ledger::{Event, Line};
use crate::lies::Lies;
use crate::order::Order;
use crate::routes::class_word;
use crate::wire::refusal;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strat_core::{Price, Quantity};
use tokio::time::{Instant, timeout_at};

type Shared = State<Arc<Broker>>;

#[derive(Deserialize)]
struct NewPrice {
    symbol: String,
    price: String,
}

#[derive(Deserialize)]
struct Patience {
    #[serde(default = "patience_ms")]
    wait_ms: u64,
}

const fn patience_ms() -> u64 {
    30_000
}

pub(crate) fn router() -> Router<Arc<Broker>> {
    Router::new()
        .route("/control/price", routing::put(price))
        .route("/control/lies", routing::put(lies))
        .route("/control/orders", routing::get(orders))
        .route("/control/quiet", routing::post(quiet))
}

async fn price(State(broker): Shared, Json(new): Json<NewPrice>) -> Response {
    let Ok(price) = Price::parse(new.price.as_bytes()) else {
        return refusal(StatusCode::BAD_REQUEST, &format!("'{}' is not a price", new.price));
    };
    if new.symbol.is_empty() {
        return refusal(StatusCode::BAD_REQUEST, "a price needs a symbol");
    }
    broker.peek(|book| {
        book.set_price(&new.symbol, price);
        let line = Line::new(now_ms(), Event::Control);
        book.note(Line { symbol: new.symbol.clone(), price: Some(price.to_string()), ..line });
    });
    StatusCode::OK.into_response()
}

/// The body is as `--lies`, or `{"name": percent}`; an empty one makes the broker honest, except for what is under way.
async fn lies(State(broker): Shared, text: String) -> Response {
    let plain = match serde_json::from_str::<BTreeMap<String, u8>>(&text) {
        Ok(lies) => lies.iter().map(|(name, percent)| format!("{name}={percent}")).collect::<Vec<_>>().join(","),
        Err(_) => text,
    };
    let lies: Lies = match plain.parse() {
        Ok(lies) => lies,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    broker.with(|book| {
        book.append(&[Line::new(now_ms(), Event::Control).reason(lies.to_string())]);
        book.lies = lies;
    });
    StatusCode::OK.into_response()
}

/// The truth: every real order, also those that are denied.
async fn orders(State(broker): Shared) -> Response {
    let truth = broker.peek(|book| {
        let orders: Vec<Value> = book.orders().iter().map(numbered).collect();
        let positions: Vec<Value> = book
            .positions()
            .into_iter()
            .map(|((user, symbol), units)| {
                json!({ "user": user, "symbol": symbol, "quantity": Quantity::from_units(units).to_string() })
            })
            .collect();
        json!({
            "class": class_word(broker.args.class),
            "lies": book.lies.to_string(),
            "told": book.told,
            "orders": orders,
            "positions": positions,
            "later": book.later.len(),
        })
    });
    Json(truth).into_response()
}

fn numbered(order: &Order) -> Value {
    let mut json = order.json();
    json["order_no"] = json!(order.no);
    json
}

/// Answers when no order is open and nothing is to come; 503 with what is left if that takes too long.
async fn quiet(State(broker): Shared, Query(patience): Query<Patience>) -> Response {
    let until = Instant::now() + Duration::from_millis(patience.wait_ms);
    loop {
        let changed = broker.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (open, later) = broker.peek(|book| {
            let open: Vec<Value> = book.orders().iter().filter(|order| order.is_open()).map(numbered).collect();
            (open, book.later.len())
        });
        if open.is_empty() && later == 0 {
            return Json(json!({ "quiet": true })).into_response();
        }
        if timeout_at(until, changed).await.is_err() {
            let left = json!({ "quiet": false, "open": open, "later": later });
            return (StatusCode::SERVICE_UNAVAILABLE, Json(left)).into_response();
        }
    }
}
