//! A price that crosses more stops than one call may fire, and what must not get in its way.

use crate::resp::{Conn, Value};
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis};
use crate::support::{now_ms, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

const STORM: i64 = 300;

/// A server with many stops at 100, of which one call fires few.
fn storm() -> (Redis, Conn) {
    let redis = Redis::with(Options::new().durable().tcp().config("strat.max-fired-per-call 5"));
    let mut conn = redis.conn();
    for number in 0..STORM {
        conn.run(&format!("STRAT.SET user:u:strategy:{number} symbol IBM quantity 1 position BOUGHT stop_loss 100"));
    }
    (redis, conn)
}

fn wait_drained(conn: &mut Conn) {
    until("the storm is over", LIMIT, || (conn.run("EXISTS drain:IBM").int() == 0).then_some(()));
    assert_eq!(conn.run("XLEN queue:exits").int(), STORM, "each once");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

#[test]
fn a_storm_is_fired_in_slices_and_a_rebound_saves_nobody() {
    let (_redis, mut conn) = storm();
    let ts_ms = now_ms();
    until("the clock has gone on", LIMIT, || (now_ms() > ts_ms + 1).then_some(()));
    // One transaction, so that no slice comes in between. What is armed after the storm is not touched by it.
    conn.run("MULTI");
    conn.run(&format!("STRAT.SLCHECK IBM 99 TS {ts_ms}"));
    for command in [
        "STRAT.SLCHECK IBM 150",
        "EXISTS drain:IBM",
        "XLEN queue:exits",
        "STRAT.SET user:u:strategy:late symbol IBM quantity 1 position BOUGHT stop_loss 100",
    ] {
        conn.run(command);
    }
    let replies = conn.run("EXEC");
    assert_eq!(replies, Value::Array([5, 0, 1, 5, 1].map(Value::Int).to_vec()));
    wait_drained(&mut conn);
    assert_eq!(conn.run("HGET user:u:strategy:late pending").text(), "");
    assert_eq!(info_field(&mut conn, "strat", "strat_fired"), STORM.to_string());
}

#[test]
fn a_storm_goes_on_after_a_kill() {
    let (mut redis, mut conn) = storm();
    conn.run("MULTI");
    conn.run("STRAT.SLCHECK IBM 99");
    conn.run("EXEC");
    redis.kill_9();
    redis.start_again();
    wait_drained(&mut redis.conn());
}

#[test]
fn a_change_that_leaves_the_levels_alone_saves_nobody_from_a_storm() {
    let (_redis, mut conn) = storm();
    // In one transaction, so that the change comes before the first slice; the feed's clock is far behind.
    conn.run("MULTI");
    conn.run("STRAT.SLCHECK IBM 99 TS 1000000");
    for number in 0..STORM {
        conn.run(&format!("STRAT.UPDATE user:u:strategy:{number} note x"));
    }
    conn.run("EXEC");
    wait_drained(&mut conn);
}

#[test]
fn two_storms_fire_what_each_of_them_crossed() {
    let (_redis, mut conn) = storm();
    conn.run("MULTI");
    conn.run("STRAT.SLCHECK IBM 99");
    conn.run("STRAT.SET user:u:strategy:between symbol IBM quantity 1 position BOUGHT stop_loss 99.50");
    // Crosses the stops at 100 again, but not the new one.
    conn.run("STRAT.SLCHECK IBM 99.80");
    conn.run("EXEC");
    wait_drained(&mut conn);
    assert_eq!(conn.run("HGET user:u:strategy:between pending").text(), "");
}

#[test]
fn the_limit_holds_for_a_call_however_many_symbols_it_has() {
    let redis = Redis::with(Options::new().config("strat.max-fired-per-call 2"));
    let mut conn = redis.conn();
    for symbol in ["A", "B", "C"] {
        conn.run(&format!("STRAT.SET user:u:strategy:{symbol} symbol {symbol} quantity 1 position BOUGHT stop_loss 9"));
    }
    assert_eq!(conn.run("STRAT.SLCHECK A 8 B 8 C 8").int(), 2);
    until("the third is fired too", LIMIT, || (conn.run("XLEN queue:exits").int() == 3).then_some(()));
}

#[test]
fn the_background_waits_while_clients_are_paused() {
    let redis = Redis::with(Options::new().durable());
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:u:strategy:gone symbol IBM quantity 1");
    conn.run("MULTI");
    conn.run("DEL user:u:strategy:gone");
    conn.run("CLIENT PAUSE 300 WRITE");
    conn.run("EXEC");
    // Redis aborts where a module replicates a write in this time.
    assert_eq!(conn.run("PING").text(), "PONG");
    until("the set is mended", LIMIT, || (conn.run("EXISTS active_strategies").int() == 0).then_some(()));
}

#[test]
fn a_failover_in_a_storm_loses_no_stop() {
    let (primary, mut conn) = storm();
    let replica = Redis::with(Options::new().tcp().config("strat.max-fired-per-call 5"));
    let mut follower = replica.conn();
    follower.run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    // The primary must say so: it hands over only to a replica that has acknowledged.
    let mut online = || conn.run("INFO replication").text().contains("state=online");
    until("the replica follows", LIMIT, || online().then_some(()));
    conn.run("MULTI");
    conn.run("STRAT.SLCHECK IBM 99");
    conn.run("EXEC");
    conn.run(&format!("FAILOVER TO 127.0.0.1 {} FORCE TIMEOUT 1000", replica.port()));
    until("the replica is primary", LIMIT, || (replica.info("replication", "role") == "master").then_some(()));
    wait_drained(&mut follower);
    assert_eq!(primary.info("strat", "strat_panics"), "0", "the old primary lives");
}

#[test]
fn a_storm_outlives_a_queue_that_takes_nothing() {
    let (_redis, mut conn) = storm();
    let last = "18446744073709551615-18446744073709551615";
    conn.run(&format!("XADD queue:exits {last} a b"));
    assert_eq!(conn.run("STRAT.SLCHECK IBM 99").int(), 0, "no id is left in the stream");
    until("the drain has met the refusal too", LIMIT, || {
        (info_field(&mut conn, "strat", "strat_write_errors").parse::<i64>().unwrap() > 5).then_some(())
    });
    assert_eq!(conn.run("STRAT.SLCHECK IBM 150").int(), 0, "a rebound saves nobody");
    assert_eq!(conn.run("EXISTS drain:IBM").int(), 1, "what was crossed is not forgotten");
    conn.run("DEL queue:exits");
    wait_drained(&mut conn);
}
