//! The ticker: requests in JSON, prices in big-endian packets.

use super::{Instrument, Kite};
use crate::world::World;
use crate::{Line, Message, now_ms};
use serde_json::Value;
use strat_core::Price;
use strat_core::decimal::SCALE;

/// What can be asked for.
pub(super) const MODES: [&str; 3] = ["ltp", "quote", "full"];
/// Instruments that a connection may subscribe to.
const PER_LINE_MAX: usize = 3_000;
/// Bytes of a packet in mode `full`.
pub(super) const FULL_BYTES: usize = 184;

/// Who listens to a symbol in a mode listens to this.
pub(super) fn topic(mode: &str, symbol: &str) -> String {
    format!("{mode}:{symbol}")
}

/// The message of a single byte.
pub(super) fn heartbeat() -> Message {
    Message::binary(vec![0])
}

/// Answers a request, as Kite does, with the prices of the moment.
pub(super) fn said(kite: &Kite, world: &World, line: &mut Line, message: &Message) -> Vec<Message> {
    let request: Value = serde_json::from_slice(&message.clone().into_data()).unwrap();
    let (action, value) = (request["a"].as_str().unwrap(), &request["v"]);
    match action {
        "subscribe" => listen(world, line, "quote", &named(kite, value)),
        "mode" => {
            let instruments = named(kite, &value[1]);
            line.play = kite.day.as_ref().map(|day| day.player(&instruments));
            listen(world, line, value[0].as_str().unwrap(), &instruments)
        }
        "unsubscribe" => {
            named(kite, value).iter().for_each(|instrument| leave(line, &instrument.symbol()));
            Vec::new()
        }
        other => panic!("{other}"),
    }
}

fn listen(world: &World, line: &mut Line, mode: &str, instruments: &[Instrument]) -> Vec<Message> {
    for instrument in instruments {
        let symbol = instrument.symbol();
        leave(line, &symbol);
        line.topics.insert(topic(mode, &symbol));
    }
    let subscribed = line.topics.iter().filter(|topic| topic.contains(':')).count();
    assert!(subscribed <= PER_LINE_MAX, "a connection to Kite's ticker takes {PER_LINE_MAX}, not {subscribed}");
    let price = |instrument: &Instrument| world.book(|book| book.price(&instrument.symbol()));
    instruments.iter().map(|instrument| message(mode, instrument, price(instrument))).collect()
}

fn leave(line: &mut Line, symbol: &str) {
    for mode in MODES {
        line.topics.remove(&topic(mode, symbol));
    }
}

fn named(kite: &Kite, tokens: &Value) -> Vec<Instrument> {
    let tokens = tokens.as_array().unwrap().iter().map(|token| u32::try_from(token.as_u64().unwrap()).unwrap());
    tokens.filter_map(|token| kite.instruments.of_token(token).cloned()).collect()
}

/// A message of one packet.
pub(super) fn message(mode: &str, instrument: &Instrument, price: Price) -> Message {
    // Currencies of NSE count in 10⁻⁷, shares in hundredths.
    let unit = if instrument.token & 0xFF == 3 { SCALE / 10_000_000 } else { SCALE / 100 };
    let length = match mode {
        "ltp" => 8,
        "quote" => 44,
        _ => FULL_BYTES,
    };
    let raw = u32::try_from(price.units() / unit).unwrap();
    let mut bytes = 1_u16.to_be_bytes().to_vec();
    put(&mut bytes, length, instrument.token, raw, u32::try_from(now_ms() / 1_000).unwrap());
    Message::binary(bytes)
}

/// Appends a packet behind its length; what is not told in so many bytes is left out.
pub(super) fn put(bytes: &mut Vec<u8>, length: usize, token: u32, raw: u32, now_s: u32) {
    bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    let from = bytes.len();
    bytes.resize(from + length, 0);
    for (at, number) in [(0, token), (4, raw), (44, now_s), (60, now_s)] {
        if let Some(place) = bytes[from..].get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }
}
