//! What only admins may do: look at the engine, halt entries, square everything off, have everything compared.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::{Body, Params, next_cursor, number, page_size};
use crate::store::{AuditRow, HaltState};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use strat_client::{ListQuery, StratCommands as _};
use strat_core::StrategyKey;
use utoipa::{IntoParams, ToSchema};

/// Strategies that one call squares off.
const SQUARED_OFF_MAX: u32 = 1_000;
/// Of them at the same time.
const AT_A_TIME: usize = 32;
/// Failures that an answer names.
const FAILURES_MAX: usize = 20;
/// Longest reason.
const REASON_BYTES_MAX: usize = 1_000;

/// Why entries are halted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "odd prices since 10:15" }))]
pub(super) struct Why {
    reason: String,
    /// Of this user; of all where it is left out.
    user_id: Option<String>,
}

/// Whether entries are halted, since when, by whom and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Halted {
    /// Whose; everybody's where it is null.
    user_id: Option<String>,
    halted: bool,
    at: i64,
    by: String,
    reason: String,
}

/// How the engine is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EngineState {
    engine: String,
    version: String,
    uptime_seconds: u64,
    /// Whether somebody halted entries.
    halted: bool,
    /// What was said last about that.
    halt: Option<Halted>,
    /// Whether Redis was reconciled with Postgres and the broker since it may have lost writes.
    reconciled: bool,
    /// Whether this engine sends orders: it is reconciled, and has the right to trade where one is needed.
    trading: bool,
    /// Whether entries wait, for a halt or for Postgres.
    entries_wait: bool,
    redis_away: bool,
    orders_working: usize,
    /// As `/health`.
    #[schema(value_type = Object)]
    health: Value,
}

/// What to square off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "confirm": true, "user_id": "alice" }))]
pub(super) struct SquareOff {
    /// Must be true.
    confirm: bool,
    /// Of this user; of all where it is left out.
    user_id: Option<String>,
}

/// What was squared off.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SquaredOff {
    /// Strategies that were stopped now.
    stopped: usize,
    /// The first that could not be stopped, and why.
    #[schema(value_type = Vec<Object>)]
    failed: Vec<Value>,
    /// Whether none was left out; else call again.
    complete: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Paged {
    cursor: Option<String>,
    /// 1 to 500.
    limit: Option<i64>,
}

/// A row of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct Audited {
    at: i64,
    request_id: String,
    /// ASKED or DONE.
    phase: String,
    /// user, admin, operator or address.
    caller_kind: String,
    caller: String,
    method: String,
    path: String,
    body: String,
    engine: String,
    status: Option<i32>,
    code: Option<String>,
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    audit: Vec<Audited>,
    cursor: Option<String>,
}

/// How the engine is.
#[utoipa::path(get, path = "/admin/engine", tag = "admin", responses((status = 200, body = EngineState), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn engine(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.only_admins()?;
    let (watched, halt) = (&api.watched, api.halt.state(None));
    let state = EngineState {
        engine: watched.engine.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: watched.started.elapsed().as_secs(),
        halted: halt.as_ref().is_some_and(|halt| halt.halted),
        halt: halt.map(said),
        reconciled: watched.gate.peek().is_some(),
        trading: watched.trades(),
        entries_wait: watched.gate.entries_wait(),
        redis_away: watched.gate.redis_away(),
        orders_working: watched.executor.working(),
        health: crate::http::health::health_of(watched).await.1,
    };
    Ok(answer(&headers, Keep::Nobody, &json!(state)))
}

/// Halts entries, a user's or all: none is sent by any engine until they are resumed. Exits always go on.
#[utoipa::path(post, path = "/admin/halt", tag = "admin", request_body = Why, responses((status = 200, body = Halted), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn halt(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(why): Body<Why>,
) -> Result<Json<Halted>, Problem> {
    say(&api, &caller, true, &why).await
}

/// Lets entries go on.
#[utoipa::path(post, path = "/admin/resume", tag = "admin", request_body = Why, responses((status = 200, body = Halted), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(why): Body<Why>,
) -> Result<Json<Halted>, Problem> {
    say(&api, &caller, false, &why).await
}

async fn say(api: &Api, caller: &Caller, halted: bool, Why { reason, user_id }: &Why) -> Result<Json<Halted>, Problem> {
    caller.only_admins()?;
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!("reason is not one line of 1 to {REASON_BYTES_MAX} bytes")));
    }
    let user = caller.tenants(user_id.as_deref())?;
    let by = format!("{} {}", caller.kind(), caller.name());
    Ok(Json(said(api.halt.say(user.as_deref(), halted, by.trim_end(), reason).await?)))
}

fn said(HaltState { user, halted, at_ms, caller, reason, .. }: HaltState) -> Halted {
    Halted { user_id: user, halted, at: at_ms, by: caller, reason }
}

/// Stops the RUNNING strategies and squares off what they hold, at most 1,000 in a call.
#[utoipa::path(post, path = "/admin/square-off", tag = "admin", request_body = SquareOff, responses((status = 200, body = SquaredOff), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn square_off(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(what): Body<SquareOff>,
) -> Result<Json<SquaredOff>, Problem> {
    caller.only_admins()?;
    if !what.confirm {
        return Err(Problem::bad_request("this ends every open position: say \"confirm\": true"));
    }
    let mut query = ListQuery::new().count(SQUARED_OFF_MAX);
    if let Some(user) = caller.tenants(what.user_id.as_deref())? {
        query = query.user(user);
    }
    let page = api.exits.redis.clone().strat_list(&query).await?;
    let stops = page.items.into_iter().map(|name| stop(Arc::clone(&api), name));
    let outcomes: Vec<_> = stream::iter(stops).buffer_unordered(AT_A_TIME).collect().await;
    let failures: Vec<_> = outcomes.iter().filter_map(|(name, error)| Some((name, error.as_ref()?))).collect();
    let failed = failures.iter().take(FAILURES_MAX).map(|(name, why)| json!({ "key": name, "error": why }));
    let complete = page.cursor.is_none() && failures.is_empty();
    let squared_off = SquaredOff { stopped: outcomes.len() - failures.len(), failed: failed.collect(), complete };
    Ok(Json(squared_off))
}

/// Stops one; answers its key, and why where it could not be.
async fn stop(api: Arc<Api>, name: String) -> (String, Option<String>) {
    let error = match StrategyKey::parse(&name) {
        None => Some("this is no strategy's key".to_owned()),
        Some(key) => api.exits.stop(&key, false).await.err().map(|why| why.to_string()),
    };
    (name, error)
}

/// Has Redis, Postgres and the broker compared now.
#[utoipa::path(post, path = "/admin/reconcile", tag = "admin", responses((status = 202), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn reconcile(State(api): State<Arc<Api>>, caller: Caller) -> Result<StatusCode, Problem> {
    caller.only_admins()?;
    api.watched.sync.ask_to_compare();
    Ok(StatusCode::ACCEPTED)
}

/// What was written over HTTP, newest first.
#[utoipa::path(get, path = "/admin/audit", tag = "admin", params(Paged), responses((status = 200, body = Audit), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn audit(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(asked): Params<Paged>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.only_admins()?;
    let limit = page_size(asked.limit)?;
    let rows = api.store.audit_page(number(asked.cursor.as_deref())?, limit).await?;
    let cursor = next_cursor(&rows, limit, |row| row.seq.to_string());
    let body = Audit { audit: rows.into_iter().map(audited).collect(), cursor };
    Ok(answer(&headers, Keep::Nobody, &json!(body)))
}

fn audited(row: AuditRow) -> Audited {
    Audited {
        at: row.at_ms,
        request_id: row.request_id,
        phase: row.phase,
        caller_kind: row.caller_kind,
        caller: row.caller,
        method: row.method,
        path: row.path,
        body: row.body,
        engine: row.engine,
        status: row.status,
        code: row.code,
    }
}
