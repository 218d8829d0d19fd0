//! The REST API.

use super::{Binance, SYMBOLS, answer, fixed, quote, refusal, side, status};
use crate::book::{Book, NewOrder, Order, Status};
use crate::{Venue as _, World};
use axum::Router;
use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use strat_core::{Price, Quantity};

/// Most orders of one page.
const PAGE_MAX: usize = 1_000;

#[derive(Clone)]
struct Shared {
    venue: Binance,
    world: Arc<World>,
}

pub(super) fn routes(venue: Binance, world: Arc<World>) -> Router {
    let knobs = Arc::clone(&venue.0);
    Router::new()
        .route("/api/v3/time", get(time))
        .route("/api/v3/exchangeInfo", get(exchange_info))
        .route("/api/v3/avgPrice", get(average))
        .route("/api/v3/order", post(place).get(find).delete(cancel))
        .route("/api/v3/openOrders", get(open_orders))
        .route("/api/v3/allOrders", get(all_orders))
        .route("/api/v3/account", get(account))
        .with_state(Shared { venue, world })
        .layer(axum::middleware::map_response(move |mut response: Response| {
            let used = knobs.used_weight.load(SeqCst).into();
            response.headers_mut().insert("x-mbx-used-weight-1m", used);
            async move { response }
        }))
}

fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
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
    let limit = match (kind.as_str(), text("timeInForce").as_str(), text("price").parse::<Price>()) {
        ("MARKET", "", Err(_)) => Ok(None),
        ("LIMIT", "GTC", Ok(price)) => Ok(Some(price)),
        _ => Err(()),
    };
    let (Ok(quantity), Ok(limit), "BUY" | "SELL") = (quantity, limit, side.as_str()) else {
        return venue.refuse("characters");
    };
    let asked = NewOrder { id: text("newClientOrderId"), symbol: text("symbol"), buy: side == "BUY", quantity, limit };
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
