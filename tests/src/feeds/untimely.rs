//! Ticks at the wrong time: they fire no stop, are counted by reason, and a good one after them fires.

use super::{KEY, LIMIT, Stage, metric};
use crate::resp::{Conn, Value};
use crate::servers::process::temp_dir;
use crate::support::{now_ms, until};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// How many were kept away from the stops for a reason.
fn refused(stage: &Stage, reason: &str) -> u64 {
    let count = metric(&stage.engine, &format!("strat_ticks_refused_total{{reason=\"{reason}\"}}"));
    count.parse().unwrap_or_else(|_| panic!("{reason} is counted from the start: '{count}'"))
}

fn wait_refused(stage: &Stage, reason: &str, count: u64) {
    until(&format!("{count} are refused as {reason}"), LIMIT, || (refused(stage, reason) == count).then_some(()));
}

fn trade(price: &str, ts_ms: i64, more: &str) -> String {
    format!("XADD ticks * symbol IBM price {price} ts {ts_ms} {more}")
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

/// What stands in Redis of a strategy that was not touched.
fn assert_untouched(stage: &mut Stage, last: &str) {
    let fields = stage.conn.run(&format!("STRAT.GET {KEY}")).fields();
    assert_eq!((fields["position"].as_str(), fields["pending"].as_str()), ("BOUGHT", ""), "{fields:?}");
    assert_eq!(stage.conn.run("XLEN queue:exits").int(), 0);
    assert_eq!(stage.conn.run("GET price:IBM").text(), last, "the last price never goes back");
}

/// One tick was told that crosses the stop; it takes others to fill what it sells.
fn wait_fired(stage: &mut Stage) {
    let fired = |stage: &Stage| metric(&stage.engine, "strat_triggers_fired_total");
    until("the stop has fired", LIMIT, || (fired(stage) == "1").then_some(()));
    stage.wait_field_while("position", "EXITED_BY_SL", |conn| drop(conn.run("XADD ticks * symbol IBM price 94.99")));
}

/// A stage on which 10 IBM are held with a stop at 95, and when their last trade was.
fn held(own: &[(&str, &str)]) -> (Stage, i64) {
    let mut stage = Stage::start(&[&[("STRAT_FEED_KIND", "stream")], own].concat());
    let now = |conn: &mut Conn| drop(conn.run(&trade("100", now_ms(), "")));
    stage.wait_price("IBM", "100", now);
    stage.buy("IBM", now);
    let last_ms = now_ms() + 1;
    stage.conn.run(&trade("99.99", last_ms, "id first"));
    stage.wait_price("IBM", "99.99", |_| {});
    (stage, last_ms)
}

#[test]
fn late_repeated_and_future_ticks_fire_nothing_and_the_next_good_one_does() {
    let (mut stage, last_ms) = held(&[("STRAT_CANDLES_HOURS", "always")]);
    let [late, repeated] = ["late", "duplicate"].map(|reason| refused(&stage, reason));
    stage.conn.run(&trade("90", last_ms - 1, "id older"));
    wait_refused(&stage, "late", late + 1);
    stage.conn.run(&trade("99.99", last_ms, "id first"));
    wait_refused(&stage, "duplicate", repeated + 1);
    assert_eq!(refused(&stage, "future"), 0);
    stage.conn.run(&trade("90", now_ms() + 3_600_000, "id wild"));
    wait_refused(&stage, "future", 1);
    assert_untouched(&mut stage, "99.99");
    // It is a trade of its minute all the same.
    let candle = format!("HGET candle:IBM:1m:{} low", (last_ms - 1) / MINUTE_MS * MINUTE_MS);
    until("the late trade is in its candle", LIMIT, || (stage.conn.run(&candle) == bulk("90")).then_some(()));
    assert_eq!([refused(&stage, "late"), refused(&stage, "duplicate")], [late + 1, repeated + 1]);
    // The wild stamp is not what later ones are compared with, and another trade of the same millisecond is none of these.
    stage.conn.run(&trade("94.99", last_ms, "id second"));
    wait_fired(&mut stage);
    assert_eq!(stage.engine.terminate(), Some(0), "{}", stage.engine.log());
}

#[test]
fn a_tick_without_a_stamp_is_neither_late_nor_a_repeat() {
    let (mut stage, _) = held(&[]);
    let counts = |stage: &Stage| ["late", "duplicate", "future"].map(|reason| refused(stage, reason));
    let before = counts(&stage);
    for _ in 0..3 {
        stage.conn.run("XADD ticks * symbol IBM price 99.5");
    }
    stage.conn.run("XADD ticks * symbol IBM price 94.99");
    wait_fired(&mut stage);
    assert_eq!(counts(&stage), before);
}

#[test]
fn trades_outside_the_sessions_of_who_holds_fire_nothing_until_there_is_one() {
    let folder = temp_dir();
    // An hour's session, half a day from now or nearly so.
    let hour = if now_ms() % DAY_MS < DAY_MS / 2 { 20 } else { 2 };
    let hours = format!("open = \"{hour:02}:00\"\nclose = \"{:02}:00\"", hour + 1);
    let week = r#"weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]"#;
    let calendar = format!("zone = \"UTC\"\n{week}\n{hours}\nevery_year = true\n");
    std::fs::write(folder.path().join("SHUT.toml"), calendar).unwrap();
    let folder = folder.path().display().to_string();
    let (mut stage, _) = held(&[("STRAT_SCHEDULE_CALENDARS_DIR", &folder)]);
    stage.conn.run(&format!("STRAT.UPDATE {KEY} calendar SHUT"));
    until("the session of who holds counts", LIMIT, || {
        stage.conn.run(&trade("99", now_ms(), ""));
        (refused(&stage, "session") > 0).then_some(())
    });
    let before = refused(&stage, "session");
    // Neither with a stamp nor without.
    stage.conn.run(&trade("90", now_ms(), ""));
    stage.conn.run("XADD ticks * symbol IBM price 90");
    // What nobody holds has no hours; and those before it have been judged when it is there.
    stage.wait_price("TCS", "1", |conn| drop(conn.run(&format!("XADD ticks * symbol TCS price 1 ts {}", now_ms()))));
    assert!(refused(&stage, "session") >= before + 2);
    let fields = stage.conn.run(&format!("STRAT.GET {KEY}")).fields();
    assert_eq!((fields["position"].as_str(), fields["pending"].as_str()), ("BOUGHT", ""), "{fields:?}");
    stage.conn.run(&format!("STRAT.UPDATE {KEY} calendar 24x7"));
    stage.wait_field_while("position", "EXITED_BY_SL", |conn| {
        conn.run(&trade("94.5", now_ms(), ""));
    });
}

#[test]
fn what_the_next_connection_tells_again_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let first_ms = now_ms() - 1_000;
    let line = move |(after_ms, price): (i64, &str)| format!("IBM,{price},{}\n", first_ms + after_ms);
    let told: String = [(0, "100"), (5, "101"), (9, "102")].map(line).concat();
    std::thread::spawn(move || {
        // Three connections end after the same lines; the last goes on, with one more.
        for _ in 0..3 {
            listener.accept().unwrap().0.write_all(told.as_bytes()).unwrap();
        }
        let (mut last, _) = listener.accept().unwrap();
        last.write_all(format!("{told}{}", line((10, "103"))).as_bytes()).unwrap();
        // Until the other end is gone.
        let _ = last.read(&mut [0]);
    });
    let mut stage = Stage::start(&[("STRAT_FEED_KIND", "lines"), ("STRAT_FEED_ADDRESS", &address)]);
    stage.wait_price("IBM", "103", |_| {});
    let counts = ["late", "duplicate", "future", "session"].map(|reason| refused(&stage, reason));
    assert_eq!((counts, metric(&stage.engine, "strat_ticks_total").as_str()), ([6, 3, 0, 0], "13"));
}
