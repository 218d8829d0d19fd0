//! Trailing stops: where they are, what moves them, and that nothing loosens them.

mod walk;

use crate::resp::{Conn, Value};
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);
const KEY: &str = "user:u:strategy:s";

/// A long of 10 entered at 100 with a trailing stop.
fn open(conn: &mut Conn, key: &str, trail: &str) {
    conn.run(&format!(
        "STRAT.SET {key} symbol IBM quantity 10 position BOUGHT entry_price 100 filled_quantity 10 trail {trail}"
    ));
}

fn tick(conn: &mut Conn, price: &str) -> i64 {
    conn.run(&format!("STRAT.SLCHECK IBM {price}")).int()
}

fn field(conn: &mut Conn, key: &str, name: &str) -> String {
    match conn.run(&format!("HGET {key} {name}")) {
        Value::Nil => String::new(),
        value => value.text(),
    }
}

fn verify(conn: &mut Conn) {
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str, &'static str);

#[test]
fn a_stop_follows_the_best_price_since_the_entry_and_never_goes_back() {
    // Trail, side, prices that fire nothing, the price that fires, and the level that it crosses.
    let cases: [Case; 5] = [
        ("5", "LONG", "", &["95.01", "103", "98.01", "110", "105.01", "106"], "105", "105"),
        ("1.5%", "LONG", "", &["98.51", "200", "197.01"], "197", "197"),
        ("5", "SHORT", "", &["104.99", "90", "94.99", "91"], "95", "95"),
        ("10%", "SHORT", "", &["50", "54.99"], "56", "55"),
        // The tighter one of both: the fixed stop first, then the trailing one.
        ("10", "LONG", "stop_loss 97", &["97.01", "108", "98.01"], "98", "98"),
    ];
    let redis = Redis::start();
    let mut conn = redis.conn();
    for (number, (trail, side, more, quiet, last, level)) in cases.into_iter().enumerate() {
        let key = format!("user:u:strategy:{number}");
        let position = if side == "LONG" { "BOUGHT" } else { "SHORTED" };
        conn.run(&format!(
            "STRAT.SET {key} symbol IBM quantity 10 side {side} position {position} entry_price 100 trail {trail} {more}"
        ));
        assert_eq!(field(&mut conn, &key, "trail_ref"), "100");
        for price in quiet {
            assert_eq!(tick(&mut conn, price), 0, "{trail} {side} at {price}");
            verify(&mut conn);
        }
        let mut events = redis.conn();
        events.run("SUBSCRIBE events:u");
        assert_eq!(tick(&mut conn, last), 1, "{trail} {side} at {last}");
        assert_eq!(field(&mut conn, &key, "pending"), "STOPLOSS");
        let (_, event) = events.message();
        assert!(event.contains("SL_TRIGGERED") && event.contains(&format!("\"stop_loss\":\"{level}\"")), "{event}");
        conn.run(&format!("DEL {key}"));
    }
    until("the extremes go with the last stop", LIMIT, || (conn.run("EXISTS trail:IBM").int() == 0).then_some(()));
}

#[test]
fn a_fill_begins_the_trail_and_the_end_of_the_position_ends_it() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 trail 5 buy_at 1000"));
    assert_eq!(tick(&mut conn, "130"), 0, "a price before the entry is none of its extremes");
    conn.run("STRAT.DUE 1000");
    let token = conn.run(&format!("STRAT.LOCK {KEY} BUY me 60000")).text();
    conn.run(&format!("STRAT.REPORT {KEY} {token} PARTIAL_FILL CUMQTY 4 AVGPX 100 ORDER a"));
    assert_eq!(field(&mut conn, KEY, "trail_ref"), "100");
    let from = field(&mut conn, KEY, "trail_from");
    assert_eq!(tick(&mut conn, "104"), 0);
    conn.run(&format!("STRAT.REPORT {KEY} {token} FILL CUMQTY 10 AVGPX 102 ORDER a"));
    assert_eq!(field(&mut conn, KEY, "trail_from"), from, "the rest of the entry is the same position");
    assert_eq!(tick(&mut conn, "99.01"), 0);
    assert_eq!(tick(&mut conn, "99"), 1);
    // While the exit works the best price goes on: an exit that dies leaves no looser stop behind.
    let token = conn.run(&format!("STRAT.LOCK {KEY} STOPLOSS me 60000")).text();
    assert_eq!(tick(&mut conn, "120"), 0);
    conn.run(&format!("STRAT.REPORT {KEY} {token} REJECTED ORDER b"));
    verify(&mut conn);
    conn.run(&format!("HDEL {KEY} retry_at retry_action"));
    assert_eq!(tick(&mut conn, "115.01"), 0);
    assert_eq!(tick(&mut conn, "115"), 1);
    let token = conn.run(&format!("STRAT.LOCK {KEY} STOPLOSS me 60000")).text();
    conn.run(&format!("STRAT.REPORT {KEY} {token} FILL CUMQTY 10 AVGPX 115 ORDER c"));
    assert_eq!(field(&mut conn, KEY, "position"), "EXITED_BY_SL");
    assert_eq!(field(&mut conn, KEY, "trail_ref") + &field(&mut conn, KEY, "trail_from"), "");
    until("nobody follows", LIMIT, || (conn.run("EXISTS trail:IBM").int() == 0).then_some(()));
    verify(&mut conn);
}

#[test]
fn a_changed_distance_counts_from_the_running_extreme() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    open(&mut conn, KEY, "5");
    assert_eq!(tick(&mut conn, "120"), 0);
    conn.run(&format!("STRAT.UPDATE {KEY} trail 10%"));
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "108.01"), 0);
    conn.run(&format!("STRAT.UPDATE {KEY} trail 12"));
    assert_eq!(tick(&mut conn, "108.01"), 0);
    conn.call(&["STRAT.UPDATE", KEY, "trail", ""]);
    assert_eq!(field(&mut conn, KEY, "trail_from"), "", "no trail, no beginning");
    assert_eq!(tick(&mut conn, "90"), 0);
    // Given anew, it begins at the better of the entry's price and the last one.
    conn.run(&format!("STRAT.UPDATE {KEY} trail 5"));
    assert_eq!(field(&mut conn, KEY, "trail_ref"), "100");
    assert_eq!(tick(&mut conn, "95"), 1);
}

#[test]
fn a_hash_written_by_hand_begins_with_the_next_tick() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run(&format!("HSET {KEY} symbol IBM quantity 1 position BOUGHT trail 5"));
    conn.run("HSET user:u:strategy:other symbol IBM quantity 1 position BOUGHT trail 5 entry_price 100");
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "95"), 1, "the one whose entry is known is crossed at once");
    assert_eq!(field(&mut conn, KEY, "trail_ref"), "95");
    assert_eq!(field(&mut conn, "user:u:strategy:other", "pending"), "STOPLOSS");
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "90"), 1);
    // One that does not parse is not guarded, and said to be so.
    conn.run(&format!("HSET {KEY} trail 100%"));
    assert_eq!(info_field(&mut conn, "strat", "strat_unparseable"), "1");
}

#[test]
fn only_a_tick_that_moves_an_extreme_is_written_down() {
    let redis = Redis::with(Options::new().durable());
    let mut conn = redis.conn();
    (0..500).for_each(|number| open(&mut conn, &format!("user:u:strategy:{number}"), &format!("{}", 5 + number)));
    let size = |conn: &mut Conn| info_field(conn, "persistence", "aof_current_size").parse::<i64>().unwrap();
    tick(&mut conn, "110");
    let before = size(&mut conn);
    for _ in 0..100 {
        tick(&mut conn, "109");
        tick(&mut conn, "110");
    }
    assert_eq!(size(&mut conn), before, "nothing moved");
    tick(&mut conn, "111");
    let one = size(&mut conn) - before;
    assert!((1..200).contains(&one), "one field for 500 stops, {one} bytes");
    assert_eq!(conn.run("HLEN trail:IBM").int(), 1);
}

#[test]
fn another_hand_in_the_extremes_is_followed() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    open(&mut conn, KEY, "5");
    tick(&mut conn, "110");
    let number = conn.run("HKEYS trail:IBM").texts()[0].clone();
    conn.run(&format!("HSET trail:IBM {number} 120 note mine"));
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "115.01"), 0);
    conn.run("RENAME trail:IBM elsewhere");
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "115"), 0, "its extremes are gone");
    conn.run("RENAME elsewhere trail:IBM");
    assert_eq!(tick(&mut conn, "115"), 1);
    conn.run("SET trail:ABC text");
    conn.run("STRAT.SET user:u:strategy:abc symbol ABC quantity 1 position BOUGHT entry_price 100 trail 5");
    assert_eq!(conn.run("STRAT.SLCHECK ABC 110").int(), 0);
    assert_eq!(conn.run("STRAT.SLCHECK ABC 105").int(), 1, "in memory it follows all the same");
    assert!(redis.log().contains("trail:ABC holds another type"), "{}", redis.log());
}

#[test]
fn a_rebound_in_a_storm_moves_nobody_into_it() {
    let mut redis = Redis::with(Options::new().durable().config("strat.max-fired-per-call 5"));
    let mut conn = redis.conn();
    for number in 0..100 {
        open(&mut conn, &format!("user:u:strategy:{number}"), "5");
        open(&mut conn, &format!("user:v:strategy:{number}"), "15");
    }
    conn.run("MULTI");
    // Crosses the tight ones; then everybody's stop is above that price, before a single slice was drained.
    for price in ["100", "94", "130", "126"] {
        conn.run(&format!("STRAT.SLCHECK IBM {price}"));
    }
    conn.run("EXEC");
    redis.kill_9();
    redis.start_again();
    let mut conn = redis.conn();
    until("the storm is over", LIMIT, || (conn.run("EXISTS drain:IBM").int() == 0).then_some(()));
    assert_eq!(conn.run("XLEN queue:exits").int(), 100, "those that were crossed, each once");
    assert_eq!(field(&mut conn, "user:v:strategy:7", "pending"), "");
    verify(&mut conn);
    assert_eq!(tick(&mut conn, "115"), 5, "the others are where the rebound has brought them");
    until("they are fired too", LIMIT, || (conn.run("XLEN queue:exits").int() == 200).then_some(()));
    until("nobody follows", LIMIT, || (conn.run("HLEN trail:IBM").int() <= 1).then_some(()));
    verify(&mut conn);
}
