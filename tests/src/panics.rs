//! A panic in the module does not kill the server: for each kind of entry point it is shown that the server lives,
//! that the module refuses until it has rebuilt, and that everything is as before then.

use crate::resp::{Conn, Value};
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Strategies of each kind.
const EACH: usize = 40;

fn field(conn: &mut Conn, name: &str) -> String {
    info_field(conn, "strat", &format!("strat_{name}"))
}

/// Waits until the books are rebuilt. On the way the module may only say that it rebuilds.
fn wait_ready(conn: &mut Conn) {
    until("the books are rebuilt", LIMIT, || match conn.raw("STRAT.DEBUG VERIFY") {
        Value::Array(differences) => {
            assert_eq!(differences, vec![], "nothing differs after a rebuild");
            Some(())
        }
        reply => {
            assert_eq!(reply.code(), "LOADING", "{reply:?}");
            None
        }
    });
}

/// Armed stops and times, running and stopped ones, in two databases and with a tag.
fn fill(conn: &mut Conn) {
    for db in [0, 1] {
        conn.run(&format!("SELECT {db}"));
        for number in 0..EACH {
            for tag in ["", "{t}"] {
                let key = |kind: &str| format!("{tag}user:u:strategy:{kind}{number}");
                conn.run(&format!(
                    "STRAT.SET {} symbol IBM quantity 2 position BOUGHT stop_loss {}",
                    key("s"),
                    50 + number
                ));
                conn.run(&format!("STRAT.SET {} symbol IBM quantity 1 buy_at {number} sell_at 9000", key("d")));
                conn.run(&format!("STRAT.SET {} symbol AIG quantity 1 status STOPPED", key("x")));
            }
        }
    }
    conn.run("SELECT 0");
}

/// What the books and the sets say, by what was asked.
fn picture(conn: &mut Conn) -> BTreeMap<String, String> {
    let mut seen: BTreeMap<_, _> = ["strategies", "running", "symbols", "armed", "times", "unparseable", "draining"]
        .map(|name| (name.to_owned(), field(conn, name)))
        .into();
    for db in [0, 1] {
        conn.run(&format!("SELECT {db}"));
        for tag in ["", "{t}"] {
            for set in ["active_strategies", "symbol:IBM:strategies", "symbol:AIG:strategies"] {
                let mut members = conn.run(&format!("SMEMBERS {tag}{set}")).texts();
                members.sort();
                seen.insert(format!("{db} {tag}{set}"), members.join(" "));
            }
        }
    }
    conn.run("SELECT 0");
    seen
}

/// Has the module panic at `point`, and pokes it there.
fn panic_at(conn: &mut Conn, point: &str, poke: impl Fn(&mut Conn)) {
    let panics: u64 = field(conn, "panics").parse().unwrap();
    conn.run(&format!("STRAT.DEBUG PANIC {point}"));
    poke(conn);
    until(&format!("the panic at {point}"), LIMIT, || {
        // INFO itself may be what panics.
        let info = conn.run("INFO strat").text();
        info.contains(&format!("strat_panics:{}\r", panics + 1)).then_some(())
    });
    wait_ready(conn);
}

#[test]
fn a_panic_in_any_entry_point_leaves_everything_as_it_was() {
    let redis = Redis::with(Options::new().durable());
    let mut conn = redis.conn();
    fill(&mut conn);
    let before = picture(&mut conn);
    let epoch = conn.run("STRAT.EPOCH").text();
    let pokes: [(&str, &str); 7] = [
        ("COMMAND", "STRAT.GET user:u:strategy:s1"),
        ("EVENT", "HSET user:u:strategy:s1 note x"),
        ("EVENT AFTER 1", "STRAT.UPDATE user:u:strategy:s1 note y"),
        ("SERVER", "SWAPDB 7 8"),
        ("TIMER", "SADD active_strategies stray:1"),
        ("INFO", "INFO strat"),
        ("SCAN", "STRAT.DEBUG VERIFY"),
    ];
    for (point, poke) in pokes {
        panic_at(&mut conn, point, |conn| drop(conn.raw(poke)));
        assert_eq!(conn.run("PING").text(), "PONG", "{point}");
        until(&format!("{point}: all is as before"), LIMIT, || (picture(&mut conn) == before).then_some(()));
    }
    assert_eq!(field(&mut conn, "panics"), pokes.len().to_string());
    assert_ne!(conn.run("STRAT.EPOCH").text(), epoch, "who trusted the books must reconcile");
    let log = redis.log();
    assert!(log.contains("internal error in a command at module/src/server/"), "the place is in the log:\n{log}");
    // The stops and times are not only counted, they fire.
    assert_eq!(conn.run("STRAT.SLCHECK IBM 1").int(), i64::try_from(EACH).unwrap());
    assert_eq!(conn.run("STRAT.DUE 5000 TAG t").items()[0].int(), i64::try_from(EACH).unwrap());
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

#[test]
fn a_panicking_command_answers_an_error_and_the_next_ones_that_it_rebuilds() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:u:strategy:1 symbol IBM quantity 1");
    conn.run("STRAT.DEBUG PANIC COMMAND");
    // In one transaction, so that the rebuild does not come in between.
    conn.run("MULTI");
    for command in [
        "STRAT.EPOCH",
        "STRAT.GET user:u:strategy:1",
        "STRAT.SLCHECK IBM 1",
        "HSET user:u:strategy:2 symbol A quantity 1",
    ] {
        conn.run(command);
    }
    let replies = conn.run("EXEC");
    let codes: Vec<_> = replies.items()[..3].iter().map(|reply| reply.code().to_owned()).collect();
    assert_eq!(codes, ["ERR", "LOADING", "LOADING"], "{replies:?}");
    assert_eq!(replies.items()[3], Value::Int(2), "plain Redis goes on");
    wait_ready(&mut conn);
    assert_eq!(field(&mut conn, "strategies"), "2", "what was written meanwhile is known");
}

#[test]
fn a_storm_goes_on_after_a_panic_in_its_middle() {
    let storm = i64::try_from(10 * EACH).unwrap();
    let redis = Redis::with(Options::new().durable().config("strat.max-fired-per-call 5"));
    for point in ["TIMER", "FIRE AFTER 20", "FIRE AFTER 2", "WRITE AFTER 33", "EVENT AFTER 44"] {
        let mut conn = redis.conn();
        conn.run("FLUSHALL");
        for number in 0..storm {
            conn.run(&format!(
                "STRAT.SET user:u:strategy:{number} symbol IBM quantity 1 position BOUGHT stop_loss 100"
            ));
        }
        let panics: u64 = field(&mut conn, "panics").parse().unwrap();
        conn.run(&format!("STRAT.DEBUG PANIC {point}"));
        conn.raw("STRAT.SLCHECK IBM 99");
        until(&format!("{point}: the storm is over"), LIMIT, || {
            (conn.run("EXISTS drain:IBM").int() == 0).then_some(())
        });
        wait_ready(&mut conn);
        assert_eq!(field(&mut conn, "panics"), (panics + 1).to_string(), "{point}");
        let orders = conn.run("XRANGE queue:exits - +");
        let keys: std::collections::BTreeSet<_> =
            orders.items().iter().map(|entry| entry.items()[1].fields()["key"].clone()).collect();
        assert_eq!(keys.len(), usize::try_from(storm).unwrap(), "{point}: every stop is in the queue");
        assert_eq!(field(&mut conn, "armed"), "0", "{point}");
    }
}

#[test]
fn a_panic_in_any_write_of_a_change_loses_no_stop() {
    let redis = Redis::with(Options::new().durable());
    let mut conn = redis.conn();
    let mut passed = false;
    for write in 0.. {
        conn.run("FLUSHALL");
        conn.run("STRAT.SET user:u:strategy:1 symbol IBM quantity 1 position BOUGHT stop_loss 100");
        let panics = field(&mut conn, "panics");
        conn.run(&format!("STRAT.DEBUG PANIC WRITE AFTER {write}"));
        conn.raw("STRAT.SLCHECK IBM 99");
        wait_ready(&mut conn);
        let panicked = field(&mut conn, "panics") != panics;
        conn.run("STRAT.DEBUG PANIC WRITE TIMES 0");
        let pending = conn.run("HGET user:u:strategy:1 pending").text();
        let queued = conn.run("XLEN queue:exits").int();
        match pending.as_str() {
            "" => assert_eq!(conn.run("STRAT.SLCHECK IBM 99").int(), 1, "write {write}: it is armed and fires"),
            _ => assert_eq!((pending.as_str(), queued), ("STOPLOSS", 1), "write {write}: what is marked is queued"),
        }
        let claim = "STRAT.LOCK user:u:strategy:1 STOPLOSS engine 1000";
        assert!(matches!(conn.run(claim), Value::Bulk(_)), "write {write}: the order can be claimed");
        if !panicked {
            passed = write > 3;
            break;
        }
    }
    assert!(passed, "a fired stop is several writes, and the last round panicked in none");
}

#[test]
fn one_strategy_that_always_panics_takes_no_other_with_it() {
    let redis = Redis::with(Options::new().durable());
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:u:strategy:bad symbol BAD quantity 1 position BOUGHT stop_loss 100");
    conn.run("STRAT.DEBUG PANIC FIRE TIMES 3");
    for _ in 0..3 {
        let reply = conn.raw("STRAT.SLCHECK BAD 99");
        assert_eq!(reply.code(), "LOADING", "{reply:?}: the tick must be sent again");
        until("the books are rebuilt", LIMIT, || (field(&mut conn, "state") == "ready").then_some(()));
    }
    assert_eq!(conn.run("STRAT.SLCHECK BAD 99").int(), 0);
    let differences = conn.run("STRAT.DEBUG VERIFY").texts().join("\n");
    assert!(differences.contains("user:u:strategy:bad"), "it is not silently unguarded: {differences}");
    assert_eq!(field(&mut conn, "unparseable"), "1");
    conn.run("STRAT.SET user:u:strategy:good symbol IBM quantity 1 position BOUGHT stop_loss 100");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 99").int(), 1, "the others are guarded");
    // Its next change is another try.
    conn.run("HSET user:u:strategy:bad note mended");
    assert_eq!(conn.run("STRAT.SLCHECK BAD 99").int(), 1);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

#[test]
fn a_rebuild_that_panics_is_tried_again() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    fill(&mut conn);
    let before = picture(&mut conn);
    conn.run("STRAT.DEBUG PANIC SCAN TIMES 4");
    assert_eq!(conn.raw("STRAT.DEBUG VERIFY").code(), "ERR");
    wait_ready(&mut conn);
    assert_eq!(field(&mut conn, "panics"), "4");
    assert_eq!(picture(&mut conn), before);
}

#[test]
fn panics_are_only_rehearsed_where_debug_is_allowed() {
    let redis = Redis::with(Options::new().config("enable-debug-command no"));
    let mut conn = redis.conn();
    assert_eq!(conn.code("STRAT.DEBUG PANIC COMMAND"), "ERR");
    assert_eq!(conn.code("STRAT.DEBUG PANIC NOWHERE"), "ERR");
    conn.run("STRAT.EPOCH");
    assert_eq!(field(&mut conn, "panics"), "0");
    let redis = Redis::with(Options::new().config("enable-debug-command yes"));
    assert_eq!(redis.conn().run("STRAT.DEBUG PANIC COMMAND").text(), "OK");
}

#[test]
fn what_a_user_writes_is_no_format_of_the_log() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    let evil = "%s%s%s%s%n%n%n%99999999d";
    conn.run(&format!("HSET user:u:strategy:1 symbol A quantity 1 stop_loss {evil}"));
    conn.run("STRAT.SET {%s%n}user:u:strategy:1 symbol %s%n quantity 1");
    conn.run("SET {%s%n}symbol:%s%n:strategies text");
    conn.run("HSET {%s%n}user:u:strategy:1 symbol %n%s");
    assert_eq!(conn.run("PING").text(), "PONG");
    assert!(redis.log().contains(evil), "the log has it as it was written");
}
