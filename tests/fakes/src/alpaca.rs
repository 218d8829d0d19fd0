//! Alpaca, Trading API v2 and market data v2, as docs.alpaca.markets describes them.

use crate::book::{Book, NewOrder, Order, Status};
use crate::hub::ORDERS;
use crate::lies::{Outcome, Refusal};
use crate::{Heard, Line, Message, Venue, World};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strat_core::{Price, Quantity};

/// The key that is taken.
pub const KEY_ID: &str = "PKFAKE0000000000";
/// Its secret.
pub const SECRET_KEY: &str = "fake-secret-key-of-nobody";
/// Path of the stream of updates.
pub const STREAM: &str = "/stream";
/// Path of the market data.
pub const MARKET: &str = "/v2/iex";

/// Status, code, words and meaning of the refusals of a placement.
const REFUSALS: &[(&str, u16, u64, &str, Outcome)] = &[
    ("malformed", 400, 40_010_000, "request body format is invalid", Outcome::Rejected),
    ("unauthorized", 401, 40_110_000, "request is not authorized", Outcome::Unavailable),
    ("forbidden", 403, 0, "forbidden.", Outcome::Unavailable),
    ("key not found", 403, 40_110_000, "access key verification failed", Outcome::Unavailable),
    ("buying power", 403, 40_310_000, "insufficient buying power", Outcome::Rejected),
    ("day trading", 403, 40_310_100, "trade denied due to pattern day trading protection", Outcome::Rejected),
    ("fractions", 403, 40_310_000, "asset \"IBM\" is not fractionable", Outcome::Rejected),
    ("no asset", 404, 40_410_000, "asset not found for IBM", Outcome::Rejected),
    ("inactive", 422, 42_210_000, "asset IBM is not active", Outcome::Rejected),
    ("extended hours", 422, 42_210_000, "extended hours order must be DAY limit orders", Outcome::Rejected),
    ("duplicate", 422, 40_010_001, "client_order_id must be unique", Outcome::Unknown),
    ("limit", 429, 42_910_000, "rate limit exceeded", Outcome::RateLimited),
    ("server error", 500, 50_010_000, "internal server error occurred", Outcome::Unknown),
    ("bad gateway", 502, 0, "<html>502 Bad Gateway</html>", Outcome::Unknown),
    ("gateway time-out", 504, 0, "upstream request timeout", Outcome::Unknown),
];

/// The fake.
pub struct Alpaca;

impl Venue for Alpaca {
    fn routes(&self, world: Arc<World>) -> Router {
        Router::new()
            .route("/v2/orders", post(place).get(list))
            .route("/v2/orders:by_client_order_id", get(by_client_order_id))
            .route("/v2/orders/{id}", delete(cancel))
            .route("/v2/positions", get(positions))
            .with_state(world)
    }

    fn news(&self, order: &Order) -> Message {
        let event = match order.status {
            Status::New => "new",
            Status::Partial => "partial_fill",
            Status::Filled => "fill",
            Status::Canceled => "canceled",
            Status::Expired => "expired",
            Status::Rejected => "rejected",
        };
        let mut data = json!({"event": event, "timestamp": time(order.changed_ms), "order": shown(order)});
        if let Some((quantity, price)) = order.last {
            data["execution_id"] = json!(format!("{}-{}", uuid(order.no), order.fills));
            data["qty"] = json!(quantity.to_string());
            data["price"] = json!(price.to_string());
            data["position_qty"] = json!(order.filled.to_string());
        }
        // As on paper accounts.
        Message::binary(json!({"stream": "trade_updates", "data": data}).to_string())
    }

    fn tick(&self, _world: &World, symbol: &str, price: Price) -> Option<Message> {
        let at = time(crate::now_ms());
        let trade =
            format!(r#"[{{"T":"t","i":1,"S":"{symbol}","x":"V","p":{price},"s":100,"c":["@"],"t":"{at}","z":"C"}}]"#);
        Some(Message::text(trade))
    }

    fn talk(&self, world: &World, line: &mut Line, heard: Heard) -> Vec<Message> {
        let market = line.uri.starts_with(MARKET);
        match heard {
            Heard::Opened if market => vec![say(&json!([{"T": "success", "msg": "connected"}]))],
            Heard::Opened => Vec::new(),
            Heard::Said(message) => {
                let said = serde_json::from_slice(&message.into_data()).unwrap_or_default();
                if market { market_answer(world, line, &said) } else { stream_answer(world, line, &said) }
            }
        }
    }

    fn limited(&self, retry_after: Duration) -> Response {
        let reset = (crate::now_ms() + i64::try_from(retry_after.as_millis()).unwrap() + 999) / 1_000;
        let headers = [
            ("x-ratelimit-limit", "200".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", reset.to_string()),
        ];
        (headers, self.refuse("limit")).into_response()
    }

    fn expired(&self) -> Response {
        self.refuse("unauthorized")
    }

    fn refusals(&self) -> Vec<Refusal> {
        REFUSALS.iter().map(|(code, .., outcome)| Refusal { code, outcome: *outcome }).collect()
    }

    fn refuse(&self, code: &str) -> Response {
        let (_, status, number, words, _) = REFUSALS.iter().find(|(known, ..)| *known == code).unwrap();
        refusal(*status, *number, words)
    }
}

fn refusal(status: u16, number: u64, words: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    if number == 0 {
        let body = if words.starts_with('<') { words.to_owned() } else { json!({"message": words}).to_string() };
        return (status, body).into_response();
    }
    answer(status, &json!({"code": number, "message": words}))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

fn say(message: &Value) -> Message {
    Message::text(message.to_string())
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn uuid(no: u64) -> String {
    format!("{no:08x}-0000-4000-8000-000000000000")
}

fn number_of(uuid: &str) -> u64 {
    uuid.split('-').next().and_then(|part| u64::from_str_radix(part, 16).ok()).unwrap_or(0)
}

fn shown(order: &Order) -> Value {
    let status = match order.status {
        Status::New => "new",
        Status::Partial => "partially_filled",
        Status::Filled => "filled",
        Status::Canceled => "canceled",
        Status::Expired => "expired",
        Status::Rejected => "rejected",
    };
    let text = |price: Option<Price>| price.map(|price| price.to_string());
    json!({
        "id": uuid(order.no), "client_order_id": order.asked.id, "created_at": time(order.placed_ms),
        "updated_at": time(order.changed_ms), "submitted_at": time(order.placed_ms), "filled_at": null,
        "expired_at": null, "canceled_at": null, "failed_at": null, "replaced_at": null, "replaced_by": null,
        "replaces": null, "asset_id": uuid(0), "symbol": order.asked.symbol, "asset_class": "us_equity",
        "notional": null, "qty": order.asked.quantity.to_string(), "filled_qty": order.filled.to_string(),
        "filled_avg_price": text(order.average()), "order_class": "", "order_type": "market", "type": "market",
        "side": if order.asked.buy { "buy" } else { "sell" }, "time_in_force": "day", "limit_price": null,
        "stop_price": null, "status": status, "extended_hours": false, "legs": null, "trail_percent": null,
        "trail_price": null, "hwm": null, "commission": "0",
    })
}

/// Whether the two headers hold the key.
fn knows(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|header| header == value);
    is("apca-api-key-id", KEY_ID) && is("apca-api-secret-key", SECRET_KEY)
}

type Shared = State<Arc<World>>;

async fn place(State(world): Shared, headers: HeaderMap, body: String) -> Response {
    if !knows(&headers) {
        return Alpaca.expired();
    }
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return Alpaca.refuse("malformed") };
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if (text("type"), text("time_in_force")) != ("market", "day") || body["extended_hours"] == true {
        return Alpaca.refuse("extended hours");
    }
    let buy = match text("side") {
        "buy" => true,
        "sell" => false,
        _ => return Alpaca.refuse("malformed"),
    };
    let Ok(quantity) = Quantity::parse_positive(text("qty").as_bytes()) else { return Alpaca.refuse("malformed") };
    let asked = NewOrder { id: text("client_order_id").to_owned(), symbol: text("symbol").to_owned(), buy, quantity };
    let id = asked.id.clone();
    let known = move |book: &Book| book.by_id(&id).map(|_| Alpaca.refuse("duplicate"));
    world.place(asked, known, |order| answer(StatusCode::OK, &shown(order))).await
}

async fn by_client_order_id(State(world): Shared, headers: HeaderMap, Query(query): Asked) -> Response {
    if !knows(&headers) {
        return Alpaca.expired();
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
        return Alpaca.expired();
    }
    let word = |name: &str, default: &'static str| query.get(name).map_or(default, String::as_str).to_owned();
    let (status, direction) = (word("status", "open"), word("direction", "desc"));
    let Ok(limit) = word("limit", "50").parse::<usize>() else { return Alpaca.refuse("malformed") };
    let after = query.get("after").map(|after| after.parse::<Timestamp>());
    if limit > 500 || matches!(after, Some(Err(_))) {
        return Alpaca.refuse("malformed");
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
        return Alpaca.expired();
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
        return Alpaca.expired();
    }
    let held = world.book(Book::positions).into_iter().map(|(symbol, quantity)| {
        let side = if quantity > Quantity::ZERO { "long" } else { "short" };
        json!({"asset_id": uuid(0), "symbol": symbol, "exchange": "NYSE", "asset_class": "us_equity",
            "avg_entry_price": "100", "qty": quantity.to_string(), "side": side, "cost_basis": "0"})
    });
    answer(StatusCode::OK, &held.collect())
}

fn stream_answer(world: &World, line: &mut Line, said: &Value) -> Vec<Message> {
    let binary = |message: Value| vec![Message::binary(message.to_string())];
    match said["action"].as_str() {
        Some("authenticate") => {
            let (id, secret) = (&said["data"]["key_id"], &said["data"]["secret_key"]);
            line.known = id == KEY_ID && secret == SECRET_KEY && !world.is_expired();
            let status = if line.known { "authorized" } else { "unauthorized" };
            binary(json!({"stream": "authorization", "data": {"status": status, "action": "authenticate"}}))
        }
        Some("listen") if line.known => {
            line.topics.insert(ORDERS.to_owned());
            binary(json!({"stream": "listening", "data": {"streams": ["trade_updates"]}}))
        }
        _ => binary(json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}})),
    }
}

fn market_answer(world: &World, line: &mut Line, said: &Value) -> Vec<Message> {
    let error = |code: u16, words: &str| vec![say(&json!([{"T": "error", "code": code, "msg": words}]))];
    match said["action"].as_str() {
        Some("auth") if said["key"] == KEY_ID && said["secret"] == SECRET_KEY && !world.is_expired() => {
            line.known = true;
            vec![say(&json!([{"T": "success", "msg": "authenticated"}]))]
        }
        Some("auth") => error(402, "auth failed"),
        Some("subscribe") if line.known => {
            let trades = said["trades"].as_array().cloned().unwrap_or_default();
            line.topics.extend(trades.iter().filter_map(Value::as_str).map(str::to_owned));
            vec![say(&json!([{"T": "subscription", "trades": line.topics, "quotes": [], "bars": []}]))]
        }
        Some("subscribe") => error(401, "not authenticated"),
        _ => error(400, "invalid syntax"),
    }
}
