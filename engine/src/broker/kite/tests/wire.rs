use crate::broker::kite::config::Product;
use crate::broker::kite::order::{Listed, is_tag};
use crate::broker::kite::time;
use crate::broker::kite::wire::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use strat_core::{ExecType, Quantity};

const TAG: &str = "RQLYHBRGYJ746S3R2CEM";

/// An order as the documentation shows one.
pub(super) fn order() -> Value {
    json!({
        "placed_by": "AB1234", "order_id": "151220000000000", "exchange_order_id": "200000000000000",
        "parent_order_id": null, "status": "OPEN", "status_message": null, "status_message_raw": null,
        "order_timestamp": "2026-11-23 09:20:28", "exchange_update_timestamp": "2026-11-23 09:20:29",
        "exchange_timestamp": "2026-11-23 09:20:28", "variety": "regular", "modified": false, "exchange": "NSE",
        "tradingsymbol": "M&M", "instrument_token": 519937, "order_type": "MARKET", "transaction_type": "BUY",
        "validity": "DAY", "product": "MIS", "quantity": 10, "disclosed_quantity": 0, "price": 0, "trigger_price": 0,
        "average_price": 3051.25, "filled_quantity": 4, "pending_quantity": 6, "cancelled_quantity": 0,
        "market_protection": 0, "meta": {}, "tag": TAG, "guid": "XXXXXX"
    })
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut order = order();
    for (name, value) in changes {
        match value {
            Value::String(gone) if gone == "-" => drop(order.as_object_mut().unwrap().remove(*name)),
            value => order[*name] = value.clone(),
        }
    }
    order
}

fn listed(list: &[Value]) -> Result<Vec<Listed>, String> {
    orders(json!({"status": "success", "data": list}).to_string().as_bytes())
}

fn one(changes: &[(&str, Value)]) -> Result<Listed, String> {
    listed(&[with(changes)]).map(|mut all| all.remove(0))
}

#[test]
fn an_order_is_read_as_it_is_written() {
    let order = one(&[]).unwrap();
    assert_eq!((order.order_id.as_str(), order.variety.as_str()), ("151220000000000", "regular"));
    let told = order.order("alice", "NSE");
    assert_eq!((told.user.as_str(), told.symbol.as_str()), ("alice", "M&M"));
    assert_eq!((told.state.client_order_id.as_str(), told.state.status), (TAG, ExecType::PartialFill));
    assert_eq!(
        (told.state.cum_qty.to_string(), told.state.avg_px.unwrap().to_string()),
        ("4".into(), "3051.25".into())
    );
    assert_eq!(told.state.ts_ms, time::read("2026-11-23 09:20:29").unwrap());
    assert_eq!(order.order("alice", "BSE").symbol, "NSE/M&M");
}

#[test]
fn every_word_of_kite_is_a_state() {
    use ExecType::{Canceled, Fill, New, PartialFill, Rejected};
    for (word, filled, status) in [
        ("PUT ORDER REQ RECEIVED", 0, New),
        ("VALIDATION PENDING", 0, New),
        ("OPEN PENDING", 0, New),
        ("OPEN", 0, New),
        ("OPEN", 4, PartialFill),
        ("UPDATE", 4, PartialFill),
        ("MODIFY VALIDATION PENDING", 0, New),
        ("MODIFY PENDING", 4, PartialFill),
        ("CANCEL PENDING", 4, PartialFill),
        ("TRIGGER PENDING", 0, New),
        ("AMO REQ RECEIVED", 0, New),
        ("a word of next year", 0, New),
        ("COMPLETE", 10, Fill),
        ("OPEN", 10, Fill),
        ("CANCELLED", 0, Canceled),
        ("CANCELLED", 4, Canceled),
        ("CANCELLED", 10, Fill),
        ("CANCELLED AMO", 0, Canceled),
        ("REJECTED", 0, Rejected),
        ("REJECTED", 4, Canceled),
    ] {
        let order = one(&[("status", word.into()), ("filled_quantity", filled.into())]).unwrap();
        assert_eq!(order.status, status, "{word} with {filled}");
        assert_eq!(order.avg_px.is_some(), filled > 0, "{word} with {filled}");
    }
}

#[test]
fn an_average_is_exact_or_rounded_in_its_last_place() {
    for (digits, shown) in [
        ("470", "470"),
        ("470.0", "470"),
        ("470.05", "470.05"),
        ("470.33333333", "470.33333333"),
        ("470.333333333333", "470.33333333"),
        ("470.666666666666", "470.66666667"),
        ("470.999999995", "471"),
        ("0.000000005", "0.00000001"),
        ("\"470.05\"", "470.05"),
    ] {
        let body = format!(r#"{{"status":"success","data":[{}]}}"#, order().to_string().replace("3051.25", digits));
        assert_eq!(orders(body.as_bytes()).unwrap()[0].avg_px.unwrap().to_string(), shown, "{digits}");
    }
    for digits in ["4.7e2", "1.123456789e1", "null", "-0.123456789"] {
        let body = format!(r#"{{"status":"success","data":[{}]}}"#, order().to_string().replace("3051.25", digits));
        assert!(orders(body.as_bytes()).is_err(), "{digits}");
    }
}

#[test]
fn fills_that_kite_has_no_price_for_yet_are_seen() {
    let order = one(&[("average_price", 0.into())]).unwrap();
    assert!(order.lacks_price());
    assert!(!one(&[("average_price", 0.into()), ("filled_quantity", 0.into())]).unwrap().lacks_price());
    let body = json!({"status": "success", "data": [
        {"quantity": 1, "average_price": 100.05, "trade_id": "1"}, {"quantity": 3, "average_price": 100.25}]});
    let (filled, price) = trades(body.to_string().as_bytes()).unwrap();
    assert_eq!((filled.to_string(), price.to_string()), ("4".into(), "100.2".into()));
    assert_eq!(trades(br#"{"status":"success","data":[]}"#).unwrap().0, Quantity::ZERO);
}

#[test]
fn an_order_of_ours_that_cannot_be_read_spoils_the_list_and_one_of_others_does_not() {
    let broken: &[(&str, Value)] = &[
        ("quantity", "-".into()),
        ("quantity", json!("ten")),
        ("quantity", 0.into()),
        ("filled_quantity", 11.into()),
        ("filled_quantity", (-1).into()),
        ("transaction_type", "HOLD".into()),
        ("status", Value::Null),
        ("status", "COMPLETE".into()),
        ("order_timestamp", "soon".into()),
        ("order_id", "-".into()),
        ("tradingsymbol", 7.into()),
    ];
    for change in broken {
        let change = std::slice::from_ref(change);
        assert!(listed(&[order(), with(change)]).is_err(), "{change:?}");
        for tag in [Value::Null, "-".into(), "by hand".into()] {
            let others = with(&[change, &[("tag", tag)]].concat());
            assert_eq!(listed(&[order(), others]).map(|all| all.len()), Ok(1), "{change:?}");
        }
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"status":"error","data":[]}"#,
        r#"{"status":"success"}"#,
        r#"{"status":"success","data":{}}"#,
    ] {
        assert!(orders(body.as_bytes()).is_err(), "{body}");
    }
    assert_eq!(listed(&[]), Ok(vec![]));
}

#[test]
fn orders_of_others_have_a_name_that_none_of_ours_has() {
    for tag in [Value::Null, "by hand".into(), "rqlyhbrgyj746s3r2cem".into()] {
        assert_eq!(one(&[("tag", tag)]).unwrap().client_order_id(), "kite-151220000000000");
    }
    assert!(is_tag(TAG) && !is_tag("kite-151220000000000"));
}

#[test]
fn positions_are_those_of_the_product() {
    let held = |product: &str, name: &str, quantity: i64| json!({"tradingsymbol": name, "exchange": "NSE", "product": product, "quantity": quantity, "multiplier": 1});
    let read = |net: Vec<Value>| {
        let body = json!({"status": "success", "data": {"net": net, "day": []}});
        positions(body.to_string().as_bytes(), Product::Mis, "alice", "NSE")
    };
    let all = read(vec![held("MIS", "INFY", -3), held("CNC", "INFY", 50), held("MIS", "SBIN", 0)]).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].symbol.as_str(), all[0].quantity.to_string()), ("INFY", "-3".to_owned()));
    assert!(read(vec![held("MIS", "INFY", 1), held("MIS", "INFY", 2)]).is_err());
    assert!(read(vec![json!({"product": "MIS"})]).is_err());
}

#[test]
fn text_messages_of_the_ticker_are_told_apart() {
    let update = json!({"type": "order", "id": "", "data": order()}).to_string();
    let News::Order(news) = news(update.as_bytes()) else { panic!("{update}") };
    assert_eq!(*news, one(&[]));
    let read = |text: &str| crate::broker::kite::wire::news(text.as_bytes());
    assert_eq!(read(r#"{"type":"error","data":"Unauthorised"}"#), News::Error("\"Unauthorised\"".into()));
    assert!(matches!(read(r#"{"type":"order"}"#), News::Order(why) if why.is_err()));
    for text in
        ["", "{}", "[]", "no", r#"{"type":"message","data":{}}"#, r#"{"type":"instruments_meta","data":{"count":1}}"#]
    {
        assert_eq!(read(text), News::Other, "{text}");
    }
}

#[test]
fn a_token_never_gets_into_a_complaint() {
    let body = r#"{"status":"success","data":{"access_token":"topsecret"}}"#;
    assert_eq!(access_token(body.as_bytes()).as_deref(), Ok("topsecret"));
    let why = access_token(br#"{"status":"success","data":{"token":"topsecret"}}"#).unwrap_err();
    assert!(!why.contains("topsecret"), "{why}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_complained_about(
        bytes in vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let mut nearly = json!({"status": "success", "data": [order()]}).to_string().into_bytes();
        let at = at.index(nearly.len());
        nearly[at] = flip;
        for body in [&bytes, &nearly] {
            if let Ok(all) = orders(body) {
                for order in all {
                    prop_assert!(order.cum_qty >= Quantity::ZERO && order.cum_qty <= order.quantity);
                    prop_assert!((order.status == ExecType::Fill) == (order.cum_qty == order.quantity));
                    prop_assert!(!order.text.chars().any(char::is_control));
                }
            }
            let _ = (trades(body), placed(body), failure(body), news(body), access_token(body));
            let _ = positions(body, Product::Mis, "alice", "NSE");
        }
    }
}
