//! Prices and what else is known of a symbol: everybody's data.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use strat_client::market::{AgedPrice, Level, OrderBook, Stats, SymbolInfo};

/// Last trades in an answer.
const TRADES: usize = 20;

/// Symbols that have a price at the moment.
#[utoipa::path(get, path = "/symbols", tag = "market", responses((status = 200, body = Object)))]
pub(super) async fn symbols(State(api): State<Arc<Api>>, asked: HeaderMap) -> Result<Response, Problem> {
    let found = api.market.symbols().await?;
    Ok(answer(&asked, Keep::Everybody, &json!({ "symbols": found.symbols, "complete": found.complete })))
}

/// The last price of a symbol; 404 where there is no fresh one.
#[utoipa::path(get, path = "/price/{symbol}", tag = "market", params(("symbol" = String, Path)), responses((status = 200, body = Object), (status = 404, description = "NOT_FOUND")))]
pub(super) async fn price(
    State(api): State<Arc<Api>>,
    Path(symbol): Path<String>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let price = api.market.aged_price(&symbol).await?.ok_or_else(|| none(&symbol))?;
    let mut body = price_json(&price);
    body["symbol"] = symbol.into();
    Ok(answer(&asked, Keep::Everybody, &body))
}

/// Everything that is known of a symbol; what is not known is null.
#[utoipa::path(get, path = "/market-data/{symbol}", tag = "market", params(("symbol" = String, Path)), responses((status = 200, body = Object)))]
pub(super) async fn market_data(
    State(api): State<Arc<Api>>,
    Path(symbol): Path<String>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let market = &api.market;
    let (price, stats, book, info, trades) = tokio::try_join!(
        market.aged_price(&symbol),
        market.stats(&symbol),
        market.order_book(&symbol),
        market.symbol_info(&symbol),
        market.trades(&symbol, TRADES),
    )?;
    let trades: Vec<_> = trades
        .iter()
        .map(|trade| json!({ "ts": trade.ts_ms, "price": trade.price.to_string(), "quantity": trade.quantity.to_string() }))
        .collect();
    let body = json!({
        "symbol": symbol,
        "price": price.as_ref().map(price_json),
        "stats": stats.as_ref().map(stats_json),
        "order_book": book.as_ref().map(book_json),
        "info": info.map(info_json),
        "trades": trades,
    });
    Ok(answer(&asked, Keep::Everybody, &body))
}

fn none(symbol: &str) -> Problem {
    Problem::not_found(format!("there is no fresh price of {symbol}: none came for as long as prices are kept"))
}

fn price_json(price: &AgedPrice) -> Value {
    json!({ "price": price.price.to_string(), "age_ms": price.age.map(|age| age.as_millis() as u64) })
}

fn stats_json(stats: &Stats) -> Value {
    json!({
        "ts": stats.ts_ms,
        "open": stats.open.to_string(),
        "high": stats.high.to_string(),
        "low": stats.low.to_string(),
        "last": stats.last.to_string(),
        "volume": stats.volume.to_string(),
        "change": stats.change().to_string(),
        "change_percent": stats.change_percent().map(|percent| percent.to_string()),
    })
}

fn book_json(book: &OrderBook) -> Value {
    let side = |levels: &[Level]| -> Vec<Value> {
        levels.iter().map(|level| json!([level.price_text(), level.quantity_text()])).collect()
    };
    json!({
        "ts": book.ts_ms(),
        "bids": side(book.bids()),
        "asks": side(book.asks()),
        "spread": book.spread().map(|spread| spread.to_string()),
    })
}

fn info_json(info: SymbolInfo) -> Value {
    json!({
        "tick_size": info.tick_size.to_string(),
        "lot_size": info.lot_size.to_string(),
        "exchange": info.exchange,
        "currency": info.currency,
        "other": info.other,
    })
}
