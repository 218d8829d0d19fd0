//! Redis, Postgres and an engine whose prices come from the test, also after a restart.

use crate::resp::Value;
use crate::servers::engine::{self, Env, http};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use serde_json::Value as Json;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
    /// Whoever listens for prices.
    listeners: Arc<Mutex<Vec<TcpStream>>>,
    dir: TempDir,
}

impl World {
    /// One engine with the paper broker, and these settings besides.
    pub(super) fn start(more: &[(&str, &str)]) -> Self {
        let (redis, postgres, dir) = (Redis::with(Options::new()), Postgres::start(), temp_dir());
        let feed = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_FEED_KIND", "lines".to_owned()),
            ("STRAT_FEED_ADDRESS", feed.local_addr().unwrap().to_string()),
            ("STRAT_FEED_IDLE_SECONDS", "0".to_owned()),
            ("STRAT_FEED_SILENCE_SECONDS", "0".to_owned()),
            ("STRAT_PAPER_LEDGER", dir.path().join("ledger.jsonl").display().to_string()),
            ("STRAT_PAPER_LATENCY_MS", "0".to_owned()),
        ];
        let mut env: Env = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
        let listeners: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let known = Arc::clone(&listeners);
        // Ends with the process: nothing of it is held by anybody else.
        std::thread::spawn(move || {
            while let Ok((client, _)) = feed.accept() {
                let _ = client.set_nodelay(true);
                known.lock().unwrap().push(client);
            }
        });
        let engine = Engine::launch(&["run"], env);
        let mut world = Self { engine, redis, postgres, listeners, dir };
        world.until_healthy();
        world
    }

    /// A feed that has never said anything is not healthy.
    fn until_healthy(&mut self) {
        until("the engine is healthy", LIMIT, || {
            self.tick("SPY", "1");
            self.engine.get("/health").filter(|(status, _)| *status == 200)
        });
    }

    /// Kills the engine and starts it again.
    pub(super) fn restart(&mut self) {
        self.engine.kill_9();
        self.engine.start_again();
        self.until_healthy();
    }

    /// One tick.
    pub(super) fn tick(&self, symbol: &str, price: &str) {
        self.listeners.lock().unwrap().retain_mut(|listener| writeln!(listener, "{symbol},{price}").is_ok());
    }

    /// A strategy that enters now, with these fields besides.
    pub(super) fn enter(&self, user: &str, id: &str, fields: &str) {
        let now = now_ms();
        let set = format!("STRAT.SET user:{user}:strategy:{id} symbol IBM quantity 10 buy_at {now} {fields}");
        self.redis.conn().run(&set).int();
    }

    pub(super) fn field(&self, user: &str, id: &str, field: &str) -> String {
        match self.redis.conn().run(&format!("HGET user:{user}:strategy:{id} {field}")) {
            Value::Nil => String::new(),
            reply => reply.text(),
        }
    }

    /// Waits until a field has this text, while the market says this price.
    pub(super) fn until_field(&self, (user, id): (&str, &str), (field, text): (&str, &str), price: &str) {
        until(&format!("{field} of {user}'s {id} is {text}"), LIMIT, || {
            self.tick("IBM", price);
            (self.field(user, id, field) == text).then_some(())
        });
    }

    /// Waits until the price is the one that Redis knows.
    pub(super) fn until_price(&self, price: &str) {
        until(&format!("the price is {price}"), LIMIT, || {
            self.tick("IBM", price);
            let known = self.redis.conn().run("GET price:IBM");
            (!matches!(known, Value::Nil) && known.text() == price).then_some(())
        });
    }

    /// An entry that is filled at this price.
    pub(super) fn buys(&self, user: &str, id: &str, fields: &str, price: &str) {
        self.enter(user, id, fields);
        self.until_field((user, id), ("position", "BOUGHT"), price);
    }

    /// An entry that is refused by this rule. No order of it reached the broker; its owner was told, in the journal too.
    pub(super) fn is_refused(&self, user: &str, id: &str, fields: &str, why: &str) {
        self.enter(user, id, fields);
        until(&format!("{user}'s {id} is refused"), LIMIT, || {
            (self.field(user, id, "status") == "FAILED").then_some(())
        });
        self.was_refused(user, id, why);
    }

    pub(super) fn was_refused(&self, user: &str, id: &str, why: &str) {
        let error = self.field(user, id, "error");
        assert!(error.starts_with(&format!("entry REJECTED: risk {why}")), "{user} {id}: {error}");
        let told = format!(
            "SELECT count(*) FROM strategy_events WHERE user_id = '{user}' AND strategy_id = '{id}' AND data ->> 'error' LIKE 'entry REJECTED: risk {why}%'"
        );
        until("the journal tells of it", LIMIT, || (self.postgres.sql(&told) == ["1"]).then_some(()));
        let ledger = std::fs::read_to_string(self.dir.path().join("ledger.jsonl")).unwrap_or_default();
        let key = format!("user:{user}:strategy:{id}");
        let sent = strat_core::order::OrderIdentity {
            key: strat_core::StrategyKey::parse(&key).unwrap(),
            cycle: 1,
            leg: strat_core::Leg::Entry,
            attempt: 0,
        };
        assert!(!ledger.contains(&sent.client_order_id()), "{id} was sent");
    }

    /// One request of an admin.
    pub(super) fn asks(&self, method: &str, path: &str, body: &Json) -> (u16, Json) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = http(self.engine.port(), method, path, &body, LIMIT).unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Limits of a user, over everybody's.
    pub(super) fn limit(&self, user: &str, limits: &Json) {
        let (status, said) =
            self.asks("PUT", &format!("/api/v1/admin/risk/{user}"), &serde_json::json!({ "limits": limits }));
        assert_eq!(status, 200, "{said}");
    }

    pub(super) fn refused_by(&self, rule: &str) -> u64 {
        self.metric(&format!("strat_risk_refused_total{{rule=\"{rule}\"}} "))
    }

    /// Attempts of exits beyond the last step of their protection.
    pub(super) fn used_up(&self) -> u64 {
        self.metric("strat_exit_protection_used_up_total ")
    }

    fn metric(&self, series: &str) -> u64 {
        let (_, text) = until("/metrics answers", LIMIT, || self.engine.get("/metrics"));
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }
}
