//! The routes under `https://api.kite.trade`.

use super::{Instrument, Kite, number, order_id, order_no, refusal};
use crate::book::{NewOrder, Order, Status};
use crate::world::World;
use axum::extract::{Form, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use strat_core::Protection;

/// What the routes share.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) world: Arc<World>,
    pub(super) kite: Kite,
}

pub(super) fn routes(desk: Desk) -> Router {
    let with_login = Router::new()
        .route("/user/profile", get(async || good(json!({"user_id": "AB1234"}))))
        .route("/orders", get(list))
        .route("/orders/regular", post(place))
        .route("/orders/{order_id}/trades", get(trades))
        .route("/orders/regular/{order_id}", delete(cancel))
        .route("/portfolio/positions", get(positions))
        .route("/instruments", get(instruments))
        .layer(from_fn_with_state(desk.clone(), login));
    with_login.route("/session/token", post(log_in)).with_state(desk)
}

fn good(data: Value) -> Response {
    Json(json!({"status": "success", "data": data})).into_response()
}

/// Whoever comes without the login of the day gets nowhere.
async fn login(State(Desk { kite, .. }): State<Desk>, request: Request, next: Next) -> Response {
    let wanted = format!("token {}:{}", kite.api_key, kite.access_token);
    let expected = [("x-kite-version", "3"), ("authorization", &wanted)];
    if expected.iter().any(|(name, value)| request.headers().get(*name).is_none_or(|got| got != value)) {
        return refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.");
    }
    next.run(request).await
}

async fn log_in(State(Desk { kite, .. }): State<Desk>, Form(form): Form<Vec<(String, String)>>) -> Response {
    let text = [kite.api_key, kite.request_token, kite.api_secret].concat();
    let checksum = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    let wanted = [("api_key", kite.api_key), ("request_token", kite.request_token), ("checksum", &checksum)];
    if !wanted.iter().all(|(name, value)| field(&form, name) == *value) {
        return refusal(403, "TokenException", "Token is invalid or has expired.");
    }
    good(json!({"user_id": "AB1234", "api_key": kite.api_key, "access_token": kite.access_token, "refresh_token": ""}))
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

async fn place(State(Desk { world, kite }): State<Desk>, Form(form): Form<Vec<(String, String)>>) -> Response {
    kite.remember(&form);
    let read = |name| field(&form, name);
    let name = read("tradingsymbol");
    let symbol = if read("exchange") == "NSE" { name.to_owned() } else { format!("{}/{name}", read("exchange")) };
    let wrong = [
        ("tradingsymbol", kite.instruments.of_symbol(&symbol).is_none()),
        ("transaction_type", !matches!(read("transaction_type"), "BUY" | "SELL")),
        ("order_type", read("order_type") != "MARKET"),
        ("product", !matches!(read("product"), "MIS" | "CNC" | "NRML")),
        ("validity", read("validity") != "DAY"),
        ("market_protection", !matches!(read("market_protection").parse(), Ok(-1 | 1..=100))),
        ("tag", read("tag").len() > 20),
        ("quantity", read("quantity").parse::<u32>().is_err()),
    ];
    if let Some((name, _)) = wrong.into_iter().find(|(_, wrong)| *wrong) {
        return refusal(400, "InputException", &format!("Invalid `{name}`."));
    }
    let buy = read("transaction_type") == "BUY";
    // Its own protection, or any percentage of the last price.
    let limit = match read("market_protection").parse::<Protection>() {
        Ok(percent) => percent.limit(world.book(|book| book.price(&symbol)), buy),
        Err(_) => None,
    };
    let quantity = read("quantity").parse().unwrap();
    let asked = NewOrder { id: read("tag").to_owned(), symbol, buy, quantity, limit };
    // The same tag again is another order.
    world.place(asked, |_| None, |order| good(json!({"order_id": order_id(order)}))).await
}

async fn list(State(Desk { world, kite }): State<Desk>) -> Response {
    let orders = world.book(|book| kite.list(book.orders()));
    ([("content-type", "application/json")], format!(r#"{{"status":"success","data":[{orders}]}}"#)).into_response()
}

async fn trades(State(Desk { world, .. }): State<Desk>, Path(id): Path<String>) -> Response {
    let Some(order) = world.book(|book| book.get(order_no(&id)).cloned()) else { return unknown(&id) };
    let average = |order: &Order| order.average().map(|average| number(&average.to_string()));
    let trade = average(&order)
        .map(|price| json!({"trade_id": "1", "order_id": id, "average_price": price, "quantity": number(&order.filled.to_string())}));
    good(trade.into_iter().collect())
}

async fn cancel(State(Desk { world, .. }): State<Desk>, Path(id): Path<String>) -> Response {
    match world.end(order_no(&id), Status::Canceled) {
        Some(_) => good(json!({"order_id": id})),
        None => refusal(400, "OrderException", "Order cannot be cancelled as it is being processed. Try later."),
    }
}

async fn positions(State(Desk { world, kite }): State<Desk>) -> Response {
    let held = world.book(|book| book.positions());
    let net = held.into_iter().map(|(symbol, quantity)| {
        let Instrument { name, exchange, token, .. } = kite.instruments.of_symbol(&symbol).unwrap();
        json!({"tradingsymbol": name, "exchange": exchange, "instrument_token": token, "product": "MIS",
            "quantity": number(&quantity.to_string()), "overnight_quantity": 0, "multiplier": 1, "average_price": 100.05})
    });
    good(json!({"net": net.collect::<Vec<_>>(), "day": []}))
}

async fn instruments(State(Desk { kite, .. }): State<Desk>) -> String {
    let head = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n";
    let line = |Instrument { token, name, exchange, lot }: &Instrument| {
        format!("{token},{},{name},,0.0,,0.0,0.05,{lot},EQ,{exchange},{exchange}\n", token >> 8)
    };
    std::iter::once(head.to_owned()).chain(kite.instruments.all().iter().map(line)).collect()
}

fn unknown(id: &str) -> Response {
    refusal(404, "GeneralException", &format!("Couldn't find that order {id}."))
}
