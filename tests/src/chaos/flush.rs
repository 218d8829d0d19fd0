//! FLUSHALL under ten thousand strategies: how long until Redis has them again and stops are watched.

use super::pulse::watches_stops;
use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis, paths};
use crate::support::{loudly, now_ms, until};
use std::time::{Duration, Instant};

const STRATEGIES: i64 = 10_000;
const SYMBOLS: i64 = 100;
const ROUNDS: usize = 3;
/// The aim is 2 s of a release build on two cores that do nothing else; these are for machines that do.
const RELEASE_LIMIT: Duration = Duration::from_secs(8);
const DEBUG_LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// Every other one holds a position with its stop armed, the rest wait for their entry.
fn fill(conn: &mut Conn) {
    let entry = (now_ms() + 3_600_000).to_string();
    for portion in 0..STRATEGIES / 100 {
        for number in portion * 100..(portion + 1) * 100 {
            let (key, symbol) = (format!("user:u{number}:strategy:s"), format!("S{}", number % SYMBOLS));
            let state = if number % 2 == 0 { ["position", "BOUGHT"] } else { ["buy_at", &entry] };
            let words = ["STRAT.SET", &key, "symbol", &symbol, "quantity", "1", "stop_loss", "90", state[0], state[1]];
            conn.send(&words).unwrap();
        }
        for _ in 0..100 {
            let reply = conn.receive().unwrap();
            assert_eq!(reply.int(), 1, "{reply:?}");
        }
    }
}

fn count(postgres: &Postgres) -> i64 {
    postgres.sql("SELECT count(*) FROM strategies")[0].parse().unwrap()
}

#[test]
fn flush_of_ten_thousand() {
    let redis = Redis::with(Options::new().durable());
    let postgres = Postgres::durable();
    let dir = temp_dir();
    let env: Env = [
        ("REDIS_URL", redis.url()),
        ("DATABASE_URL", postgres.url()),
        ("STRAT_PAPER_LEDGER", dir.path().join("ledger.jsonl").display().to_string()),
        ("STRAT_FEED_SYMBOLS", "S0=100,S1=100,S2=100".to_owned()),
        ("STRAT_FEED_TICK_MS", "20".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let mut engine = Engine::start(&["run"], env);
    let mut conn = redis.conn();
    fill(&mut conn);
    until("Postgres has them all", PATIENCE, || (count(&postgres) == STRATEGIES).then_some(()));
    engine.wait_healthy();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        conn.run("FLUSHALL");
        until("Redis has them all again", PATIENCE, || {
            let back = conn.run("SCARD active_strategies").int() == STRATEGIES;
            (back && watches_stops(engine.port())).then_some(())
        });
        times.push(started.elapsed());
        assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
        let armed: i64 = redis.info("strat", "strat_armed").parse().unwrap();
        assert_eq!(armed, STRATEGIES / 2, "every stop of a position");
        engine.wait_healthy();
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    loudly(&format!("chaos: {STRATEGIES} strategies rebuilt after FLUSHALL in {slowest:.2?} at most ({times:.2?})"));
    let release = paths::engine().components().any(|part| part.as_os_str() == "release");
    let limit = if release { RELEASE_LIMIT } else { DEBUG_LIMIT };
    assert!(slowest <= limit, "{times:?} is above {limit:?}");
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}
