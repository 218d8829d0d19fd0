//! Damaged messages of a feed by a mapping.

use super::tests::{mapping, pointer};
use super::{Dialect as _, Mapped, Mapping, Tick};
use crate::clock::ReplayClock;
use crate::fuzz::json::Json;
use crate::fuzz::{decimal, run};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Symbol, units of the price, its text, time.
type Seen = (String, i128, String, i64);

/// What the items of a message say that may be ticks, in their order.
fn second(items: &Json) -> Vec<Seen> {
    let seen = |item: &Json| {
        let (symbol, price) = (item.text("s")?, item.text("p")?);
        // Finer parts of a millisecond are cut off.
        let ts_ms = item.text("t")?.split('.').next()?.parse().ok()?;
        Some((symbol.to_owned(), decimal::units(price)?, price.to_owned(), ts_ms))
    };
    items.items().iter().filter_map(seen).collect()
}

/// Each tick is one of those, in their order; some that are wrong elsewhere may be left out.
fn check(ticks: &VecDeque<Tick>, said: &[Seen]) -> Result<usize, String> {
    let mut said_next = said.iter();
    for tick in ticks {
        let seen = (tick.symbol.to_string(), tick.price.units().into(), tick.price_text.clone(), tick.ts_ms);
        if !said_next.any(|said| *said == seen) {
            return Err(format!("{seen:?} is none of {said:?}"));
        }
    }
    Ok(ticks.len())
}

fn read(mapping: Mapping, bytes: &[u8]) -> VecDeque<Tick> {
    let clock = Arc::new(ReplayClock::at(77));
    let mut dialect = Mapped { mapping, subscribe: String::new(), clock, symbols: HashSet::new() };
    let mut ticks = VecDeque::new();
    let _ = dialect.read(bytes, &mut ticks);
    ticks
}

#[test]
fn damaged_messages_tell_what_is_in_them_or_nothing() {
    let corpus = [
        r#"{"s":"IBM","p":99.50,"t":1760000000000,"v":3}"#,
        r#"[{"s":"IBM","p":"99.5","t":"1760000000000.25"},{"p":0.00000001,"s":"M&M","t":5,"v":null}]"#,
        r#"[1,null,{"s":"A","p":"x","t":1},{"s":"BTC\/USDT","p":7,"t":1},{"s":"C","p":-2,"t":1}]"#,
    ];
    run("mapped-items", corpus.map(|text| text.as_bytes().to_vec()).into(), |bytes| {
        let ticks = read(mapping(), bytes);
        let said = Json::read(bytes).map(|items| second(&items)).unwrap_or_default();
        check(&ticks, &said)
    });
}

#[test]
fn damaged_messages_of_other_kinds_tell_nothing() {
    let corpus = [
        r#"{"type":"trade","trades":[{"s":"IBM","p":99.50,"t":1760000000000,"v":"3"},{"s":"TCS","p":"1","t":2}]}"#,
        r#"{"trades":{"s":"IBM","p":0.5,"t":3},"type":"trade"}"#,
    ];
    let mapping =
        || Mapping { items: pointer("/trades"), only: Some((pointer("/type"), "trade".to_owned())), ..mapping() };
    run("mapped-envelopes", corpus.map(|text| text.as_bytes().to_vec()).into(), |bytes| {
        let ticks = read(mapping(), bytes);
        let message = Json::read(bytes).filter(|message| message.text("type") == Some("trade"));
        let said = message.and_then(|message| message.get("trades").map(second)).unwrap_or_default();
        check(&ticks, &said)
    });
}
