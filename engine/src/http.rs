//! `GET /health` and `GET /health/redis`.

use crate::failure::OrFail as _;
use crate::gate::EpochGate;
use crate::link::Link;
use crate::store::Store;
use crate::sync::{self, SyncHandle};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use color_eyre::Result;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// Longest wait for one check; a server that takes longer is not healthy.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest body. Nothing here reads one.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the checks look at.
#[derive(Clone)]
pub struct Watched {
    /// Redis.
    pub link: Link,
    /// Postgres.
    pub store: Store,
    /// The journal's reader.
    pub sync: SyncHandle,
    /// The executor's gate.
    pub gate: EpochGate,
    /// Name of this engine.
    pub engine: String,
    /// When it started.
    pub started: Instant,
}

/// Serves until cancelled. Answers the address once it listens.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.or_fail(
        format!("cannot listen on {address}"),
        "another program uses the port, or the address is not this machine's; set http.addr (STRAT_HTTP_ADDR), port 0 takes a free one",
    )
}

/// Serves until cancelled.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, watched: Watched, cancel: CancellationToken) -> Result<()> {
    axum::serve(listener, router(watched)).with_graceful_shutdown(cancel.cancelled_owned()).await.map_err(Into::into)
}

fn router(watched: Watched) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/redis", get(redis_health))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::new())
        .with_state(Arc::new(watched))
}

async fn health(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let (redis, postgres, journal) =
        tokio::join!(check_redis(&watched), check_postgres(&watched), check_sync(&watched));
    let reconciled = watched.gate.peek().is_some();
    let healthy = reconciled && [&redis, &postgres, &journal].iter().all(|part| part["status"] == "ok");
    answer(
        healthy,
        json!({
            "status": status(healthy),
            "engine": watched.engine,
            "engine_version": env!("CARGO_PKG_VERSION"),
            "engine_uptime_in_seconds": watched.started.elapsed().as_secs(),
            "reconciled": reconciled,
            "redis": redis,
            "postgres": postgres,
            "sync": journal,
        }),
    )
}

async fn redis_health(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let redis = check_redis(&watched).await;
    answer(redis["status"] == "ok", redis)
}

fn answer(healthy: bool, body: Value) -> (StatusCode, Json<Value>) {
    (if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

const fn status(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "unhealthy" }
}

fn unhealthy(error: &str) -> Value {
    json!({ "status": "unhealthy", "error": error })
}

async fn check_redis(watched: &Watched) -> Value {
    let mut connection = watched.link.connection();
    match tokio::time::timeout(CHECK_TIMEOUT, connection.health()).await {
        Err(_) => unhealthy("no answer in time"),
        Ok(Err(error)) => unhealthy(&error.to_string()),
        Ok(Ok(health)) => json!({
            "status": "ok",
            "latency_ms": milliseconds(health.latency),
            "connected_clients": health.connected_clients,
            "used_memory_human": health.used_memory_human,
            "uptime_in_seconds": health.uptime_in_seconds,
            "redis_version": health.redis_version,
            "server_name": health.server_name,
            "module_version": health.module_version,
            "strategies": health.strategies,
            "armed": health.armed,
        }),
    }
}

async fn check_postgres(watched: &Watched) -> Value {
    match tokio::time::timeout(CHECK_TIMEOUT, watched.store.ping()).await {
        Err(_) => unhealthy("no answer in time"),
        Ok(Err(error)) => unhealthy(&error.to_string()),
        Ok(Ok(ping)) => json!({ "status": "ok", "latency_ms": milliseconds(ping.latency), "version": ping.version }),
    }
}

async fn check_sync(watched: &Watched) -> Value {
    let state = watched.sync.status();
    let mut connection = watched.link.connection();
    let backlog = match tokio::time::timeout(CHECK_TIMEOUT, sync::backlog(&mut connection)).await {
        Err(_) => return unhealthy("no answer in time"),
        Ok(Err(error)) => return unhealthy(&error.to_string()),
        Ok(Ok(backlog)) => backlog,
    };
    json!({
        "status": status(state.trouble.is_none()),
        "error": state.trouble,
        "leader": state.leader,
        "unread": backlog.unread,
        "pending": backlog.pending,
        "applied": state.applied,
        "rejected": state.rejected,
    })
}

/// Milliseconds with three decimals, rounded: a measurement, not money.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}
