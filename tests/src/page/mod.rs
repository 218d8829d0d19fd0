//! The page at `/`, in a real browser over the real engine, real Redis and Postgres, the paper broker and a feed that the test
//! writes.

mod access;
mod browser;
mod docs;
mod edit;
mod modules;
mod outage;
mod pictures;
mod trade;

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// A feed of lines that says the same prices over and over, until told others.
struct Feed {
    address: String,
    prices: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Feed {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let prices: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let told = Arc::clone(&prices);
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || {
                    loop {
                        let lines: String =
                            told.lock().unwrap().iter().map(|(symbol, price)| format!("{symbol},{price}\n")).collect();
                        if client.write_all(lines.as_bytes()).is_err() {
                            return;
                        }
                        // The market's pace.
                        std::thread::sleep(Duration::from_millis(100));
                    }
                });
            }
        });
        Self { address, prices }
    }

    fn say(&self, symbol: &str, price: &str) {
        self.prices.lock().unwrap().insert(symbol.to_owned(), price.to_owned());
    }
}

/// Everything behind the page.
struct World {
    engine: Engine,
    redis: Redis,
    feed: Feed,
    _postgres: Postgres,
    _dir: TempDir,
}

impl World {
    fn start(more: &[(&str, &str)]) -> Self {
        let (redis, postgres, dir, feed) = (Redis::with(Options::new()), Postgres::start(), temp_dir(), Feed::start());
        let ledger = dir.path().join("ledger.jsonl").display().to_string();
        let own = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_PAPER_LEDGER", ledger),
            ("STRAT_FEED_KIND", "lines".to_owned()),
            ("STRAT_FEED_ADDRESS", feed.address.clone()),
            ("STRAT_CANDLES_HOURS", "always".to_owned()),
        ];
        let mut env: Env = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(engine::run(&["migrate"], &env, browser::LIMIT).status.success());
        feed.say("RELIANCE", "2500.00");
        let engine = Engine::start(&["run"], env);
        Self { engine, redis, feed, _postgres: postgres, _dir: dir }
    }

    fn url(&self, place: &str) -> String {
        format!("http://127.0.0.1:{}/{place}", self.engine.port())
    }

    /// A strategy that buys at once.
    fn add(&self, user: &str, id: &str, more: Json) {
        let mut fields = json!({ "symbol": "RELIANCE", "quantity": "10", "buy_time": now(), "timezone": "UTC" });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "user_id": user, "id": id, "fields": fields }).to_string();
        let (status, answer) =
            engine::http(self.engine.port(), "POST", "/api/v1/strategies", &body, browser::LIMIT).unwrap();
        assert_eq!(status, 201, "{answer}");
    }
}

/// The time of day in UTC, `09:30:00`.
fn now() -> String {
    let seconds = crate::support::now_ms() / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The same as it is typed into a browser's field of American English: `093000AM`.
fn typed(time: &str) -> String {
    let hour: u32 = time[..2].parse().unwrap();
    let half = if hour < 12 { "AM" } else { "PM" };
    format!("{:02}{}{}{half}", (hour + 11) % 12 + 1, &time[3..5], &time[6..8])
}
