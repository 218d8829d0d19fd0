//! Orders that do not go as wished: refused, half filled, overtaken, too late.

use super::{KEY, Stage};
use crate::resp::Value;

#[test]
fn a_refused_entry_fails_the_strategy() {
    let mut stage = Stage::new();
    stage.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 buy_at 1000 sell_at 9000"));
    stage.conn.run("STRAT.DUE 1000");
    let token = stage.lock("BUY");
    let words = ["STRAT.REPORT", KEY, &token, "REJECTED", "ORDER", "b1", "TEXT", "no buying power"];
    stage.conn.call(&words);
    for kind in ["STRATEGY_STARTED", "ORDER_QUEUED", "ORDER_CANCELED", "STRATEGY_ERROR"] {
        stage.event(kind);
    }
    stage.expect(&[("status", "FAILED"), ("position", "NONE"), ("pending", ""), ("working", "")]);
    assert!(stage.fields()["error"].contains("no buying power"));
    assert_eq!(
        stage.conn.run("STRAT.DUE 99999"),
        Value::Array(vec![Value::Int(0), Value::Int(-1)]),
        "no timer is left"
    );
}

#[test]
fn a_refused_exit_stays_guarded_and_is_tried_again() {
    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 99.50");
    stage.conn.run("STRAT.SLCHECK IBM 99 TS 5000");
    let token = stage.lock("STOPLOSS");
    stage.report(&token, "REJECTED ORDER x1 TS 6000 TEXT later");
    for kind in ["SL_TRIGGERED", "ORDER_CANCELED", "STRATEGY_ERROR"] {
        stage.event(kind);
    }
    stage.expect(&[("status", "RUNNING"), ("position", "BOUGHT"), ("attempt", "1"), ("retry_at", "6500")]);
    stage.expect(&[("retry_action", "STOPLOSS"), ("pending", ""), ("working", "")]);
    assert_eq!(stage.conn.run("STRAT.DUE 6499"), Value::Array(vec![Value::Int(0), Value::Int(6500)]));
    assert_eq!(stage.conn.run("STRAT.DUE 6500").items()[0], Value::Int(1));
    stage.expect(&[("pending", "STOPLOSS")]);
    let token = stage.lock("STOPLOSS");
    stage.report(&token, "FILL CUMQTY 10 AVGPX 98.5 ORDER x2");
    stage.expect(&[("position", "EXITED_BY_SL"), ("status", "COMPLETED"), ("retry_at", ""), ("retry_action", "")]);
}

#[test]
fn an_exit_that_dies_half_filled_leaves_the_rest_guarded() {
    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 99.50");
    stage.conn.run("STRAT.SLCHECK IBM 99 TS 5000");
    let token = stage.lock("STOPLOSS");
    stage.report(&token, "NEW ORDER x1");
    stage.report(&token, "PARTIAL_FILL CUMQTY 4 AVGPX 99 ORDER x1");
    stage.report(&token, "CANCELED CUMQTY 4 AVGPX 99 ORDER x1 TS 6000");
    stage.expect(&[("exit_quantity", "4"), ("position", "BOUGHT"), ("attempt", "1"), ("retry_at", "6500")]);
    stage.conn.run("STRAT.DUE 6500");
    let token = stage.lock("STOPLOSS");
    stage.report(&token, "FILL CUMQTY 6 AVGPX 98 ORDER x2");
    // (4 * 99 + 6 * 98) / 10
    stage.expect(&[("exit_quantity", "10"), ("exit_price", "98.4"), ("position", "EXITED_BY_SL")]);
}

#[test]
fn a_stop_while_the_entry_works_waits_for_the_entrys_end() {
    let mut stage = Stage::new();
    stage.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 stop_loss 99.50 buy_at 1000"));
    stage.conn.run("STRAT.DUE 1000");
    let entry = stage.lock("BUY");
    stage.report(&entry, "NEW ORDER b1");
    stage.report(&entry, "PARTIAL_FILL CUMQTY 4 AVGPX 100 ORDER b1");
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 99").int(), 1, "what is filled is guarded at once");
    stage.expect(&[("pending", "STOPLOSS"), ("working", "BUY")]);
    assert_eq!(
        stage.conn.run(&format!("STRAT.LOCK {KEY} STOPLOSS other 60000")),
        Value::Nil,
        "the entry holds the lock"
    );
    stage.report(&entry, "CANCELED CUMQTY 4 AVGPX 100 ORDER b1");
    stage.expect(&[("status", "RUNNING"), ("position", "BOUGHT"), ("pending", "STOPLOSS"), ("working", "")]);
    let exit = stage.lock("STOPLOSS");
    stage.report(&exit, "FILL CUMQTY 4 AVGPX 98.9 ORDER x1");
    stage.expect(&[("position", "EXITED_BY_SL"), ("exit_quantity", "4"), ("status", "COMPLETED")]);
}

#[test]
fn an_entry_not_filled_at_its_exit_time_is_cancelled_without_a_position() {
    let mut stage = Stage::new();
    stage.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 buy_at 1000 sell_at 9000"));
    stage.conn.run("STRAT.DUE 1000");
    assert_eq!(stage.conn.run("STRAT.DUE 9000").items()[0], Value::Int(1));
    stage.expect(&[("pending", "SELL")]);
    assert_eq!(stage.conn.code(&format!("STRAT.LOCK {KEY} BUY engine 60000")), "BUSY", "the queued entry is dropped");
    let token = stage.lock("SELL");
    stage.report(&token, "CANCELED ACTION BUY ORDER b1");
    stage.report(&token, "CANCELED TEXT never-entered");
    stage.expect(&[("position", "NONE"), ("status", "COMPLETED"), ("pending", ""), ("working", "")]);
    assert_eq!(stage.conn.run("EXISTS lock:order:alice:s1 active_strategies").int(), 0);
}

#[test]
fn an_exit_time_without_an_entry_completes_without_an_order() {
    let mut stage = Stage::new();
    stage.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 buy_at 9000 sell_at 9000"));
    stage.conn.run("STRAT.DUE 9000");
    stage.expect(&[("status", "COMPLETED"), ("position", "NONE"), ("pending", "")]);
    assert_eq!(stage.conn.run("XLEN queue:orders").int() + stage.conn.run("XLEN queue:exits").int(), 0);
}
