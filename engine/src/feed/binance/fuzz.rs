//! Damaged messages of Binance's trades.

use super::tests::{dialect, trade};
use super::{Dialect as _, Tick, TradeId, VecDeque};
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};

/// Whether a tick is what the message says.
fn check(tick: &Tick, message: &Json) -> Result<(), String> {
    let data = message.get("data").ok_or("there are no data")?;
    let units = data.text("p").and_then(decimal::units);
    let right = data.text("e") == Some("trade")
        && data.text("s") == Some(&*tick.symbol)
        && units == Some(tick.price.units().into())
        && tick.price.units() > 0
        && data.text("p") == Some(&*tick.price_text)
        && data.text("q").and_then(decimal::units) == tick.size.map(|size| size.units().into())
        && data.text("T").and_then(|text| text.parse().ok()) == Some(tick.ts_ms)
        && data.text("t").and_then(|text| text.parse().ok()).map(TradeId::of_number) == tick.id;
    if right { Ok(()) } else { Err(format!("{tick:?} is not {data:?}")) }
}

#[test]
fn damaged_trades_are_other_trades_or_none() {
    let other =
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":1,"p":"60000.00000001","q":"1","T":5}}"#;
    let corpus = vec![trade().to_string().into_bytes(), other.as_bytes().to_vec()];
    run("binance-trades", corpus, |bytes| {
        let mut ticks = VecDeque::new();
        let _ = dialect().read(bytes, &mut ticks);
        match (ticks.pop_front(), ticks.is_empty(), Json::read(bytes)) {
            (None, ..) => Ok(0),
            (Some(tick), true, Some(message)) => check(&tick, &message).map(|()| 1),
            (Some(tick), one, second) => Err(format!("{tick:?}, alone {one}, is not {second:?}")),
        }
    });
}
