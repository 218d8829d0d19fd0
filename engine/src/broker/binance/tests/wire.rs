//! Orders and events as the documentation shows them, and what contradicts itself.

use crate::broker::binance::codes::Coded;
use crate::broker::binance::events::{Denied, Message, message};
use crate::broker::binance::wire::{average, balances, order, orders, server_time};
use crate::broker::{BrokerOrder, OrderRef, OrderSide};
use serde_json::{Value, json};
use strat_core::ExecType;

const NAME: OrderRef<'_> = OrderRef { client_order_id: "ID1", user: "alice", symbol: "BTCUSDT" };

/// The answer to a submission with `newOrderRespType=RESULT`.
fn placed() -> Value {
    json!({
        "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "ID1",
        "transactTime": 1_507_725_176_595_i64, "price": "0.00000000", "origQty": "10.00000000",
        "executedQty": "10.00000000", "origQuoteOrderQty": "0.000000", "cummulativeQuoteQty": "39985.50000000",
        "status": "FILLED", "timeInForce": "GTC", "type": "MARKET", "side": "SELL",
        "workingTime": 1_507_725_176_595_i64, "selfTradePreventionMode": "NONE",
    })
}

fn with(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (name, change) in changes {
        value[*name] = change.clone();
    }
    value
}

fn read(value: &Value) -> Result<BrokerOrder, String> {
    order(value.to_string().as_bytes(), NAME)
}

#[test]
fn an_answer_is_read_exactly() {
    let known = read(&placed()).unwrap();
    assert_eq!((known.user.as_str(), known.side, known.quantity), ("alice", OrderSide::Sell, "10".parse().unwrap()));
    let state = known.state;
    assert_eq!((state.status, state.cum_qty, state.ts_ms), (ExecType::Fill, "10".parse().unwrap(), 1_507_725_176_595));
    assert_eq!(state.avg_px, Some("3998.55".parse().unwrap()), "what was paid by what was traded");
}

#[test]
fn an_average_is_rounded_half_up_to_the_last_unit() {
    for (quote, quantity, price) in
        [("1.00000000", "3", "0.33333333"), ("2.00000000", "3", "0.66666667"), ("0.00000003", "2", "0.00000002")]
    {
        let value = with(
            placed(),
            &[("origQty", json!(quantity)), ("executedQty", json!(quantity)), ("cummulativeQuoteQty", json!(quote))],
        );
        assert_eq!(read(&value).unwrap().state.avg_px, Some(price.parse().unwrap()), "{quote}/{quantity}");
    }
}

#[test]
fn each_status_is_known_and_each_contradiction_refused() {
    let case = |status: &str, filled: &str| {
        let quote = if filled == "0" { "0" } else { "100" };
        let changes =
            [("status", json!(status)), ("executedQty", json!(filled)), ("cummulativeQuoteQty", json!(quote))];
        read(&with(placed(), &changes)).map(|known| known.state.status)
    };
    for (status, filled, expected) in [
        ("NEW", "0", Some(ExecType::New)),
        ("PENDING_NEW", "0", Some(ExecType::New)),
        ("NEW", "1", None),
        ("PARTIALLY_FILLED", "4", Some(ExecType::PartialFill)),
        ("PARTIALLY_FILLED", "0", None),
        ("PARTIALLY_FILLED", "10", None),
        ("FILLED", "10", Some(ExecType::Fill)),
        ("FILLED", "9.99999999", None),
        ("FILLED", "10.1", None),
        ("CANCELED", "0", Some(ExecType::Canceled)),
        ("CANCELED", "4", Some(ExecType::Canceled)),
        ("EXPIRED", "4", Some(ExecType::Expired)),
        ("EXPIRED_IN_MATCH", "0", Some(ExecType::Expired)),
        ("REJECTED", "0", Some(ExecType::Rejected)),
        ("REJECTED", "1", None),
        ("PENDING_CANCEL", "0", Some(ExecType::New)),
        ("PENDING_CANCEL", "1", Some(ExecType::PartialFill)),
        ("HIBERNATING", "0", None),
        ("CANCELED", "-1", None),
    ] {
        assert_eq!(case(status, filled).ok(), expected, "{status} with {filled}");
    }
}

#[test]
fn what_is_missing_mistyped_or_about_another_order_is_an_error() {
    for (name, value) in [
        ("symbol", json!("ETHUSDT")),
        ("clientOrderId", json!("ID2")),
        ("clientOrderId", json!(1)),
        ("side", json!("HOLD")),
        ("origQty", json!(10)),
        ("executedQty", json!("1e1")),
        ("executedQty", json!(null)),
        ("cummulativeQuoteQty", json!("-1")),
        ("cummulativeQuoteQty", json!("0")),
        ("transactTime", json!("soon")),
        ("transactTime", json!(null)),
        ("orderId", json!("28")),
    ] {
        assert!(read(&with(placed(), &[(name, value.clone())])).is_err(), "{name} {value}");
    }
    assert!(order(b"", NAME).is_err() && order(b"[]", NAME).is_err() && order(b"<html>", NAME).is_err());
}

#[test]
fn a_cancellation_and_a_look_up_name_the_order_each_in_their_way() {
    let cancelled = json!({
        "symbol": "BTCUSDT", "origClientOrderId": "ID1", "orderId": 4, "orderListId": -1,
        "clientOrderId": "cancelMyOrder1", "transactTime": 1_684_804_350_068_i64, "price": "2.00000000",
        "origQty": "1.00000000", "executedQty": "0.00000000", "cummulativeQuoteQty": "0.00000000",
        "status": "CANCELED", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY",
    });
    assert_eq!(read(&cancelled).unwrap().state.status, ExecType::Canceled);
    let looked_up = json!({
        "symbol": "BTCUSDT", "orderId": 1, "orderListId": -1, "clientOrderId": "ID1", "price": "0.1", "origQty": "1.0",
        "executedQty": "0.0", "cummulativeQuoteQty": "0.0", "status": "NEW", "timeInForce": "GTC", "type": "LIMIT",
        "side": "BUY", "stopPrice": "0.0", "icebergQty": "0.0", "time": 1_499_827_319_559_i64,
        "updateTime": 1_499_827_319_560_i64, "isWorking": true, "origQuoteOrderQty": "0.000000",
    });
    assert_eq!(read(&looked_up).unwrap().state.ts_ms, 1_499_827_319_560);
    let list = orders(json!([looked_up, cancelled]).to_string().as_bytes(), "alice").unwrap();
    assert_eq!(list.iter().map(|listed| listed.order_id).collect::<Vec<_>>(), [1, 4]);
    assert!(orders(json!([looked_up, {}]).to_string().as_bytes(), "alice").is_err(), "half a list is none");
}

#[test]
fn balances_times_and_averages() {
    let account = json!({"makerCommission": 15, "canTrade": true, "balances": [
        {"asset": "BTC", "free": "4723846.89208129", "locked": "0.00000001"},
        {"asset": "USDT", "free": "0.00000000", "locked": "5.00000000"},
    ]});
    let held = balances(account.to_string().as_bytes()).unwrap();
    assert_eq!(held[0], ("BTC".to_owned(), "4723846.8920813".parse().unwrap()), "free and locked");
    assert_eq!(held[1].1.to_string(), "5");
    assert!(balances(br#"{"balances":[{"asset":"BTC","free":1.5,"locked":"0"}]}"#).is_err());
    assert_eq!(server_time(br#"{"serverTime":1499827319559}"#), Ok(1_499_827_319_559));
    assert!(server_time(br#"{"serverTime":1499827319}"#).is_err() && server_time(b"{}").is_err());
    let told = br#"{"mins":5,"price":"9.35751834","closeTime":1694061154503}"#;
    assert_eq!(average(told), Ok("9.35751834".parse().unwrap()));
}

/// The documentation's `executionReport`, of a market order that is being filled.
pub(super) fn report() -> Value {
    json!({"subscriptionId": 0, "event": {
        "e": "executionReport", "E": 1_499_405_658_658_i64, "s": "BTCUSDT", "c": "ID1", "S": "BUY", "o": "MARKET",
        "f": "GTC", "q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
        "x": "TRADE", "X": "PARTIALLY_FILLED", "r": "NONE", "i": 4_293_153, "l": "0.50000000", "z": "0.50000000",
        "L": "60000.00000000", "n": "0.00050000", "N": "BTC", "T": 1_499_405_658_657_i64, "t": 7, "v": 3,
        "I": 8_641_984, "w": true, "m": false, "M": false, "O": 1_499_405_658_657_i64, "Z": "30000.00000000",
        "Y": "30000.00000000", "Q": "0.00000000", "W": 1_499_405_658_657_i64, "V": "NONE",
    }})
}

fn heard(value: &Value) -> Result<Message, String> {
    message(value.to_string().as_bytes(), "alice")
}

#[test]
fn a_report_is_read_exactly() {
    let Ok(Message::Execution(execution)) = heard(&report()) else { panic!("{:?}", heard(&report())) };
    assert_eq!(execution.commission_asset.as_deref(), Some("BTC"));
    let state = execution.order.state;
    assert_eq!((state.client_order_id.as_str(), state.status), ("ID1", ExecType::PartialFill));
    assert_eq!((state.cum_qty, state.avg_px), ("0.5".parse().unwrap(), Some("60000".parse().unwrap())));
    assert_eq!((state.ts_ms, state.text.as_str()), (1_499_405_658_657, ""));
}

#[test]
fn a_cancellation_tells_of_the_order_that_it_ends() {
    let mut told = report();
    for (name, value) in [
        ("c", json!("web_cancel")),
        ("C", json!("ID1")),
        ("x", json!("CANCELED")),
        ("X", json!("CANCELED")),
        ("N", json!(null)),
    ] {
        told["event"][name] = value;
    }
    let Ok(Message::Execution(execution)) = heard(&told) else { panic!("{:?}", heard(&told)) };
    let state = execution.order.state;
    assert_eq!((state.client_order_id.as_str(), state.status), ("ID1", ExecType::Canceled));
    told["event"]["X"] = json!("EXPIRED");
    told["event"]["eR"] = json!("INSUFFICIENT_LIQUIDITY");
    let Ok(Message::Execution(execution)) = heard(&told) else { panic!("{:?}", heard(&told)) };
    assert_eq!(execution.order.state.text, "INSUFFICIENT_LIQUIDITY");
}

#[test]
fn everything_else_on_the_stream_is_told_apart() {
    let position = json!({"subscriptionId": 0, "event": {"e": "outboundAccountPosition", "E": 1, "u": 2, "B": []}});
    assert_eq!(heard(&position), Ok(Message::Other));
    for kind in ["eventStreamTerminated", "serverShutdown"] {
        assert_eq!(heard(&json!({"event": {"e": kind, "E": 1}})), Ok(Message::Ending(kind.to_owned())));
    }
    let answer = json!({"id": 1, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []});
    assert_eq!(heard(&answer), Ok(Message::Answer { id: 1, outcome: Ok(()) }));
    let banned = json!({"id": 1, "status": 418, "error": {"code": -1003, "msg": "Way too much",
        "data": {"serverTime": 1_659_146_300_000_i64, "retryAfter": 1_659_146_400_000_i64}}});
    let coded = Coded { code: -1003, msg: "Way too much".to_owned() };
    let denied = Denied { status: 418, coded, retry_after_ms: Some(1_659_146_400_000) };
    assert_eq!(heard(&banned), Ok(Message::Answer { id: 1, outcome: Err(denied) }));
    assert_eq!(heard(&json!({"foo": 1})), Ok(Message::Other));
    assert!(heard(&json!({"event": {"E": 1}})).is_err() && heard(&json!([1])).is_err());
}
