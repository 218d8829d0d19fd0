//! Every command's grammar and its replies, in both versions of the protocol.

use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis};
use crate::support::until;
use std::collections::BTreeSet;
use std::time::Duration;

const KEY: &str = "user:alice:strategy:s1";

fn keys(page: &Value) -> BTreeSet<String> {
    page.items()[1].texts().into_iter().collect()
}

fn set(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|&key| key.to_owned()).collect()
}

#[test]
fn set_answers_the_version_and_fills_in_defaults() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    assert_eq!(
        conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10.50 stop_loss 2500.00 note [1,2]")),
        Value::Int(1)
    );
    let fields = conn.run(&format!("STRAT.GET {KEY}")).fields();
    let expected = [
        ("id", "s1"),
        ("user_id", "alice"),
        ("symbol", "IBM"),
        ("quantity", "10.50"),
        ("stop_loss", "2500.00"),
        ("note", "[1,2]"),
        ("side", "LONG"),
        ("status", "RUNNING"),
        ("position", "NONE"),
        ("pending", ""),
        ("cycle", "0"),
        ("version", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name} of {fields:?}");
    }
    assert_eq!(conn.run(&format!("HGETALL {KEY}")).fields(), fields, "GET is the hash");
}

#[test]
fn set_replaces_an_idle_strategy_and_goes_on_counting() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 take_profit 9 note x cycle 4"));
    assert_eq!(conn.run(&format!("STRAT.SET {KEY} NX symbol AIG quantity 1")), Value::Nil, "NX leaves it");
    assert_eq!(conn.run(&format!("HGET {KEY} symbol")).text(), "IBM");
    assert_eq!(conn.run(&format!("STRAT.SET {KEY} symbol AIG quantity 1")), Value::Int(2));
    let fields = conn.run(&format!("STRAT.GET {KEY}")).fields();
    assert_eq!((fields["symbol"].as_str(), fields["cycle"].as_str()), ("AIG", "4"));
    assert!(!fields.contains_key("note") && !fields.contains_key("take_profit"), "replaced as a whole: {fields:?}");
    assert_eq!(conn.run("SMEMBERS active_strategies").texts(), ["alice:s1"]);
    assert_eq!(conn.run("SMEMBERS symbol:AIG:strategies").texts(), ["alice:s1"]);
    assert_eq!(conn.run("EXISTS symbol:IBM:strategies").int(), 0);
    assert_eq!(conn.run("STRAT.SET user:alice:strategy:s2 NX symbol AIG quantity 1"), Value::Int(1));
    conn.run("STRAT.SET user:alice:strategy:held symbol IBM quantity 1 position BOUGHT");
    let again = conn.raw("STRAT.SET user:alice:strategy:held NX symbol IBM quantity 1");
    assert_eq!(again, Value::Nil, "NX leaves one that is in the market as well");
}

#[test]
fn what_was_lost_is_restored_in_its_epoch_and_in_place_of_what_was_seen_only() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    let epoch = conn.run("STRAT.EPOCH").text();
    let restore = |conn: &mut Conn, epoch: &str, version: u64, fields: &str| {
        conn.raw(&format!("STRAT.SET {KEY} RESTORE {epoch} {version} {fields}"))
    };
    let held =
        "symbol IBM quantity 10 cycle 1 version 7 position BOUGHT filled_quantity 10 stop_loss 95 pending STOPLOSS";
    assert_eq!(restore(&mut conn, "1-0", 0, held).code(), "UNSYNCED");
    assert_eq!(restore(&mut conn, &epoch, 3, held).code(), "BADVERSION", "there is none");
    assert!(conn.run(&format!("EXISTS {KEY}")).int() == 0);
    let version = restore(&mut conn, &epoch, 0, held).int();
    assert_eq!(conn.run("XLEN queue:exits").int(), 1, "what is pending is enqueued again");
    assert_eq!(restore(&mut conn, &epoch, 0, held).code(), "BADVERSION", "somebody was faster");

    // In the market, and locked: whoever restores knows better than memory that lost writes.
    assert!(!conn.run(&format!("STRAT.LOCK {KEY} STOPLOSS me 5000")).text().is_empty());
    let newer = "symbol AIG quantity 4 cycle 2 version 12 position BOUGHT filled_quantity 4 take_profit 120 note x";
    assert_eq!(restore(&mut conn, &epoch, version.unsigned_abs() + 1, newer).code(), "BADVERSION");
    restore(&mut conn, &epoch, version.unsigned_abs(), newer).int();
    let fields = conn.run(&format!("STRAT.GET {KEY}")).fields();
    assert_eq!((fields["symbol"].as_str(), fields["cycle"].as_str(), fields["note"].as_str()), ("AIG", "2", "x"));
    assert!(!fields.contains_key("stop_loss") && fields.get("pending").is_none_or(String::is_empty), "{fields:?}");
    assert!(fields["version"].parse::<u64>().unwrap() > 12, "{fields:?}");
    assert_eq!(conn.run("EXISTS symbol:IBM:strategies").int(), 0);
    assert_eq!(conn.run("SMEMBERS symbol:AIG:strategies").texts(), ["alice:s1"]);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").items().len(), 0);
    conn.run(&format!("HSET {KEY} quantity none"));
    assert!(restore(&mut conn, &epoch, 9, newer).code() == "BADFIELD", "what does not parse is left to a person");
}

#[test]
fn get_is_a_map_or_nil() {
    let redis = Redis::start();
    let (mut two, mut three) = (redis.conn(), redis.conn3());
    assert_eq!(two.run(&format!("STRAT.GET {KEY}")), Value::Nil);
    assert_eq!(three.run(&format!("STRAT.GET {KEY}")), Value::Nil);
    two.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    assert!(matches!(two.run(&format!("STRAT.GET {KEY}")), Value::Array(_)));
    let map = three.run(&format!("STRAT.GET {KEY}"));
    assert!(matches!(map, Value::Map(_)), "{map:?}");
    assert_eq!(map.fields(), two.run(&format!("STRAT.GET {KEY}")).fields());
}

#[test]
fn update_changes_what_is_given_and_nothing_else() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} note x")), Value::Nil, "absent");
    assert_eq!(conn.run(&format!("EXISTS {KEY}")).int(), 0);
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 stop_loss 99.50 note kept"));
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 98.00")).int(), 2);
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 98.00")).int(), 2, "the same changes nothing");
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} IFVERSION 2 symbol AIG")).int(), 3);
    let fields = conn.run(&format!("STRAT.GET {KEY}")).fields();
    assert_eq!(
        (fields["stop_loss"].as_str(), fields["note"].as_str(), fields["symbol"].as_str()),
        ("98.00", "kept", "AIG")
    );
    assert_eq!(conn.run("SMEMBERS symbol:AIG:strategies").texts(), ["alice:s1"]);
    assert_eq!(conn.run("EXISTS symbol:IBM:strategies").int(), 0);
    assert_eq!(conn.run("XLEN journal").int(), 3, "one entry per change");
    let token = conn.run(&format!("STRAT.LOCK {KEY} BUY me 60000")).text();
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} TOKEN {token} note mine")).int(), 4);
}

#[test]
fn stopping_takes_it_off_the_sets_and_starting_puts_it_back() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    conn.run(&format!("STRAT.UPDATE {KEY} status STOPPED"));
    assert_eq!(conn.run("EXISTS active_strategies symbol:IBM:strategies").int(), 0);
    assert_eq!(keys(&conn.run("STRAT.LIST")), set(&[]));
    assert_eq!(keys(&conn.run("STRAT.LIST STATUS STOPPED")), set(&[KEY]));
    conn.run(&format!("STRAT.UPDATE {KEY} status RUNNING"));
    assert_eq!(keys(&conn.run("STRAT.LIST")), set(&[KEY]));
    assert_eq!(conn.run("SMEMBERS active_strategies").texts(), ["alice:s1"]);
}

#[test]
fn del_removes_everything_of_the_strategy() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    assert_eq!(conn.run(&format!("STRAT.DEL {KEY}")).int(), 0);
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    assert!(matches!(conn.run(&format!("STRAT.LOCK {KEY} BUY me 60000")), Value::Bulk(_)));
    assert_eq!(conn.run(&format!("STRAT.DEL {KEY}")).int(), 1);
    assert_eq!(conn.run(&format!("EXISTS {KEY} lock:order:alice:s1 active_strategies symbol:IBM:strategies")).int(), 0);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

fn population(conn: &mut Conn) {
    for number in 0..30 {
        let (user, symbol) = (["alice", "bob", "carol"][number % 3], ["IBM", "AIG"][number % 2]);
        conn.run(&format!("STRAT.SET user:{user}:strategy:s{number} symbol {symbol} quantity 1"));
    }
    conn.run("STRAT.SET {t1}user:alice:strategy:tagged symbol IBM quantity 1");
    conn.run("STRAT.UPDATE user:alice:strategy:s0 status STOPPED");
}

#[test]
fn list_filters_and_pages() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    population(&mut conn);
    let page = conn.run("STRAT.LIST");
    assert_eq!((page.items()[0].text().as_str(), keys(&page).len()), ("0", 29));
    assert_eq!(keys(&conn.run("STRAT.LIST USER alice")).len(), 9);
    assert_eq!(keys(&conn.run("STRAT.LIST SYMBOL IBM")).len(), 14);
    assert_eq!(
        keys(&conn.run("STRAT.LIST USER bob SYMBOL AIG")),
        set(&[
            "user:bob:strategy:s1",
            "user:bob:strategy:s7",
            "user:bob:strategy:s13",
            "user:bob:strategy:s19",
            "user:bob:strategy:s25"
        ])
    );
    assert_eq!(keys(&conn.run("STRAT.LIST STATUS STOPPED")), set(&["user:alice:strategy:s0"]));
    assert_eq!(keys(&conn.run("STRAT.LIST TAG t1")), set(&["{t1}user:alice:strategy:tagged"]));
    assert_eq!(keys(&conn.run("STRAT.LIST USER nobody")), set(&[]));
    let (mut cursor, mut seen, mut pages) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let page = conn.run(&format!("STRAT.LIST CURSOR {cursor} COUNT 4"));
        assert!(page.items()[1].items().len() <= 4);
        seen.extend(page.items()[1].texts());
        (cursor, pages) = (page.items()[0].text(), pages + 1);
        assert!(pages < 100, "the cursor never ends");
        if cursor == "0" {
            break;
        }
    }
    assert!(pages >= 7, "{pages} pages");
    assert_eq!(seen.len(), 29, "each exactly once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), keys(&conn.run("STRAT.LIST")));
}

#[test]
fn list_gives_values_as_maps() {
    let redis = Redis::start();
    let (mut two, mut three) = (redis.conn(), redis.conn3());
    two.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10.0 stop_loss 9.90"));
    let reply = three.run("STRAT.LIST WITHVALUES");
    let map = &reply.items()[1].items()[0];
    assert!(matches!(map, Value::Map(_)), "{reply:?}");
    let first = &map.pairs()[0];
    assert_eq!((first.0.text().as_str(), first.1.text().as_str()), ("key", KEY), "the key comes first");
    let fields = two.run("STRAT.LIST WITHVALUES").items()[1].items()[0].fields();
    assert_eq!(fields, map.fields());
    let mut expected = two.run(&format!("HGETALL {KEY}")).fields();
    expected.insert("key".to_owned(), KEY.to_owned());
    assert_eq!(fields, expected);
}

#[test]
fn symbols_count_the_running_ones_of_a_partition() {
    let redis = Redis::start();
    let (mut two, mut three) = (redis.conn(), redis.conn3());
    assert_eq!(two.run("STRAT.SYMBOLS"), Value::Array(vec![]));
    population(&mut two);
    let counts =
        |reply: &Value| -> Vec<_> { reply.pairs().iter().map(|(name, count)| (name.text(), count.int())).collect() };
    let reply = three.run("STRAT.SYMBOLS");
    assert!(matches!(reply, Value::Map(_)), "{reply:?}");
    let mut sorted = counts(&reply);
    sorted.sort();
    assert_eq!(sorted, [("AIG".to_owned(), 15), ("IBM".to_owned(), 14)]);
    assert_eq!(counts(&two.run("STRAT.SYMBOLS TAG t1")), [("IBM".to_owned(), 1)]);
    assert_eq!(two.run("STRAT.SYMBOLS TAG none"), Value::Array(vec![]));
}

#[test]
fn a_lock_is_held_by_one_token_until_it_ends() {
    let redis = Redis::start();
    let (mut first, mut second) = (redis.conn(), redis.conn());
    first.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    let token = first.run(&format!("STRAT.LOCK {KEY} BUY one 60000")).text();
    assert_eq!(second.run(&format!("STRAT.LOCK {KEY} BUY two 60000")), Value::Nil);
    assert_eq!(second.run("GET lock:order:alice:s1").text(), format!("BUY one {token}"));
    assert_eq!(second.run(&format!("STRAT.UNLOCK {KEY} 1-1")).int(), 0);
    assert_eq!(second.run(&format!("STRAT.EXTEND {KEY} 1-1 60000")).int(), 0);
    assert_eq!(first.run(&format!("STRAT.EXTEND {KEY} {token} 120000")).int(), 1);
    assert!(first.run("PTTL lock:order:alice:s1").int() > 60_000);
    assert_eq!(first.run(&format!("STRAT.UNLOCK {KEY} {token}")).int(), 1);
    assert_eq!(first.run("EXISTS lock:order:alice:s1").int(), 0);
    let again = second.run(&format!("STRAT.LOCK {KEY} BUY two 1")).text();
    let number = |token: &str| -> Vec<u64> { token.split('-').map(|part| part.parse().unwrap()).collect() };
    assert!(number(&again) > number(&token), "tokens rise: {token} then {again}");
    crate::support::until("the lock ends by itself", std::time::Duration::from_secs(5), || {
        (first.run("EXISTS lock:order:alice:s1").int() == 0).then_some(())
    });
    assert_eq!(second.run(&format!("STRAT.EXTEND {KEY} {again} 1000")).int(), 0, "too late");
}

#[test]
fn due_tells_how_many_and_when_next() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    assert_eq!(conn.run("STRAT.DUE 5000"), Value::Array(vec![Value::Int(0), Value::Int(-1)]));
    for (number, at) in [1000, 2000, 3000, 8000].into_iter().enumerate() {
        conn.run(&format!("STRAT.SET user:alice:strategy:s{number} symbol IBM quantity 1 buy_at {at} sell_at 9000"));
    }
    conn.run("STRAT.SET {t}user:alice:strategy:s symbol IBM quantity 1 buy_at 500");
    assert_eq!(conn.run("STRAT.DUE 999"), Value::Array(vec![Value::Int(0), Value::Int(1000)]));
    assert_eq!(conn.run("STRAT.DUE 5000 LIMIT 2"), Value::Array(vec![Value::Int(2), Value::Int(3000)]));
    assert_eq!(conn.run("STRAT.DUE 3000"), Value::Array(vec![Value::Int(1), Value::Int(8000)]));
    assert_eq!(conn.run("XLEN queue:orders").int(), 3);
    assert_eq!(conn.run("STRAT.DUE 600 TAG t"), Value::Array(vec![Value::Int(1), Value::Int(-1)]));
    assert_eq!(conn.run("XLEN {t}queue:orders").int(), 1);
}

#[test]
fn a_version_at_the_end_of_its_range_does_not_break_the_hash() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("HSET {KEY} symbol IBM quantity 1 position BOUGHT stop_loss 90 version {}", i64::MAX));
    let before = conn.run("STRAT.DEBUG VERIFY").texts();
    let reply = conn.raw(&format!("STRAT.UPDATE {KEY} note x"));
    assert!(reply.is_error() || reply.int() > 0, "{reply:?}");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), before, "guarded before, guarded after");
}

#[test]
fn the_epoch_changes_when_memory_may_have_lost_writes() {
    let mut redis = Redis::start();
    let mut seen = BTreeSet::new();
    let epoch = |conn: &mut Conn| conn.run("STRAT.EPOCH").text();
    let mut conn = redis.conn();
    assert_eq!(epoch(&mut conn), epoch(&mut conn), "otherwise it stays");
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 1"));
    assert!(seen.insert(epoch(&mut conn)));
    for change in ["FLUSHDB", "SWAPDB 0 1", "FLUSHALL"] {
        conn.run(change);
        assert!(seen.insert(epoch(&mut conn)), "after {change}");
    }
    redis.shutdown("NOSAVE");
    redis.start_again();
    let mut conn = redis.conn();
    assert!(seen.insert(epoch(&mut conn)), "after a restart");
    let current = epoch(&mut conn);
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 1"));
    for old in seen.iter().filter(|old| **old != current) {
        assert_eq!(conn.code(&format!("STRAT.LOCK {KEY} BUY me 1000 EPOCH {old}")), "UNSYNCED");
    }
    assert!(matches!(conn.run(&format!("STRAT.LOCK {KEY} BUY me 1000 EPOCH {current}")), Value::Bulk(_)));
}

#[test]
fn options_may_be_written_in_small_letters() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("strat.set {KEY} nx symbol IBM quantity 1"));
    assert_eq!(conn.run(&format!("strat.set {KEY} nx symbol IBM quantity 1")), Value::Nil);
    assert_eq!(keys(&conn.run("strat.list user alice status RUNNING count 5")), set(&[KEY]));
    assert_eq!(conn.run("strat.slcheck IBM 5 ts 7"), Value::Int(0));
    assert_eq!(conn.run("strat.debug verify"), Value::Array(vec![]));
}

#[test]
fn an_acknowledgement_of_another_strategys_entry_is_refused() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    for user in ["alice", "bob"] {
        conn.run(&format!("STRAT.SET user:{user}:strategy:s symbol IBM quantity 1 position BOUGHT stop_loss 100"));
    }
    assert_eq!(conn.run("STRAT.SLCHECK IBM 99").int(), 2);
    let token = conn.run("STRAT.LOCK user:alice:strategy:s STOPLOSS engine 5000").text();
    let entries = conn.run("XRANGE queue:exits - +");
    let id_of = |user: &str| {
        let key = format!("user:{user}:strategy:s");
        let found = entries.items().iter().find(|entry| entry.items()[1].texts().contains(&key));
        found.unwrap_or_else(|| panic!("no entry of {user}")).items()[0].text()
    };
    let report =
        |id: &str| format!("STRAT.REPORT user:alice:strategy:s {token} FILL CUMQTY 1 AVGPX 99 ACK queue:exits {id}");
    assert_eq!(conn.code(&report(&id_of("bob"))), "BADFIELD");
    assert_eq!(conn.run("HGET user:alice:strategy:s position").text(), "BOUGHT", "nothing was written");
    assert_eq!(conn.run("XLEN queue:exits").int(), 2);
    conn.run(&report(&id_of("alice")));
    assert_eq!(conn.run("XRANGE queue:exits - +").items()[0].items()[0].text(), id_of("bob"));
}

#[test]
fn a_strategy_whose_order_is_being_placed_keeps_what_the_order_says() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    let token = conn.run(&format!("STRAT.LOCK {KEY} BUY engine 5000")).text();
    assert_eq!(conn.code(&format!("STRAT.SET {KEY} symbol AIG quantity 1")), "BUSY");
    assert_eq!(conn.code(&format!("STRAT.UPDATE {KEY} quantity 1")), "BUSY");
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 90")), Value::Int(2), "levels may move");
    assert_eq!(conn.run(&format!("STRAT.UPDATE {KEY} TOKEN {token} quantity 9")), Value::Int(3));
}

#[test]
fn a_cluster_wants_tags() {
    let redis = Redis::with(Options::new().tcp().config("cluster-enabled yes"));
    let mut conn = redis.conn();
    conn.run("CLUSTER ADDSLOTSRANGE 0 16383");
    until("the cluster is up", Duration::from_secs(15), || {
        conn.run("CLUSTER INFO").text().contains("cluster_state:ok").then_some(())
    });
    for command in [
        format!("STRAT.SET {KEY} symbol IBM quantity 1"),
        format!("STRAT.LOCK {KEY} BUY engine 5000"),
        "STRAT.SLCHECK IBM 99".to_owned(),
        "STRAT.DUE 1000".to_owned(),
    ] {
        assert_eq!(conn.code(&command), "BADFIELD", "{command}");
    }
    conn.run(&format!("STRAT.SET {{t}}{KEY} symbol IBM quantity 1 position BOUGHT stop_loss 100"));
    assert_eq!(conn.run("STRAT.SLCHECK {t}IBM 99").int(), 1);
    assert_eq!(conn.run("XLEN {t}queue:exits").int(), 1);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}
