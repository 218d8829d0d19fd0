//! Redis, Postgres and an engine whose prices come from the test.

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::until;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
    feed: TcpStream,
    ledger: PathBuf,
    _dir: TempDir,
}

impl World {
    /// One engine with the paper broker, and these settings besides.
    pub(super) fn start(more: &[(&str, &str)]) -> Self {
        Self::on(Redis::with(Options::new()), more)
    }

    pub(super) fn on(redis: Redis, more: &[(&str, &str)]) -> Self {
        let (postgres, dir) = (Postgres::start(), temp_dir());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ledger = dir.path().join("ledger.jsonl");
        let own = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_FEED_KIND", "lines".to_owned()),
            ("STRAT_FEED_ADDRESS", listener.local_addr().unwrap().to_string()),
            ("STRAT_FEED_IDLE_SECONDS", "0".to_owned()),
            ("STRAT_FEED_SILENCE_SECONDS", "0".to_owned()),
            ("STRAT_PAPER_LEDGER", ledger.display().to_string()),
            ("STRAT_PAPER_LATENCY_MS", "1".to_owned()),
        ];
        let mut env: Env = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
        let engine = Engine::launch(&["run"], env);
        let feed = listener.accept().unwrap().0;
        feed.set_nodelay(true).unwrap();
        let mut world = Self { engine, redis, postgres, feed, ledger, _dir: dir };
        // A feed that has never said anything is not healthy.
        world.tick("SPY", "1");
        world.engine.wait_healthy();
        world
    }

    /// One tick.
    pub(super) fn tick(&mut self, symbol: &str, price: &str) {
        writeln!(self.feed, "{symbol},{price}").unwrap();
    }

    /// Users of whom the broker has accepted orders of a side, one for each order.
    pub(super) fn orders(&self, side: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        // A line in the making has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let accepted = lines.filter(|line| line["event"] == "accept" && line["side"] == side);
        accepted.map(|line| line["user"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Series of `/metrics` and their values.
    pub(super) fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = until("/metrics answers", LIMIT, || self.engine.get("/metrics"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
            .collect()
    }

    /// A value of `/metrics`, rounded; 0 where there is none.
    pub(super) fn count(&self, series: &str) -> i64 {
        self.metrics().get(series).map_or(0, |value| value.round() as i64)
    }
}
