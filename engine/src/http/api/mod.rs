//! `/api/v1/…`: strategies, orders, positions, events, alerts, prices, and what the engine's Redis holds besides.
//!
//! Who may ask, and whose data he gets, is `auth`'s.

mod admin;
mod alerts;
mod candles;
mod events;
mod fired;
mod orders;
mod positions;
mod prices;
mod risk;
mod server;
mod strategies;
mod tokens;

use self::events::Streams;
use super::auth::{Access, Limits, Refusals, authorize};
use super::tail::Tail;
use super::{Watched, audit, openapi};
use crate::calendar::Calendars;
use crate::config::HttpSettings;
use crate::halt::Halt;
use crate::risk::RiskDesk;
use crate::store::Store;
use crate::strategies::Desk;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
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
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A connection behind a breaker, of its own: what is asked over HTTP holds up no order.
pub(super) type Redis = Guarded<Connection>;

/// What the routes are made of.
pub struct ApiParts {
    /// A connection of its own.
    pub connection: Connection,
    /// Connections to Postgres of its own.
    pub store: Store,
    /// Sessions of the exchanges.
    pub calendars: Calendars,
    /// When the market trades whose candles are built.
    pub hours: Option<Hours>,
    /// What is looked at, also by `/health`.
    pub watched: Watched,
    /// Whether entries are halted.
    pub halt: Halt,
    /// What entries are held against.
    pub risk: RiskDesk,
    /// When the engine stops.
    pub cancel: CancellationToken,
}

/// What the routes work on.
pub struct Api {
    pub(super) redis: Redis,
    pub(super) store: Store,
    /// Strategies are created and changed here.
    pub(super) desk: Desk<Redis>,
    /// The same for what ends positions: no breaker refuses it.
    pub(super) exits: Desk<Redis>,
    pub(super) market: Market<Redis>,
    pub(super) candles: CandleStore<Redis>,
    /// When the market trades; always, where the engine builds no candles.
    pub(super) hours: Arc<Hours>,
    pub(super) sessions: Sessions<Redis>,
    /// One run at a time.
    pub(super) upkeep: Mutex<Upkeep<Redis>>,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) refusals: Refusals,
    pub(super) tail: Tail,
    streams: Streams,
    pub(super) watched: Arc<Watched>,
    halt: Halt,
    risk: RiskDesk,
    cancel: CancellationToken,
}

impl Api {
    /// Over connections of its own.
    ///
    /// # Errors
    /// Where the client's settings cannot be; they are its defaults.
    pub fn new(parts: ApiParts, settings: &HttpSettings, listening: IpAddr) -> Result<Self> {
        let ApiParts { connection, store, calendars, hours, watched, halt, risk, cancel } = parts;
        let redis = Guarded::around(connection, Breaker::new(BreakerSettings::default())?)?;
        let desk = Desk { redis: redis.clone(), store: store.clone(), calendars };
        Ok(Self {
            exits: Desk { redis: redis.for_exits(), ..desk.clone() },
            desk,
            market: Market::new(redis.clone(), MarketSettings::default())?,
            candles: CandleStore::new(redis.clone(), CandleSettings::default())?,
            hours: Arc::new(hours.unwrap_or_else(Hours::always)),
            sessions: Sessions::new(redis.clone(), &sessions::Settings::default())?,
            upkeep: Mutex::new(Upkeep::new(redis.clone(), UpkeepSettings::default())?),
            access: Access::new(settings, listening, redis.clone())?,
            limits: Limits::new(settings, redis.clone())?,
            refusals: Refusals::new(settings)?,
            tail: Tail::new(store.clone(), watched.sync.clone()),
            streams: Streams::new(settings.streams_max, settings.streams_per_user),
            watched: Arc::new(watched),
            redis,
            store,
            halt,
            risk,
            cancel,
        })
    }

    fn now_ms(&self) -> i64 {
        self.watched.clock.now_ms()
    }
}

pub(super) fn routes(api: Arc<Api>) -> Router {
    let (guarded, document) = openapi::document();
    let guarded = guarded
        .layer(from_fn_with_state(Arc::clone(&api), audit::note))
        .layer(from_fn_with_state(Arc::clone(&api), authorize));
    Router::new()
        .route("/health/redis/pool", get(server::pool))
        .route("/health/redis/circuit-breaker", get(server::breaker))
        .route("/api/openapi.json", get(move || openapi::show(document.clone())))
        .merge(guarded)
        .with_state(api)
}

/// Every route that asks who one is, with its description.
pub(super) fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(strategies::create, strategies::list))
        .routes(routes!(strategies::show, strategies::change, strategies::remove))
        .routes(routes!(strategies::start))
        .routes(routes!(strategies::stop))
        .routes(routes!(orders::orders))
        .routes(routes!(orders::fills))
        .routes(routes!(orders::pnl))
        .routes(routes!(positions::list))
        .routes(routes!(positions::choose))
        .routes(routes!(events::stream))
        .nest("/alerts", price_alerts())
        .routes(routes!(tokens::show, tokens::revoke))
        .routes(routes!(admin::engine))
        .routes(routes!(admin::halt))
        .routes(routes!(admin::resume))
        .routes(routes!(admin::square_off))
        .routes(routes!(admin::reconcile))
        .routes(routes!(risk::show))
        .routes(routes!(risk::limit))
        .routes(routes!(admin::audit))
        .merge(market())
        .nest("/cache", cache())
}

/// Everybody's data.
fn market() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(prices::symbols))
        .routes(routes!(prices::price))
        .routes(routes!(prices::market_data))
        .routes(routes!(candles::range))
}

/// By two names.
fn price_alerts() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(alerts::list, alerts::arm, alerts::end))
}

fn cache() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(server::health))
        .routes(routes!(server::stats))
        .routes(routes!(server::cleanup))
        .routes(routes!(server::clear))
        .routes(routes!(server::sessions))
        .nest("/price-alerts", price_alerts())
        .merge(market())
}
