//! Settings of the feeds that anybody can write to: a Redis stream, and a WebSocket that speaks JSON.

use super::table::{Setting, one_of, row};
use super::values::{checked, secret_row, shown};
use crate::failure::failure;
use crate::feed::{Mapping, Pointer, StreamSettings, TimeUnit};
use crate::net::check_socket;
use color_eyre::Result;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Display;

/// Longest address and longest message.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Settings of both.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Key of the stream.
    pub stream: String,
    /// Address of the WebSocket; may hold a token.
    pub url: SecretString,
    /// What is said on it first; may hold a token.
    pub subscribe_message: SecretString,
    /// Where the ticks of a message are.
    pub items: Pointer,
    /// `(pointer, text)`: other messages are passed over.
    pub only: Option<(Pointer, String)>,
    /// Where in a tick the symbol is.
    pub symbol: Option<Pointer>,
    /// The price.
    pub price: Option<Pointer>,
    /// The time.
    pub time: Option<Pointer>,
    /// What it is counted in.
    pub time_unit: TimeUnit,
    /// The size.
    pub size: Option<Pointer>,
    /// The trade's number or name.
    pub id: Option<Pointer>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            stream: "ticks".to_owned(),
            url: SecretString::default(),
            subscribe_message: SecretString::default(),
            items: Pointer::default(),
            only: None,
            symbol: None,
            price: None,
            time: None,
            time_unit: TimeUnit::Millis,
            size: None,
            id: None,
        }
    }
}

impl SourceSettings {
    /// What the feed from a Redis stream is opened with.
    #[must_use]
    pub fn stream(&self) -> StreamSettings {
        StreamSettings { stream: self.stream.clone() }
    }

    /// Address, greeting and mapping of the feed over a WebSocket.
    ///
    /// # Errors
    /// Where one that is needed is not set.
    pub fn websocket(&self) -> Result<(&str, &str, Mapping)> {
        let missing = |name: &str, what: &str| {
            failure(
                format!("feed.kind is websocket and {name} is not set"),
                format!("set {name} (STRAT_{}) to {what}", name.replace('.', "_").to_uppercase()),
            )
        };
        let url = self.url.expose_secret();
        if url.is_empty() {
            return Err(missing("feed.url", "wss://host/path"));
        }
        let pointer = |pointer: &Option<Pointer>, name: &str, example: &str| {
            pointer.clone().ok_or_else(|| missing(name, &format!("where that stands in a message, such as {example}")))
        };
        let mapping = Mapping {
            items: self.items.clone(),
            only: self.only.clone(),
            symbol: pointer(&self.symbol, "feed.json_symbol", "/data/symbol")?,
            price: pointer(&self.price, "feed.json_price", "/data/price")?,
            time: self.time.clone(),
            time_unit: self.time_unit,
            size: self.size.clone(),
            id: self.id.clone(),
        };
        Ok((url, self.subscribe_message.expose_secret(), mapping))
    }
}

fn text<T: Display>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Empty for none.
fn pointer(value: &str) -> Result<Option<Pointer>, String> {
    if value.is_empty() { Ok(None) } else { value.parse().map(Some) }
}

/// As other addresses, but with a query: many a feed wants its token there.
fn address(value: &str) -> Result<SecretString, String> {
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if !value.is_empty() {
        let (address, query) = value.split_once('?').unwrap_or((value, ""));
        checked(check_socket, address)?;
        if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err("has a query with blanks, a fragment or other than ASCII".to_owned());
        }
    }
    Ok(SecretString::from(value.to_owned()))
}

fn message(value: &str) -> Result<SecretString, String> {
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if !value.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(value).is_err() {
        return Err("is not JSON".to_owned());
    }
    Ok(SecretString::from(value.to_owned()))
}

fn stream_key(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain || !(1..=200).contains(&value.len()) {
        return Err("is not 1 to 200 printable ASCII bytes without blanks".to_owned());
    }
    // Behind a `{tag}`, too: whatever the engine reads it trims.
    let bare = value.rsplit('}').next().unwrap_or_default();
    let family = bare.split(':').next().unwrap_or_default();
    if OWN.contains(&family) {
        Err(format!("is a key of the engine's own, of the family '{family}'"))
    } else {
        Ok(value.to_owned())
    }
}

/// Families of keys that are no feed, whatever somebody writes into the settings.
const OWN: &[&str] = &[
    "",
    "journal",
    "queue",
    "user",
    "symbol",
    "active_strategies",
    "lock",
    "price",
    "tick",
    "candle",
    "drain",
    "trail",
    "events",
    "cache",
    "session",
    "calm",
    "market",
    "token_blacklist",
];

fn condition(value: &str) -> Result<Option<(Pointer, String)>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let (pointer, text) = value.split_once('=').ok_or("is not of the form /pointer=text")?;
    Ok(Some((pointer.parse()?, text.to_owned())))
}

pub(super) const STREAM: Setting = row(
    "feed.stream",
    "STRAT_FEED_STREAM",
    "key of the Redis stream for feed.kind stream; its position and what was rejected stand beside it",
    |s, v| stream_key(v).map(|v| s.source.stream = v),
    |s| s.source.stream.clone(),
);

pub(super) const URL: Setting = secret_row(
    "feed.url",
    "STRAT_FEED_URL",
    "address for feed.kind websocket: wss://host/path, or ws:// on this machine; a query may hold a token",
    |s, v| address(v).map(|v| s.source.url = v),
    |s| shown(&s.source.url),
);

pub(super) const SUBSCRIBE_MESSAGE: Setting = secret_row(
    "feed.subscribe_message",
    "STRAT_FEED_SUBSCRIBE_MESSAGE",
    "what feed.kind websocket says first, JSON; empty for nothing",
    |s, v| message(v).map(|v| s.source.subscribe_message = v),
    |s| shown(&s.source.subscribe_message),
);

pub(super) const ITEMS: Setting = row(
    "feed.json_items",
    "STRAT_FEED_JSON_ITEMS",
    "where the tick or the list of ticks is in a message, a JSON Pointer; empty for the whole message",
    |s, v| v.parse().map(|v| s.source.items = v),
    |s| s.source.items.to_string(),
);

pub(super) const ONLY: Setting = row(
    "feed.json_only",
    "STRAT_FEED_JSON_ONLY",
    "messages of feed.kind websocket that are looked at: /pointer=text, such as /type=trade; empty for all",
    |s, v| condition(v).map(|v| s.source.only = v),
    |s| s.source.only.as_ref().map(|(pointer, text)| format!("{pointer}={text}")).unwrap_or_default(),
);

pub(super) const SYMBOL: Setting = row(
    "feed.json_symbol",
    "STRAT_FEED_JSON_SYMBOL",
    "where the symbol is in a tick of feed.kind websocket, a JSON Pointer",
    |s, v| pointer(v).map(|v| s.source.symbol = v),
    |s| text(s.source.symbol.as_ref()),
);

pub(super) const PRICE: Setting = row(
    "feed.json_price",
    "STRAT_FEED_JSON_PRICE",
    "where the price is in a tick of feed.kind websocket, a JSON Pointer",
    |s, v| pointer(v).map(|v| s.source.price = v),
    |s| text(s.source.price.as_ref()),
);

pub(super) const TIME: Setting = row(
    "feed.json_time",
    "STRAT_FEED_JSON_TIME",
    "where the time is in a tick of feed.kind websocket, a JSON Pointer; empty for the time of arrival",
    |s, v| pointer(v).map(|v| s.source.time = v),
    |s| text(s.source.time.as_ref()),
);

pub(super) const TIME_UNIT: Setting = row(
    "feed.json_time_unit",
    "STRAT_FEED_JSON_TIME_UNIT",
    "what that time is counted in: s, ms, us, ns since 1970, or rfc3339",
    |s, v| one_of(v, TimeUnit::WORDS).map(|v| s.source.time_unit = v),
    |s| s.source.time_unit.to_string(),
);

pub(super) const SIZE: Setting = row(
    "feed.json_size",
    "STRAT_FEED_JSON_SIZE",
    "where the traded quantity is in a tick of feed.kind websocket, a JSON Pointer; empty for none",
    |s, v| pointer(v).map(|v| s.source.size = v),
    |s| text(s.source.size.as_ref()),
);

pub(super) const ID: Setting = row(
    "feed.json_id",
    "STRAT_FEED_JSON_ID",
    "where the trade's number or name is in a tick of feed.kind websocket, a JSON Pointer; empty for none. It tells repeats from trades that are alike",
    |s, v| pointer(v).map(|v| s.source.id = v),
    |s| text(s.source.id.as_ref()),
);

#[cfg(test)]
mod tests;
