//! Price alerts: armed by a command or a plain write, fired once, listed, gone with their key.

use crate::resp::{Conn, Value};
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis};
use crate::support::until;
use serde_json::Value as Json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);
const KEY: &str = "user:alice:alert:a1";

fn start(options: Options) -> (Redis, Conn) {
    let redis = Redis::with(options);
    let conn = redis.conn();
    (redis, conn)
}

fn tick(conn: &mut Conn, symbol: &str, price: &str) -> i64 {
    conn.run(&format!("STRAT.SLCHECK {symbol} {price}")).int()
}

fn verified(conn: &mut Conn) {
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

fn armed(conn: &mut Conn) -> String {
    info_field(conn, "strat", "strat_alerts")
}

#[test]
fn an_alert_fires_once_and_says_so() {
    let (redis, mut conn) = start(Options::new());
    let mut events = redis.conn();
    events.run("SUBSCRIBE events:alice");
    assert_eq!(conn.run(&format!("STRAT.ALERT {KEY} IBM above 105.50")).text(), "OK");
    assert_eq!(conn.run(&format!("TTL {KEY}")).int(), -1, "it waits for as long as it takes");
    assert_eq!((tick(&mut conn, "IBM", "105.49"), tick(&mut conn, "AIG", "200")), (0, 0));
    assert_eq!(conn.run("STRAT.SLCHECK IBM 106 TS 1700000000000").int(), 1);
    let (channel, text) = events.message();
    let event: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (channel.as_str(), &event["type"], &event["strategy_id"]),
        ("events:alice", &"PRICE_ALERT".into(), &"a1".into())
    );
    assert_eq!(event["data"]["triggered_price"], "106");
    assert_eq!((tick(&mut conn, "IBM", "106"), tick(&mut conn, "IBM", "200")), (0, 0), "once");
    let fields = conn.run(&format!("HGETALL {KEY}")).fields();
    for (name, value) in [
        ("id", "a1"),
        ("user_id", "alice"),
        ("symbol", "IBM"),
        ("condition", "ABOVE"),
        ("price", "105.50"),
        ("status", "TRIGGERED"),
        ("triggered_price", "106"),
        ("triggered_at", "1700000000000"),
    ] {
        assert_eq!(fields[name], value, "{fields:?}");
    }
    assert!(conn.run(&format!("TTL {KEY}")).int() > 86_000, "it is kept for a day");
    verified(&mut conn);
    // Armed again, with an end.
    conn.run(&format!("STRAT.ALERT {KEY} IBM BELOW 90 EX 1000"));
    let fields = conn.run(&format!("HGETALL {KEY}")).fields();
    assert_eq!((fields["status"].as_str(), fields.get("triggered_price")), ("ACTIVE", None));
    assert!((900..=1000).contains(&conn.run(&format!("TTL {KEY}")).int()));
    assert_eq!((tick(&mut conn, "IBM", "90.01"), tick(&mut conn, "IBM", "90")), (0, 1));
    assert_eq!(info_field(&mut conn, "strat", "strat_alerts_fired"), "2");
}

#[test]
fn whatever_writes_the_hash_arms_and_disarms() {
    let (_redis, mut conn) = start(Options::new());
    conn.run(&format!("HSET {KEY} symbol IBM condition ABOVE price 100 note mine"));
    assert_eq!(armed(&mut conn), "1");
    for (command, expected) in [
        ("RENAME user:alice:alert:a1 user:bob:alert:b", "1"),
        ("COPY user:bob:alert:b user:bob:alert:c", "2"),
        ("COPY user:bob:alert:b user:bob:alert:c DB 1", "3"),
        ("MOVE user:bob:alert:c 2", "3"),
        ("SWAPDB 0 3", "3"),
        ("SWAPDB 0 3", "3"),
        ("SET user:bob:alert:b text", "2"),
        ("DEL user:bob:alert:b", "2"),
        ("FLUSHALL", "0"),
    ] {
        conn.run(command);
        verified(&mut conn);
        assert_eq!(armed(&mut conn), expected, "{command}");
    }
    conn.run(&format!("HSET {KEY} symbol IBM condition ABOVE price 100"));
    conn.run(&format!("HSET {KEY} price 200"));
    assert_eq!((tick(&mut conn, "IBM", "199.99"), tick(&mut conn, "IBM", "200")), (0, 1));
    conn.run(&format!("HDEL {KEY} status"));
    assert_eq!(tick(&mut conn, "IBM", "200"), 1, "armed again");
    conn.run(&format!("HSET {KEY} status ACTIVE price abc"));
    assert_eq!(tick(&mut conn, "IBM", "200"), 0);
    assert_eq!(info_field(&mut conn, "strat", "strat_unparseable"), "1");
    let lines = conn.run("STRAT.DEBUG VERIFY").texts();
    assert!(lines.len() == 1 && lines[0].contains("BADPRICE"), "{lines:?}");
    conn.run(&format!("PEXPIRE {KEY} 1"));
    until("it is gone", LIMIT, || (conn.run(&format!("EXISTS {KEY}")).int() == 0).then_some(()));
    verified(&mut conn);
}

#[test]
fn an_alert_whose_time_is_over_does_not_fire() {
    let (_redis, mut conn) = start(Options::new());
    conn.run(&format!("STRAT.ALERT {KEY} IBM ABOVE 100 EX 1"));
    until("its time is over", LIMIT, || (conn.run(&format!("EXISTS {KEY}")).int() == 0).then_some(()));
    assert_eq!((tick(&mut conn, "IBM", "150"), armed(&mut conn).as_str()), (0, "0"));
}

#[test]
fn alerts_live_through_a_kill_a_snapshot_and_a_promotion() {
    let (mut redis, mut conn) = start(Options::new().durable().tcp());
    for (id, price) in [("low", 100), ("high", 200)] {
        conn.run(&format!("STRAT.ALERT {{t}}user:alice:alert:{id} IBM ABOVE {price}"));
    }
    assert_eq!(tick(&mut conn, "{t}IBM", "150"), 1);
    redis.kill_9();
    redis.start_again();
    let mut conn = redis.conn();
    verified(&mut conn);
    assert_eq!((armed(&mut conn).as_str(), tick(&mut conn, "{t}IBM", "150")), ("1", 0), "what has fired has fired");
    let (replica, mut copy) = start(Options::new().tcp());
    copy.run(&format!("REPLICAOF 127.0.0.1 {}", redis.port()));
    until("the replica has it", LIMIT, || (armed(&mut copy) == "1").then_some(()));
    conn.run("STRAT.ALERT {t}user:alice:alert:late IBM BELOW 50 EX 100000");
    until("and what comes later", LIMIT, || (armed(&mut copy) == "2").then_some(()));
    copy.run("REPLICAOF NO ONE");
    verified(&mut copy);
    assert_eq!((tick(&mut copy, "{t}IBM", "200"), tick(&mut copy, "{t}IBM", "50")), (1, 1));
    drop(replica);
}

const MANY: usize = 300;

/// One transaction: a crash that crosses many alerts, a rebound, and an alert that is armed after both.
fn storm(conn: &mut Conn) {
    for number in 0..MANY {
        conn.run(&format!("STRAT.ALERT user:u:alert:{number} IBM BELOW 100"));
    }
    conn.run("STRAT.SET user:u:strategy:s symbol IBM quantity 1 position BOUGHT stop_loss 90");
    conn.run("MULTI");
    conn.run("STRAT.SLCHECK IBM 89");
    conn.run("STRAT.SLCHECK IBM 150");
    conn.run("STRAT.ALERT user:u:alert:late IBM BELOW 100");
    assert_eq!(conn.run("EXEC").items()[0].int(), 6, "the stop, and as many alerts as a call may fire");
    assert_eq!(conn.run("HGET user:u:strategy:s pending").text(), "STOPLOSS");
}

fn all_fired(conn: &mut Conn) {
    until("the storm is over", LIMIT, || (conn.run("EXISTS drain:IBM").int() == 0).then_some(()));
    for number in 0..MANY {
        assert_eq!(conn.run(&format!("HGET user:u:alert:{number} status")).text(), "TRIGGERED", "{number}");
    }
    verified(conn);
}

#[test]
fn a_storm_of_alerts_fires_each_of_them_once_and_a_rebound_saves_none() {
    let (redis, mut conn) = start(Options::new().config("strat.max-fired-per-call 5"));
    let mut events = redis.conn();
    events.run("SUBSCRIBE events:u");
    storm(&mut conn);
    all_fired(&mut conn);
    assert_eq!(conn.run("HGET user:u:alert:late status").text(), "ACTIVE", "armed after the storm");
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < MANY {
        let event: Json = serde_json::from_str(&events.message().1).unwrap();
        if event["type"] == "PRICE_ALERT" {
            assert!(heard.insert(event["strategy_id"].to_string()), "{event}");
        }
    }
    assert_eq!(info_field(&mut conn, "strat", "strat_alerts_fired"), MANY.to_string());
}

#[test]
fn a_storm_of_alerts_goes_on_after_a_kill() {
    let (mut redis, mut conn) = start(Options::new().durable().config("strat.max-fired-per-call 5"));
    storm(&mut conn);
    redis.kill_9();
    redis.start_again();
    all_fired(&mut redis.conn());
}

#[test]
fn alerts_keep_no_stop_of_a_later_tick_of_the_call_waiting() {
    let (_redis, mut conn) = start(Options::new().config("strat.max-fired-per-call 5"));
    for number in 0..MANY {
        conn.run(&format!("STRAT.ALERT user:u:alert:{number} AIG BELOW 100"));
    }
    conn.run("STRAT.SET user:u:strategy:s symbol IBM quantity 1 position BOUGHT stop_loss 90");
    assert_eq!(conn.run("STRAT.SLCHECK AIG 50 IBM 89").int(), 6);
    assert_eq!(conn.run("XLEN queue:exits").int(), 1);
}

#[test]
fn a_user_pages_through_his_own_alerts() {
    let (_redis, mut conn) = start(Options::new());
    for (user, tag) in [("alice", ""), ("alice2", ""), ("al", ""), ("alice", "{t}")] {
        for number in 0..25 {
            conn.run(&format!("STRAT.ALERT {tag}user:{user}:alert:{number:02} IBM ABOVE 1{number}"));
        }
    }
    assert_eq!(tick(&mut conn, "IBM", "100"), 30, "ten of each user without a tag");
    for (tag, option) in [("", ""), ("{t}", "TAG t")] {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let page = conn.run(&format!("STRAT.ALERTS alice {option} CURSOR {cursor} COUNT 7"));
            found.extend(page.items()[1].texts());
            cursor = page.items()[0].text();
            if cursor == "0" {
                break;
            }
        }
        let expected: Vec<_> = (0..25).map(|number| format!("{tag}user:alice:alert:{number:02}")).collect();
        assert_eq!(found, expected);
    }
    let page = conn.run("STRAT.ALERTS alice COUNT 1 WITHVALUES");
    let first = page.items()[1].items()[0].fields();
    assert_eq!((first["key"].as_str(), first["status"].as_str()), ("user:alice:alert:00", "TRIGGERED"));
    assert_eq!(conn.run("STRAT.ALERTS nobody").items()[1], Value::Array(vec![]));
}

/// `OK`, or why not.
fn outcome(conn: &mut Conn, line: &str) -> String {
    let reply = conn.raw(line);
    if reply.is_error() { reply.code().to_owned() } else { reply.text() }
}

#[test]
fn a_user_has_a_bounded_number_of_alerts() {
    let (redis, mut conn) = start(Options::new().config("strat.max-alerts-per-user 3"));
    let arm =
        |conn: &mut Conn, user: &str, id: &str| outcome(conn, &format!("STRAT.ALERT {user}:alert:{id} IBM ABOVE 100"));
    for id in ["a", "b", "c"] {
        assert_eq!(arm(&mut conn, "user:alice", id), "OK");
    }
    assert_eq!(arm(&mut conn, "user:alice", "d"), "LIMIT");
    assert_eq!(conn.run("EXISTS user:alice:alert:d").int(), 0);
    assert_eq!(arm(&mut conn, "user:alice", "a"), "OK", "one that is there may be armed anew");
    assert_eq!(arm(&mut conn, "user:al", "d"), "OK", "another user");
    assert_eq!(arm(&mut conn, "{t}user:alice", "d"), "OK", "another partition");
    // What has fired counts until it goes.
    assert_eq!(tick(&mut conn, "IBM", "100"), 4);
    assert_eq!(arm(&mut conn, "user:alice", "d"), "LIMIT");
    conn.run("DEL user:alice:alert:b");
    assert_eq!(arm(&mut conn, "user:alice", "d"), "OK");
    // Many at the same time find room once.
    conn.run("DEL user:alice:alert:a");
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let mut conn = redis.conn();
            std::thread::spawn(move || {
                outcome(&mut conn, &format!("STRAT.ALERT user:alice:alert:n{number} IBM ABOVE 200"))
            })
        })
        .collect();
    let codes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| *code == "OK").count(), 1, "{codes:?}");
    verified(&mut conn);
}

#[test]
fn what_is_no_alert_is_refused_and_writes_nothing() {
    let (_redis, mut conn) = start(Options::new());
    conn.run("SET user:alice:alert:text text");
    let before = crate::dump::dump(&mut conn);
    for (code, line) in [
        ("ERR", "STRAT.ALERT user:alice:alert:a IBM ABOVE"),
        ("BADFIELD", "STRAT.ALERT user:alice:strategy:a IBM ABOVE 1"),
        ("BADFIELD", "STRAT.ALERT user:a*:alert:a IBM ABOVE 1"),
        ("BADFIELD", "STRAT.ALERT user:alice:alert:a I:M ABOVE 1"),
        ("BADFIELD", "STRAT.ALERT user:alice:alert:a IBM OVER 1"),
        ("BADPRICE", "STRAT.ALERT user:alice:alert:a IBM ABOVE 1e5"),
        ("BADPRICE", "STRAT.ALERT user:alice:alert:a IBM ABOVE nan"),
        ("ERR", "STRAT.ALERT user:alice:alert:a IBM ABOVE 1 EX 0"),
        ("ERR", "STRAT.ALERT user:alice:alert:a IBM ABOVE 1 EX 1.5"),
        ("ERR", "STRAT.ALERT user:alice:alert:a IBM ABOVE 1 EX"),
        ("ERR", "STRAT.ALERT user:alice:alert:a IBM ABOVE 1 PX 5"),
        ("WRONGTYPE", "STRAT.ALERT user:alice:alert:text IBM ABOVE 1"),
        ("ERR", "STRAT.ALERTS"),
        ("BADFIELD", "STRAT.ALERTS a*"),
        ("ERR", "STRAT.ALERTS alice CURSOR x"),
        ("ERR", "STRAT.ALERTS alice COUNT 0"),
        ("ERR", "STRAT.ALERTS alice USER bob"),
    ] {
        assert_eq!(conn.code(line), code, "{line}");
    }
    assert!(before == crate::dump::dump(&mut conn));
}
