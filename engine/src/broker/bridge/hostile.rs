//! What a bridge may answer: any bytes, and JSON that is nearly right.

use super::wire;
use crate::broker::OrderRef;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strat_core::{ExecType, Price, Quantity};

const FIELDS: [&str; 10] =
    ["client_order_id", "user", "symbol", "side", "quantity", "status", "cum_qty", "avg_px", "text", "ts_ms"];

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> + Clone {
    let words = [
        "",
        "A",
        "BUY",
        "SELL",
        "10",
        "-1",
        "0",
        "1e5",
        "99.5",
        "FILL",
        "NEW",
        "CANCELED",
        "nan",
        "\u{1b}[2J\n",
        "89999999999.99999999",
        "9223372036854775807",
    ];
    let plain = prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(Value::from),
        1 => "[\\x00-\\x{ffff}]{0,20}".prop_map(Value::from),
        1 => "\\PC{400,1200}".prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    plain
        .prop_recursive(3, 24, 4, |inner| {
            let object = vec((prop::sample::select(FIELDS.to_vec()), inner.clone()), 0..4);
            prop_oneof![
                vec(inner, 0..4).prop_map(Value::from),
                object.prop_map(|members| members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()),
            ]
        })
        .boxed()
}

/// An order that does not contradict itself, with its number.
fn order() -> impl Strategy<Value = Value> {
    let ids = ("[A-Z2-7]{1,20}", "[a-z]{1,8}", "[A-Z&.-]{1,10}", "\\PC{0,30}");
    let units = (1..1_000_000i64, 0..=100u8, 1..1_000_000i64);
    let status = prop::sample::select(ExecType::ALL.to_vec());
    (ids, units, status, any::<bool>(), 0..=i64::MAX).prop_map(|((id, user, symbol, text), (units, part, price), status, buy, ts)| {
        let filled = match status {
            ExecType::New | ExecType::Rejected => 0,
            ExecType::Fill => units,
            ExecType::PartialFill => (units * i64::from(part) / 100).clamp(1, (units - 1).max(1)),
            ExecType::Canceled | ExecType::Expired => units * i64::from(part) / 100,
        };
        // A part of one unit would be the whole.
        let units = if status == ExecType::PartialFill { units.max(filled + 1) } else { units };
        let price = if filled == 0 { String::new() } else { Price::from_units(price).to_string() };
        let [quantity, filled] = [units, filled].map(|units| Quantity::from_units(units).to_string());
        json!({
            "seq": ts, "client_order_id": id, "user": user, "symbol": symbol, "side": if buy { "BUY" } else { "SELL" },
            "quantity": quantity, "status": status.as_str(), "cum_qty": filled, "avg_px": price, "text": text, "ts_ms": ts,
        })
    })
}

/// One with a field that is something else, absent or surplus.
fn nearly_order() -> impl Strategy<Value = Value> {
    let change = (prop::sample::select([FIELDS.as_slice(), &["seq", "other"]].concat()), prop::option::of(any_json()));
    (order(), vec(change, 0..3)).prop_map(|(mut order, changes)| {
        for (name, value) in changes {
            match value {
                Some(value) => order[name] = value,
                None => drop(order.as_object_mut().and_then(|order| order.remove(name))),
            }
        }
        order
    })
}

fn asked(order: &Value) -> OrderRef<'_> {
    let text = |name: &str| order[name].as_str().unwrap_or("?");
    OrderRef { client_order_id: text("client_order_id"), user: text("user"), symbol: text("symbol") }
}

/// One line that a log can hold.
fn complaint<T>(outcome: Result<T, String>) -> Result<Option<T>, TestCaseError> {
    match outcome {
        Ok(read) => Ok(Some(read)),
        Err(why) => {
            prop_assert!(
                !why.is_empty() && why.chars().count() <= 1_300 && !why.chars().any(char::is_control),
                "{why:?}"
            );
            Ok(None)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_is_answered_it_is_read_or_complained_about(
        bytes in vec(any::<u8>(), 0..200),
        any in any_json(),
        orders in vec(nearly_order(), 0..3),
        last in any::<i64>(),
    ) {
        let bodies = [
            any.to_string(),
            json!({"error": any}).to_string(),
            json!({"orders": orders}).to_string(),
            json!({"positions": orders}).to_string(),
            json!({"last": last, "reports": orders}).to_string(),
        ];
        for body in bodies.iter().map(String::as_bytes).chain([&*bytes]) {
            complaint(wire::order(body, asked(&Value::Null)))?;
            complaint(wire::refusal(body))?;
            complaint(wire::orders(body))?;
            complaint(wire::positions(body))?;
            complaint(wire::reports(body))?;
        }
        for order in orders {
            complaint(wire::order(order.to_string().as_bytes(), asked(&order)))?;
            complaint(wire::report(order))?;
        }
    }

    #[test]
    fn what_was_read_does_not_contradict_itself(order in nearly_order()) {
        let Some(read) = complaint(wire::order(order.to_string().as_bytes(), asked(&order)))? else { return Ok(()) };
        let state = read.state;
        prop_assert!(state.cum_qty >= Quantity::ZERO && state.cum_qty <= read.quantity && state.ts_ms >= 0);
        prop_assert_eq!(state.avg_px.is_some(), state.cum_qty > Quantity::ZERO);
        prop_assert!(state.status != ExecType::Fill || state.cum_qty == read.quantity);
        prop_assert!(!state.text.chars().any(char::is_control));
    }

    #[test]
    fn an_order_that_is_sound_reads_as_it_is(order in order()) {
        let body = order.to_string();
        let read = wire::order(body.as_bytes(), asked(&order)).map_err(TestCaseError::fail)?;
        let listed = wire::orders(json!({"orders": [order]}).to_string().as_bytes()).map_err(TestCaseError::fail)?;
        let (seq, reported) = wire::report(order.clone()).map_err(TestCaseError::fail)?;
        let again = json!({
            "seq": seq,
            "client_order_id": &read.state.client_order_id, "user": &read.user, "symbol": &read.symbol, "side": read.side,
            "quantity": read.quantity.to_string(), "status": read.state.status.as_str(), "cum_qty": read.state.cum_qty.to_string(),
            "avg_px": read.state.avg_px.map_or_else(String::new, |price| price.to_string()),
            "text": &read.state.text, "ts_ms": read.state.ts_ms,
        });
        prop_assert_eq!(again, order);
        prop_assert_eq!(reported, read.state.clone());
        prop_assert_eq!(listed.len(), 1);
        prop_assert_eq!(&listed[0].state, &read.state);
    }
}
