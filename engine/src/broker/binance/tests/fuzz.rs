//! Damaged execution reports.

use super::wire::report;
use crate::broker::OrderState;
use crate::broker::binance::events::{Message, message};
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};

/// Whether the state is that of the event.
fn check(state: &OrderState, said: &Json) -> Result<usize, String> {
    let event = said.get("event").ok_or("there is no event")?;
    let id = event.text("C").filter(|id| !id.is_empty() && *id != "null").or_else(|| event.text("c"));
    let filled = i128::from(state.cum_qty.units());
    let (quote, quantity) = (event.text("Z").unwrap_or_default(), event.text("z").unwrap_or_default());
    let average = decimal::average(quote, quantity).filter(|_| filled > 0);
    let right = event.text("e") == Some("executionReport")
        && id == Some(&*state.client_order_id)
        && decimal::units(quantity) == Some(filled)
        && event.text("q").and_then(decimal::units).is_some_and(|asked| (0..=asked).contains(&filled))
        && state.avg_px.map(|price| price.units().into()) == average
        && event.text("T").and_then(|text| text.parse().ok()) == Some(state.ts_ms);
    if right { Ok(usize::from(state.avg_px.is_some())) } else { Err(format!("{state:?} is not {event:?}")) }
}

#[test]
fn damaged_reports_are_of_other_orders_or_none() {
    let with = |changes: &[(&str, &str)]| {
        let mut told = report();
        changes.iter().for_each(|(name, value)| told["event"][*name] = (*value).into());
        told.to_string().into_bytes()
    };
    let third = with(&[("q", "3"), ("z", "3"), ("Z", "2.00000000"), ("X", "FILLED")]);
    let ended = with(&[("C", "ID0"), ("c", "other"), ("X", "CANCELED"), ("x", "CANCELED")]);
    run("binance-orders", vec![with(&[]), third, ended], |bytes| match (message(bytes, "alice"), Json::read(bytes)) {
        (Ok(Message::Execution(told)), Some(said)) => check(&told.order.state, &said),
        (Ok(Message::Execution(told)), None) => Err(format!("{told:?} is in nothing that can be read")),
        _ => Ok(0),
    });
}
