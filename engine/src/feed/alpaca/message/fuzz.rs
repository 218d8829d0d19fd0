//! Damaged messages of Alpaca's trades.

use super::tests::MESSAGE;
use super::{Said, read};
use crate::feed::TradeId;
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};

/// Whether a trade says what its part of the message says.
fn check(said: &Said, part: &Json) -> Result<usize, String> {
    let Said::Trade(trade) = said else { return Ok(0) };
    let units = part.text("p").and_then(decimal::units);
    let right = part.text("T") == Some("t")
        && part.text("S") == Some(&*trade.symbol)
        && units == Some(trade.price.units().into())
        && trade.price.units() > 0
        && part.text("p") == Some(&*trade.price_text)
        && trade.id.is_none_or(|id| id_of(part).is_none_or(|other| other == id));
    if right { Ok(1) } else { Err(format!("{trade:?} is not {part:?}")) }
}

/// Of a number: other names are only compared with themselves.
fn id_of(part: &Json) -> Option<TradeId> {
    let Some(Json::Word(text)) = part.get("i") else { return None };
    text.parse().ok().map(TradeId::of_number)
}

#[test]
fn damaged_trades_are_other_trades_or_none() {
    let single = r#"[{"T":"t","i":"a-7","S":"A.B","x":"D","p":"0.00000001","s":"3","t":"2021-02-22T15:51:44Z"}]"#;
    let corpus = [MESSAGE, single].map(|text| text.as_bytes().to_vec());
    run("alpaca-trades", corpus.into(), |bytes| {
        let Ok(parts) = read(bytes) else { return Ok(0) };
        // What is nested deeper than the second reader goes has no trades.
        let Some(list) = Json::read(bytes) else { return Ok(0) };
        if parts.len() != list.items().len() {
            return Err(format!("{} parts are not {}", parts.len(), list.items().len()));
        }
        let told = parts.iter().zip(list.items()).filter_map(|(said, part)| Some(check(said.as_ref().ok()?, part)));
        told.sum()
    });
}
