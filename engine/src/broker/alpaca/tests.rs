//! What Alpaca may say: payloads as documented, nearly right ones, and any bytes.

use super::{execution, stream};
use crate::broker::{BrokerOrder, OrderRef, OrderSide};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use strat_core::{ExecType, Price, Quantity};

const NAME: OrderRef<'static> = OrderRef { client_order_id: "ID1", user: "alice", symbol: "AAPL" };

/// An order as the documentation of the Trading API shows it, partly filled.
pub(super) fn good() -> Value {
    json!({
        "id": "904837e3-3b76-47ec-b432-046db621571b", "client_order_id": "ID1",
        "created_at": "2018-10-05T05:48:59.123456789Z", "updated_at": "2018-10-05T05:48:59.5Z",
        "submitted_at": "2018-10-05T05:48:59Z", "filled_at": null, "expired_at": null, "canceled_at": null,
        "failed_at": null, "replaced_at": null, "replaced_by": null, "replaces": null,
        "asset_id": "904837e3-3b76-47ec-b432-046db621571b", "symbol": "AAPL", "asset_class": "us_equity",
        "notional": null, "qty": "15", "filled_qty": "5.5", "filled_avg_price": "106.001234567891", "order_class": "",
        "order_type": "market", "type": "market", "side": "buy", "time_in_force": "day", "limit_price": null,
        "stop_price": null, "status": "partially_filled", "extended_hours": false, "legs": null, "hwm": null
    })
}

fn but(changes: &[(&str, Value)]) -> String {
    let mut order = good();
    for (name, value) in changes {
        order[*name] = value.clone();
    }
    order.to_string()
}

fn read(body: &str) -> Result<BrokerOrder, String> {
    execution::order(body.as_bytes(), "alice", NAME).map(|(_, order)| order)
}

#[test]
fn an_order_is_read_exactly() {
    let (id, order) = execution::order(good().to_string().as_bytes(), "alice", NAME).unwrap();
    assert_eq!(id, "904837e3-3b76-47ec-b432-046db621571b");
    assert_eq!((order.side, order.quantity, order.user.as_str()), (OrderSide::Buy, "15".parse().unwrap(), "alice"));
    let state = order.state;
    assert_eq!((state.status, state.cum_qty), (ExecType::PartialFill, "5.5".parse().unwrap()));
    // An average is cut to eight digits; nothing else is.
    assert_eq!((state.avg_px, state.ts_ms), (Some("106.00123456".parse().unwrap()), 1_538_718_539_500));
}

#[test]
fn every_documented_status_has_its_meaning() {
    use ExecType::{Canceled, Expired, Fill, New, PartialFill, Rejected};
    for (status, untouched, partly, whole) in [
        ("new", Some(New), Some(PartialFill), Some(Fill)),
        ("accepted", Some(New), Some(PartialFill), Some(Fill)),
        ("accepted_for_bidding", Some(New), Some(PartialFill), Some(Fill)),
        ("pending_new", Some(New), Some(PartialFill), Some(Fill)),
        ("partially_filled", Some(New), Some(PartialFill), Some(Fill)),
        ("pending_cancel", Some(New), Some(PartialFill), Some(Fill)),
        ("pending_replace", Some(New), Some(PartialFill), Some(Fill)),
        ("pending_review", Some(New), Some(PartialFill), Some(Fill)),
        ("stopped", Some(New), Some(PartialFill), Some(Fill)),
        ("suspended", Some(New), Some(PartialFill), Some(Fill)),
        ("held", Some(New), Some(PartialFill), Some(Fill)),
        ("done_for_day", Some(New), Some(PartialFill), Some(Fill)),
        ("calculated", Some(New), Some(PartialFill), Some(Fill)),
        ("filled", None, None, Some(Fill)),
        ("canceled", Some(Canceled), Some(Canceled), Some(Fill)),
        ("replaced", Some(Canceled), Some(Canceled), Some(Fill)),
        ("expired", Some(Expired), Some(Expired), Some(Fill)),
        ("rejected", Some(Rejected), None, None),
        ("eaten", None, None, None),
    ] {
        for (filled, meaning) in [("0", untouched), ("5", partly), ("15", whole)] {
            let order = but(&[("status", json!(status)), ("filled_qty", json!(filled))]);
            assert_eq!(read(&order).ok().map(|order| order.state.status), meaning, "{status} {filled}");
        }
    }
}

#[test]
fn an_order_that_waits_for_the_session_says_so() {
    let waits = read(&but(&[("status", json!("accepted")), ("filled_qty", json!("0"))])).unwrap();
    assert_eq!(waits.state.text, "accepted: it works when the regular session is open");
    let replaced = read(&but(&[("status", json!("replaced")), ("replaced_by", json!("another"))])).unwrap();
    assert_eq!(replaced.state.text, "replaced by order another");
}

#[test]
fn a_contradiction_is_no_answer() {
    for (name, value, complaint) in [
        ("client_order_id", json!("ID2"), "client_order_id 'ID2'"),
        ("symbol", json!("IBM"), "symbol 'IBM'"),
        ("symbol", Value::Null, "symbol is missing"),
        ("side", json!("hold"), "side 'hold'"),
        ("side", Value::Null, "side 'null'"),
        ("qty", json!("0"), "qty '0' must be above 0"),
        ("qty", Value::Null, "by value"),
        ("order_class", json!("mleg"), "several legs"),
        ("filled_qty", json!("16"), "filled_qty 16 is not within"),
        ("filled_qty", json!("-1"), "filled_qty -1 is not within"),
        ("filled_qty", json!("1e0"), "filled_qty '1e0'"),
        ("filled_avg_price", Value::Null, "filled without a price"),
        ("filled_avg_price", json!("nan"), "filled_avg_price 'nan'"),
        ("created_at", json!("yesterday"), "failed to parse"),
        ("status", json!(7), "invalid type"),
    ] {
        let why = read(&but(&[(name, value)])).unwrap_err();
        assert!(why.contains(complaint), "{name}: {why}");
    }
}

#[test]
fn what_a_person_does_beside_us_does_not_break_the_lists() {
    let by_value = but(&[("qty", Value::Null), ("notional", json!("50"))]);
    let legs = but(&[("order_class", json!("mleg")), ("symbol", json!("")), ("side", json!(""))]);
    let fine = but(&[("qty", json!("0.123456789")), ("filled_qty", json!("0.123456789"))]);
    let page = execution::page(format!("[{by_value},{},{legs},{fine}]", good()).as_bytes(), "alice").unwrap();
    let read: Vec<_> = page.orders.iter().map(|(_, order)| order.is_some()).collect();
    assert_eq!(read, [false, true, false, false]);
    let broken = but(&[("filled_qty", json!("16"))]);
    assert!(execution::page(format!("[{},{broken}]", good()).as_bytes(), "alice").is_err(), "whole or not at all");
    let update = json!({"stream": "trade_updates", "data": {"event": "new", "order": serde_json::from_str::<Value>(&by_value).unwrap()}});
    assert_eq!(stream::read(update.to_string().as_bytes(), "alice"), Ok(None));
}

#[test]
fn a_short_position_is_below_zero_however_its_sign_is_written() {
    let held = |qty: &str, side: &str| json!([{"symbol": "IBM", "qty": qty, "side": side}]).to_string();
    for (qty, side, quantity) in [
        ("5", "long", Some("5")),
        ("-5", "short", Some("-5")),
        ("5", "short", Some("-5")),
        ("0.25", "long", Some("0.25")),
        ("5.123456789", "long", Some("5.12345678")),
        ("0", "long", None),
    ] {
        let read = execution::positions(held(qty, side).as_bytes(), "alice").unwrap();
        assert_eq!(read.first().map(|held| held.quantity.to_string()).as_deref(), quantity, "{qty} {side}");
    }
    for (qty, side) in [("x", "long"), ("5", "flat")] {
        assert!(execution::positions(held(qty, side).as_bytes(), "alice").is_err(), "{qty} {side}");
    }
}

#[test]
fn an_update_is_the_order_in_it() {
    let update = json!({"stream": "trade_updates", "data": {"event": "partial_fill", "execution_id": "e",
        "price": "179.08", "qty": "1", "position_qty": "100", "timestamp": "2018-02-28T20:38:22Z", "order": good()}});
    let state = stream::read(update.to_string().as_bytes(), "alice").unwrap().unwrap();
    assert_eq!(Some(state), read(&good().to_string()).ok().map(|order| order.state));
    assert_eq!(stream::read(br#"{"stream":"listening","data":{"streams":[]}}"#, "alice"), Ok(None));
    assert!(stream::read(br#"{"stream":"trade_updates","data":{"event":"fill"}}"#, "alice").is_err());
}

/// Any JSON that is nearly a value of a field.
fn any_value() -> impl Strategy<Value = Value> {
    let words =
        ["", "buy", "filled", "new", "0", "15", "-1", "1e5", "nan", "5.5", "2018-10-05T05:48:59Z", "\u{1b}[2J\n"];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([1, {"a": "b"}])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_said_is_read_soundly_or_complained_about(
        bytes in vec(any::<u8>(), 0..200),
        changes in vec((any::<prop::sample::Index>(), any_value()), 0..4),
    ) {
        let mut order = good();
        let names: Vec<String> = order.as_object().unwrap().keys().cloned().collect();
        for (index, value) in changes {
            order[index.get(&names).as_str()] = value;
        }
        let update = json!({"stream": "trade_updates", "data": {"order": order}}).to_string();
        let bodies = [order.to_string(), json!([order]).to_string(), update];
        for body in bodies.iter().map(String::as_bytes).chain([&*bytes]) {
            let one = execution::order(body, "alice", NAME).map(|(_, order)| order.state);
            let page = execution::page(body, "alice").map(|page| page.orders);
            let states = page.unwrap_or_default().into_iter().filter_map(|(_, order)| Some(order?.state));
            for state in one.into_iter().chain(states).chain(stream::read(body, "alice").ok().flatten()) {
                prop_assert!(state.cum_qty >= Quantity::ZERO && state.ts_ms >= 0);
                prop_assert_eq!(state.avg_px.is_some(), state.cum_qty > Quantity::ZERO);
                prop_assert!(!state.text.chars().any(char::is_control));
            }
            let _ = execution::positions(body, "alice");
        }
    }

    #[test]
    fn amounts_are_the_digits_that_were_sent(qty in 1..1_000_000_000_000_i64, filled in 0..1_000_000_000_000_i64, price in 1..1_000_000_000_000_i64) {
        let (qty, price) = (Quantity::from_units(qty), Price::from_units(price));
        let filled = Quantity::from_units(filled).min(qty);
        let order = but(&[
            ("status", json!(if filled == qty { "filled" } else { "canceled" })),
            ("qty", json!(qty.to_string())),
            ("filled_qty", json!(filled.to_string())),
            ("filled_avg_price", json!(price.to_string())),
        ]);
        let read = read(&order).map_err(TestCaseError::fail)?;
        prop_assert_eq!((read.quantity, read.state.cum_qty), (qty, filled));
        prop_assert_eq!(read.state.avg_px, (filled > Quantity::ZERO).then_some(price));
    }
}
