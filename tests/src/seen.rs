//! What the module writes is seen by everybody as if a command had written it.

use crate::resp::Value;
use crate::servers::{Options, Redis};
use std::collections::BTreeSet;

const KEY: &str = "user:alice:strategy:s1";

/// A position with a stop, on a server that tells of every key event.
fn armed() -> Redis {
    let redis = Redis::with(Options::new().config("notify-keyspace-events KEA"));
    redis.conn().run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 position BOUGHT stop_loss 99"));
    redis
}

#[test]
fn key_events_tell_of_each_write_of_a_change() {
    let redis = armed();
    let mut listener = redis.conn();
    listener.run("PSUBSCRIBE __keyevent@0__:*");
    let mut conn = redis.conn();
    assert_eq!(conn.run("STRAT.SLCHECK IBM 98.5").int(), 1);
    conn.run("SET end 1");
    let mut seen = BTreeSet::new();
    loop {
        let message = listener.receive().unwrap();
        let [channel, key] = [2, 3].map(|at: usize| message.items()[at].text());
        if key == "end" {
            break;
        }
        seen.insert(format!("{} {key}", channel.rsplit(':').next().unwrap()));
    }
    for event in [&format!("hset {KEY}"), "xadd journal", "xadd queue:exits"] {
        assert!(seen.contains(event), "no {event} in {seen:?}");
    }
}

#[test]
fn a_transaction_that_watches_a_strategy_is_refused_after_a_change() {
    let redis = armed();
    let mut conn = redis.conn();
    for (watched, command) in [
        (KEY, "STRAT.UPDATE user:alice:strategy:s1 stop_loss 98"),
        ("journal", "STRAT.UPDATE user:alice:strategy:s1 stop_loss 97"),
        ("queue:exits", "STRAT.SLCHECK IBM 90"),
    ] {
        conn.run(&format!("WATCH {watched}"));
        redis.conn().run(command);
        conn.run("MULTI");
        conn.run("PING");
        assert_eq!(conn.run("EXEC"), Value::Nil, "{command} changed {watched}");
    }
}

#[test]
fn who_blocks_on_a_queue_is_woken_by_the_tick_that_fires() {
    let redis = armed();
    let mut conn = redis.conn();
    conn.run("XGROUP CREATE queue:exits engine $ MKSTREAM");
    let mut reader = redis.conn();
    reader.send(&["XREADGROUP", "GROUP", "engine", "e1", "BLOCK", "0", "STREAMS", "queue:exits", ">"]).unwrap();
    conn.run("PING");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 90").int(), 1);
    assert!(matches!(reader.receive().unwrap(), Value::Array(streams) if streams.len() == 1));
}

#[test]
fn where_a_command_is_renamed_the_others_are_called() {
    for (config, called) in [("appendonly no", false), ("rename-command XTRIM elsewhere", true)] {
        let redis = Redis::with(Options::new().config(config));
        let mut conn = redis.conn();
        conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 position BOUGHT stop_loss 99"));
        assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 98")).int(), 2);
        assert_eq!(conn.run("STRAT.SLCHECK IBM 98.5").int(), 0, "{config}");
        assert_eq!(conn.run("STRAT.SLCHECK IBM 98").int(), 1, "{config}");
        assert_eq!((conn.run("XLEN journal").int(), conn.run("XLEN queue:exits").int()), (3, 1), "{config}");
        assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]), "{config}");
        let calls = conn.run("INFO commandstats").text();
        assert_eq!(calls.contains("cmdstat_xadd:"), called, "{config}: {calls}");
    }
}
