//! `/api/v1/cache/…`: what the engine's Redis holds besides strategies, read and looked after over HTTP.
//!
//! Who may ask: on a loopback address everybody on the machine, unless `http.token` is set; elsewhere nobody without it.

mod alerts;
mod candles;
mod prices;
mod server;

use super::answer::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
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
    access: Access,
}

/// Who may ask.
#[derive(Debug, Clone)]
struct Access {
    token: String,
    is_loopback: bool,
}

impl Api {
    /// Over a connection of its own. An empty token is none.
    ///
    /// # Errors
    /// Where the client's settings cannot be; they are its defaults.
    pub fn new(connection: Connection, token: &str, listening: IpAddr, hours: Option<Hours>) -> Result<Self> {
        let redis = Guarded::around(connection, Breaker::new(BreakerSettings::default())?)?;
        let market = Market::new(redis.clone(), MarketSettings::default())?;
        let candles = CandleStore::new(redis.clone(), CandleSettings::default())?;
        let hours = Arc::new(hours.unwrap_or_else(Hours::always));
        let sessions = Sessions::new(redis.clone(), &sessions::Settings::default())?;
        let upkeep = Mutex::new(Upkeep::new(redis.clone(), UpkeepSettings::default())?);
        let access = Access { token: token.to_owned(), is_loopback: listening.is_loopback() };
        Ok(Self { redis, market, candles, hours, sessions, upkeep, access })
    }
}

pub(super) fn routes(api: Arc<Api>) -> Router {
    Router::new()
        .route("/health/redis/pool", get(server::pool))
        .route("/health/redis/circuit-breaker", get(server::breaker))
        .nest("/api/v1/cache", guarded(&api))
        .with_state(api)
}

fn guarded(api: &Arc<Api>) -> Router<Arc<Api>> {
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
        .layer(from_fn_with_state(Arc::clone(api), authorize))
}

async fn authorize(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Problem> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let by_page = request.headers().contains_key(ORIGIN) || !is_this_machine(host);
    api.access.check(given.and_then(|value| value.strip_prefix("Bearer ")), by_page)?;
    Ok(next.run(request).await)
}

impl Access {
    /// `by_page`: a browser asks for some page, which is not to reach what listens on this machine.
    fn check(&self, given: Option<&str>, by_page: bool) -> Result<(), Problem> {
        match (self.token.as_str(), given) {
            ("", _) if self.is_loopback && !by_page => Ok(()),
            ("", _) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "NO_TOKEN_SET",
                "pages in a browser, and everybody where the engine listens beyond this machine, need a token: set http.token (STRAT_HTTP_TOKEN) and give it as a bearer token",
            )),
            (token, Some(given)) if is_same(token.as_bytes(), given.as_bytes()) => Ok(()),
            _ => Err(Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "give http.token as a bearer token")),
        }
    }
}

/// Whether a `Host` names this machine: a page whose name was made to lead here names itself.
fn is_this_machine(host: &str) -> bool {
    let port_less = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = port_less.map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Takes as long for a wrong token as for the right one of its length, so that nothing can be guessed from the time.
fn is_same(token: &[u8], given: &[u8]) -> bool {
    let differs = token.iter().zip(given).fold(0, |differs, (a, b)| differs | (a ^ b));
    token.len() == given.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_led_here_names_itself() {
        for host in ["localhost", "localhost:8710", "127.0.0.1:8710", "127.1.2.3", "[::1]:8710", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example:8710", "localhost.evil.example", "10.0.0.1:8710", "[::2]:1", "127.0.0.1.evil"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn beyond_this_machine_nobody_asks_without_the_token() {
        let access = |token: &str, is_loopback| Access { token: token.to_owned(), is_loopback };
        let allowed = |access: Access, given: Option<&str>| access.check(given, false).is_ok();
        assert!(access("", true).check(None, true).is_err(), "a page of somebody else's");
        assert!(access("secret", true).check(Some("secret"), true).is_ok());
        assert!(allowed(access("", true), None) && !allowed(access("", false), None));
        assert!(!allowed(access("", false), Some("")));
        for is_loopback in [true, false] {
            assert!(allowed(access("secret", is_loopback), Some("secret")));
            for given in [None, Some(""), Some("secre"), Some("secret2"), Some("Secret")] {
                assert!(!allowed(access("secret", is_loopback), given), "{given:?}");
            }
        }
    }
}
