//! Messages of the market data stream. Each is an array; a part that cannot be read loses none of the others.
//!
//! Source: "Real-time Stock Data" at docs.alpaca.markets.

use crate::broker::wire::read::{Amount, json, printable};
use crate::feed::{Stamp, Tick, TradeId};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use strat_core::{Price, Quantity};

/// Conditions of trades that do not make the last price, by the rules of the consolidated tapes: of another
/// settlement (C cash, N next day, R seller), at a price of another time or made from others (B and W average, H price
/// variation, P prior reference, 4 derivative, V and 7 contingent, Z and U out of sequence), repeats (M and Q official
/// close and open), and T of extended hours, when orders for the regular session do not work. Odd lots (I) count: they are
/// trades at the market's price.
pub(super) const OUT_OF_LINE: &[&str] = &["B", "C", "H", "M", "N", "P", "Q", "R", "T", "U", "V", "W", "Z", "4", "7"];

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A trade that makes the last price.
    Trade(Trade),
    /// `connected` or `authenticated`.
    Success(String),
    /// The symbols whose trades come.
    Subscribed(BTreeSet<String>),
    /// A refusal.
    Error { code: u64, words: String },
    /// What is not asked for, and trades that do not make the last price.
    Other,
}

/// A trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trade {
    pub(super) symbol: String,
    price: Price,
    price_text: String,
    size: Option<Quantity>,
    ts_ms: i64,
    id: Option<TradeId>,
}

impl Trade {
    pub(super) fn tick(self, symbol: Arc<str>) -> Tick {
        let Self { price, price_text, size, ts_ms, id, .. } = self;
        Tick { ts_ms, stamp: Stamp::Market, symbol, price, price_text, size, id }
    }
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "T")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(borrow, rename = "S")]
    symbol: Cow<'a, str>,
    #[serde(borrow, rename = "p")]
    price: Amount<'a>,
    #[serde(borrow, rename = "s")]
    size: Option<Amount<'a>>,
    #[serde(rename = "t")]
    time: Timestamp,
    /// Any value: whatever it is, the price counts.
    #[serde(borrow, default, rename = "i")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "c")]
    conditions: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Success<'a> {
    #[serde(borrow)]
    msg: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    code: u64,
    #[serde(borrow)]
    msg: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow, default)]
    trades: Option<Vec<Cow<'a, str>>>,
}

/// The parts of a message.
pub(super) fn read(message: &[u8]) -> Result<Vec<Result<Said, String>>, String> {
    let parts: Vec<&RawValue> = json(message)?;
    Ok(parts.into_iter().map(|part| read_part(part.get().as_bytes())).collect())
}

fn read_part(part: &[u8]) -> Result<Said, String> {
    match &*json::<Kind<'_>>(part)?.kind {
        "t" => trade(json(part)?),
        "success" => Ok(Said::Success(json::<Success<'_>>(part)?.msg.into_owned())),
        "error" => {
            let Refusal { code, msg } = json(part)?;
            Ok(Said::Error { code, words: printable(&msg) })
        }
        "subscription" => {
            let trades = json::<Subscription<'_>>(part)?.trades.unwrap_or_default();
            Ok(Said::Subscribed(trades.into_iter().map(Cow::into_owned).collect()))
        }
        _ => Ok(Said::Other),
    }
}

fn trade(trade: WireTrade<'_>) -> Result<Said, String> {
    let conditions = trade.conditions.unwrap_or_default();
    if conditions.iter().any(|condition| OUT_OF_LINE.contains(&&**condition)) {
        return Ok(Said::Other);
    }
    Ok(Said::Trade(Trade {
        symbol: trade.symbol.into_owned(),
        price: trade.price.price("p")?,
        price_text: trade.price.text().to_owned(),
        // A size of more digits than ours is no reason to lose the price.
        size: trade.size.and_then(|size| size.quantity("s").ok()),
        ts_ms: trade.time.as_millisecond(),
        id: trade.id.map(|id| TradeId::of_text(id.get())),
    }))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// As the documentation shows it, with two more of its kinds.
    pub(super) const MESSAGE: &str = r#"[
        {"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208123456Z","c":["@","I"],"z":"C"},
        {"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335Z","c":["R"],"z":"C"},
        {"T":"t","i":2,"S":"AAPL","x":"D","p":1.00,"s":0.5,"t":"2021-02-22T15:51:44.208Z","c":["@","Z"],"z":"C"},
        {"T":"subscription","trades":["AAPL"],"quotes":[],"bars":["*"]},
        {"T":"error","code":406,"msg":"connection limit exceeded"},
        {"T":"success","msg":"authenticated"}]"#;

    #[test]
    fn only_trades_at_the_last_price_are_ticks() {
        let said: Vec<_> = read(MESSAGE.as_bytes()).unwrap().into_iter().map(Result::unwrap).collect();
        let Said::Trade(trade) = said[0].clone() else { panic!("{said:?}") };
        let tick = trade.tick("AAPL".into());
        assert_eq!((tick.price_text.as_str(), tick.ts_ms), ("126.55", 1_614_009_104_208));
        assert_eq!((tick.price, tick.size), ("126.55".parse().unwrap(), Some("1".parse().unwrap())));
        assert_eq!((tick.stamp, tick.id), (Stamp::Market, Some(TradeId::of_number(96_921))));
        assert_eq!(&said[1..3], [Said::Other, Said::Other]);
        assert_eq!(said[3], Said::Subscribed(["AAPL".to_owned()].into()));
        assert_eq!(said[4], Said::Error { code: 406, words: "connection limit exceeded".to_owned() });
        assert_eq!(said[5], Said::Success("authenticated".to_owned()));
    }

    #[test]
    fn a_part_that_is_broken_loses_no_other() {
        let good = r#"{"T":"t","S":"A","p":1.5,"t":"2021-02-22T15:51:44Z"}"#;
        for bad in [
            r#"{"T":"t","S":"A","t":"2021-02-22T15:51:44Z"}"#,
            r#"{"T":"t","S":"A","p":0,"t":"2021-02-22T15:51:44Z"}"#,
            r#"{"T":"t","S":"A","p":1e300,"t":"2021-02-22T15:51:44Z"}"#,
            r#"{"T":"t","S":"A","p":1.5,"t":"yesterday"}"#,
            r#"{"T":"t","S":7,"p":1.5,"t":"2021-02-22T15:51:44Z"}"#,
            r#"{"T":7}"#,
            "null",
        ] {
            let parts = read(format!("[{good},{bad},{good}]").as_bytes()).unwrap();
            assert!(parts[1].is_err() && parts[0].is_ok() && parts[0] == parts[2], "{bad}: {parts:?}");
        }
        assert!(read(b"{}").is_err() && read(b"[").is_err() && read(b"\xff").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_bytes_are_read_or_complained_about(bytes in vec(any::<u8>(), 0..200), cut in 0..700_usize, byte in any::<u8>()) {
            let mut near = MESSAGE.as_bytes().to_vec();
            let at = cut % near.len();
            near[at] = byte;
            for message in [&bytes[..], &near[..], &near[..at]] {
                for part in read(message).unwrap_or_default().into_iter().flatten() {
                    if let Said::Trade(trade) = part {
                        prop_assert!(trade.price > Price::ZERO);
                        prop_assert_eq!(Price::parse(trade.price_text.as_bytes()), Ok(trade.price));
                    }
                }
            }
        }

        #[test]
        fn a_price_is_the_digits_that_were_sent(whole in 0..100_000_u32, part in "[0-9]{1,8}") {
            let text = format!("{whole}.{part}");
            let message = format!(r#"[{{"T":"t","S":"A","p":{text},"s":3,"t":"2021-02-22T15:51:44Z"}}]"#);
            let said = read(message.as_bytes()).unwrap().remove(0);
            match (said, Price::parse(text.as_bytes()).unwrap()) {
                (Ok(Said::Trade(trade)), price) => {
                    prop_assert_eq!((trade.price, trade.price_text), (price, text));
                }
                (Err(_), price) => prop_assert_eq!(price, Price::ZERO),
                (said, _) => prop_assert!(false, "{said:?}"),
            }
        }
    }
}
