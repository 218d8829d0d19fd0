//! A stop that follows the price, as a user sees it.

use super::{KEY, Stage};
use crate::resp::Conn;
use crate::resp::Value;
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

fn tick(stage: &mut Stage, price: &str) -> i64 {
    stage.conn.run(&format!("STRAT.SLCHECK IBM {price}")).int()
}

#[test]
fn a_stop_follows_the_best_price_and_never_falls_back() {
    let mut stage = Stage::new();
    stage.hold("LONG", "trail 5.00");
    stage.expect(&[("trail", "5.00"), ("trail_ref", "100"), ("entry_price", "100")]);
    for price in ["101", "104.50", "99.51", "104.49"] {
        assert_eq!(tick(&mut stage, price), 0, "{price}");
    }
    let followed = stage.conn.run("HGETALL trail:IBM").fields();
    let from = stage.fields()["trail_from"].clone();
    let value = &followed[&format!("long:{from}")];
    assert!(value.starts_with("104.5 "), "{followed:?}");
    assert_eq!(tick(&mut stage, "99.50"), 1);
    stage.event("SL_TRIGGERED");
    stage.expect(&[("pending", "STOPLOSS")]);
    let token = stage.lock("STOPLOSS");
    stage.report(&token, "FILL CUMQTY 10 AVGPX 99.50 ORDER x1");
    stage.expect(&[("position", "EXITED_BY_SL"), ("status", "COMPLETED")]);
    until("nobody follows any more", LIMIT, || (stage.conn.run("EXISTS trail:IBM").int() == 0).then_some(()));
    stage.check_journal(&["STRATEGY_STARTED", "ORDER_EXECUTED", "SL_TRIGGERED", "ORDER_EXECUTED"]);
}

#[test]
fn a_percentage_is_rounded_away_from_the_price() {
    let mut stage = Stage::new();
    stage.hold("SHORT", "trail 1.5%");
    assert_eq!(tick(&mut stage, "33.33333333"), 0);
    // 1.5 % of it are 0.49999999995.
    assert_eq!(tick(&mut stage, "33.83333332"), 0);
    assert_eq!(tick(&mut stage, "33.83333333"), 1);
}

#[test]
fn a_stop_goes_on_from_the_best_price_where_its_exit_failed() {
    let mut stage = Stage::new();
    stage.hold("LONG", "trail 5 take_profit 120");
    assert_eq!(tick(&mut stage, "120"), 1);
    let token = stage.lock("TAKEPROFIT");
    // The price goes on while the exit works.
    assert_eq!(tick(&mut stage, "130"), 0);
    stage.conn.run(&format!("STRAT.UPDATE {KEY} take_profit 200"));
    stage.report(&token, "REJECTED ORDER x1 TS 6000 TEXT later");
    assert_eq!(tick(&mut stage, "125"), 1);
    stage.expect(&[("pending", "STOPLOSS")]);
}

#[test]
fn a_user_may_say_where_following_begins_again() {
    let mut stage = Stage::new();
    stage.hold("LONG", "trail 5");
    assert_eq!(tick(&mut stage, "120"), 0);
    stage.conn.run(&format!("STRAT.UPDATE {KEY} trail_ref 110"));
    assert_eq!(tick(&mut stage, "106"), 0);
    // A tighter or wider trail keeps the best price.
    stage.conn.run(&format!("STRAT.UPDATE {KEY} trail 20"));
    assert_eq!(tick(&mut stage, "100"), 0);
    stage.conn.run(&format!("STRAT.UPDATE {KEY} trail 2"));
    assert_eq!(tick(&mut stage, "108.01"), 0);
    assert_eq!(tick(&mut stage, "108"), 1);
}

#[test]
fn a_stop_may_begin_to_follow_later() {
    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 90");
    assert_eq!(tick(&mut stage, "120"), 0);
    // Together with what only the whole hash tells.
    stage.conn.run(&format!("STRAT.UPDATE {KEY} trail 5 quantity 20"));
    // From the entry's price on, and from what comes now: what came before nobody has followed.
    stage.expect(&[("trail_ref", "100")]);
    assert_eq!(tick(&mut stage, "116"), 0);
    assert_eq!(tick(&mut stage, "111"), 1);
    stage.check_journal(&["STRATEGY_STARTED", "ORDER_EXECUTED", "STRATEGY_UPDATED", "SL_TRIGGERED"]);
}

#[test]
fn a_plain_write_follows_from_the_next_price_on() {
    let redis = Redis::with(Options::new());
    let mut conn = redis.conn();
    conn.run("MULTI");
    conn.run(&format!("HSET {KEY} symbol IBM quantity 1 position BOUGHT trail 5"));
    conn.run("STRAT.SLCHECK IBM 110");
    conn.run("STRAT.SLCHECK IBM 105.01");
    conn.run("STRAT.SLCHECK IBM 105");
    let replies = conn.run("EXEC");
    assert_eq!(replies, Value::Array([4, 0, 0, 1].map(Value::Int).to_vec()));
    assert_eq!(conn.run("HGET user:alice:strategy:s1 pending").text(), "STOPLOSS");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

#[test]
fn a_key_of_another_type_keeps_no_stop_from_following() {
    let mut stage = Stage::new();
    stage.hold("LONG", "trail 5");
    stage.conn.run("SET trail:IBM text");
    assert_eq!(tick(&mut stage, "110"), 0);
    let errors = info_field(&mut stage.conn, "strat", "strat_write_errors");
    assert_ne!(errors, "0", "what is not durable is said");
    assert_eq!(stage.conn.run("STRAT.DEBUG VERIFY").items().len(), 1);
    assert_eq!(tick(&mut stage, "105"), 1);
}

#[test]
fn a_moment_to_come_is_nobodys() {
    let mut stage = Stage::new();
    let other = "user:eve:strategy:s1";
    let far = i64::MAX;
    stage.conn.run(&format!("HSET {other} symbol IBM quantity 1 position BOUGHT trail 90% trail_from {far}"));
    assert_eq!(tick(&mut stage, "120"), 0);
    assert_ne!(stage.conn.run(&format!("HGET {other} trail_from")).text(), far.to_string());
    // Who enters later saw nothing of it.
    stage.hold("LONG", "trail 5");
    assert_eq!(tick(&mut stage, "100"), 0);
    assert_eq!(tick(&mut stage, "95"), 1);
}

#[test]
fn a_trail_that_is_taken_away_and_given_again_begins_anew() {
    let mut stage = Stage::new();
    stage.hold("LONG", "trail 5");
    assert_eq!(tick(&mut stage, "130"), 0);
    stage.conn.raw(&format!("HSET {KEY} note x"));
    let words = ["STRAT.UPDATE", KEY, "trail", ""];
    stage.conn.call(&words);
    stage.expect(&[("trail", ""), ("trail_from", "")]);
    stage.conn.run(&format!("STRAT.UPDATE {KEY} trail 5"));
    assert_eq!(tick(&mut stage, "96"), 0, "from the entry's price");
    assert_eq!(tick(&mut stage, "95"), 1);
}

#[test]
fn what_is_no_trail_is_refused() {
    let mut stage = Stage::new();
    for trail in ["0", "-5", "5%%", "100%", "five", "1e2"] {
        let code = stage.conn.code(&format!("STRAT.SET {KEY} symbol IBM quantity 10 trail {trail}"));
        assert_eq!(code, "BADPRICE", "{trail}");
    }
    stage.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10"));
    assert_eq!(stage.conn.code(&format!("STRAT.UPDATE {KEY} trail_from 1")), "BADFIELD");
}

/// Waits until a replica has everything that its primary has sent.
fn catch_up(replica: &Redis, primary: &Redis) {
    until("the replica has caught up", LIMIT, || {
        let sent = primary.info("replication", "master_repl_offset");
        let linked = replica.info("replication", "master_link_status") == "up";
        (linked && sent == replica.info("replication", "slave_repl_offset")).then_some(())
    });
}

fn follow(conn: &mut Conn, id: &str, from: i64) {
    let fields = format!("symbol IBM quantity 1 position BOUGHT trail 50 trail_from {from}");
    conn.run(&format!("HSET user:alice:strategy:{id} {fields}"));
}

#[test]
fn a_replica_that_was_behind_follows_what_its_primary_says() {
    let (primary, replica) = (Redis::with(Options::new().tcp()), Redis::with(Options::new().tcp()));
    let (mut conn, mut copy) = (primary.conn(), replica.conn());
    copy.run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    for (id, from, price) in [("first", 1_000, "100"), ("last", 3_000, "90")] {
        follow(&mut conn, id, from);
        conn.run(&format!("STRAT.SLCHECK IBM {price}"));
    }
    catch_up(&replica, &primary);
    // Everything below reaches the replica in one turn of its event loop.
    replica.pause();
    follow(&mut conn, "middle", 2_000);
    conn.run("STRAT.DEL user:alice:strategy:first");
    until("nobody follows from there", LIMIT, || (conn.run("HEXISTS trail:IBM long:1000").int() == 0).then_some(()));
    // Somebody who came and went before the key said anything of him.
    conn.run("MULTI");
    follow(&mut conn, "guest", 2_500);
    conn.run("DEL user:alice:strategy:guest");
    conn.run("EXEC");
    replica.resume();
    catch_up(&replica, &primary);
    for conn in [&mut conn, &mut copy] {
        assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
    }
    copy.run("REPLICAOF NO ONE");
    until("the promoted one says nothing but what is followed", LIMIT, || {
        let said = copy.run("HKEYS trail:IBM");
        let mut said: Vec<_> = said.items().iter().map(|name| name.text()).collect();
        said.sort();
        (said == ["long:2000", "long:3000"]).then_some(())
    });
    assert_eq!(copy.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}
