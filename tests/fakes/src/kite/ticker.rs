//! The ticker: requests in JSON, prices in big-endian packets.

use super::{INSTRUMENTS, instrument, symbol};
use crate::world::World;
use crate::{Line, Message, now_ms};
use serde_json::Value;
use strat_core::Price;
use strat_core::decimal::SCALE;

/// What can be asked for.
pub(super) const MODES: [&str; 3] = ["ltp", "quote", "full"];

/// Who listens to a symbol in a mode listens to this.
pub(super) fn topic(mode: &str, symbol: &str) -> String {
    format!("{mode}:{symbol}")
}

/// The message of a single byte.
pub(super) fn heartbeat() -> Message {
    Message::binary(vec![0])
}

/// Answers a request, as Kite does, with the price of the moment.
pub(super) fn said(world: &World, line: &mut Line, message: &Message) -> Vec<Message> {
    let request: Value = serde_json::from_slice(&message.clone().into_data()).unwrap();
    let (action, value) = (request["a"].as_str().unwrap(), &request["v"]);
    match action {
        "subscribe" => listen(world, line, "quote", value),
        "mode" => listen(world, line, value[0].as_str().unwrap(), &value[1]),
        "unsubscribe" => {
            symbols(value).iter().for_each(|symbol| leave(line, symbol));
            Vec::new()
        }
        other => panic!("{other}"),
    }
}

fn listen(world: &World, line: &mut Line, mode: &str, tokens: &Value) -> Vec<Message> {
    let symbols = symbols(tokens);
    for symbol in &symbols {
        leave(line, symbol);
        line.topics.insert(topic(mode, symbol));
    }
    symbols.iter().map(|symbol| message(mode, symbol, world.book(|book| book.price(symbol)))).collect()
}

fn leave(line: &mut Line, symbol: &str) {
    for mode in MODES {
        line.topics.remove(&topic(mode, symbol));
    }
}

fn symbols(tokens: &Value) -> Vec<String> {
    let tokens = tokens.as_array().unwrap().iter().map(|token| token.as_u64().unwrap());
    let known = |token| INSTRUMENTS.iter().find(|(known, ..)| u64::from(*known) == token);
    tokens.filter_map(known).map(|(_, name, exchange, _)| symbol(exchange, name)).collect()
}

/// A message of one packet.
pub(super) fn message(mode: &str, symbol: &str, price: Price) -> Message {
    let token = instrument(symbol).0;
    // Currencies of NSE count in 10⁻⁷, shares in hundredths.
    let unit = if token & 0xFF == 3 { SCALE / 10_000_000 } else { SCALE / 100 };
    let length = match mode {
        "ltp" => 8,
        "quote" => 44,
        _ => 184,
    };
    let mut packet = vec![0; length];
    let mut put = |at: usize, number: i64| {
        if let Some(place) = packet.get_mut(at..at + 4) {
            place.copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        }
    };
    put(0, i64::from(token));
    put(4, price.units() / unit);
    put(44, now_ms() / 1_000);
    put(60, now_ms() / 1_000);
    let head = [1_u16.to_be_bytes(), u16::try_from(length).unwrap().to_be_bytes()].concat();
    Message::binary([head, packet].concat())
}
