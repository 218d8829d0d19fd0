//! What the engine answers under `/api/v1/cache` and `/health/redis/…`, with Redis up and away.

mod admin;
mod events;
mod money;
mod schema;
mod strategies;
mod tenants;

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::until;
use serde_json::{Value as Json, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use tempfile::TempDir;

/// What operators show, where a test sets it.
const OPERATOR: &str = "an-operators-token";
const LIMIT: Duration = Duration::from_secs(30);

/// An answer: status, headers as they came, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&start));
        line.map_or_else(String::new, |line| line[start.len()..].to_owned())
    }

    /// A problem with this code.
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.header("content-type").as_str()),
            (status, "application/problem+json"),
            "{}",
            self.body
        );
        assert_eq!(self.json()["code"], code, "{}", self.body);
        assert!(self.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
}

struct World {
    engine: Engine,
    redis: Redis,
    postgres: Postgres,
    _dir: TempDir,
}

impl World {
    fn start(more: &[(&str, &str)]) -> Self {
        let (redis, postgres, dir) = (Redis::with(Options::new()), Postgres::start(), temp_dir());
        let ledger = dir.path().join("ledger.jsonl").display().to_string();
        let own = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url()), ("STRAT_PAPER_LEDGER", ledger)];
        let mut env: Env = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // Most tests are refused on purpose; the one that is about that says how often.
        env.push(("STRAT_HTTP_REFUSED_PER_MINUTE".to_owned(), "600000".to_owned()));
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
        let engine = Engine::start(&["run"], env);
        Self { engine, redis, postgres, _dir: dir }
    }

    /// One request, whatever comes of it.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.engine.port())).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// One request of whoever has this token.
    fn asks(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        self.ask(method, path, &[&format!("authorization: Bearer {token}")], body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }
}

#[test]
fn prices_alerts_and_sessions_are_read_over_http() {
    let world = World::start(&[]);
    let mut conn = world.redis.conn();
    conn.run("SET price:M&M 2500.50 PX 600000");
    let price = until("the engine answers", LIMIT, || {
        Some(world.get("/api/v1/cache/price/M&M")).filter(|answer| answer.status == 200)
    });
    assert_eq!(price.json()["price"], "2500.5");
    assert_eq!(price.header("cache-control"), "public, max-age=1");
    world.get("/api/v1/cache/price/NONE").is_problem(404, "NOT_FOUND");
    world.get("/api/v1/cache/price/a%20b").is_problem(400, "BAD_REQUEST");
    let data = world.get("/api/v1/cache/market-data/M&M");
    assert_eq!((data.json()["price"]["price"].as_str(), &data.json()["order_book"]), (Some("2500.5"), &Json::Null));
    let known =
        world.ask("GET", "/api/v1/cache/market-data/M&M", &[&format!("if-none-match: {}", data.header("etag"))], "");
    assert!(
        known.status == 304 || known.json()["price"] != data.json()["price"],
        "only the age has changed: {}",
        known.body
    );
    let symbols = world.get("/api/v1/cache/symbols").json();
    assert!(symbols["symbols"].as_array().unwrap().contains(&json!("M&M")), "{symbols}");

    let alert = json!({ "user_id": "alice", "id": "a1", "symbol": "M&M", "condition": "above", "price": "2600" });
    let armed = world.ask("POST", "/api/v1/cache/price-alerts", &[], &alert.to_string());
    assert_eq!((armed.status, &armed.json()["key"]), (201, &json!("user:alice:alert:a1")));
    conn.run("STRAT.SLCHECK M&M 2601");
    let listed = world.get("/api/v1/cache/price-alerts?user_id=alice");
    assert_eq!(listed.header("cache-control"), "private, no-store");
    assert_eq!(
        (&listed.json()["alerts"][0]["status"], &listed.json()["alerts"][0]["triggered"]["price"]),
        (&json!("TRIGGERED"), &json!("2601"))
    );
    assert_eq!(world.get("/api/v1/cache/price-alerts?user_id=bob").json()["alerts"], json!([]));
    assert_eq!(world.ask("DELETE", "/api/v1/cache/price-alerts?user_id=alice&id=a1", &[], "").status, 204);
    world.ask("DELETE", "/api/v1/cache/price-alerts?user_id=alice&id=a1", &[], "").is_problem(404, "NOT_FOUND");
    for (bad, what) in [("{", "no JSON"), ("{\"user_id\":\"alice\"}", "fields"), ("[]", "no object")] {
        let refused = world.ask("POST", "/api/v1/cache/price-alerts", &[], bad);
        assert_eq!(refused.json()["code"], "BAD_REQUEST", "{what}: {}", refused.body);
    }
    for seconds in ["0", "315360001", "9223372036854775808"] {
        let mut bad = alert.clone();
        bad["expires_in_seconds"] = serde_json::from_str(seconds).unwrap();
        world.ask("POST", "/api/v1/alerts", &[], &bad.to_string()).is_problem(400, "BAD_REQUEST");
    }
    let mut hostile = alert.clone();
    hostile["user_id"] = json!("alice:strategy:x");
    world.ask("POST", "/api/v1/cache/price-alerts", &[], &hostile.to_string()).is_problem(400, "BAD_REQUEST");
    world.get("/api/v1/cache/price-alerts").is_problem(400, "BAD_REQUEST");
    world.get("/api/v1/alerts?user_id=alice&cursor=").is_problem(400, "BAD_REQUEST");
    assert_eq!(world.get("/api/v1/cache/sessions/alice").json(), json!({ "user_id": "alice", "sessions": [] }));
    world.get("/api/v1/cache/sessions/a*").is_problem(400, "BAD_REQUEST");
}

/// A feed of lines: each who connects is told the next of these, the last of them nothing.
fn feed(told: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut told = told.into_iter();
        while let Ok((mut client, _)) = listener.accept() {
            let lines = told.next().unwrap_or_default();
            std::thread::spawn(move || {
                let _ = client.write_all(lines.as_bytes());
                // Until the other end is gone.
                let _ = client.read(&mut [0]);
            });
        }
    });
    address
}

#[test]
fn candles_of_the_feed_are_built_and_go_on_after_a_restart() {
    let minute = crate::support::now_ms() / 60_000 * 60_000 - 120_000;
    let lines = |ticks: &[(i64, &str)]| -> String {
        ticks.iter().map(|(at, price)| format!("IBM,{price},{}\n", minute + at)).collect()
    };
    let before =
        lines(&[(1_000, "100"), (2_000, "105.5"), (3_000, "95"), (59_999, "101"), (60_000, "102"), (61_000, "103")]);
    let after = lines(&[(90_000, "110"), (91_000, "99")]);
    let address = feed(vec![before, after]);
    let settings =
        [("STRAT_FEED_KIND", "lines"), ("STRAT_FEED_ADDRESS", address.as_str()), ("STRAT_CANDLES_HOURS", "always")];
    let mut world = World::start(&settings);
    let path = format!("/api/v1/cache/candles/IBM?timeframe=1m&from={minute}&to={}", minute + 120_000);
    let bar = |start: i64, [open, high, low, close]: [&str; 4], trades: u64| {
        json!({ "start": start, "end": start + 60_000, "open": open, "high": high, "low": low, "close": close,
            "volume": "0", "trades": trades })
    };
    let first = bar(minute, ["100", "105.5", "95", "101"], 4);
    let is_there = |world: &World, second: Json| {
        until("the candles are there", LIMIT, || {
            (world.get(&path).json()["candles"] == json!([first, second])).then_some(())
        });
    };
    is_there(&world, bar(minute + 60_000, ["102", "103", "102", "103"], 2));
    let mut conn = world.redis.conn();
    let key = format!("candle:IBM:1m:{minute}");
    assert_eq!(conn.run(&format!("HGET {key} high")).text(), "105.5");
    assert!((3_000..=3_600).contains(&conn.run(&format!("TTL {key}")).int()), "it lives for an hour");
    let hour = world.get("/api/v1/cache/candles/IBM?timeframe=1h").json();
    assert!(hour["candles"].as_array().is_some_and(|candles| !candles.is_empty()), "{hour}");
    for (bad, what) in [("timeframe=2m", "timeframe"), ("from=x", "invalid"), ("from=0", "longer")] {
        let refused = world.get(&format!("/api/v1/cache/candles/IBM?{bad}"));
        refused.is_problem(400, "BAD_REQUEST");
        assert!(refused.body.contains(what), "{}", refused.body);
    }
    world.engine.kill_9();
    world.engine.start_again();
    until("the engine answers again", LIMIT, || world.engine.get("/health"));
    is_there(&world, bar(minute + 60_000, ["102", "110", "99", "99"], 4));
}

#[test]
fn what_is_cached_can_be_cleared_and_nothing_else() {
    let world = World::start(&[]);
    let mut conn = world.redis.conn();
    conn.run("STRAT.SET user:alice:strategy:s symbol IBM quantity 1");
    for number in 0..1_500 {
        conn.run(&format!("SET cache:x:{number} 1 PX 600000"));
    }
    world.ask("POST", "/api/v1/cache/clear", &[], "").is_problem(400, "BAD_REQUEST");
    world.ask("POST", "/api/v1/cache/clear?confirm=false", &[], "").is_problem(400, "BAD_REQUEST");
    assert_eq!(conn.run("EXISTS cache:x:7").int(), 1);
    let cleared = world.ask("POST", "/api/v1/cache/clear?confirm=true", &[], "").json();
    assert_eq!(cleared, json!({ "cleared": 1_500, "complete": true }));
    assert_eq!((conn.run("EXISTS cache:x:7").int(), conn.run("EXISTS user:alice:strategy:s").int()), (0, 1));
    conn.run("SET stray:key 1");
    let report = world.ask("POST", "/api/v1/cache/cleanup", &[], "").json();
    assert_eq!((&report["dry_run"], &report["finished"]), (&json!(true), &json!(true)), "{report}");
    assert!(report["without_ttl"].to_string().contains("stray"), "{report}");
    assert_eq!(conn.run("EXISTS stray:key").int(), 1);
    assert!(world.get("/api/v1/cache/stats").json()["keys"].as_u64().is_some_and(|keys| keys >= 2));
}

#[test]
fn the_breaker_opens_while_redis_is_away_and_closes_when_it_is_back() {
    let mut world = World::start(&[]);
    assert_eq!(world.get("/health/redis/circuit-breaker").json()["state"], "closed");
    assert_eq!(world.get("/health/redis/pool").json()["in_flight"], 0);
    assert_eq!(world.get("/api/v1/cache/health").status, 200);
    world.redis.kill_9();
    until("the breaker opens", LIMIT, || {
        let answer = world.get("/api/v1/cache/price/IBM");
        assert!(answer.status == 503 || answer.status == 404, "{}", answer.body);
        (world.get("/health/redis/circuit-breaker").status == 503).then_some(())
    });
    world.get("/api/v1/cache/price/IBM").is_problem(503, "REDIS_UNAVAILABLE");
    assert!(world.get("/health/redis/circuit-breaker").json()["opened_total"].as_u64() >= Some(1));
    world.redis.start_again();
    until("it closes", LIMIT, || (world.get("/api/v1/cache/health").status == 200).then_some(()));
    assert_eq!(world.get("/health/redis/circuit-breaker").json()["state"], "closed");
}

#[test]
fn with_a_token_nobody_asks_without_it() {
    let world = World::start(&[("STRAT_HTTP_TOKEN", "a-long-enough-secret")]);
    for headers in
        [&[][..], &["authorization: Bearer a-long-enough-secreT"], &["authorization: Basic a-long-enough-secret"]]
    {
        world.ask("GET", "/api/v1/cache/symbols", headers, "").is_problem(401, "UNAUTHORIZED");
    }
    let given = ["authorization: Bearer a-long-enough-secret"];
    assert_eq!(world.ask("GET", "/api/v1/cache/symbols", &given, "").status, 200);
    assert!(!world.engine.log().contains("a-long-enough-secret"), "it is not logged");
    let open = World::start(&[]);
    open.ask("GET", "/api/v1/cache/symbols", &["origin: http://evil.example"], "").is_problem(403, "NO_TOKEN_SET");
}
