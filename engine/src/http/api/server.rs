//! How Redis and the way to it are, and what can be cleaned up there.

use super::Api;
use crate::clock::{Clock as _, LiveClock};
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use strat_client::redis;
use strat_client::resilience::{BreakerState, BreakerStatus, PoolStatus};

/// Keys that `clear` looks at in one step.
const CLEAR_SLICE: usize = 1_000;
/// Steps of one call: a million keys.
const CLEAR_STEPS: usize = 1_000;
/// What may be cleared: it can be computed again.
const CLEARED: &str = "cache:*";

/// Calls under way on the connection that answers HTTP.
pub(super) async fn pool(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(pool_json(&api.redis.pool()))
}

/// The breaker before it.
pub(super) async fn breaker(State(api): State<Arc<Api>>) -> (StatusCode, Json<Value>) {
    let status = api.redis.breaker().status();
    let code = if status.state == BreakerState::Open { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(breaker_json(&status)))
}

/// Whether Redis answers, by the way that everything here goes.
#[utoipa::path(get, path = "/health", tag = "admin", responses((status = 200, body = Object), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn health(State(api): State<Arc<Api>>, caller: Caller) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.only_admins()?;
    let health = api.redis.health().await;
    let code = if health.ping.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if health.ping.is_ok() { "ok" } else { "unhealthy" },
        "error": health.ping.as_ref().err().map(ToString::to_string),
        "latency_ms": health.ping.ok().map(|took| took.as_micros() as f64 / 1_000.0),
        "pool": pool_json(&health.pool),
        "circuit_breaker": breaker_json(&health.breaker),
    });
    Ok((code, Json(body)))
}

/// What the server has counted.
#[utoipa::path(get, path = "/stats", tag = "admin", responses((status = 200, body = Object), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn stats(State(api): State<Arc<Api>>, caller: Caller, asked: HeaderMap) -> Result<Response, Problem> {
    caller.only_admins()?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("INFO").arg("stats").cmd("INFO").arg("memory").cmd("DBSIZE");
    let asked_of: redis::RedisResult<(redis::InfoDict, redis::InfoDict, u64)> =
        pipeline.query_async(&mut api.redis.clone()).await;
    let (counted, memory, keys) = asked_of.map_err(strat_client::Error::from)?;
    let count = |name: &str| counted.get::<u64>(name);
    let body = json!({
        "keys": keys,
        "keyspace_hits": count("keyspace_hits"),
        "keyspace_misses": count("keyspace_misses"),
        "expired_keys": count("expired_keys"),
        "evicted_keys": count("evicted_keys"),
        "used_memory": memory.get::<u64>("used_memory"),
        "maxmemory": memory.get::<u64>("maxmemory"),
    });
    Ok(answer(&asked, Keep::Nobody, &body))
}

/// A user's sessions. What they are called here lets nobody in.
#[utoipa::path(get, path = "/sessions/{user_id}", tag = "sessions", params(("user_id" = String, Path)), responses((status = 200, body = Object), (status = 404, description = "NOT_FOUND")))]
pub(super) async fn sessions(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(user_id): Path<String>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let user_id = caller.tenant(Some(&user_id))?;
    let sessions = api.sessions.list(&user_id).await?;
    let sessions: Vec<_> = sessions
        .iter()
        .map(|session| {
            json!({
                "id": session.id,
                "created_at": session.created_at_ms,
                "seen_at": session.seen_at_ms,
                "ends_at": session.ends_at_ms,
            })
        })
        .collect();
    Ok(answer(&asked, Keep::Nobody, &json!({ "user_id": user_id, "sessions": sessions })))
}

/// Looks at a bounded part of the keys, and says what would be done about them.
#[utoipa::path(post, path = "/cleanup", tag = "admin", responses((status = 200, body = Object), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn cleanup(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.only_admins()?;
    let Ok(mut upkeep) = api.upkeep.try_lock() else {
        return Err(Problem::new(StatusCode::CONFLICT, "BUSY", "a clean-up runs already; ask again when it has ended"));
    };
    let report = upkeep.run_once(LiveClock.now_ms()).await?;
    let groups = report.finished.iter().flat_map(|finished| &finished.without_ttl);
    let groups: Vec<_> =
        groups.map(|group| json!({ "family": group.family, "keys": group.keys, "example": group.example })).collect();
    Ok(Json(json!({
        "scanned": report.scanned,
        "dry_run": report.dry_run,
        "finished": report.finished.is_some(),
        "without_ttl": groups,
        "stopped_by": report.stopped_by.map(|error| error.to_string()),
    })))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Confirmed {
    #[serde(default)]
    confirm: bool,
}

/// Deletes what is cached (`cache:*`), and nothing else.
#[utoipa::path(post, path = "/clear", tag = "admin", params(Confirmed), responses((status = 200, body = Object), (status = 403, description = "ADMINS_ONLY")))]
pub(super) async fn clear(
    State(api): State<Arc<Api>>,
    caller: Caller,
    confirmed: Result<Query<Confirmed>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    caller.only_admins()?;
    let Query(confirmed) = confirmed.map_err(|why| Problem::bad_request(why.body_text()))?;
    if !confirmed.confirm {
        return Err(Problem::bad_request("this deletes everything that is cached: say ?confirm=true"));
    }
    let (mut redis, mut cursor, mut cleared) = (api.redis.clone(), 0_u64, 0_u64);
    for _ in 0..CLEAR_STEPS {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(CLEARED).arg("COUNT").arg(CLEAR_SLICE);
        let found: redis::RedisResult<(u64, Vec<Vec<u8>>)> = scan.query_async(&mut redis).await;
        let (next, keys) = found.map_err(strat_client::Error::from)?;
        if !keys.is_empty() {
            let gone: redis::RedisResult<u64> = redis::cmd("UNLINK").arg(keys).query_async(&mut redis).await;
            cleared += gone.map_err(strat_client::Error::from)?;
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    // Engines hold some of it themselves, and hear of it by this.
    api.watched.rows.drop_all().await?;
    Ok(Json(json!({ "cleared": cleared, "complete": cursor == 0 })))
}

fn pool_json(pool: &PoolStatus) -> Value {
    json!({
        "limit": pool.limit,
        "in_flight": pool.in_flight,
        "waiting": pool.waiting,
        "refused_total": pool.refused_total,
        "timeouts_total": pool.timeouts_total,
    })
}

fn breaker_json(status: &BreakerStatus) -> Value {
    let state = match status.state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    };
    json!({
        "state": state,
        "failures": status.failures,
        "opened_at": status.opened_at_ms,
        "next_probe_at": status.next_probe_at_ms,
        "passed_total": status.passed_total,
        "failed_total": status.failed_total,
        "refused_total": status.refused_total,
        "exits_passed_total": status.exits_passed_total,
        "opened_total": status.opened_total,
    })
}
