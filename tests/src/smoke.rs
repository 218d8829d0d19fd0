//! One .so, every server: the same short life on each that is there.

use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis, paths};
use crate::support::skip;
use std::path::Path;

#[test]
fn the_machines_redis_server_runs_it() {
    smoke(&paths::redis_server());
}

#[test]
fn redis_8_runs_it() {
    with_server("redis8/bin/redis-server");
}

#[test]
fn valkey_runs_it() {
    with_server("valkey/bin/valkey-server");
}

fn with_server(place: &str) {
    let server = paths::root().join(".run/servers").join(place);
    if server.is_file() {
        smoke(&server);
    } else {
        skip("the smoke run", &server.display().to_string());
    }
}

const KEY: &str = "user:alice:strategy:s1";

fn smoke(server: &Path) {
    let mut redis = Redis::with(Options::new().server(server).durable().tcp());
    let mut conn = redis.conn3();
    let (name, version) = (redis.info("server", "executable"), redis.info("server", "redis_version"));
    println!("{name} says it is {version}");
    let mut events = redis.conn();
    events.run("SUBSCRIBE events:alice");
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 stop_loss 99.50 buy_at 1000 sell_at 9000"));
    assert!(matches!(conn.run(&format!("STRAT.GET {KEY}")), Value::Map(_)));
    assert!(events.message().1.contains("STRATEGY_STARTED"));
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 99.00")).int(), 2);
    assert_eq!(conn.run("STRAT.LIST USER alice").items()[1].texts(), [KEY]);
    assert_eq!(conn.run("STRAT.DUE 1000").items()[0], Value::Int(1));
    let epoch = conn.run("STRAT.EPOCH").text();
    let token = conn.run(&format!("STRAT.LOCK {KEY} BUY engine 60000 EPOCH {epoch}")).text();
    assert_eq!(conn.run(&format!("STRAT.LOCK {KEY} BUY other 60000")), Value::Nil);
    conn.run(&format!("STRAT.REPORT {KEY} {token} FILL CUMQTY 10 AVGPX 100.5 ORDER b1"));
    assert_eq!(conn.run("STRAT.SLCHECK IBM 99.01").int(), 0);
    // Raw commands that the book must follow.
    conn.run(&format!("COPY {KEY} user:bob:strategy:copied"));
    conn.run(&format!("RENAME {KEY} user:alice:strategy:renamed"));
    assert_eq!(conn.run("STRAT.SYMBOLS").pairs(), [(Value::Bulk(b"IBM".to_vec()), Value::Int(2))]);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
    assert_eq!(conn.code("STRAT.SLCHECK IBM nan"), "BADPRICE");
    across_databases(&mut conn);
    describe(&redis);
    conn.run("STRAT.SET user:carol:strategy:trailing symbol AIG quantity 1 position BOUGHT trail 5");
    for price in ["110", "120", "116"] {
        assert_eq!(conn.run(&format!("STRAT.SLCHECK AIG {price}")).int(), 0);
    }

    redis.kill_9();
    redis.start_again();
    let mut conn = redis.conn();
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
    assert_eq!(conn.run("STRAT.SLCHECK IBM 98").int(), 2, "both are guarded after kill -9");
    assert_eq!(conn.run("STRAT.SLCHECK AIG 115").int(), 1, "what a stop follows is durable");
    replica_follows(server, &redis);
    assert_eq!(redis.info("strat", "strat_panics"), "0");
}

/// Keys that change their database, also where the server collects commands first.
fn across_databases(conn: &mut Conn) {
    let key = "user:carol:strategy:moving";
    for [open, close] in [["PING", "PING"], ["MULTI", "EXEC"]] {
        conn.run(&format!("STRAT.SET {key} symbol IBM quantity 1"));
        for command in [open, &format!("COPY {key} {key} DB 1"), &format!("MOVE {key} 2"), "SWAPDB 1 3", close] {
            conn.run(command);
        }
        let differences = conn.run("STRAT.DEBUG VERIFY").texts();
        assert_eq!(differences, Vec::<String>::new(), "MOVE and COPY between {open} and {close}");
        for db in [2, 3] {
            conn.run(&format!("SELECT {db}"));
            assert_eq!(conn.run(&format!("STRAT.DEL {key}")).int(), 1, "in database {db}");
        }
        conn.run("SELECT 0");
    }
}

/// The server knows the commands' keys and what they are for.
fn describe(redis: &Redis) {
    let mut conn = redis.conn();
    for command in ["set", "get", "update", "del", "lock", "extend", "unlock", "report"] {
        let keys =
            conn.run(&format!("COMMAND GETKEYS STRAT.{command} {KEY} a b c d e f g h").replace(tail(command), ""));
        assert_eq!(keys.texts(), [KEY], "{command}");
    }
    let docs = conn.run("COMMAND DOCS STRAT.SET").pairs();
    assert_eq!(docs.len(), 1, "{docs:?}");
    let about = docs[0].1.pairs().into_iter().find(|(name, _)| name.text() == "summary");
    assert!(about.is_some_and(|(_, text)| text.text().len() > 10), "{docs:?}");
}

/// The words too many for a command's arity.
fn tail(command: &str) -> &'static str {
    match command {
        "get" | "del" => " a b c d e f g h",
        "unlock" => " b c d e f g h",
        "extend" => " c d e f g h",
        _ => "",
    }
}

fn replica_follows(server: &Path, primary: &Redis) {
    let replica = Redis::with(Options::new().server(server));
    replica.conn().run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    crate::support::until("the replica has the same", std::time::Duration::from_secs(30), || {
        (replica.info("replication", "master_link_status") == "up").then_some(())
    });
    let (mut there, mut here) = (primary.conn(), replica.conn());
    let key = "user:alice:strategy:later";
    there.run(&format!("STRAT.SET {key} symbol IBM quantity 1"));
    crate::support::until("the write arrives", std::time::Duration::from_secs(10), || {
        (here.run(&format!("EXISTS {key}")).int() == 1).then_some(())
    });
    assert_eq!(here.run("STRAT.SYMBOLS"), there.run("STRAT.SYMBOLS"));
    assert_eq!(here.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
    assert_eq!(here.code(&format!("STRAT.DEL {key}")), "READONLY");
}
