//! One user's strategies cannot be reached with another user's credentials.

use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis, paths};
use std::path::Path;

/// The README's `ACL SETUSER` line of a user: what is printed there is what is tested.
fn rule(user: &str) -> String {
    let readme = std::fs::read_to_string(paths::root().join("README.md")).unwrap();
    let start = format!("ACL SETUSER {user} ");
    let line = readme.lines().find(|line| line.starts_with(&start));
    line.unwrap_or_else(|| panic!("no line '{start}…' in the README")).to_owned()
}

/// The rule of a user who owns strategies.
fn tenant(user: &str) -> String {
    rule("alice").replace("alice", user)
}

/// What a user has who also executes her own orders.
const TRADER: &str = "+strat.lock +strat.extend +strat.unlock +strat.report";

fn login(redis: &Redis, user: &str) -> Conn {
    let mut conn = redis.conn();
    conn.run(&format!("AUTH {user} secret"));
    conn
}

fn prepared(options: Options) -> (Redis, Conn) {
    let redis = Redis::with(options);
    let mut admin = redis.conn();
    for user in ["alice", "bob"] {
        admin.run(&tenant(user));
        admin.run(&format!("STRAT.SET user:{user}:strategy:s1 symbol IBM quantity 10 position BOUGHT stop_loss 90"));
        admin.run(&format!("STRAT.SET user:{user}:strategy:idle symbol IBM quantity 10"));
    }
    (redis, admin)
}

fn check(options: Options) {
    let (redis, mut admin) = prepared(options);
    let mut alice = login(&redis, "alice");
    // Her own.
    assert_eq!(alice.run("STRAT.SET user:alice:strategy:new symbol IBM quantity 1").int(), 1);
    assert_eq!(alice.run("STRAT.UPDATE user:alice:strategy:s1 stop_loss 91.00").int(), 2);
    assert_eq!(alice.run("STRAT.GET user:alice:strategy:s1").fields()["stop_loss"], "91.00");
    assert_eq!(alice.run("STRAT.DEL user:alice:strategy:new").int(), 1);
    // Another's, by every command that names a key.
    let before = crate::dump::dump(&mut admin);
    for command in [
        "STRAT.SET user:bob:strategy:s9 symbol IBM quantity 1",
        "STRAT.SET user:bob:strategy:idle symbol AIG quantity 1",
        "STRAT.SET user:alicex:strategy:s9 symbol IBM quantity 1",
        "STRAT.SET {t}user:alice:strategy:s9 symbol IBM quantity 1",
        "STRAT.GET user:bob:strategy:s1",
        "STRAT.UPDATE user:bob:strategy:s1 stop_loss 1",
        "STRAT.DEL user:bob:strategy:s1",
        "STRAT.ALERT user:bob:alert:a IBM ABOVE 1",
        "STRAT.ALERT {t}user:alice:alert:a IBM ABOVE 1",
        "HGETALL user:bob:strategy:s1",
        "HGET user:bob:strategy:s1 stop_loss",
        // What is not hers to call at all.
        "STRAT.LOCK user:alice:strategy:s1 STOPLOSS alice 1000",
        "STRAT.TAKE queue:exits alice 1000",
        "STRAT.SLCHECK IBM 1",
        "STRAT.DUE 99999999999999",
        "STRAT.SYMBOLS",
        "STRAT.EPOCH",
        "STRAT.DEBUG VERIFY",
        "HSET user:alice:strategy:s1 pending STOPLOSS",
        "DEL user:alice:strategy:s1",
        "SMEMBERS active_strategies",
        "XRANGE journal - +",
        "XRANGE queue:exits - +",
        "GET price:IBM",
        "PUBLISH events:bob x",
        "SCAN 0",
        "KEYS *",
        "SELECT 1",
        "EVAL return 0",
        "SUBSCRIBE events:bob",
        "SUBSCRIBE events:*",
        "PSUBSCRIBE *",
        "MONITOR",
        "CONFIG GET *",
        "ACL LIST",
    ] {
        assert_eq!(alice.code(command), "NOPERM", "{command}");
    }
    let after = crate::dump::dump(&mut admin);
    assert!(before == after, "{}", crate::dump::difference(&before, &after));
    listing(&mut alice, &mut admin);
    alerts(&mut alice, &mut admin);
    events(&redis, &mut admin);
}

/// LIST shows only what she may read, whatever she asks for.
fn listing(alice: &mut Conn, admin: &mut Conn) {
    for number in 0..40 {
        admin.run(&format!("STRAT.SET user:bob:strategy:more{number} symbol IBM quantity 1"));
    }
    let own = ["user:alice:strategy:idle", "user:alice:strategy:s1"];
    for filter in ["", "SYMBOL IBM", "USER alice", "COUNT 3"] {
        let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let page = alice.run(&format!("STRAT.LIST {filter} CURSOR {cursor}"));
            seen.extend(page.items()[1].texts());
            cursor = page.items()[0].text();
            if cursor == "0" {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, own, "{filter}");
    }
    assert_eq!(alice.run("STRAT.LIST USER bob").items()[1], Value::Array(vec![]));
    let values = alice.run("STRAT.LIST WITHVALUES");
    assert!(!format!("{values:?}").contains("bob"), "{values:?}");
    assert_eq!(admin.run("STRAT.LIST USER bob").items()[1].items().len(), 42, "the administrator sees all");
}

/// She arms and sees her own alerts only.
fn alerts(alice: &mut Conn, admin: &mut Conn) {
    alice.run("STRAT.ALERT user:alice:alert:a IBM ABOVE 500");
    for number in 0..3 {
        admin.run(&format!("STRAT.ALERT user:bob:alert:{number} IBM ABOVE 500"));
    }
    assert_eq!(alice.run("STRAT.ALERTS alice").items()[1].texts(), ["user:alice:alert:a"]);
    let page = alice.run("STRAT.ALERTS bob COUNT 1");
    assert_eq!((page.items()[0].text().as_str(), page.items()[1].items().len()), ("0", 0), "not even a cursor");
    assert_eq!(admin.run("STRAT.ALERTS bob COUNT 1").items()[0].text(), "user:bob:alert:0");
}

#[test]
fn a_walk_over_alerts_passes_over_those_that_may_not_be_read() {
    let (redis, mut admin) = prepared(Options::new());
    for number in 0..40 {
        // Only each fifth is shared.
        let id = if number % 5 == 4 { format!("{number:02}shared") } else { format!("{number:02}own") };
        admin.run(&format!("STRAT.ALERT user:bob:alert:{id} IBM ABOVE 500"));
    }
    admin.run("ACL SETUSER alice on >secret resetkeys %R~user:bob:alert:*shared -@all +strat.alerts +ping");
    let mut alice = login(&redis, "alice");
    for count in [1, 2, 3, 7, 100] {
        let (mut found, mut cursor, mut pages) = (Vec::new(), "0".to_owned(), 0);
        loop {
            let page = alice.run(&format!("STRAT.ALERTS bob CURSOR {cursor} COUNT {count}"));
            found.extend(page.items()[1].texts());
            cursor = page.items()[0].text();
            pages += 1;
            assert!(
                cursor == "0" || cursor.ends_with("shared"),
                "a cursor names nothing that may not be read: {cursor}"
            );
            if cursor == "0" {
                break;
            }
        }
        let expected: Vec<_> = (0..8).map(|fifth| format!("user:bob:alert:{:02}shared", fifth * 5 + 4)).collect();
        assert_eq!(found, expected, "COUNT {count}");
        assert!(pages <= 8 / count + 1, "{pages} pages of {count}");
    }
}

/// She hears her events and nobody else's.
fn events(redis: &Redis, admin: &mut Conn) {
    let mut listener = login(redis, "alice");
    listener.run("SUBSCRIBE events:alice");
    admin.run("STRAT.UPDATE user:bob:strategy:s1 note secret");
    admin.run("STRAT.UPDATE user:alice:strategy:s1 note mine");
    let (channel, text) = listener.message();
    assert_eq!(channel, "events:alice");
    assert!(text.contains("mine"), "{text}");
}

#[test]
fn a_user_reaches_her_own_strategies_and_no_others() {
    check(Options::new());
}

#[test]
fn a_user_reaches_her_own_strategies_and_no_others_on_other_servers() {
    for place in ["redis8/bin/redis-server", "valkey/bin/valkey-server"] {
        let server = paths::root().join(".run/servers").join(place);
        if Path::new(&server).is_file() {
            check(Options::new().server(&server));
        } else {
            crate::support::skip("the ACL rules", &server.display().to_string());
        }
    }
}

#[test]
fn the_key_pattern_alone_keeps_raw_commands_out() {
    let (redis, mut admin) = prepared(Options::new());
    admin.run("ACL SETUSER alice +@all -select");
    let mut alice = login(&redis, "alice");
    assert_eq!(alice.run("HGET user:alice:strategy:s1 stop_loss").text(), "90");
    let before = crate::dump::dump(&mut admin);
    for command in [
        "HSET user:bob:strategy:s1 stop_loss 1",
        "HGETALL user:bob:strategy:s1",
        "DEL user:bob:strategy:s1",
        "RENAME user:alice:strategy:s1 user:bob:strategy:s7",
        "RENAME user:bob:strategy:s1 user:alice:strategy:s7",
        "COPY user:bob:strategy:s1 user:alice:strategy:s7",
        "EXPIRE user:bob:strategy:s1 1",
        "SREM active_strategies bob:s1",
        "SMEMBERS symbol:IBM:strategies",
        "GET lock:order:bob:s1",
        "XRANGE journal - +",
        "XADD queue:exits * key user:alice:strategy:s1",
        "SUBSCRIBE events:bob",
        "PUBLISH events:bob x",
        "EVAL return(redis.call('HGETALL',KEYS[1])) 1 user:bob:strategy:s1",
        "STRAT.GET user:bob:strategy:s1",
        "STRAT.UPDATE user:bob:strategy:s1 stop_loss 1",
        "STRAT.SLCHECK IBM 1",
    ] {
        assert_eq!(alice.code(command), "NOPERM", "{command}");
    }
    let inside = alice.call(&["EVAL", "return redis.call('HGETALL', 'user:bob:strategy:s1')", "0"]);
    assert!(inside.is_error(), "{inside:?}");
    let after = crate::dump::dump(&mut admin);
    assert!(before == after, "{}", crate::dump::difference(&before, &after));
}

#[test]
fn feed_and_engine_have_what_they_need_and_no_more() {
    let (redis, mut admin) = prepared(Options::new());
    admin.run(&rule("feed"));
    admin.run(&rule("engine"));
    let mut feed = login(&redis, "feed");
    assert_eq!(feed.run("STRAT.SLCHECK IBM 95").int(), 0);
    for command in
        ["STRAT.GET user:bob:strategy:s1", "STRAT.DEL user:bob:strategy:s1", "STRAT.LIST", "GET price:IBM", "FLUSHALL"]
    {
        assert_eq!(feed.code(command), "NOPERM", "{command}");
    }
    let mut engine = login(&redis, "engine");
    engine.run("INFO strat");
    engine.run("XGROUP CREATE queue:exits engine 0 MKSTREAM");
    engine.run("SUBSCRIBE events:alice");
    let mut engine = login(&redis, "engine");
    assert_eq!(engine.run("STRAT.SLCHECK IBM 89").int(), 2);
    let entry =
        engine.run("XREADGROUP GROUP engine c COUNT 1 STREAMS queue:exits >").items()[0].items()[1].items()[0].clone();
    let (id, key) = (entry.items()[0].text(), entry.items()[1].fields()["key"].clone());
    let token = engine.run(&format!("STRAT.LOCK {key} STOPLOSS engine 60000")).text();
    assert_eq!(engine.run("STRAT.TAKE queue:exits engine 60000").items().len(), 1, "the other one");
    engine.run(&format!("STRAT.REPORT {key} {token} FILL CUMQTY 10 AVGPX 89 ACK queue:exits {id}"));
    engine.run("STRAT.DUE 1");
    engine.run("STRAT.EPOCH");
    for command in ["CONFIG SET maxmemory 1", "ACL LIST", "SHUTDOWN", "MODULE LIST"] {
        assert_eq!(engine.code(command), "NOPERM", "{command}");
    }
}

#[test]
fn a_user_who_trades_by_herself_claims_only_her_own() {
    let (redis, mut admin) = prepared(Options::new());
    admin.run(&format!("ACL SETUSER alice {TRADER}"));
    let mut alice = login(&redis, "alice");
    let token = alice.run("STRAT.LOCK user:alice:strategy:s1 SELL alice 60000").text();
    assert_eq!(alice.run(&format!("STRAT.EXTEND user:alice:strategy:s1 {token} 60000")).int(), 1);
    alice.run(&format!("STRAT.REPORT user:alice:strategy:s1 {token} NEW ORDER a1"));
    assert_eq!(alice.run(&format!("STRAT.UNLOCK user:alice:strategy:s1 {token}")).int(), 1);
    let bobs = admin.run("STRAT.LOCK user:bob:strategy:s1 SELL bob 60000").text();
    for command in
        ["LOCK {key} SELL alice 1000", "EXTEND {key} {token} 1", "UNLOCK {key} {token}", "REPORT {key} {token} NEW"]
    {
        let command = command.replace("{key}", "user:bob:strategy:s1").replace("{token}", &bobs);
        assert_eq!(alice.code(&format!("STRAT.{command}")), "NOPERM", "{command}");
    }
}
