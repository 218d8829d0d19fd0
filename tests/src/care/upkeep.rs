//! Redis is kept in order without anybody asking.

use super::world::{LIMIT, World};
use crate::resp::Conn;
use crate::servers::{Options, Redis};
use crate::support::until;
use serde_json::Value as Json;

#[test]
fn keys_without_an_end_get_one_and_others_are_reported() {
    let redis = Redis::with(Options::new());
    let mut conn = redis.conn();
    for number in 0..50 {
        conn.run(&format!("SET price:S{number} 1"));
    }
    conn.run("SET stray:key 1");
    conn.run("STRAT.ALERT user:a:alert:1 IBM ABOVE 100");
    let big = "x".repeat(1 << 20);
    conn.run(&format!("SET stray:big {big}"));
    let world = World::on(redis, &[("STRAT_UPKEEP_INTERVAL_SECONDS", "1"), ("STRAT_UPKEEP_CLEAN", "true")]);
    until("prices end again", LIMIT, || (conn.run("TTL price:S7").int() > 0).then_some(()));
    until("it is counted", LIMIT, || {
        let seen = ["strat_upkeep_keys_cleaned_total", "redis_keys_without_ttl", "redis_big_keys"];
        (seen.map(|name| world.count(name)) == [50, 2, 1]).then_some(())
    });
    assert!(world.count("strat_upkeep_passes_total") >= 1 && world.count("redis_memory_used_bytes") > 1 << 20);
    assert_eq!(
        (conn.run("TTL stray:key").int(), conn.run("TTL user:a:alert:1").int()),
        (-1, -1),
        "nobody asked for that"
    );
    let log = world.engine.log();
    for said in ["family=\"stray:*\" keys=2", "key=\"stray:big\"", "keys without an end were given one"] {
        assert!(log.contains(said), "{said}:\n{log}");
    }
}

/// Hears events of memory until its level is this; answers how many.
fn hears(events: &mut Conn, level: &str) -> usize {
    for count in 1.. {
        let (channel, text) = events.message();
        let event: Json = serde_json::from_str(&text).unwrap();
        assert_eq!((channel.as_str(), &event["type"]), ("events:admin", &"MEMORY_USED".into()));
        if event["data"]["to"] == level {
            return count;
        }
    }
    unreachable!("a message that does not come panics")
}

#[test]
fn memory_that_runs_short_is_told_once() {
    let redis = Redis::with(Options::new());
    let mut conn = redis.conn();
    let mut events = redis.conn();
    events.run("SUBSCRIBE events:admin");
    let settings = [("STRAT_UPKEEP_INTERVAL_SECONDS", "1"), ("STRAT_UPKEEP_MEMORY_LIMIT_MB", "40")];
    let world = World::on(redis, &settings);
    until("it is in order", LIMIT, || (world.count("strat_upkeep_passes_total") >= 1).then_some(()));
    assert_eq!(world.count("redis_memory_level{kind=\"used\"}"), 0);
    for number in 0..40 {
        conn.run(&format!("SET cache:x:{number} {} EX 1000", "x".repeat(1 << 20)));
    }
    assert!(hears(&mut events, "CRITICAL") <= 2, "a warning before it, if a look fell in between");
    until("it is a metric", LIMIT, || (world.count("redis_memory_level{kind=\"used\"}") == 2).then_some(()));
    let passes = world.count("strat_upkeep_passes_total");
    until("it is looked at again", LIMIT, || (world.count("strat_upkeep_passes_total") >= passes + 2).then_some(()));
    assert_eq!(world.engine.log().matches("REDIS' MEMORY IS NEARLY USED UP").count(), 1, "once");
    conn.run("FLUSHALL");
    assert!(hears(&mut events, "NORMAL") <= 2);
}

#[test]
fn calm_mode_is_kept_up_for_those_who_chose_it() {
    let mut world = World::start(&[("STRAT_CALM_INTERVAL_SECONDS", "1")]);
    let mut conn = world.redis.conn();
    for user in ["alice", "bob"] {
        let key = format!("user:{user}:strategy:s");
        conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 position BOUGHT entry_price 100 stop_loss 50"));
    }
    conn.run("SET calm:user:alice: 1 EX 1000");
    until("alice's position has a word", LIMIT, || {
        world.tick("IBM", "106");
        (conn.raw("GET calm:mood:alice:s") == crate::resp::Value::Bulk(b"HIGH_GAIN".to_vec())).then_some(())
    });
    assert!((3_500..=3_600).contains(&conn.run("TTL calm:alice:s").int()));
    assert_eq!((conn.run("EXISTS calm:mood:bob:s").int(), conn.run("EXISTS calm:bob:s").int()), (0, 0));
    conn.run("DEL calm:user:alice:");
    until("her flag goes with her choice", LIMIT, || (conn.run("EXISTS calm:alice:s").int() == 0).then_some(()));
}
