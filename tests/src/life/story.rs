//! From SET to the last fill, and what users do in between.

use super::{KEY, Stage, fields};
use crate::resp::Value;

#[test]
fn a_long_is_bought_at_its_time_and_ends_by_its_stop() {
    let mut stage = Stage::new();
    stage.conn.run(&format!(
        "STRAT.SET {KEY} symbol IBM quantity 10.00 stop_loss 99.50 take_profit 120.00 buy_at 1000 sell_at 9000"
    ));
    assert_eq!(stage.event("STRATEGY_STARTED")["stop_loss"], "99.50");
    assert_eq!(stage.conn.run("STRAT.DUE 1000"), Value::Array(vec![Value::Int(1), Value::Int(9000)]));
    stage.event("ORDER_QUEUED");
    stage.expect(&[("pending", "BUY"), ("cycle", "1"), ("position", "NONE")]);
    assert_eq!(stage.conn.run("STRAT.DUE 1000").items()[0], Value::Int(0), "once only");
    let (entry, order) = stage.take("queue:orders");
    let expected = [("key", KEY), ("action", "BUY"), ("cycle", "1"), ("version", "2"), ("price", ""), ("ts", "1000")];
    assert_eq!(order, fields(&expected));

    let token = stage.lock("BUY");
    assert_eq!(stage.report(&token, "NEW ORDER b1"), 3);
    stage.event("ORDER_ACCEPTED");
    stage.expect(&[("pending", ""), ("working", "BUY"), ("last_buy_order", "b1"), ("last_action", "BUY")]);
    assert_eq!(stage.report(&token, "PARTIAL_FILL CUMQTY 4 AVGPX 100.10 ORDER b1"), 4);
    stage.event("ORDER_EXECUTED");
    stage.expect(&[("position", "BOUGHT"), ("filled_quantity", "4"), ("working", "BUY")]);
    assert_eq!(stage.report(&token, "PARTIAL_FILL CUMQTY 4 AVGPX 100.10 ORDER b1"), 4, "a repeat changes nothing");
    assert_eq!(stage.report(&token, &format!("FILL CUMQTY 10 AVGPX 100.25 ORDER b1 ACK queue:orders {entry}")), 5);
    stage.event("ORDER_EXECUTED");
    stage.expect(&[("filled_quantity", "10"), ("entry_price", "100.25"), ("working", ""), ("quantity", "10.00")]);
    assert_eq!(stage.conn.run("EXISTS lock:order:alice:s1").int(), 0);
    assert_eq!(stage.conn.run("XLEN queue:orders").int(), 0);
    assert_eq!(stage.conn.run("XPENDING queue:orders engine").items()[0], Value::Int(0));
    assert_eq!(stage.conn.code(&format!("STRAT.REPORT {KEY} {token} NEW")), "BADTOKEN");

    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 99.51 TS 5000").int(), 0);
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 99.50 TS 5001").int(), 1, "at the level fires");
    let data = stage.event("SL_TRIGGERED");
    assert_eq!((data["price"].as_str(), data["symbol"].as_str()), (Some("99.50"), Some("IBM")));
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 98.00 TS 5002").int(), 0, "in flight already");
    let (_, order) = stage.take("queue:exits");
    let expected =
        [("key", KEY), ("action", "STOPLOSS"), ("cycle", "1"), ("version", "6"), ("price", "99.50"), ("ts", "5001")];
    assert_eq!(order, fields(&expected));
    assert_eq!(stage.conn.run("STRAT.DUE 9000").items()[0], Value::Int(0), "the timed exit has lost");
    assert_eq!(stage.conn.code(&format!("STRAT.LOCK {KEY} SELL engine 60000")), "BUSY");
    let token = stage.lock("STOPLOSS");
    assert_eq!(stage.report(&token, "FILL CUMQTY 10 AVGPX 99.48 ORDER x1"), 7);
    let data = stage.event("ORDER_EXECUTED");
    assert_eq!((data["price"].as_str(), data["order_id"].as_str()), (Some("99.48"), Some("x1")));
    stage.event("STRATEGY_COMPLETED");
    stage.expect(&[
        ("position", "EXITED_BY_SL"),
        ("status", "COMPLETED"),
        ("exit_price", "99.48"),
        ("last_sl_order", "x1"),
    ]);
    assert_eq!(stage.conn.run("EXISTS active_strategies symbol:IBM:strategies lock:order:alice:s1").int(), 0);
    stage.check_journal(&[
        "STRATEGY_STARTED",
        "ORDER_QUEUED",
        "ORDER_ACCEPTED",
        "ORDER_EXECUTED",
        "ORDER_EXECUTED",
        "SL_TRIGGERED",
        "ORDER_EXECUTED",
    ]);
}

#[test]
fn a_short_is_sold_at_its_time_and_ends_by_its_target() {
    let mut stage = Stage::new();
    stage.conn.run(&format!(
        "STRAT.SET {KEY} side SHORT symbol IBM quantity 3 stop_loss 105 take_profit 95.0 sell_at 1000 buy_at 9000"
    ));
    assert_eq!(stage.conn.run("STRAT.DUE 1000"), Value::Array(vec![Value::Int(1), Value::Int(9000)]));
    assert_eq!(stage.take("queue:orders").1["action"], "SELL");
    let token = stage.lock("SELL");
    stage.report(&token, "FILL CUMQTY 3 AVGPX 100 ORDER s1");
    stage.expect(&[("position", "SHORTED"), ("last_sell_order", "s1"), ("entry_price", "100")]);
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 104.99 IBM 95.01").int(), 0);
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 94.00").int(), 1);
    for kind in ["STRATEGY_STARTED", "ORDER_QUEUED", "ORDER_EXECUTED", "TP_TRIGGERED"] {
        stage.event(kind);
    }
    let (_, order) = stage.take("queue:exits");
    assert_eq!((order["action"].as_str(), order["price"].as_str()), ("TAKEPROFIT", "94.00"));
    let token = stage.lock("TAKEPROFIT");
    stage.report(&token, "FILL CUMQTY 3 AVGPX 94.5 ORDER b1");
    stage.expect(&[("position", "EXITED_BY_TP"), ("status", "COMPLETED"), ("exit_price", "94.5")]);
    stage.check_journal(&["STRATEGY_STARTED", "ORDER_QUEUED", "ORDER_EXECUTED", "TP_TRIGGERED", "ORDER_EXECUTED"]);
}

#[test]
fn a_short_is_covered_at_its_time() {
    let mut stage = Stage::new();
    stage.hold("SHORT", "sell_at 1000 buy_at 9000 stop_loss 105");
    assert_eq!(stage.conn.run("STRAT.DUE 8999"), Value::Array(vec![Value::Int(0), Value::Int(9000)]));
    assert_eq!(stage.conn.run("STRAT.DUE 9000"), Value::Array(vec![Value::Int(1), Value::Int(-1)]));
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 106").int(), 0, "one exit in flight");
    assert_eq!(stage.take("queue:exits").1["action"], "BUY");
    let token = stage.lock("BUY");
    stage.report(&token, "FILL CUMQTY 10 AVGPX 99");
    stage.expect(&[("position", "COVERED"), ("status", "COMPLETED"), ("exit_quantity", "10")]);
}

#[test]
fn stopping_squares_off_or_leaves_it_loudly() {
    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 99.50");
    stage.conn.run(&format!("STRAT.UPDATE {KEY} status STOPPED"));
    stage.event("STRATEGY_STOPPED");
    stage.expect(&[("pending", "SQUAREOFF"), ("status", "STOPPED")]);
    let (entry, order) = stage.take("queue:exits");
    assert_eq!(order["action"], "SQUAREOFF");
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 1").int(), 0);
    let token = stage.lock("SQUAREOFF");
    stage.report(&token, &format!("FILL CUMQTY 10 AVGPX 99 ACK queue:exits {entry}"));
    stage.event("ORDER_EXECUTED");
    stage.expect(&[("position", "SOLD"), ("status", "STOPPED")]);

    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 99.50 on_stop LEAVE");
    stage.conn.run(&format!("STRAT.UPDATE {KEY} status STOPPED"));
    stage.event("STRATEGY_STOPPED");
    assert_eq!(stage.event("STRATEGY_ERROR")["unguarded_quantity"], "10");
    stage.expect(&[("pending", ""), ("position", "BOUGHT")]);
    assert_eq!(stage.conn.run("XLEN queue:exits").int(), 0);
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 1").int(), 0, "unguarded, as asked for");
}

#[test]
fn removing_says_so_and_texts_come_back_as_given() {
    let mut stage = Stage::new();
    let given = [
        ("quantity", "010.50"),
        ("stop_loss", "2500.00"),
        ("take_profit", "2600.10000000"),
        ("note", "{\"a\":[1, 2]} \u{20ac}"),
    ];
    let mut words = vec!["STRAT.SET", KEY, "symbol", "M&M"];
    words.extend(given.iter().flat_map(|(name, value)| [*name, *value]));
    assert_eq!(stage.conn.call(&words), Value::Int(1));
    stage.expect(&given);
    let data = stage.event("STRATEGY_STARTED");
    for (name, value) in given {
        assert_eq!(data[name], value);
    }
    stage.conn.run(&format!("STRAT.DEL {KEY}"));
    stage.event("STRATEGY_REMOVED");
    let last = stage.conn.run("XREVRANGE journal + - COUNT 1").items()[0].items()[1].fields();
    assert_eq!((last["type"].as_str(), last["key"].as_str()), ("STRATEGY_REMOVED", KEY));
}
