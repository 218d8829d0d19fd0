//! What `top` shows, and where it is from.

use crate::link::Link;
use color_eyre::Result as Reported;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use strat_client::Connection;
use strat_client::positions::{Position, all_open_positions};

/// Longest wait for an answer of Redis.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the engine's, which itself waits for others that may be away.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer of the engine that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// RUNNING strategies that are looked at, about.
pub(super) const STRATEGIES_MAX: usize = 5_000;

/// What one look has found.
#[derive(Debug)]
pub(super) struct Look {
    /// What the engine says of itself, or why it says nothing.
    pub(super) engine: Result<Value, String>,
    /// What the module counts, or why it does not.
    pub(super) module: Result<Counts, String>,
    /// Ticks and fired triggers a second since the look before; `None` at the first, and where the server was restarted.
    pub(super) rates: Option<(u64, u64)>,
    /// Nearest to its stop first; those without one, or without a price, at the end.
    pub(super) positions: Vec<Position>,
}

/// Of `INFO strat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) strategies: u64,
    pub(super) running: u64,
    pub(super) armed: u64,
    pub(super) alerts: u64,
    pub(super) ticks: u64,
    pub(super) fired: u64,
    pub(super) draining: u64,
    pub(super) unparseable: u64,
}

impl Counts {
    fn read(info: &str) -> Option<Self> {
        let count = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix("strat_")?.strip_prefix(name)?.strip_prefix(':'))?
                .trim()
                .parse()
                .ok()
        };
        Some(Self {
            strategies: count("strategies")?,
            running: count("running")?,
            armed: count("armed")?,
            alerts: count("alerts")?,
            ticks: count("ticks")?,
            fired: count("fired")?,
            draining: count("draining")?,
            unparseable: count("unparseable")?,
        })
    }
}

/// Looks again and again.
pub(super) struct Looker {
    connection: Connection,
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    before: Option<(Instant, Counts)>,
}

impl Looker {
    /// # Errors
    /// Where the address of Redis cannot be used.
    pub(super) fn new(link: &Link, address: SocketAddr) -> Reported<Self> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        // One that gives up soon: who looks wants to see that Redis is away, not to wait for it.
        Ok(Self { connection: link.hasty()?, address, client, before: None })
    }

    pub(super) async fn look(&mut self) -> Look {
        let (engine, module, positions) = tokio::join!(self.engine(), self.module(), self.positions());
        let now = Instant::now();
        let rates = match (self.before, &module) {
            (Some((then, before)), Ok(counts)) => rates(&before, counts, now.duration_since(then)),
            _ => None,
        };
        self.before = module.as_ref().ok().map(|counts| (now, *counts));
        let mut positions = positions.unwrap_or_default();
        positions.sort_by_cached_key(|position| {
            (left_bps(position).unwrap_or(i64::MAX), position.strategy.key().to_owned())
        });
        Look { engine, module, rates, positions }
    }

    /// Also what it answers with 503 is an answer.
    async fn engine(&self) -> Result<Value, String> {
        let uri: hyper::Uri = format!("http://{}/health", self.address).parse().map_err(|error| format!("{error}"))?;
        let ask = async {
            let answer = self.client.get(uri).await.map_err(|_| "nobody answers".to_owned())?;
            let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
            serde_json::from_slice(&body.to_bytes()).map_err(|_| "what answers is no strat-engine".to_owned())
        };
        tokio::time::timeout(ENGINE_TIMEOUT, ask).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn module(&self) -> Result<Counts, String> {
        let mut connection = self.connection.clone();
        let mut info = redis::cmd("INFO");
        info.arg("strat");
        let text: String = within(info.query_async(&mut connection)).await?;
        Counts::read(&text).ok_or_else(|| "the strat module is not loaded".to_owned())
    }

    async fn positions(&self) -> Result<Vec<Position>, String> {
        let mut connection = self.connection.clone();
        within(all_open_positions(&mut connection, None, STRATEGIES_MAX)).await
    }
}

/// What a position has left until its stop, in hundredths of a percent.
pub(super) fn left_bps(position: &Position) -> Option<i64> {
    position.standing?.stop?.left_bps
}

async fn within<T, E: Into<strat_client::Error>>(question: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(TIMEOUT, question).await {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(answer) => answer.map_err(|error| error.into().to_string()),
    }
}

/// Whole ones a second, rounded.
fn rates(before: &Counts, now: &Counts, took: Duration) -> Option<(u64, u64)> {
    let took_ms = took.as_millis().max(1);
    let rate = |before: u64, now: u64| {
        let more = u128::from(now.checked_sub(before)?);
        u64::try_from((more * 1_000 + took_ms / 2) / took_ms).ok()
    };
    Some((rate(before.ticks, now.ticks)?, rate(before.fired, now.fired)?))
}

impl Look {
    /// Whether neither the engine nor Redis could be asked.
    pub(super) fn is_blind(&self) -> bool {
        self.engine.is_err() && self.module.is_err()
    }

    pub(super) fn as_json(&self) -> Value {
        let told = |answer: Result<Value, String>| answer.unwrap_or_else(|error| json!({ "error": error }));
        let module = self.module.clone().map(|counts| {
            json!({
                "strategies": counts.strategies, "running": counts.running, "armed": counts.armed, "alerts": counts.alerts,
                "ticks": counts.ticks, "fired": counts.fired, "draining": counts.draining, "unparseable": counts.unparseable,
            })
        });
        json!({
            "engine": told(self.engine.clone()),
            "module": told(module),
            "ticks_per_second": self.rates.map(|(ticks, _)| ticks),
            "fired_per_second": self.rates.map(|(_, fired)| fired),
            "positions": self.positions.iter().map(position_as_json).collect::<Vec<_>>(),
        })
    }
}

fn position_as_json(position: &Position) -> Value {
    let mut object = Map::new();
    let strategy = &position.strategy;
    for name in ["user_id", "id", "symbol", "side", "entry_price", "pending"] {
        object.insert(name.to_owned(), strategy.text(name).into());
    }
    object.insert("key".to_owned(), strategy.key().into());
    object.insert("last".to_owned(), position.last.clone().into());
    let standing = position.standing.as_ref();
    let text = |value: Option<String>| Value::from(value);
    object.insert("open".to_owned(), text(standing.map(|s| s.open.to_string())));
    object.insert("gain".to_owned(), text(standing.and_then(|s| s.gain).map(|gain| gain.to_string())));
    for (name, distance) in [("stop", standing.and_then(|s| s.stop)), ("target", standing.and_then(|s| s.target))] {
        object.insert(name.to_owned(), text(distance.map(|d| d.level.to_string())));
        object.insert(format!("{name}_left"), text(distance.map(|d| d.left.to_string())));
        object.insert(format!("{name}_left_bps"), distance.and_then(|d| d.left_bps).into());
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_info_or_not_at_all() {
        let info = "# strat_strat\r\nstrat_strategies:3\r\nstrat_running:2\r\nstrat_armed:4\r\nstrat_alerts:1\r\n\
            strat_unparseable:0\r\nstrat_ticks:100\r\nstrat_fired:5\r\nstrat_alerts_fired:9\r\nstrat_draining:0\r\n";
        let counts = Counts::read(info).unwrap();
        assert_eq!((counts.running, counts.fired, counts.alerts), (2, 5, 1));
        assert_eq!(Counts::read("# Server\r\nredis_version:7\r\n"), None);
    }

    #[test]
    fn a_rate_is_of_what_came_since_and_never_of_another_server() {
        let before = Counts { ticks: 100, fired: 5, ..Counts::default() };
        let now = Counts { ticks: 350, fired: 6, ..before };
        assert_eq!(rates(&before, &now, Duration::from_millis(500)), Some((500, 2)));
        assert_eq!(rates(&now, &before, Duration::from_secs(1)), None, "restarted meanwhile");
    }
}
