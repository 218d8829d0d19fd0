//! Alpaca, Trading API v2 and market data v2, as docs.alpaca.markets describes them.

mod rest;
mod sockets;

use crate::book::{Order, Status};
use crate::lies::{Outcome, Refusal};
use crate::{Heard, Line, Message, Venue, World};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strat_core::Price;

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
pub struct Alpaca {
    /// How the stream of updates writes its JSON.
    frame: fn(String) -> Message,
}

impl Alpaca {
    /// A paper account: its updates come in binary frames.
    #[must_use]
    pub fn paper() -> Self {
        Self { frame: |text| Message::binary(text) }
    }

    /// A live account: its updates come as text.
    #[must_use]
    pub fn live() -> Self {
        Self { frame: |text| Message::text(text) }
    }
}

impl Venue for Alpaca {
    fn routes(&self, world: Arc<World>) -> Router {
        rest::routes(world)
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
        (self.frame)(json!({"stream": "trade_updates", "data": data}).to_string())
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
                if market {
                    sockets::market(world, line, &said)
                } else {
                    vec![(self.frame)(sockets::updates(world, line, &said).to_string())]
                }
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
        (headers, refuse("limit")).into_response()
    }

    fn expired(&self) -> Response {
        refuse("unauthorized")
    }

    fn refusals(&self) -> Vec<Refusal> {
        REFUSALS.iter().map(|(code, .., outcome)| Refusal { code, outcome: *outcome }).collect()
    }

    fn refuse(&self, code: &str) -> Response {
        refuse(code)
    }
}

fn refuse(code: &str) -> Response {
    let (_, status, number, words, _) = REFUSALS.iter().find(|(known, ..)| *known == code).unwrap();
    refusal(*status, *number, words)
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
