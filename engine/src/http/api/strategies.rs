//! Strategies of a user: created, read, changed, started, stopped and removed, by the rules of the command line.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::{Body, Params, id_pair, next_cursor, no_nul, page_size};
use crate::store::{Filter, Row};
use crate::strategies::{Changed, Created};
use crate::strategies_csv::StrategyLine;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use strat_core::key::check_id;
use strat_core::{Status, StrategyKey};
use utoipa::{IntoParams, ToSchema};

/// A strategy: every field of its hash as its user gave it, empty ones left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Strategy {
    user_id: String,
    id: String,
    /// Rises by one per change.
    version: u64,
    fields: BTreeMap<String, String>,
}

/// A page of strategies.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Strategies {
    strategies: Vec<Strategy>,
    /// Where the next page begins; null on the last.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Whose; a user may leave it out.
    pub(super) user_id: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Whose; an admin who says nothing lists everybody's.
    user_id: Option<String>,
    symbol: Option<String>,
    /// RUNNING, STOPPED, COMPLETED or FAILED.
    status: Option<String>,
    cursor: Option<String>,
    /// 1 to 500.
    limit: Option<i64>,
}

/// A strategy to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "id": "opening-range", "fields": {
    "symbol": "RELIANCE", "quantity": "10", "buy_time": "09:30:00", "sell_time": "15:00:00", "timezone": "Asia/Kolkata",
    "stop_loss": "2450.00", "take_profit": "2600.00" } }))]
pub(super) struct NewStrategy {
    /// Whose; a user may leave it out.
    user_id: Option<String>,
    id: String,
    /// `symbol` and `quantity` are needed. All are texts.
    fields: BTreeMap<String, String>,
}

/// Fields to change; null or an empty text clears one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "fields": { "stop_loss": "2460.00", "trail": null } }))]
pub(super) struct Changes {
    fields: BTreeMap<String, Option<String>>,
}

/// How to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "square_off": true }))]
pub(super) struct Stop {
    /// Whether an open position is squared off; otherwise it is left without its stop.
    square_off: bool,
}

/// Creates a strategy; it runs unless its `status` says otherwise.
#[utoipa::path(post, path = "/strategies", tag = "strategies", request_body = NewStrategy,
    responses((status = 201, body = Strategy), (status = 409, description = "EXISTS")))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(new): Body<NewStrategy>,
) -> Result<Response, Problem> {
    let user = caller.tenant(new.user_id.as_deref())?;
    let fields: Vec<_> = new.fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    check_texts(&fields)?;
    let line = StrategyLine { user, strategy: new.id, fields };
    match api.desk.add(&line).await? {
        Created::Exists => Err(Problem::new(
            StatusCode::CONFLICT,
            "EXISTS",
            format!("{} has a strategy {} already; it stays as it is", line.user, line.strategy),
        )),
        Created::Yes(version) => {
            let id = StrategyKey { prefix: "", user: &line.user, strategy: &line.strategy };
            let location = format!("/api/v1/strategies/{}", line.strategy);
            let mut response = written(&api, &id, version).await?;
            *response.status_mut() = StatusCode::CREATED;
            Ok(([(LOCATION, location)], response).into_response())
        }
    }
}

/// Strategies, as Postgres has them: a moment behind.
#[utoipa::path(get, path = "/strategies", tag = "strategies", params(Listed), responses((status = 200, body = Strategies)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(asked): Params<Listed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.tenants(asked.user_id.as_deref())?;
    let limit = page_size(asked.limit)?;
    let after = id_pair(asked.cursor.as_deref())?;
    no_nul(asked.symbol.as_deref())?;
    if asked.status.as_deref().is_some_and(|status| Status::parse(status).is_none()) {
        return Err(Problem::bad_request("status is not RUNNING, STOPPED, COMPLETED or FAILED"));
    }
    let filter = Filter { user, symbol: asked.symbol, status: asked.status, removed: false };
    let rows = match first_page(&api, &filter, after, limit).await {
        Some(rows) => rows,
        None => api.store.page(&filter, after, limit).await?,
    };
    let cursor = next_cursor(&rows, limit, |row| format!("{}:{}", row.user, row.strategy));
    let body = Strategies { strategies: rows.into_iter().map(of_row).collect(), cursor };
    Ok(answer(&headers, Keep::Nobody, &json!(body)))
}

/// All strategies of one user, if they fit on a page: what a page in a browser asks for again and again is read from the
/// cache, which follows the journal. Where it has no answer, Postgres is asked.
async fn first_page(api: &Api, filter: &Filter, after: Option<(&str, &str)>, limit: i64) -> Option<Vec<Row>> {
    let all = after.is_none() && filter.symbol.is_none() && filter.status.is_none();
    let user = filter.user.as_deref().filter(|_| all)?;
    let rows = api.watched.rows.of_user(user).await.ok()?;
    // One more would make a second page.
    ((rows.len() as i64) < limit).then(|| rows.to_vec())
}

/// A strategy as it is now.
#[utoipa::path(get, path = "/strategies/{id}", tag = "strategies", params(("id" = String, Path), Which),
    responses((status = 200, body = Strategy), (status = 404, description = "NOT_FOUND")))]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    let key = key(&user, &id)?;
    let strategy = tagged(of_fields(&key, api.desk.read(&key).await?));
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tag| Some(tag) == strategy.headers().get(ETAG));
    if known {
        Ok((StatusCode::NOT_MODIFIED, [(ETAG, strategy.headers()[ETAG].clone())]).into_response())
    } else {
        Ok(strategy)
    }
}

/// Changes some fields, if the strategy is still at the version that `If-Match` says.
#[utoipa::path(patch, path = "/strategies/{id}", tag = "strategies", request_body = Changes,
    params(("id" = String, Path), Which, ("If-Match" = String, Header, description = "the version, or * for any")),
    responses((status = 200, body = Strategy), (status = 412, description = "VERSION_CHANGED"), (status = 428, description = "VERSION_REQUIRED")))]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(which): Params<Which>,
    headers: HeaderMap,
    Body(changes): Body<Changes>,
) -> Result<Response, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    let key = key(&user, &id)?;
    let version = version(&headers)?;
    let fields: Vec<_> = changes.fields.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    if fields.is_empty() {
        return Err(Problem::bad_request("fields is empty: say what to change"));
    }
    check_texts(&fields)?;
    let changed = api.desk.update(&key, &fields, version).await?;
    written(&api, &key, changed.version).await
}

/// Lets a strategy run.
#[utoipa::path(post, path = "/strategies/{id}/start", tag = "strategies", params(("id" = String, Path), Which), responses((status = 200, body = Strategy)))]
pub(super) async fn start(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(which): Params<Which>,
) -> Result<Response, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    let key = key(&user, &id)?;
    let running = [("status".to_owned(), Status::Running.to_string())];
    let Changed { version, .. } = api.desk.update(&key, &running, None).await?;
    written(&api, &key, version).await
}

/// Stops a strategy, and says what becomes of what it holds.
#[utoipa::path(post, path = "/strategies/{id}/stop", tag = "strategies", params(("id" = String, Path), Which), request_body = Stop, responses((status = 200, body = Strategy)))]
pub(super) async fn stop(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(which): Params<Which>,
    Body(how): Body<Stop>,
) -> Result<Response, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    let key = key(&user, &id)?;
    let Changed { version, .. } = api.exits.stop(&key, !how.square_off).await?;
    written(&api, &key, version).await
}

/// Removes a strategy that is out of the market.
#[utoipa::path(delete, path = "/strategies/{id}", tag = "strategies", params(("id" = String, Path), Which),
    responses((status = 204), (status = 409, description = "BUSY")))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(which): Params<Which>,
) -> Result<StatusCode, Problem> {
    let user = caller.tenant(which.user_id.as_deref())?;
    api.desk.remove(&key(&user, &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn key<'a>(user: &'a str, strategy: &'a str) -> Result<StrategyKey<'a>, Problem> {
    check_id("id", strategy).map_err(|why| Problem::bad_request(why.to_string()))?;
    Ok(StrategyKey { prefix: "", user, strategy })
}

/// Postgres keeps no NUL, and the journal would have to change one.
fn check_texts(fields: &[(String, String)]) -> Result<(), Problem> {
    fields.iter().try_for_each(|(name, value)| no_nul(Some(name)).and(no_nul(Some(value))))
}

/// The version in `If-Match`; `None` for any.
fn version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(IF_MATCH) else {
        let detail = "say which version you change by If-Match: \"7\", or * for any; GET has it as ETag";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "VERSION_REQUIRED", detail));
    };
    let text = given.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    match (bare, bare.parse()) {
        ("*", _) => Ok(None),
        (_, Ok(version)) => Ok(Some(version)),
        _ => Err(Problem::bad_request("If-Match is not a version such as \"7\", and not *")),
    }
}

/// What was written, read back.
async fn written(api: &Api, id: &StrategyKey<'_>, version: u64) -> Result<Response, Problem> {
    match api.exits.read(id).await {
        Ok(fields) => Ok(tagged(of_fields(id, fields))),
        Err(why) => {
            let detail =
                format!("it was done and the strategy is at version {version}, but cannot be read back: {why}");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN", detail))
        }
    }
}

fn of_row(row: Row) -> Strategy {
    let version = u64::try_from(row.version()).unwrap_or_default();
    Strategy {
        user_id: row.user,
        id: row.strategy,
        version,
        fields: row.fields.into_iter().filter(|(_, text)| !text.is_empty()).collect(),
    }
}

fn of_fields(id: &StrategyKey<'_>, fields: Vec<(String, String)>) -> Strategy {
    let fields: BTreeMap<_, _> = fields.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    let version = fields.get("version").and_then(|text| text.parse().ok()).unwrap_or_default();
    Strategy { user_id: id.user.to_owned(), id: id.strategy.to_owned(), version, fields }
}

fn tagged(strategy: Strategy) -> Response {
    let tag = format!("\"{}\"", strategy.version);
    let kept = (CACHE_CONTROL, "private, no-store".to_owned());
    ([(ETAG, tag), kept], Json(strategy)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_said_and_never_guessed() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, text.parse().unwrap());
            version(&headers).ok()
        };
        assert_eq!((of("\"7\""), of("7"), of("*")), (Some(Some(7)), Some(Some(7)), Some(None)));
        for bad in ["", "\"\"", "-1", "\"7\", \"8\"", "W/\"7\"", "7.0"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(version(&HeaderMap::new()).unwrap_err().status(), StatusCode::PRECONDITION_REQUIRED);
    }
}
