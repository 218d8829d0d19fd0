//! Price alerts of a user.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::bad_cursor;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{AlertCommands as _, AlertQuery, AlertSpec, PriceAlert};
use strat_core::alert::{LIFE_SECONDS_MAX, alert_field, parse_condition};
use strat_core::key::check_id;
use strat_core::{AlertKey, Code};
use utoipa::{IntoParams, ToSchema};

/// Alerts on one page.
const PAGE: u32 = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    user_id: Option<String>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    user_id: Option<String>,
    id: String,
}

/// An alert to arm.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "id": "a1", "symbol": "RELIANCE", "condition": "ABOVE", "price": "2600.00" }))]
pub(super) struct NewAlert {
    /// Whose; a user may leave it out.
    user_id: Option<String>,
    id: String,
    symbol: String,
    /// ABOVE or BELOW; a price that is there already fires with the next tick.
    condition: String,
    /// A decimal above 0.
    price: String,
    /// Forgotten then, 1 to 315360000; kept until it fires where left out.
    expires_in_seconds: Option<u64>,
}

/// When an alert fired, and at which price.
#[derive(Debug, Serialize, ToSchema)]
struct Triggered {
    ts: i64,
    price: String,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
struct Alert {
    id: Option<String>,
    symbol: String,
    condition: String,
    price: String,
    /// ACTIVE, TRIGGERED, or INVALID where somebody wrote into it what cannot be.
    status: &'static str,
    triggered: Option<Triggered>,
}

/// A page of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alerts {
    alerts: Vec<Alert>,
    /// Where the next page begins; null on the last.
    cursor: Option<String>,
}

/// What was armed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Armed {
    /// Its key in Redis.
    key: String,
}

/// A page of a user's alerts, waiting and fired.
#[utoipa::path(get, path = "/", tag = "alerts", params(Which), responses((status = 200, body = Alerts)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    which: Result<Query<Which>, QueryRejection>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let Query(which) = which.map_err(|why| Problem::bad_request(why.body_text()))?;
    let mut query = AlertQuery::of(caller.tenant(which.user_id.as_deref())?).count(PAGE);
    let goes_on = which.cursor.is_some();
    if let Some(cursor) = which.cursor {
        query = query.cursor(cursor);
    }
    let page = api.redis.clone().strat_alerts(&query).await.map_err(|error| match error.code() {
        // The only part of the command that is the caller's and was not checked before.
        Some(Code::Err) if goes_on => bad_cursor(),
        _ => error.into(),
    })?;
    let body = Alerts { alerts: page.items.iter().map(shown).collect(), cursor: page.cursor };
    Ok(answer(&asked, Keep::Nobody, &json!(body)))
}

/// Arms an alert, or arms it again, also one that has fired.
#[utoipa::path(post, path = "/", tag = "alerts", request_body = NewAlert, responses((status = 201, body = Armed)))]
pub(super) async fn arm(
    State(api): State<Arc<Api>>,
    caller: Caller,
    wanted: Result<Json<NewAlert>, JsonRejection>,
) -> Result<(StatusCode, Json<Armed>), Problem> {
    let Json(wanted) = wanted.map_err(|why| Problem::bad_request(why.body_text()))?;
    let key = key(&caller.tenant(wanted.user_id.as_deref())?, &wanted.id)?;
    let condition = parse_condition(&wanted.condition).map_err(|why| Problem::bad_request(why.to_string()))?;
    let mut spec = AlertSpec::new(wanted.symbol, condition, wanted.price);
    if let Some(seconds) = wanted.expires_in_seconds {
        if !(1..=LIFE_SECONDS_MAX.unsigned_abs()).contains(&seconds) {
            return Err(Problem::bad_request(format!("expires_in_seconds is not 1 to {LIFE_SECONDS_MAX}")));
        }
        spec = spec.expires_in(Duration::from_secs(seconds));
    }
    api.redis.clone().strat_alert(&key, &spec).await?;
    Ok((StatusCode::CREATED, Json(Armed { key })))
}

/// Ends an alert; 404 where there is none.
#[utoipa::path(delete, path = "/", tag = "alerts", params(One), responses((status = 204), (status = 404, description = "NOT_FOUND")))]
pub(super) async fn end(
    State(api): State<Arc<Api>>,
    caller: Caller,
    one: Result<Query<One>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let Query(one) = one.map_err(|why| Problem::bad_request(why.body_text()))?;
    let user = caller.tenant(one.user_id.as_deref())?;
    match api.redis.clone().end_alert(&key(&user, &one.id)?).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("{user} has no alert {}", one.id))),
    }
}

fn key(user: &str, alert: &str) -> Result<String, Problem> {
    for (what, id) in [("user_id", user), ("id", alert)] {
        check_id(what, id).map_err(|why| Problem::bad_request(why.to_string()))?;
    }
    Ok(AlertKey { prefix: "", user, alert }.hash())
}

fn shown(alert: &PriceAlert) -> Alert {
    let text = |name| alert.text(name).to_owned();
    Alert {
        id: AlertKey::parse(alert.key()).map(|key| key.alert.to_owned()),
        symbol: text(alert_field::SYMBOL),
        condition: text(alert_field::CONDITION),
        price: text(alert_field::PRICE),
        status: alert.alert().map(|alert| alert.status.as_str()).unwrap_or("INVALID"),
        triggered: alert.triggered().map(|(ts, price)| Triggered { ts, price: price.to_string() }),
    }
}
