//! A feed over any WebSocket that speaks JSON: where symbol, price, time and size stand in a message is said by JSON
//! Pointers (RFC 6901).
//!
//! Numbers are read as they are written, never by way of a float. A message without a symbol or a price is none of a tick's, an
//! acknowledgement or a heartbeat, and is passed over; one whose symbol, price, time or size makes no sense is counted.

use super::socket::{Dialect, Heard, SocketFeed, SocketSettings};
use super::{Feed, FeedError, Stamp, Tick, TradeId};
use crate::clock::Clock;
use crate::failure::one_line;
use async_trait::async_trait;
use serde_json::value::RawValue;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use strat_core::key::check_symbol;
use strat_core::{Price, Quantity};

mod pointer;
mod time;

pub use pointer::Pointer;
pub use time::TimeUnit;

/// Largest message, bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Ticks of one message; what is beyond is an error, not memory.
const TICKS_MAX: usize = 10_000;
/// Symbols whose names are kept for sharing; further ones are just not shared.
const SYMBOLS_MAX: usize = 1_000_000;

/// Where in a message things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The list of ticks in a message; the whole message where it is empty. What is no list is one tick.
    pub items: Pointer,
    /// Only messages where this stands there are looked at: `(pointer, text)`.
    pub only: Option<(Pointer, String)>,
    /// In an item: the symbol.
    pub symbol: Pointer,
    /// The price, a number or a text.
    pub price: Pointer,
    /// The time; that of arrival where it is not said.
    pub time: Option<Pointer>,
    /// What the time is counted in.
    pub time_unit: TimeUnit,
    /// The traded quantity.
    pub size: Option<Pointer>,
    /// The trade's number or name.
    pub id: Option<Pointer>,
}

/// The feed.
pub struct MappedFeed(SocketFeed<Mapped>);

impl MappedFeed {
    /// A feed that connects to `url` when its first tick is asked for, says `subscribe` where that is not empty, and is
    /// connected anew where nothing is heard for as long as `idle` in spite of pings; zero for never.
    #[must_use]
    pub fn new(url: &str, subscribe: &str, mapping: Mapping, idle: Duration, clock: Arc<dyn Clock>) -> Self {
        let settings =
            SocketSettings { url: url.to_owned(), idle, renew: Duration::ZERO, message_bytes: MESSAGE_BYTES_MAX };
        let dialect = Mapped { mapping, subscribe: subscribe.to_owned(), clock, symbols: HashSet::new() };
        Self(SocketFeed::new(settings, dialect))
    }
}

#[async_trait]
impl Feed for MappedFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        self.0.next().await
    }
}

struct Mapped {
    mapping: Mapping,
    subscribe: String,
    clock: Arc<dyn Clock>,
    symbols: HashSet<Arc<str>>,
}

impl Dialect for Mapped {
    fn greetings(&self) -> Vec<String> {
        Some(self.subscribe.clone()).filter(|text| !text.is_empty()).into_iter().collect()
    }

    fn answers(&self) -> bool {
        false
    }

    fn read(&mut self, message: &[u8], ticks: &mut VecDeque<Tick>) -> Result<Heard, String> {
        let message: &RawValue = serde_json::from_slice(message).map_err(|error| one_line(&error.to_string()))?;
        if let Some((pointer, wanted)) = &self.mapping.only
            && pointer.find(message)?.is_none_or(|found| text_of(found).as_deref() != Ok(wanted.as_str()))
        {
            return Ok(Heard::Read);
        }
        let Some(items) = self.mapping.items.find(message)? else { return Ok(Heard::Read) };
        if !items.get().starts_with('[') {
            ticks.extend(self.tick(items)?);
            return Ok(Heard::Read);
        }
        let items: Vec<&RawValue> = serde_json::from_str(items.get()).map_err(|error| one_line(&error.to_string()))?;
        if items.len() > TICKS_MAX {
            return Err(format!("it has {} ticks; {TICKS_MAX} are taken at once", items.len()));
        }
        // One that makes no sense does not take the others with it.
        let mut wrong = None;
        for item in items {
            match self.tick(item) {
                Ok(tick) => ticks.extend(tick),
                Err(why) => wrong = Some(why),
            }
        }
        wrong.map_or(Ok(Heard::Read), Err)
    }
}

impl Mapped {
    /// `None` for what is no tick at all.
    fn tick(&mut self, item: &RawValue) -> Result<Option<Tick>, String> {
        let Mapping { symbol, price, time, size, time_unit, id, .. } = &self.mapping;
        let (Some(symbol), Some(price)) = (symbol.find(item)?, price.find(item)?) else { return Ok(None) };
        let (symbol, price_text) = (text_of(symbol)?, text_of(price)?);
        let price =
            Price::parse(price_text.as_bytes()).map_err(|why| format!("price '{}' {why}", one_line(&price_text)))?;
        let (ts_ms, stamp) = match time {
            None => (self.clock.now_ms(), Stamp::Arrival),
            Some(time) => {
                let text = text_of(time.find(item)?.ok_or("it has no time where feed.json_time points to")?)?;
                let bad = || format!("'{}' is no time in {time_unit}", one_line(&text));
                (time_unit.parse(&text).ok_or_else(bad)?, Stamp::Market)
            }
        };
        let size = match size.as_ref().map(|size| size.find(item)).transpose()?.flatten() {
            None => None,
            Some(size) => {
                let text = text_of(size)?;
                Some(Quantity::parse(text.as_bytes()).map_err(|why| format!("size '{}' {why}", one_line(&text)))?)
            }
        };
        // What is no name is no reason to lose the price.
        let id = id.as_ref().map(|id| id.find(item)).transpose()?.flatten();
        let id = id.and_then(|id| text_of(id).ok()).map(|id| TradeId::of_text(&id));
        Ok(Some(Tick { ts_ms, stamp, symbol: self.shared(&symbol)?, price, price_text, size, id }))
    }

    fn shared(&mut self, symbol: &str) -> Result<Arc<str>, String> {
        if let Some(known) = self.symbols.get(symbol) {
            return Ok(Arc::clone(known));
        }
        check_symbol(symbol).map_err(|refusal| one_line(&refusal.detail))?;
        let symbol: Arc<str> = symbol.into();
        if self.symbols.len() < SYMBOLS_MAX {
            self.symbols.insert(Arc::clone(&symbol));
        }
        Ok(symbol)
    }
}

/// A text, or the digits of a number as they are written.
fn text_of(value: &RawValue) -> Result<String, String> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map_err(|error| one_line(&error.to_string())),
        Some(b'-' | b'0'..=b'9') => Ok(raw.to_owned()),
        _ => Err(format!("'{}' is neither a text nor a number", one_line(raw.get(..40).unwrap_or(raw)))),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
