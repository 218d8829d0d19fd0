//! `GET /health`, `GET /metrics`, `/api/…`, and the page at `/`.

mod answer;
mod api;
mod audit;
mod auth;
mod extract;
mod health;
mod metrics;
mod openapi;
mod requests;
mod tail;

pub use api::{Api, ApiParts};

use crate::broker::Noted;
use crate::clock::Clock;
use crate::config::HttpSettings;
use crate::executor::Executor;
use crate::failure::{OrFail as _, failure};
use crate::gate::EpochGate;
use crate::link::Link;
use crate::market::Market;
use crate::page;
use crate::store::{Rows, Store};
use crate::sync::SyncHandle;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::get;
use color_eyre::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// Longest request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests under way may take once the engine stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Largest body: a strategy's.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the checks look at.
pub struct Watched {
    /// Redis.
    pub link: Link,
    /// Postgres.
    pub store: Store,
    /// Strategies' rows for answers.
    pub rows: Rows,
    /// The journal's reader.
    pub sync: SyncHandle,
    /// The executor's gate.
    pub gate: EpochGate,
    /// Prices.
    pub market: Arc<Market>,
    /// Who sends orders.
    pub executor: Arc<Executor>,
    /// The broker, and what calls to it have come to.
    pub broker: Arc<Noted>,
    /// How long no tick may come; zero for as long as it likes.
    pub silence: Duration,
    /// The time that ticks are measured by.
    pub clock: Arc<dyn Clock>,
    /// Name of this engine.
    pub engine: String,
    /// When it started.
    pub started: Instant,
}

impl Watched {
    /// Whether this engine sends orders: it is reconciled, and has the right to trade where one is needed.
    fn trades(&self) -> bool {
        self.gate.peek().is_some() && self.executor.settings().lease.may_trade()
    }
}

/// Refuses to be reached from other machines unless whoever asks has to show who he is.
///
/// # Errors
/// Where no secret is set and the address is not this machine's alone.
pub fn check(settings: &HttpSettings) -> Result<()> {
    let address = settings.addr;
    if !address.ip().is_loopback() && !settings.has_secret() {
        return Err(failure(
            format!("http.addr {address} can be reached from other machines, and everybody there could trade"),
            "set http.token (STRAT_HTTP_TOKEN) or http.jwt_secret (STRAT_HTTP_JWT_SECRET), or listen on 127.0.0.1",
        ));
    }
    Ok(())
}

/// Listens, where [`check`] has nothing against it.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn listen(settings: &HttpSettings) -> Result<TcpListener> {
    check(settings)?;
    let address = settings.addr;
    TcpListener::bind(address).await.or_fail(
        format!("cannot listen on {address}"),
        "another program uses the port, or the address is not this machine's; set http.addr (STRAT_HTTP_ADDR), port 0 takes a free one",
    )
}

/// Serves until cancelled. Requests that are under way then get a second: a half-open connection must not hold up a
/// shutdown.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, api: Api, cancel: CancellationToken) -> Result<()> {
    let tail = api.tail.clone();
    let service = router(api).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let last_moment = async {
        cancel.cancelled().await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    let telling = async {
        tail.run(cancel.clone()).await;
        // It ends by itself only when the engine stops.
        cancel.cancelled().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = async { server.await } => served.map_err(Into::into),
        () = last_moment => Ok(()),
        () = telling => Ok(()),
    }
}

fn router(api: Api) -> Router {
    let (watched, api) = (Arc::clone(&api.watched), Arc::new(api));
    let metrics = Router::new().route("/metrics", get(metrics::show)).with_state((watched.clone(), api.clone()));
    Router::new()
        .route("/health", get(health::health))
        .route("/health/redis", get(health::redis_health))
        .with_state(watched)
        .merge(metrics)
        .merge(api::routes(api))
        .merge(page::routes())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(requests::name_and_tidy))
}
