//! Candles of a symbol: everybody's data.

use super::Api;
use crate::clock::{Clock as _, LiveClock};
use crate::http::answer::{Keep, Problem, answer};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use strat_client::candles::{Candle, Gaps, Timeframe};

/// Candles in an answer that says no `from`.
const LATEST: i64 = 120;
/// As long as any session may be.
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    #[serde(default = "minute")]
    timeframe: String,
    /// Epoch ms; the periods that begin then or later.
    from: Option<i64>,
    /// Epoch ms; not the periods that begin then or later.
    to: Option<i64>,
    /// Whether periods without a trade between two candles are answered as flat ones.
    #[serde(default)]
    fill: bool,
}

fn minute() -> String {
    Timeframe::Minute.as_str().to_owned()
}

/// The candles of a span, oldest first.
#[utoipa::path(get, path = "/candles/{symbol}", tag = "market", params(("symbol" = String, Path), Span), responses((status = 200, body = Object)))]
pub(super) async fn range(
    State(api): State<Arc<Api>>,
    Path(symbol): Path<String>,
    span: Result<Query<Span>, QueryRejection>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let Query(span) = span.map_err(|why| Problem::bad_request(why.body_text()))?;
    let timeframe = Timeframe::parse(&span.timeframe)
        .ok_or_else(|| Problem::bad_request("timeframe must be one of 1m, 5m, 15m, 1h, 1d"))?;
    let to_ms = span.to.unwrap_or_else(|| LiveClock.now_ms().saturating_add(1));
    let length_ms = timeframe.length_ms().unwrap_or(DAY_MS);
    let from_ms = span.from.unwrap_or_else(|| to_ms.saturating_sub(length_ms.saturating_mul(LATEST)));
    let gaps = if span.fill { Gaps::Flat } else { Gaps::Leave };
    let candles = api.candles.range(&symbol, timeframe, &api.hours, (from_ms, to_ms), gaps).await?;
    let candles: Vec<_> = candles.iter().map(candle_json).collect();
    let body = json!({ "symbol": symbol, "timeframe": timeframe.as_str(), "candles": candles });
    Ok(answer(&asked, Keep::Everybody, &body))
}

fn candle_json(candle: &Candle) -> Value {
    json!({
        "start": candle.period.start_ms,
        "end": candle.period.end_ms,
        "open": candle.open.to_string(),
        "high": candle.high.to_string(),
        "low": candle.low.to_string(),
        "close": candle.close.to_string(),
        "volume": candle.volume.to_string(),
        "trades": candle.trades,
    })
}
