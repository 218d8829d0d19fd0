//! The way to Redis, checked once at the start.

use crate::config::Settings;
use crate::failure::{Failure, OrFail as _};
use crate::metrics::RedisOperations;
use color_eyre::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strat_client::{Config, Connection};

const HINT: &str =
    "start redis-server with the module, or set REDIS_URL to where it runs; `strat-engine doctor` checks it";

/// First and longest pause between two attempts to connect: stops are to be watched within a second once Redis is back.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// How soon a hasty connection gives up.
struct Haste {
    connect: Duration,
    answer: Duration,
    reconnect: Duration,
    first_pause: Duration,
}

const HASTY: Haste = Haste {
    connect: Duration::from_millis(1_000),
    answer: Duration::from_millis(1_000),
    reconnect: Duration::from_millis(500),
    first_pause: Duration::from_millis(20),
};

/// Where Redis is, and a connection to it that comes back by itself.
#[derive(Clone)]
pub struct Link {
    config: Config,
    connection: Connection,
}

impl Link {
    /// Connects with the first request.
    ///
    /// # Errors
    /// Where the URL, or a file that it needs, is not usable.
    pub fn lazy(settings: &Settings) -> Result<Self> {
        let unusable = "the Redis URL (redis.url, REDIS_URL) is not usable";
        let shapes =
            "write redis://host:6379/, redis+unix:///path/to/redis.sock or redis+sentinel://host,host,host/service";
        let config = Config::from_url(&settings.redis_url).or_fail(unusable, shapes)?;
        let config = config.with_tls_files(&settings.redis_tls).or_fail(
            "the TLS files (redis.ca_file, redis.cert_file, redis.key_file) are not usable",
            "they are PEM files that the engine's account may read, and go with a rediss:// URL",
        )?;
        let config = config.with_backoff(RECONNECT.0, RECONNECT.1).with_observer(Arc::new(RedisOperations));
        let connection = Connection::lazy(&config).or_fail(unusable, HINT)?;
        Ok(Self { config, connection })
    }

    /// Connects and makes sure that the right module is there; a server that is just starting gets `patience`.
    ///
    /// # Errors
    /// Where the server does not answer in time, or lacks the module, or has another version of it.
    pub async fn connect(settings: &Settings, patience: Duration) -> Result<Self> {
        let link = Self::lazy(settings)?;
        let until = Instant::now() + patience;
        let mut wait = Duration::from_millis(100);
        loop {
            let Err(error) = link.connection().check_module().await else { return Ok(link) };
            let passing = error.is_retryable() || error.outcome_unknown();
            if !passing || Instant::now() + wait >= until {
                let hint = if passing { HINT } else { "" };
                let message = format!("Redis at {} cannot be used", link.address());
                return Err(Failure { message, hint: hint.to_owned(), source: Some(Box::new(error)) }.into());
            }
            tracing::warn!(%error, "Redis does not answer yet, trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// The shared connection; clones use the same socket.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// A connection of its own, for reads that wait in the server: nobody else's requests wait behind them.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn own(&self) -> Result<Connection> {
        Connection::lazy(&self.config).or_fail("the Redis URL (redis.url, REDIS_URL) is not usable", HINT)
    }

    /// A connection of its own that gives up soon: for prices, which somebody else must watch meanwhile.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn hasty(&self) -> Result<Connection> {
        let config = self.config.clone();
        let config = config.with_connect_timeout(HASTY.connect).with_response_timeout(HASTY.answer);
        let config = config.with_reconnect_wait(HASTY.reconnect).with_backoff(HASTY.first_pause, RECONNECT.1);
        Connection::lazy(&config).or_fail("the Redis URL (redis.url, REDIS_URL) is not usable", HINT)
    }

    /// How it is reached, for what needs a connection of another kind.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Host and port, or the socket's path; behind sentinels of the primary in use, or where there is none, of the
    /// sentinels.
    #[must_use]
    pub fn address(&self) -> String {
        self.connection.address()
    }
}
