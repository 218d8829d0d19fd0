//! Zerodha's Kite, version 3: form-encoded orders that carry a tag and nothing else of ours, an order book to look into, a
//! ticker of binary packets that tells of orders in between.
//!
//! It is as strict as Kite: without the version and the login nothing is answered, market orders need their protection, tags
//! are at most 20 long. An average price is told of complete orders only, as documented; the trades have the rest.

mod day;
mod instruments;
mod rest;
mod ticker;

pub use day::{Day, Level, Player, Script, Told};
pub use instruments::{Instrument, Instruments};

use crate::hub::ORDERS;
use crate::{Fake, Heard, Line, Message, Order, Outcome, Refusal, Status, Venue, World};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strat_core::Price;

/// The refusals of a placement: exception, status, what it proves.
const REFUSALS: [(&str, u16, Outcome); 12] = [
    ("InputException", 400, Outcome::Rejected),
    ("OrderException", 400, Outcome::Rejected),
    ("MarginException", 400, Outcome::Rejected),
    ("HoldingException", 400, Outcome::Rejected),
    ("UserException", 403, Outcome::Rejected),
    ("PermissionException", 403, Outcome::Rejected),
    ("TokenException", 403, Outcome::Unavailable),
    ("NetworkException", 503, Outcome::Unknown),
    ("DataException", 502, Outcome::Unknown),
    ("GeneralException", 500, Outcome::Unknown),
    ("TooManyRequests", 429, Outcome::RateLimited),
    ("Gateway", 504, Outcome::Unknown),
];

/// The broker.
#[derive(Debug, Clone)]
pub struct Kite {
    /// Of the app.
    pub api_key: &'static str,
    /// Of the app.
    pub api_secret: &'static str,
    /// What a login in the browser gave.
    pub request_token: &'static str,
    /// What it is exchanged for.
    pub access_token: &'static str,
    /// The form of the last placement, as it came.
    pub last_form: Arc<Mutex<Vec<(String, String)>>>,
    /// What trades.
    pub instruments: Arc<Instruments>,
    /// Prices that come by themselves once somebody says so.
    pub day: Option<Arc<Day>>,
    /// Orders that have ended, as the order book lists them: in a long day it is read often.
    ended: Arc<Mutex<HashMap<u64, String>>>,
}

impl Default for Kite {
    fn default() -> Self {
        Self {
            api_key: "fakekey",
            api_secret: "fakesecret",
            request_token: "fakerequest",
            access_token: "fakeaccess",
            last_form: Arc::default(),
            instruments: Arc::default(),
            day: None,
            ended: Arc::default(),
        }
    }
}

impl Kite {
    /// One where so many shares trade beside the usual instruments.
    #[must_use]
    pub fn with_shares(shares: usize) -> Self {
        Self { instruments: Arc::new(Instruments::with_shares(shares)), ..Self::default() }
    }

    /// One at whose market a day is played.
    #[must_use]
    pub fn with_day(script: Script) -> (Self, Arc<Day>) {
        let instruments = Arc::new(Instruments::with_shares(script.symbols));
        let day = Arc::new(Day::new(script, instruments.shares()));
        (Self { instruments, day: Some(Arc::clone(&day)), ..Self::default() }, day)
    }

    /// What an engine is set to that shall trade there for `user`; its files lie in a folder.
    #[must_use]
    pub fn settings(&self, fake: &Fake, user: &str, folder: &Path) -> Vec<(&'static str, String)> {
        let file = |name: &str| folder.join(name).display().to_string();
        vec![
            ("STRAT_BROKER_KIND", "kite".to_owned()),
            ("STRAT_FEED_KIND", "kite".to_owned()),
            ("STRAT_KITE_USER", user.to_owned()),
            ("STRAT_KITE_API_KEY", self.api_key.to_owned()),
            ("STRAT_KITE_TOKEN_FILE", file("token.json")),
            ("STRAT_KITE_INSTRUMENTS_FILE", file("instruments.csv")),
            ("STRAT_KITE_URL", fake.rest_url()),
            ("STRAT_KITE_STREAM_URL", fake.socket_url()),
        ]
    }

    fn remember(&self, form: &[(String, String)]) {
        *self.last_form.lock().unwrap_or_else(PoisonError::into_inner) = form.to_vec();
    }

    /// The order book without the brackets around it.
    fn list(&self, orders: &[Order]) -> String {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |order: &Order| as_json(&self.instruments, order).to_string();
        let listed = orders.iter().map(|order| match order.is_open() {
            true => text(order),
            false => ended.entry(order.no).or_insert_with(|| text(order)).clone(),
        });
        listed.collect::<Vec<_>>().join(",")
    }
}

impl Venue for Kite {
    fn routes(&self, world: Arc<World>) -> Router {
        rest::routes(rest::Desk { world, kite: self.clone() })
    }

    fn news(&self, order: &Order) -> Message {
        Message::text(json!({"type": "order", "id": "", "data": as_json(&self.instruments, order)}).to_string())
    }

    fn tick(&self, world: &World, symbol: &str, price: Price) -> Option<Message> {
        let instrument = self.instruments.of_symbol(symbol).unwrap();
        // Each mode has a shape of its own.
        for mode in ticker::MODES {
            world.hub.tell(&ticker::topic(mode, symbol), &ticker::message(mode, instrument, price));
        }
        None
    }

    fn talk(&self, world: &World, line: &mut Line, heard: Heard) -> Vec<Message> {
        match heard {
            Heard::Opened => {
                line.topics.insert(ORDERS.to_owned());
                vec![ticker::heartbeat()]
            }
            Heard::Said(message) => ticker::said(self, world, line, &message),
        }
    }

    fn admits(&self, world: &World, uri: &str) -> Result<(), u16> {
        let wanted = format!("/?api_key={}&access_token={}", self.api_key, self.access_token);
        if uri == wanted && !world.is_expired() { Ok(()) } else { Err(403) }
    }

    fn limited(&self, retry_after: Duration) -> Response {
        let seconds = retry_after.as_secs().to_string();
        let mut answer = self.refuse("TooManyRequests");
        answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
        answer
    }

    fn expired(&self) -> Response {
        self.refuse("TokenException")
    }

    fn refusals(&self) -> Vec<Refusal> {
        REFUSALS.into_iter().map(|(code, _, outcome)| Refusal { code, outcome }).collect()
    }

    fn refuse(&self, code: &str) -> Response {
        let (_, status, _) = REFUSALS.into_iter().find(|(known, ..)| *known == code).unwrap();
        if code == "Gateway" {
            // Not Kite's own words: what stands before it gives up.
            return (StatusCode::GATEWAY_TIMEOUT, "<html><h1>504 Gateway Time-out</h1></html>").into_response();
        }
        refusal(status, code, "refused by the fake")
    }
}

/// An error as Kite words it.
fn refusal(status: u16, exception: &str, message: &str) -> Response {
    let body = json!({"status": "error", "message": message, "data": null, "error_type": exception});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// An order as Kite's order book and its updates have it.
fn as_json(instruments: &Instruments, order: &Order) -> Value {
    let Instrument { token, name, exchange, .. } = instruments.of_symbol(&order.asked.symbol).unwrap();
    let status = match order.status {
        Status::New | Status::Partial => "OPEN",
        Status::Filled => "COMPLETE",
        Status::Canceled | Status::Expired => "CANCELLED",
        Status::Rejected => "REJECTED",
    };
    let average = order.average().filter(|_| order.status == Status::Filled).unwrap_or_default();
    let changed = indian_time(order.changed_ms);
    json!({
        "placed_by": "AB1234", "order_id": order_id(order), "exchange_order_id": null, "parent_order_id": null,
        "status": status,
        "status_message": (order.status == Status::Rejected).then_some("Insufficient funds."),
        "status_message_raw": null, "order_timestamp": indian_time(order.placed_ms),
        "exchange_update_timestamp": changed, "exchange_timestamp": changed, "variety": "regular", "modified": false,
        "exchange": exchange, "tradingsymbol": name, "instrument_token": token, "order_type": "MARKET",
        "transaction_type": if order.asked.buy { "BUY" } else { "SELL" }, "validity": "DAY", "product": "MIS",
        "quantity": number(&order.asked.quantity.to_string()), "disclosed_quantity": 0, "price": 0, "trigger_price": 0,
        "average_price": number(&average.to_string()), "filled_quantity": number(&order.filled.to_string()),
        "pending_quantity": number(&order.rest().to_string()), "cancelled_quantity": 0, "market_protection": 0, "meta": {},
        "tag": order.asked.id, "guid": "XXXXXX",
    })
}

/// A number of JSON with these digits. A fake may make a float of them: at most two decimals are asked for in tests.
fn number(digits: &str) -> Value {
    serde_json::from_str(digits).unwrap()
}

fn order_id(order: &Order) -> String {
    format!("{}", 220_303_000_000_000 + order.no)
}

fn order_no(order_id: &str) -> u64 {
    order_id.parse::<u64>().unwrap_or_default().saturating_sub(220_303_000_000_000)
}

fn indian_time(epoch_ms: i64) -> String {
    let ahead = jiff::SignedDuration::from_mins(330);
    let time = jiff::Timestamp::from_millisecond(epoch_ms).unwrap() + ahead;
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
