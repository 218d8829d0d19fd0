//! Redis, Postgres and an engine that hears prices from the test itself.

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::simbroker::SimBroker;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// Time between two ticks of the market that goes on.
const BEAT: Duration = Duration::from_millis(20);

/// A feed of lines: one symbol ticks on by itself, the others and its leaps come from the test.
pub(super) struct Feed {
    address: String,
    clients: Arc<Mutex<Vec<TcpStream>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Feed {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (clients, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, ended) = (Arc::clone(&clients), Arc::clone(&stop));
        let beat = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                while let Ok((client, _)) = listener.accept() {
                    client.set_nodelay(true).unwrap();
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(client);
                }
                say(&all, "IBM,100\n");
                std::thread::sleep(BEAT);
            }
        });
        Self { address, clients, stop, threads: vec![beat] }
    }

    /// One tick, at once.
    pub(super) fn push(&self, symbol: &str, price: &str) {
        say(&self.clients, &format!("{symbol},{price}\n"));
    }
}

fn say(clients: &Mutex<Vec<TcpStream>>, line: &str) {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain_mut(|client| client.write_all(line.as_bytes()).is_ok());
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Everything that trades.
pub(super) struct World {
    pub(super) engine: Engine,
    /// Another engine on the same servers.
    pub(super) other: Option<Engine>,
    pub(super) redis: Redis,
    pub(super) feed: Feed,
    pub(super) postgres: Postgres,
    env: Env,
    ledger: PathBuf,
    _broker: Option<SimBroker>,
    /// Keys of every strategy so far.
    keys: Vec<String>,
    _dir: TempDir,
}

impl World {
    /// One engine with a paper broker.
    pub(super) fn start(more: &[(&str, &str)]) -> Self {
        let dir = temp_dir();
        let ledger = dir.path().join("ledger.jsonl");
        let paper = [("STRAT_PAPER_LEDGER", ledger.display().to_string()), ("STRAT_PAPER_LATENCY_MS", "5".to_owned())];
        let own = paper.iter().map(|(name, value)| (*name, value.as_str()));
        Self::with(own.chain(more.iter().copied()).collect(), ledger, dir)
    }

    /// Two engines and a broker that takes an order twice if it is sent again after its end.
    pub(super) fn pair() -> Self {
        Self::two("strat")
    }

    /// As [`World::pair`]; the first trades, and comes to Postgres by the role `apart`.
    pub(super) fn pair_apart() -> Self {
        Self::two("apart")
    }

    fn two(role: &str) -> Self {
        let broker = SimBroker::start(&["--class", "B"]);
        let url = format!("http://127.0.0.1:{}", broker.port());
        let bridge = vec![
            ("STRAT_BROKER_KIND", "bridge"),
            ("STRAT_BROKER_URL", url.as_str()),
            ("STRAT_BROKER_CLASS", "queryable"),
            ("STRAT_BROKER_SETTLE_MS", "300"),
        ];
        let mut world = Self::with_role(role, bridge, broker.ledger(), temp_dir());
        let mut env = world.env.clone();
        env.push(("STRAT_ENGINE_NAME".to_owned(), "other".to_owned()));
        world.other = Some(Engine::start(&["run"], env));
        world._broker = Some(broker);
        world
    }

    fn with(more: Vec<(&str, &str)>, ledger: PathBuf, dir: TempDir) -> Self {
        Self::with_role("strat", more, ledger, dir)
    }

    fn with_role(role: &str, more: Vec<(&str, &str)>, ledger: PathBuf, dir: TempDir) -> Self {
        let redis = Redis::with(Options::new().durable().sees_full_disk());
        let postgres = Postgres::durable();
        let feed = Feed::start();
        let mut env: Env = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_FEED_KIND", "lines".to_owned()),
            ("STRAT_FEED_ADDRESS", feed.address.clone()),
            ("STRAT_RECONCILE_INTERVAL_SECONDS", "2".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let migrated = engine::run(&["migrate"], &env, Duration::from_secs(60));
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let mut own = env.clone();
        if role != "strat" {
            postgres.sql(&format!("CREATE ROLE {role} SUPERUSER LOGIN"));
            own.push(("DATABASE_URL".to_owned(), postgres.url().replace("//strat@", &format!("//{role}@"))));
        }
        let engine = Engine::start(&["run"], own);
        let (other, keys) = (None, Vec::new());
        Self { engine, other, redis, feed, postgres, ledger, env, _broker: None, keys, _dir: dir }
    }

    /// Longs of users of their own, bought and armed.
    pub(super) fn buy(&mut self, name: &str, count: usize, stop: &str) -> Vec<String> {
        self.buy_symbol(name, "IBM", count, stop)
    }

    /// Longs whose time has come.
    pub(super) fn enter(&mut self, name: &str, symbol: &str, count: usize, stop: &str) -> Vec<String> {
        let keys: Vec<_> = (0..count).map(|number| format!("user:{name}{number}:strategy:s")).collect();
        let mut conn = self.redis.conn();
        let at = now_ms();
        for key in &keys {
            conn.run(&format!("STRAT.SET {key} symbol {symbol} quantity 10 buy_at {at} stop_loss {stop}"));
        }
        self.keys.extend(keys.iter().cloned());
        keys
    }

    /// Counts a strategy in that the test writes itself, of user `name`0; answers its key.
    pub(super) fn adopt(&mut self, name: &str) -> String {
        let key = format!("user:{name}0:strategy:s");
        self.keys.push(key.clone());
        key
    }

    pub(super) fn buy_symbol(&mut self, name: &str, symbol: &str, count: usize, stop: &str) -> Vec<String> {
        let keys = self.enter(name, symbol, count, stop);
        let mut conn = self.redis.conn();
        for key in &keys {
            let what = format!("{key} is bought: {:?}", self.engine.log().lines().last());
            until(&what, LIMIT, || {
                if symbol != "IBM" {
                    self.feed.push(symbol, "100");
                }
                let fields = conn.run(&format!("HMGET {key} position working"));
                let fields: Vec<_> = fields
                    .items()
                    .iter()
                    .map(|v| if v == &crate::resp::Value::Nil { String::new() } else { v.text() })
                    .collect();
                (fields == ["BOUGHT", ""]).then_some(())
            });
        }
        keys
    }

    /// Waits until the engine itself knows every stop that is armed in Redis, and Redis watches them.
    pub(super) fn guarded(&self) {
        let armed = crate::servers::redis::info_field(&mut self.redis.conn(), "strat", "strat_armed");
        let armed: u64 = armed.parse().unwrap();
        for engine in [&self.engine].into_iter().chain(&self.other) {
            until("the engine knows the armed stops", LIMIT, || {
                let guard = &health(engine)["guard"];
                (guard["armed"].as_u64() == Some(armed) && guard["watching"] == "redis").then_some(())
            });
        }
    }

    /// Whether `/health` finds nothing wrong.
    pub(super) fn is_healthy(&self) -> bool {
        self.engine.get("/health").is_some_and(|(status, _)| status == 200)
    }

    pub(super) fn health(&self) -> Json {
        health(&self.engine)
    }

    pub(super) fn field(&self, key: &str, field: &str) -> String {
        match self.redis.conn().run(&format!("HGET {key} {field}")) {
            crate::resp::Value::Nil => String::new(),
            value => value.text(),
        }
    }

    fn lines(&self) -> Vec<Json> {
        let text = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        // A line in the making has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// Users whose orders of a side the broker has accepted.
    pub(super) fn orders(&self, side: &str) -> Vec<String> {
        let lines = self.lines();
        let accepted = lines.iter().filter(|line| line["event"] == "accept" && line["side"] == side);
        accepted.map(|line| line["user"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until each strategy has ended in one of these positions, by one exit order that was filled once.
    pub(super) fn ends(&self, keys: &[String], positions: &[&str]) {
        let mut conn = until("Redis is there", LIMIT, || crate::resp::Conn::open(&self.redis.socket()).ok());
        for key in keys {
            let mut last = BTreeMap::new();
            let started = std::time::Instant::now();
            loop {
                let reply = conn.raw(&format!("HGETALL {key}"));
                if !reply.is_error() {
                    last = reply.fields();
                }
                let text = |name: &str| last.get(name).map_or("", String::as_str);
                if positions.contains(&text("position"))
                    && text("status") == "COMPLETED"
                    && text("pending").is_empty()
                    && text("working").is_empty()
                {
                    break;
                }
                assert!(
                    started.elapsed() < LIMIT,
                    "{key} has not ended as {positions:?}: {last:?}\n{}",
                    self.log_tail()
                );
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(last["exit_quantity"], "10", "{last:?}");
        }
        let lines = self.lines();
        for key in keys {
            let user = key.split(':').nth(1).unwrap();
            let own = |event: &str| -> Vec<i64> {
                let own = lines
                    .iter()
                    .filter(|line| line["event"] == event && line["user"] == user && line["side"] == "SELL");
                own.map(|line| line["quantity"].as_str().unwrap().parse().unwrap()).collect()
            };
            let filled: i64 = own("fill").iter().sum();
            assert_eq!((own("accept"), filled), (vec![10], 10), "exits of {user}: {lines:?}");
        }
    }

    /// Waits until Redis, its book, the queues and Postgres agree about everything.
    pub(super) fn agrees(&mut self) {
        self.engine.wait_healthy();
        let mut conn = self.redis.conn();
        until("the queues are empty and nothing is amiss", LIMIT, || {
            let empty =
                ["queue:orders", "queue:exits"].iter().all(|queue| conn.run(&format!("XLEN {queue}")).int() == 0);
            (empty && conn.run("STRAT.DEBUG VERIFY").items().is_empty()).then_some(())
        });
        let mut hashes = BTreeMap::new();
        let mut rows = BTreeMap::new();
        let started = std::time::Instant::now();
        while started.elapsed() < LIMIT {
            hashes = self
                .keys
                .iter()
                .map(|key| (key.clone(), given(conn.run(&format!("HGETALL {key}")).fields())))
                .collect();
            rows = self.rows();
            if hashes == rows {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let different = hashes.iter().find(|(key, hash)| rows.get(*key) != Some(hash));
        panic!("Redis has {different:?},\nPostgres {:?}\n{}", different.map(|(key, _)| rows.get(key)), self.log_tail());
    }

    fn rows(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let lines = self.postgres.sql(
            "SELECT jsonb_build_array('user:' || user_id || ':strategy:' || strategy_id, fields) FROM strategies WHERE removed_at IS NULL",
        );
        let row = |line: &String| -> (String, BTreeMap<String, String>) { serde_json::from_str(line).unwrap() };
        lines.iter().map(row).map(|(key, fields)| (key, given(fields))).collect()
    }

    pub(super) fn log_tail(&self) -> String {
        let log = self.engine.log();
        let from = log.lines().count().saturating_sub(60);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }

    /// A clean end.
    pub(super) fn end(&mut self) {
        for engine in [&mut self.engine].into_iter().chain(&mut self.other) {
            assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
        }
    }
}

/// What `/health` of an engine says.
pub(super) fn health(engine: &Engine) -> Json {
    let (_, body) = until("/health answers", LIMIT, || engine.get("/health"));
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// An empty text and no text are the same.
fn given(fields: BTreeMap<String, String>) -> BTreeMap<String, String> {
    fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
