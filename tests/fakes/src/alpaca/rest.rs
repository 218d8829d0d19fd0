//! The Trading API.

use super::{KEY_ID, SECRET_KEY, answer, number_of, refusal, refuse, shown, uuid};
use crate::World;
use crate::book::{Book, NewOrder, Order, Status};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use strat_core::{Price, Quantity};

pub(super) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/v2/orders", post(place).get(list))
        .route("/v2/orders:by_client_order_id", get(by_client_order_id))
        .route("/v2/orders/{id}", delete(cancel))
        .route("/v2/positions", get(positions))
        .with_state(world)
}

/// Whether the two headers hold the key.
fn knows(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|header| header == value);
    is("apca-api-key-id", KEY_ID) && is("apca-api-secret-key", SECRET_KEY)
}

type Shared = State<Arc<World>>;

async fn place(State(world): Shared, headers: HeaderMap, body: String) -> Response {
    if !knows(&headers) {
        return refuse("unauthorized");
    }
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return refuse("malformed") };
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("time_in_force") != "day" || body["extended_hours"] == true {
        return refuse("extended hours");
    }
    let buy = match text("side") {
        "buy" => true,
        "sell" => false,
        _ => return refuse("malformed"),
    };
    let Ok(quantity) = Quantity::parse_positive(text("qty").as_bytes()) else { return refuse("malformed") };
    let limit = match (text("type"), text("limit_price")) {
        ("market", "") => None,
        ("limit", price) if price.parse::<Price>().is_ok() => price.parse().ok(),
        _ => return refuse("malformed"),
    };
    let asked =
        NewOrder { id: text("client_order_id").to_owned(), symbol: text("symbol").to_owned(), buy, quantity, limit };
    let id = asked.id.clone();
    let known = move |book: &Book| book.by_id(&id).map(|_| refuse("duplicate"));
    world.place(asked, known, |order| answer(StatusCode::OK, &shown(order))).await
}

async fn by_client_order_id(State(world): Shared, headers: HeaderMap, Query(query): Asked) -> Response {
    if !knows(&headers) {
        return refuse("unauthorized");
    }
    let id = query.get("client_order_id").map_or("", String::as_str);
    match world.book(|book| book.by_id(id).map(shown)) {
        Some(order) => answer(StatusCode::OK, &order),
        None => refusal(404, 40_410_000, &format!("order not found for {id}")),
    }
}

type Asked = Query<BTreeMap<String, String>>;

/// By time of submission; `after` and `until` are exclusive.
async fn list(State(world): Shared, headers: HeaderMap, Query(query): Asked) -> Response {
    if !knows(&headers) {
        return refuse("unauthorized");
    }
    if world.lists_nothing() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": "service unavailable" }));
    }
    let word = |name: &str, default: &'static str| query.get(name).map_or(default, String::as_str).to_owned();
    let (status, direction) = (word("status", "open"), word("direction", "desc"));
    let Ok(limit) = word("limit", "50").parse::<usize>() else { return refuse("malformed") };
    let after = query.get("after").map(|after| after.parse::<Timestamp>());
    if limit > 500 || matches!(after, Some(Err(_))) {
        return refuse("malformed");
    }
    let after = after.and_then(Result::ok).map_or(i64::MIN, |after| after.as_millisecond());
    let mut orders: Vec<Value> = world.book(|book| {
        let wanted = |order: &&Order| match status.as_str() {
            "open" => order.is_open(),
            "closed" => !order.is_open(),
            _ => true,
        };
        book.orders().iter().filter(wanted).filter(|order| order.placed_ms > after).map(shown).collect()
    });
    if direction == "desc" {
        orders.reverse();
    }
    orders.truncate(limit);
    answer(StatusCode::OK, &Value::from(orders))
}

async fn cancel(State(world): Shared, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if !knows(&headers) {
        return refuse("unauthorized");
    }
    let no = number_of(&id);
    if world.book(|book| book.get(no).is_none()) {
        return refusal(404, 40_410_000, &format!("order not found: {id}"));
    }
    match world.end(no, Status::Canceled) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => refusal(422, 42_210_000, "order is not cancelable"),
    }
}

async fn positions(State(world): Shared, headers: HeaderMap) -> Response {
    if !knows(&headers) {
        return refuse("unauthorized");
    }
    let held = world.book(Book::positions).into_iter().map(|(symbol, quantity)| {
        let side = if quantity > Quantity::ZERO { "long" } else { "short" };
        json!({"asset_id": uuid(0), "symbol": symbol, "exchange": "NYSE", "asset_class": "us_equity",
            "avg_entry_price": "100", "qty": quantity.to_string(), "side": side, "cost_basis": "0"})
    });
    answer(StatusCode::OK, &held.collect())
}
