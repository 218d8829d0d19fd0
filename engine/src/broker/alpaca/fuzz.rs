//! Damaged updates of orders.

use super::stream::read;
use super::tests::good;
use crate::broker::OrderState;
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};
use serde_json::json;

/// Whether the state is that of the order in the message.
fn check(state: &OrderState, message: &Json) -> Result<usize, String> {
    let order = message.get("data").and_then(|data| data.get("order")).ok_or("it is about no order")?;
    let filled = i128::from(state.cum_qty.units());
    let average = order.text("filled_avg_price").and_then(decimal::units_cut);
    let right = message.text("stream") == Some("trade_updates")
        && order.text("client_order_id") == Some(&*state.client_order_id)
        && order.text("filled_qty").and_then(decimal::units) == Some(filled)
        && order.text("qty").and_then(decimal::units).is_some_and(|quantity| (0..=quantity).contains(&filled))
        && state.avg_px.map(|price| price.units().into()) == average.filter(|_| filled > 0);
    if right { Ok(usize::from(state.avg_px.is_some())) } else { Err(format!("{state:?} is not {order:?}")) }
}

#[test]
fn damaged_updates_are_of_other_orders_or_none() {
    let update = |status: &str, filled: &str| {
        let mut order = good();
        (order["status"], order["filled_qty"]) = (status.into(), filled.into());
        json!({"stream": "trade_updates", "data": {"event": status, "price": "179.08", "order": order}}).to_string()
    };
    let corpus = [update("partially_filled", "5.5"), update("filled", "15"), update("canceled", "0.00000001")];
    run("alpaca-orders", corpus.map(String::into_bytes).into(), |bytes| {
        match (read(bytes, "alice"), Json::read(bytes)) {
            (Ok(Some(state)), Some(message)) => check(&state, &message),
            (Ok(Some(state)), None) => Err(format!("{state:?} is in nothing that can be read")),
            (Ok(None) | Err(_), _) => Ok(0),
        }
    });
}
