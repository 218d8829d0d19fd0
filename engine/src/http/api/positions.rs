//! Open positions, and calm mode.

use super::Api;
use super::strategies::Which;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::{Body, Params};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use strat_client::positions::{self, Calm, open_positions};
use strat_core::key::check_id;
use strat_core::strategy::Distance;
use strat_core::{Money, StrategyKey};
use utoipa::ToSchema;

/// Positions whose calm mode is asked for at the same time.
const AT_A_TIME: usize = 64;
/// Most positions in an answer.
const POSITIONS_MAX: usize = 1_000;

/// How far a level is.
#[derive(Debug, Serialize, ToSchema)]
struct Level {
    level: String,
    /// How far the price may still move; 0 or less where it is reached.
    left: String,
    /// The same in hundredths of a percent of the price.
    left_bps: Option<i64>,
}

/// An open position.
#[derive(Debug, Serialize, ToSchema)]
struct Position {
    user_id: String,
    strategy_id: String,
    symbol: String,
    side: String,
    quantity: String,
    entry_price: Option<String>,
    /// Null where there is no fresh one.
    last_price: Option<String>,
    /// At the last price, before costs.
    unrealised: Option<String>,
    stop: Option<Level>,
    target: Option<Level>,
    /// Whether its user wants to see `mood` instead of amounts.
    calm: bool,
    /// DEEP_LOSS, LOSS, FLAT, GAIN or HIGH_GAIN.
    mood: Option<String>,
}

/// The open positions of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Positions {
    positions: Vec<Position>,
    /// Of all of them; null if one has no price.
    unrealised: Option<String>,
    /// Whether these are all.
    complete: bool,
}

/// A choice of calm mode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "calm": true }))]
pub(super) struct Choice {
    calm: bool,
    /// For one position; for all where it is left out.
    strategy_id: Option<String>,
    user_id: Option<String>,
}

/// Open positions, and where each stands at the last price.
#[utoipa::path(get, path = "/positions", tag = "positions", params(Which), responses((status = 200, body = Positions)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    let mut found = open_positions(&mut api.redis.clone(), &user, None).await?;
    let complete = found.len() <= POSITIONS_MAX;
    found.truncate(POSITIONS_MAX);
    let gains: Option<Vec<Money>> = found.iter().map(|position| position.standing?.gain).collect();
    let unrealised = gains.map(|gains| gains.into_iter().sum::<Money>().to_string());
    let shown = stream::iter(found).map(|position| show(&api, position)).buffered(AT_A_TIME);
    let positions = shown.try_collect().await?;
    Ok(answer(&headers, Keep::Nobody, &json!(Positions { positions, unrealised, complete })))
}

/// Chooses calm mode for all positions or for one.
#[utoipa::path(put, path = "/calm", tag = "positions", request_body = Choice, responses((status = 204)))]
pub(super) async fn choose(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(choice): Body<Choice>,
) -> Result<StatusCode, Problem> {
    let user = caller.tenant(choice.user_id.as_deref())?;
    let (calm, mut redis) = (Calm::default(), api.redis.clone());
    match &choice.strategy_id {
        None => calm.choose(&mut redis, &user, choice.calm).await?,
        Some(strategy) => {
            check_id("strategy_id", strategy).map_err(|why| Problem::bad_request(why.to_string()))?;
            calm.flag(&mut redis, &StrategyKey { prefix: "", user: &user, strategy }, choice.calm).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn show(api: &Api, position: positions::Position) -> Result<Position, Problem> {
    let positions::Position { strategy, side, last, standing } = position;
    let key =
        StrategyKey::parse(strategy.key()).ok_or_else(|| Problem::not_found("a position has no strategy any more"))?;
    let calm = Calm::default().is_calm(&mut api.redis.clone(), &key).await?;
    let state = strategy.state()?;
    let price = last.as_deref().and_then(|text| text.parse().ok());
    Ok(Position {
        user_id: key.user.to_owned(),
        strategy_id: key.strategy.to_owned(),
        symbol: state.symbol.clone(),
        side: side.to_string(),
        quantity: state.open_quantity().to_string(),
        entry_price: state.entry_price.map(|price| price.to_string()),
        unrealised: standing.and_then(|standing| standing.gain).map(|gain| gain.to_string()),
        stop: standing.and_then(|standing| standing.stop).as_ref().map(level),
        target: standing.and_then(|standing| standing.target).as_ref().map(level),
        calm,
        mood: price.and_then(|price| state.mood(price)).map(|mood| mood.to_string()),
        last_price: last,
    })
}

fn level(distance: &Distance) -> Level {
    Level { level: distance.level.to_string(), left: distance.left.to_string(), left_bps: distance.left_bps }
}
