//! A dump of Postgres is enough: everything else is lost, older things are restored, and no order is sent twice.

use super::{LIMIT, SYMBOL, done, env, migrate, text, wait_field};
use crate::resp::Conn;
use crate::servers::engine::Env;
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis, paths};
use crate::support::{now_ms, until};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn key(user: &str) -> String {
    format!("user:{user}:strategy:s1")
}

/// A strategy whose entry comes at `at_ms`, with a stop far away.
fn add(conn: &mut Conn, user: &str, at_ms: i64) {
    conn.run(&format!("STRAT.SET {} symbol {SYMBOL} quantity 10 buy_at {at_ms} stop_loss 1", key(user)));
}

fn hit(conn: &mut Conn, user: &str) {
    conn.run(&format!("STRAT.UPDATE {} stop_loss 9000", key(user)));
    wait_field(conn, &key(user), "position", "EXITED_BY_SL");
}

fn backup(url: &str, what: &str, place: &Path) -> Output {
    let mut command = Command::new(paths::root().join("scripts/backup.sh"));
    command.arg(what).arg(place).env("DATABASE_URL", url).output().unwrap()
}

/// What Postgres says of each user's strategy.
fn wait_row(postgres: &Postgres, user: &str, position: &str) {
    let sql = format!("SELECT fields->>'position' FROM strategies WHERE user_id = '{user}'");
    until(&format!("Postgres has {user} {position}"), LIMIT, || (postgres.sql(&sql) == [position]).then_some(()));
}

/// Accepted orders of each user and side, by the broker's own books.
fn accepted(ledger: &Path) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap().lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        if field("event") == "accept" {
            *counts.entry((field("user"), field("side"))).or_default() += 1;
        }
    }
    counts
}

fn start(redis: &Redis, postgres: &Postgres, ledger: &Path) -> Engine {
    let env: Env = env(&[
        ("REDIS_URL", &redis.url()),
        ("DATABASE_URL", &postgres.url()),
        ("STRAT_PAPER_LEDGER", &ledger.display().to_string()),
        ("STRAT_RECONCILE_INTERVAL_SECONDS", "2"),
    ]);
    migrate(&env);
    Engine::start(&["run"], env)
}

#[test]
fn a_restored_database_is_enough_and_no_order_is_sent_twice() {
    let (redis, postgres, dir) = (Redis::with(Options::new().durable()), Postgres::start(), temp_dir());
    let (ledger, dumps) = (dir.path().join("ledger.jsonl"), dir.path().join("dumps"));
    let mut engine = start(&redis, &postgres, &ledger);
    let mut conn = redis.conn();
    // One is in the market, one has been, and one enters after the dump was made.
    for user in ["held", "done"] {
        add(&mut conn, user, now_ms());
        wait_field(&mut conn, &key(user), "position", "BOUGHT");
    }
    hit(&mut conn, "done");
    add(&mut conn, "later", now_ms() + 8_000);
    wait_row(&postgres, "held", "BOUGHT");
    wait_row(&postgres, "done", "EXITED_BY_SL");
    wait_row(&postgres, "later", "NONE");
    let made = backup(&postgres.url(), "dump", &dumps);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let file = text(&made.stdout).trim().to_owned();
    wait_field(&mut conn, &key("later"), "position", "BOUGHT");
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
    // Both servers' data are lost.
    conn.run("FLUSHALL");
    drop(postgres);
    let restored = Postgres::start();
    let output = backup(&restored.url(), "restore", Path::new(&file));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let again = backup(&restored.url(), "restore", Path::new(&file));
    assert!(!again.status.success() && text(&again.stderr).contains("empty"), "{}", text(&again.stderr));

    let mut engine = start(&redis, &restored, &ledger);
    wait_field(&mut conn, &key("held"), "position", "BOUGHT");
    hit(&mut conn, "held");
    wait_row(&restored, "held", "EXITED_BY_SL");
    // The dump says that its time is still to come, and that has come. The broker knows better.
    let outcome = until("the late entry has an outcome", LIMIT, || {
        let fields = conn.run(&format!("STRAT.GET {}", key("later"))).fields();
        (fields["position"] == "BOUGHT" || fields["status"] == "FAILED").then_some(fields)
    });
    if outcome["position"] == "BOUGHT" {
        // The machine was so slow that the dump has the entry.
        hit(&mut conn, "later");
    } else {
        assert!(outcome["error"].contains("used before"), "{outcome:?}");
        assert!(engine.log().contains("ORDER THAT IS NOT OURS"), "{}", engine.log());
    }
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
    let counts = accepted(&ledger);
    assert!(counts.values().all(|&count| count == 1), "each order once: {counts:?}");
    assert!(counts.len() >= 5, "{counts:?}");
}

#[test]
fn a_dump_that_cannot_be_made_says_why_and_old_ones_go() {
    let (postgres, dir) = (Postgres::start(), temp_dir());
    let away = backup("postgres://strat:s3cret@localhost:1/strat", "dump", dir.path());
    assert!(!away.status.success() && !text(&away.stderr).contains("s3cret"), "{}", text(&away.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing half made is left");
    for old in ["strat-20200101T000000Z.dump", "strat-20200102T000000Z.dump", "mine.dump"] {
        std::fs::write(dir.path().join(old), "").unwrap();
    }
    let script = paths::root().join("scripts/backup.sh");
    done(Command::new(script).args(["dump"]).arg(dir.path()).arg("2").env("DATABASE_URL", postgres.url()));
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names.len(), 3, "the new one, the newest old one, and what is not ours: {names:?}");
    assert!(names.contains(&"mine.dump".to_owned()) && names.contains(&"strat-20200102T000000Z.dump".to_owned()));
}
