//! Binance Spot: REST API v3, WebSocket API v3 and market streams, as github.com/binance/binance-spot-api-docs describes them.

use crate::book::{Book, NewOrder, Order, Status};
use crate::hub::ORDERS;
use crate::lies::{Outcome, Refusal};
use crate::{Heard, Line, Message, Venue, World};
use axum::Router;
use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use ring::hmac::{HMAC_SHA256, Key, verify};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use strat_core::{Price, Quantity};

/// The key that is taken.
pub const API_KEY: &str = "fakeApiKeyOfNobody";
/// Its secret.
pub const API_SECRET: &str = "fakeSecretOfNobody";
/// Path of the WebSocket API.
pub const STREAM: &str = "/ws-api/v3";
/// Symbols and their base assets.
const SYMBOLS: &[(&str, &str)] = &[("BTCUSDT", "BTC"), ("ETHUSDT", "ETH")];
/// Most orders of one page.
const PAGE_MAX: usize = 1_000;

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

#[derive(Clone)]
struct Shared {
    venue: Binance,
    world: Arc<World>,
}

impl Venue for Binance {
    fn routes(&self, world: Arc<World>) -> Router {
        let knobs = Arc::clone(&self.0);
        Router::new()
            .route("/api/v3/time", get(time))
            .route("/api/v3/exchangeInfo", get(exchange_info))
            .route("/api/v3/avgPrice", get(average))
            .route("/api/v3/order", post(place).get(find).delete(cancel))
            .route("/api/v3/openOrders", get(open_orders))
            .route("/api/v3/allOrders", get(all_orders))
            .route("/api/v3/account", get(account))
            .with_state(Shared { venue: self.clone(), world })
            .layer(axum::middleware::map_response(move |mut response: Response| {
                let used = knobs.used_weight.load(SeqCst).into();
                response.headers_mut().insert("x-mbx-used-weight-1m", used);
                async move { response }
            }))
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

fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
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

/// An order as it is looked up and listed.
fn shown(order: &Order) -> Value {
    json!({
        "symbol": order.asked.symbol, "orderId": order.no, "orderListId": -1, "clientOrderId": order.asked.id,
        "price": "0.00000000", "origQty": fixed(order.asked.quantity.units()),
        "executedQty": fixed(order.filled.units()), "cummulativeQuoteQty": quote(order), "status": status(order),
        "timeInForce": "GTC", "type": "MARKET", "side": side(order), "stopPrice": "0.00000000",
        "icebergQty": "0.00000000", "time": order.placed_ms, "updateTime": order.changed_ms,
        "isWorking": order.is_open(), "workingTime": order.placed_ms, "origQuoteOrderQty": "0.000000",
        "selfTradePreventionMode": "NONE",
    })
}

/// An order in the answer to the request that changed it.
fn changed(order: &Order) -> Value {
    let mut value = shown(order);
    if let Some(fields) = value.as_object_mut() {
        let at = fields.remove("updateTime");
        fields.insert("transactTime".to_owned(), at.unwrap());
        fields.remove("time");
    }
    value
}

async fn time(State(at): State<Shared>) -> Response {
    ok(&json!({"serverTime": at.venue.now_ms()}))
}

async fn exchange_info(Query(query): Query<BTreeMap<String, String>>) -> Response {
    let asked: Vec<String> = query.get("symbols").and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
    let known = |symbol: &String| SYMBOLS.iter().find(|(name, _)| name == symbol);
    let Some(symbols) = asked.iter().map(known).collect::<Option<Vec<_>>>() else {
        return refusal(400, -1121, "Invalid symbol.");
    };
    let filters = json!([
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "107.00000000", "stepSize": "0.00000000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": true,
         "maxNotional": "9000000.00000000", "applyMaxToMarket": false, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]);
    let shown = symbols.iter().map(|(symbol, base)| {
        json!({"symbol": symbol, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8, "quoteAsset": "USDT",
            "orderTypes": ["LIMIT", "MARKET"], "filters": filters, "permissionSets": [["SPOT"]]})
    });
    ok(&json!({"timezone": "UTC", "serverTime": crate::now_ms(), "exchangeFilters": [], "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
        "symbols": shown.collect::<Vec<_>>()}))
}

async fn average(State(at): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let price = at.world.book(|book| book.price(query.get("symbol").map_or("", String::as_str)));
    ok(&json!({"mins": 5, "price": fixed(price.units()), "closeTime": crate::now_ms()}))
}

async fn place(State(Shared { venue, world }): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let query = match venue.signed(&headers, &body) {
        Ok(query) => query,
        Err(refusal) => return refusal,
    };
    let text = |name: &str| query.get(name).cloned().unwrap_or_default();
    let quantity = Quantity::parse_positive(text("quantity").as_bytes());
    let (kind, side) = (text("type"), text("side"));
    let (Ok(quantity), "MARKET", "BUY" | "SELL") = (quantity, kind.as_str(), side.as_str()) else {
        return venue.refuse("characters");
    };
    let asked = NewOrder { id: text("newClientOrderId"), symbol: text("symbol"), buy: side == "BUY", quantity };
    let id = asked.id.clone();
    // Unique among open orders only.
    let known = |book: &Book| book.by_id(&id).filter(|order| order.is_open()).map(|_| venue.refuse("duplicate"));
    world.place(asked, known, |order| ok(&changed(order))).await
}

/// The order that a signed request names.
fn named(at: &Shared, headers: &HeaderMap, raw: Option<&str>) -> Result<Option<Order>, Response> {
    let query = at.venue.signed(headers, raw.unwrap_or_default())?;
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let found = at.world.book(|book| book.by_id(text("origClientOrderId")).cloned());
    Ok(found.filter(|order| order.asked.symbol == text("symbol")))
}

async fn find(State(at): State<Shared>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    match named(&at, &headers, raw.as_deref()) {
        Ok(Some(order)) => ok(&shown(&order)),
        Ok(None) => refusal(400, -2013, "Order does not exist."),
        Err(refused) => refused,
    }
}

async fn cancel(State(at): State<Shared>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    let ended = match named(&at, &headers, raw.as_deref()) {
        Ok(order) => order.and_then(|order| at.world.end(order.no, Status::Canceled)),
        Err(refused) => return refused,
    };
    let Some(order) = ended else { return refusal(400, -2011, "Unknown order sent.") };
    let mut value = changed(&order);
    value["origClientOrderId"] = value["clientOrderId"].take();
    value["clientOrderId"] = json!("cancellation");
    ok(&value)
}

async fn open_orders(State(at): State<Shared>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    list(&at, &headers, raw.as_deref(), |order, _| order.is_open())
}

async fn all_orders(State(at): State<Shared>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    list(&at, &headers, raw.as_deref(), |order, query| {
        let number = |name: &str| query.get(name).and_then(|value| value.parse::<i64>().ok());
        number("startTime").is_none_or(|since| order.placed_ms >= since)
            && number("orderId").is_none_or(|first| i64::try_from(order.no).unwrap() >= first)
    })
}

fn list(
    at: &Shared,
    headers: &HeaderMap,
    raw: Option<&str>,
    wanted: impl Fn(&Order, &BTreeMap<String, String>) -> bool,
) -> Response {
    let query = match at.venue.signed(headers, raw.unwrap_or_default()) {
        Ok(query) => query,
        Err(refused) => return refused,
    };
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(500).min(PAGE_MAX);
    let symbol = query.get("symbol").map_or("", String::as_str);
    let orders: Vec<Value> = at.world.book(|book| {
        let of_symbol = book.orders().iter().filter(|order| order.asked.symbol == symbol);
        of_symbol.filter(|order| wanted(order, &query)).take(limit).map(shown).collect()
    });
    ok(&Value::from(orders))
}

async fn account(State(at): State<Shared>, headers: HeaderMap, RawQuery(raw): RawQuery) -> Response {
    if let Err(refused) = at.venue.signed(&headers, raw.as_deref().unwrap_or_default()) {
        return refused;
    }
    let held = at.world.book(Book::positions).into_iter().filter(|(_, held)| *held > Quantity::ZERO);
    let balances = held.map(|(symbol, held)| {
        let asset = SYMBOLS.iter().find(|(name, _)| *name == symbol).map_or("???", |(_, base)| base);
        json!({"asset": asset, "free": fixed(held.units()), "locked": "0.00000000"})
    });
    let cash = json!({"asset": "USDT", "free": "1000.00000000", "locked": "0.00000000"});
    let balances: Vec<Value> = balances.chain([cash]).collect();
    ok(&json!({"canTrade": true, "accountType": "SPOT", "balances": balances, "permissions": ["SPOT"]}))
}
