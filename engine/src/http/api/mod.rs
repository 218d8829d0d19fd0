//! `/api/v1/cache/…`: what the engine's Redis holds besides strategies, read and looked after over HTTP.
//! Who may ask, and whose data he gets, is `auth`'s.

mod alerts;
mod candles;
mod prices;
mod server;
mod tokens;

use super::auth::{Access, Limits, authorize};
use crate::config::HttpSettings;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use color_eyre::Result;
use std::net::IpAddr;
use std::sync::Arc;
use strat_client::candles::{CandleSettings, CandleStore, Hours};
use strat_client::market::{Market, MarketSettings};
use strat_client::resilience::{Breaker, BreakerSettings, Guarded};
use strat_client::sessions::Sessions;
use strat_client::upkeep::{Upkeep, UpkeepSettings};
use strat_client::{Connection, sessions};
use tokio::sync::Mutex;

/// A connection behind a breaker, of its own: what is asked over HTTP holds up no order.
pub(super) type Redis = Guarded<Connection>;

/// What the routes work on.
pub struct Api {
    pub(super) redis: Redis,
    pub(super) market: Market<Redis>,
    pub(super) candles: CandleStore<Redis>,
    /// When the market trades; always, where the engine builds no candles.
    pub(super) hours: Arc<Hours>,
    pub(super) sessions: Sessions<Redis>,
    /// One run at a time.
    pub(super) upkeep: Mutex<Upkeep<Redis>>,
    pub(super) access: Access,
    pub(super) limits: Limits,
}

impl Api {
    /// Over a connection of its own.
    ///
    /// # Errors
    /// Where the client's settings cannot be; they are its defaults.
    pub fn new(
        connection: Connection,
        settings: &HttpSettings,
        listening: IpAddr,
        hours: Option<Hours>,
    ) -> Result<Self> {
        let redis = Guarded::around(connection, Breaker::new(BreakerSettings::default())?)?;
        let market = Market::new(redis.clone(), MarketSettings::default())?;
        let candles = CandleStore::new(redis.clone(), CandleSettings::default())?;
        let hours = Arc::new(hours.unwrap_or_else(Hours::always));
        let sessions = Sessions::new(redis.clone(), &sessions::Settings::default())?;
        let upkeep = Mutex::new(Upkeep::new(redis.clone(), UpkeepSettings::default())?);
        let access = Access::new(settings, listening, redis.clone())?;
        let limits = Limits::new(settings, redis.clone())?;
        Ok(Self { redis, market, candles, hours, sessions, upkeep, access, limits })
    }
}

pub(super) fn routes(api: Arc<Api>) -> Router {
    Router::new()
        .route("/health/redis/pool", get(server::pool))
        .route("/health/redis/circuit-breaker", get(server::breaker))
        .nest("/api/v1", guarded(&api))
        .with_state(api)
}

fn guarded(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/token", get(tokens::show).delete(tokens::revoke))
        .nest("/cache", cache())
        .layer(from_fn_with_state(Arc::clone(api), authorize))
}

fn cache() -> Router<Arc<Api>> {
    Router::new()
        .route("/health", get(server::health))
        .route("/stats", get(server::stats))
        .route("/cleanup", post(server::cleanup))
        .route("/clear", post(server::clear))
        .route("/symbols", get(prices::symbols))
        .route("/price/{symbol}", get(prices::price))
        .route("/market-data/{symbol}", get(prices::market_data))
        .route("/candles/{symbol}", get(candles::range))
        .route("/sessions/{user_id}", get(server::sessions))
        .route("/price-alerts", get(alerts::list).post(alerts::arm).delete(alerts::end))
}
