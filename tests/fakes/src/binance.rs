//! Binance Spot: REST API v3, WebSocket API v3 and market streams, as github.com/binance/binance-spot-api-docs describes them.

use crate::book::{Order, Status};
use crate::hub::ORDERS;
use crate::lies::{Outcome, Refusal};
use crate::{Heard, Line, Message, Venue, World};
use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use ring::hmac::{HMAC_SHA256, Key, verify};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use strat_core::Price;

mod rest;

/// The key that is taken.
pub const API_KEY: &str = "fakeApiKeyOfNobody";
/// Its secret.
pub const API_SECRET: &str = "fakeSecretOfNobody";
/// Path of the WebSocket API.
pub const STREAM: &str = "/ws-api/v3";
/// Symbols and their base assets.
const SYMBOLS: &[(&str, &str)] = &[("BTCUSDT", "BTC"), ("ETHUSDT", "ETH")];

/// Status, code, words and meaning of the refusals of a placement. The last one keeps its caller waiting.
const REFUSALS: &[(&str, u16, i64, &str, Outcome)] = &[
    ("filter", 400, -1013, "Filter failure: LOT_SIZE", Outcome::Rejected),
    ("balance", 400, -2010, "Account has insufficient balance for requested action.", Outcome::Rejected),
    ("closed", 400, -2010, "Market is closed.", Outcome::Rejected),
    ("duplicate", 400, -2010, "Duplicate order sent.", Outcome::Unknown),
    ("symbol", 400, -1121, "Invalid symbol.", Outcome::Rejected),
    ("characters", 400, -1100, "Illegal characters found in parameter 'quantity'.", Outcome::Rejected),
    ("precision", 400, -1111, "Parameter 'quantity' has too much precision.", Outcome::Rejected),
    ("unknown", 400, -1000, "An unknown error occurred while processing the request.", Outcome::Unknown),
    ("disconnected", 500, -1001, "Internal error; unable to process your request.", Outcome::Unknown),
    ("bus", 500, -1006, "An unexpected response was received from the message bus.", Outcome::Unknown),
    ("time-out", 504, -1007, "Timeout waiting for response from backend server.", Outcome::Unknown),
    ("busy", 503, -1008, "Server is currently overloaded with other requests.", Outcome::Unknown),
    ("refusal of a broken server", 503, -2010, "Market is closed.", Outcome::Unknown),
    ("gateway", 502, 0, "<html>502 Bad Gateway</html>", Outcome::Unknown),
    ("key", 401, -2015, "Invalid API-key, IP, or permissions for action.", Outcome::Unavailable),
    ("signature", 400, -1022, "Signature for this request is not valid.", Outcome::Unavailable),
    (
        "too many orders",
        400,
        -1015,
        "Too many new orders; current limit is 50 orders per 10 SECOND.",
        Outcome::RateLimited,
    ),
];

/// What a test turns on this fake beside what every fake has.
#[derive(Debug, Default)]
pub struct Knobs {
    /// What its clock is ahead of the machine's by, ms.
    pub clock_ahead_ms: AtomicI64,
    /// A limit is a ban.
    pub bans: AtomicBool,
    /// The weight that every answer says was used.
    pub used_weight: AtomicU64,
    trade_id: AtomicU64,
}

/// The fake.
#[derive(Debug, Clone, Default)]
pub struct Binance(pub Arc<Knobs>);

impl Venue for Binance {
    fn routes(&self, world: Arc<World>) -> Router {
        rest::routes(self.clone(), world)
    }

    fn news(&self, order: &Order) -> Message {
        let ended_by_hand = order.status == Status::Canceled;
        let (id, cancelled) =
            if ended_by_hand { ("cancellation", order.asked.id.as_str()) } else { (order.asked.id.as_str(), "") };
        let (last_quantity, last_price) = order.last.unwrap_or_default();
        let event = json!({
            "e": "executionReport", "E": crate::now_ms(), "s": order.asked.symbol, "c": id, "S": side(order), "o": "MARKET",
            "f": "GTC", "q": fixed(order.asked.quantity.units()), "p": "0.00000000", "P": "0.00000000", "F": "0.00000000",
            "g": -1, "C": cancelled, "x": if order.last.is_some() { "TRADE" } else { status(order) }, "X": status(order),
            "r": "NONE", "i": order.no, "l": fixed(last_quantity.units()), "z": fixed(order.filled.units()),
            "L": fixed(last_price.units()), "n": "0", "N": null, "T": order.changed_ms, "t": -1, "I": order.no * 10,
            "w": order.is_open(), "m": false, "M": false, "O": order.placed_ms, "Z": quote(order), "Y": "0.00000000",
            "Q": "0.00000000", "V": "NONE",
        });
        Message::text(json!({"subscriptionId": 0, "event": event}).to_string())
    }

    fn tick(&self, _world: &World, symbol: &str, price: Price) -> Option<Message> {
        let (now, id) = (crate::now_ms(), self.0.trade_id.fetch_add(1, SeqCst) + 1);
        let data = json!({"e": "trade", "E": now, "s": symbol, "t": id, "p": fixed(price.units()), "q": "0.50000000",
            "T": now, "m": true, "M": true});
        Some(Message::text(json!({"stream": format!("{}@trade", symbol.to_lowercase()), "data": data}).to_string()))
    }

    fn talk(&self, world: &World, line: &mut Line, heard: Heard) -> Vec<Message> {
        let Heard::Said(message) = heard else { return Vec::new() };
        let said: Value = serde_json::from_slice(&message.into_data()).unwrap_or_default();
        let answer =
            if line.uri.starts_with(STREAM) { self.subscribe(world, line, &said) } else { follow(line, &said) };
        vec![Message::text(answer.to_string())]
    }

    fn limited(&self, retry_after: Duration) -> Response {
        let (status, words) = if self.0.bans.load(SeqCst) {
            (418, "Way too much request weight used; IP banned until 1.")
        } else {
            (429, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.")
        };
        let headers = [("retry-after", retry_after.as_secs().to_string())];
        (headers, refusal(status, -1003, words)).into_response()
    }

    fn expired(&self) -> Response {
        self.refuse("key")
    }

    fn refusals(&self) -> Vec<Refusal> {
        REFUSALS.iter().map(|(code, .., outcome)| Refusal { code, outcome: *outcome }).collect()
    }

    fn refuse(&self, code: &str) -> Response {
        if code == "firewall" {
            return refusal(403, 0, "<html>403 Forbidden</html>");
        }
        let (_, status, number, words, _) = REFUSALS.iter().find(|(known, ..)| *known == code).unwrap();
        refusal(*status, *number, words)
    }
}

impl Binance {
    /// Its time.
    fn now_ms(&self) -> i64 {
        crate::now_ms() + self.0.clock_ahead_ms.load(SeqCst)
    }

    /// "Timing security".
    fn is_in_time(&self, timestamp: i64, recv_window: i64) -> bool {
        let now = self.now_ms();
        timestamp < now + 1_000 && now - timestamp <= recv_window
    }

    /// The parameters of a signed request, or why it is refused.
    fn signed(&self, headers: &HeaderMap, raw: &str) -> Result<BTreeMap<String, String>, Response> {
        if headers.get("x-mbx-apikey").is_none_or(|key| key != API_KEY) {
            return Err(self.refuse("key"));
        }
        let (payload, signature) = raw.rsplit_once("&signature=").unwrap_or((raw, ""));
        if !is_signed(payload, signature) {
            return Err(self.refuse("signature"));
        }
        let query = params(payload);
        let number = |name: &str| query.get(name).and_then(|value| value.parse().ok()).unwrap_or(i64::MIN / 2);
        if self.is_in_time(number("timestamp"), number("recvWindow")) {
            return Ok(query);
        }
        Err(refusal(400, -1021, "Timestamp for this request is outside of the recvWindow."))
    }

    /// `userDataStream.subscribe.signature`.
    fn subscribe(&self, world: &World, line: &mut Line, said: &Value) -> Value {
        let (id, params) = (&said["id"], &said["params"]);
        let error = |status: u16, code: i64, words: &str| json!({"id": id, "status": status, "error": {"code": code, "msg": words}});
        let (timestamp, window) =
            (params["timestamp"].as_i64().unwrap_or(0), params["recvWindow"].as_i64().unwrap_or(5_000));
        let payload = format!("apiKey={API_KEY}&recvWindow={window}&timestamp={timestamp}");
        if said["method"] != "userDataStream.subscribe.signature" {
            return error(400, -1020, "This operation is not supported.");
        }
        if params["apiKey"] != API_KEY || world.is_expired() {
            return error(401, -2015, "Invalid API-key, IP, or permissions for action.");
        }
        if !is_signed(&payload, params["signature"].as_str().unwrap_or_default()) {
            return error(400, -1022, "Signature for this request is not valid.");
        }
        if !self.is_in_time(timestamp, window) {
            return error(400, -1021, "Timestamp for this request is outside of the recvWindow.");
        }
        line.topics.insert(ORDERS.to_owned());
        json!({"id": id, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []})
    }
}

/// `SUBSCRIBE` of a combined stream.
fn follow(line: &mut Line, said: &Value) -> Value {
    if said["method"] != "SUBSCRIBE" {
        return json!({"code": 2, "msg": "Invalid request: unknown variant", "id": said["id"]});
    }
    let streams = said["params"].as_array().cloned().unwrap_or_default();
    let symbols = streams.iter().filter_map(|stream| stream.as_str()?.strip_suffix("@trade").map(str::to_uppercase));
    line.topics.extend(symbols);
    json!({"result": null, "id": said["id"]})
}

fn is_signed(payload: &str, signature: &str) -> bool {
    let bytes: Option<Vec<u8>> =
        (0..signature.len() / 2).map(|at| u8::from_str_radix(signature.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    let key = Key::new(HMAC_SHA256, API_SECRET.as_bytes());
    bytes.is_some_and(|bytes| verify(&key, payload.as_bytes(), &bytes).is_ok())
}

fn params(raw: &str) -> BTreeMap<String, String> {
    let uri: Uri = format!("/?{raw}").parse().unwrap();
    Query::try_from_uri(&uri).map(|Query(query)| query).unwrap_or_default()
}

fn refusal(status: u16, code: i64, words: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    if code == 0 {
        return (status, words.to_owned()).into_response();
    }
    answer(status, &json!({"code": code, "msg": words}))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// With eight decimals, as Binance writes amounts.
fn fixed(units: i64) -> String {
    format!("{}.{:08}", units / 100_000_000, units % 100_000_000)
}

fn quote(order: &Order) -> String {
    fixed(i64::try_from(order.cost / 100_000_000).unwrap())
}

fn side(order: &Order) -> &'static str {
    if order.asked.buy { "BUY" } else { "SELL" }
}

fn status(order: &Order) -> &'static str {
    match order.status {
        Status::New => "NEW",
        Status::Partial => "PARTIALLY_FILLED",
        Status::Filled => "FILLED",
        Status::Canceled => "CANCELED",
        Status::Expired => "EXPIRED",
        Status::Rejected => "REJECTED",
    }
}
