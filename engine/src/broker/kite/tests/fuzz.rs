//! Damaged text frames of the ticker, which are the postbacks of orders, and damaged order books.

use super::wire::order;
use crate::broker::kite::config::Product;
use crate::broker::kite::order::Listed;
use crate::broker::kite::wire::{News, access_token, failure, news, orders, placed, positions, trades};
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};
use serde_json::json;

/// Whether an order is what was written of it. Fills without a price are told as such.
fn check(order: &Listed, said: &Json) -> Result<usize, String> {
    let units = |name| said.text(name).and_then(decimal::units);
    let filled = i128::from(order.cum_qty.units());
    let average = said.text("average_price").and_then(decimal::units_rounded);
    let right = said.text("order_id") == Some(&*order.order_id)
        && said.text("tradingsymbol") == Some(&*order.tradingsymbol)
        && said.text("exchange") == Some(&*order.exchange)
        && units("quantity") == Some(order.quantity.units().into())
        && units("filled_quantity") == Some(filled)
        && (0..=i128::from(order.quantity.units())).contains(&filled)
        && average.is_some_and(|average| average >= 0)
        && order.avg_px.map(|price| price.units().into()) == average.filter(|average| *average > 0 && filled > 0);
    if right { Ok(usize::from(order.avg_px.is_some())) } else { Err(format!("{order:?} is not {said:?}")) }
}

#[test]
fn damaged_postbacks_are_other_orders_or_none() {
    let update = json!({"type": "order", "id": "", "data": order()}).to_string();
    let averages = ["470.333333333333", "\"470.999999995\""].map(|digits| update.replace("3051.25", digits));
    let corpus = averages.into_iter().chain([update]).map(String::into_bytes).collect();
    run("kite-postbacks", corpus, |bytes| match news(bytes) {
        News::Order(order) => {
            let Ok(order) = *order else { return Ok(0) };
            let message = Json::read(bytes).filter(|message| message.text("type") == Some("order"));
            check(&order, message.as_ref().and_then(|message| message.get("data")).ok_or("it is about no order")?)
        }
        News::Error(_) | News::Other => Ok(0),
    });
}

#[test]
fn damaged_order_books_are_read_whole_or_refused() {
    let other = order().to_string().replace("151220000000000", "7").replace("3051.25", "0.000000005");
    let book = format!(r#"{{"status":"success","data":[{},{other}]}}"#, order());
    run("kite-books", vec![book.into_bytes()], |bytes| {
        let _ = (placed(bytes), access_token(bytes), failure(bytes), trades(bytes));
        let _ = positions(bytes, Product::Mis, "alice", "NSE");
        let Ok(read) = orders(bytes) else { return Ok(0) };
        let said = Json::read(bytes).filter(|said| said.text("status") == Some("success"));
        let said = said.as_ref().and_then(|said| said.get("data")).ok_or("it holds no orders")?;
        // Orders of others that cannot be read are left out; what is read keeps its order.
        let mut next = said.items().iter();
        let mut right = |order: &Listed| {
            let checked = next.by_ref().map(|said| check(order, said)).find(Result::is_ok);
            checked.unwrap_or_else(|| Err(format!("{order:?} is none of {said:?}")))
        };
        read.iter().map(&mut right).sum()
    });
}
