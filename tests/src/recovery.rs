//! What the engine must not believe, and what must not stop it.

use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(40);
/// Of the simulated market.
const SYMBOL: &str = "RELIANCE";

/// What an engine needs, and how it is told.
struct Servers {
    redis: Redis,
    env: Env,
    _postgres: Postgres,
    _dir: TempDir,
}

impl Servers {
    fn start() -> Self {
        let (redis, postgres, dir) = (Redis::with(Options::new().durable()), Postgres::start(), temp_dir());
        let ledger = dir.path().join("ledger.jsonl").display().to_string();
        let settings = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url()), ("STRAT_PAPER_LEDGER", ledger)];
        let env: Env = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
        Self { redis, env, _postgres: postgres, _dir: dir }
    }
}

fn wait_field(conn: &mut Conn, key: &str, field: &str, wanted: &str) {
    let mut last = String::new();
    until(&format!("{field} of {key} is {wanted}"), LIMIT, || {
        last = conn.run(&format!("HGET {key} {field}")).text();
        (last == wanted).then_some(())
    });
}

#[test]
fn an_old_order_is_never_taken_for_a_new_one() {
    let Servers { redis, env, .. } = &Servers::start();
    let mut engine = Engine::start(&["run"], env.clone());
    engine.wait_healthy();
    let mut conn = redis.conn();
    let key = "user:alice:strategy:again";
    let set = |conn: &mut Conn| {
        conn.run(&format!("STRAT.SET {key} symbol {SYMBOL} quantity 10 buy_at {}", now_ms()));
    };
    set(&mut conn);
    wait_field(&mut conn, key, "position", "BOUGHT");
    conn.run(&format!("STRAT.UPDATE {key} status STOPPED"));
    wait_field(&mut conn, key, "position", "SOLD");
    let first_id = conn.run(&format!("HGET {key} last_buy_order")).text();
    conn.run(&format!("STRAT.DEL {key}"));
    set(&mut conn);
    // Either the cycle was raised in time and a new order was sent, or the old order was refused.
    let outcome = until("the second life has an outcome", LIMIT, || {
        let fields = conn.run(&format!("STRAT.GET {key}")).fields();
        let settled = fields["position"] == "BOUGHT" || fields["status"] == "FAILED";
        settled.then_some(fields)
    });
    if outcome["position"] == "BOUGHT" {
        assert_ne!(outcome["last_buy_order"], first_id, "the fill of an order of the first life was believed");
    } else {
        assert!(outcome["error"].contains("used before"), "{outcome:?}");
    }
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}

#[test]
fn one_bad_field_stops_nobody_else() {
    let Servers { redis, env, .. } = &Servers::start();
    let mut conn = redis.conn();
    let (bad, good) = ("user:al:strategy:bad", "user:bo:strategy:good");
    conn.run(&format!("STRAT.SET {bad} symbol {SYMBOL} quantity 1"));
    // Not a field of the rules, so the hash stays valid; Postgres will not have it.
    conn.run(&format!("HSET {bad} entry_price abc"));
    let mut engine = Engine::start(&["run"], env.clone());
    conn.run(&format!("STRAT.SET {good} symbol {SYMBOL} quantity 1 buy_at {}", now_ms()));
    wait_field(&mut conn, good, "position", "BOUGHT");
    assert!(engine.log().contains(bad), "the bad one is named in the log: {}", engine.log());
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}

/// The module guards a strategy whatever else its user writes into the hash, so the engine has to be able to read it, and
/// every list that it stands in.
#[test]
fn a_field_name_that_is_not_text_stops_nobody() {
    let Servers { redis, env, .. } = &Servers::start();
    let mut conn = redis.conn();
    let (odd, other) = ("user:al:strategy:odd", "user:bo:strategy:other");
    conn.run(&format!("STRAT.SET {odd} symbol {SYMBOL} quantity 1 buy_at {}", now_ms()));
    assert_eq!(conn.call(&[b"HSET", odd.as_bytes(), b"\xff", b"x"]).int(), 1);
    let mut engine = Engine::start(&["run"], env.clone());
    conn.run(&format!("STRAT.SET {other} symbol {SYMBOL} quantity 1 buy_at {}", now_ms()));
    for key in [odd, other] {
        wait_field(&mut conn, key, "position", "BOUGHT");
        conn.run(&format!("STRAT.UPDATE {key} status STOPPED"));
        wait_field(&mut conn, key, "position", "SOLD");
    }
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}
