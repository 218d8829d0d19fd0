//! Binance's trades: combined streams `<symbol>@trade` (`web-socket-streams.md` of its documentation).
//!
//! Binance ends a session after 24 hours. Its successor is opened an hour before, and trades that both tell count once.

use super::socket::{Dialect, Heard, SocketFeed, SocketSettings};
use super::{Feed, FeedError, Stamp, Tick, TradeId};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use strat_core::{Price, Quantity};
use tokio::time::Instant;

/// Streams that one connection may listen to.
pub const BINANCE_STREAMS_MAX: usize = 1_024;
/// Symbols of one request; five requests a second are allowed.
const STREAMS_PER_REQUEST: usize = 200;
/// Silence that is a cut, where nobody says another.
const IDLE: Duration = Duration::from_secs(30);
/// Age at which a session is replaced.
const RENEW: Duration = Duration::from_secs(23 * 3_600);
/// Largest message: a trade has about 200 bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// For so long after a hand-over, trades may come a second time.
const OVERLAP: Duration = Duration::from_secs(60);

/// The feed.
pub struct BinanceFeed(SocketFeed<Trades>);

impl BinanceFeed {
    /// A feed of these symbols, as Binance writes them, from `wss://stream.binance.com:9443` or a server like it. Nothing
    /// heard for as long as `idle`, not even Binance's pings every 20 s, is a cut; zero for 30 s.
    #[must_use]
    pub fn new(url: &str, symbols: &[String], idle: Duration) -> Self {
        Self::renewed(url, symbols, if idle.is_zero() { IDLE } else { idle }, RENEW)
    }

    fn renewed(url: &str, symbols: &[String], idle: Duration, renew: Duration) -> Self {
        let url = format!("{}/stream", url.trim_end_matches('/'));
        let settings = SocketSettings { url, idle, renew, message_bytes: MESSAGE_BYTES_MAX };
        Self(SocketFeed::new(settings, Trades::new(symbols)))
    }
}

#[async_trait]
impl Feed for BinanceFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        self.0.next().await
    }
}

struct Trades {
    symbols: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// The last trade of each symbol.
    last: HashMap<Arc<str>, u64>,
    /// What the session before had told, and until when that is of interest.
    told: Option<(HashMap<Arc<str>, u64>, Instant)>,
}

impl Trades {
    fn new(symbols: &[String]) -> Self {
        let symbols: Vec<Arc<str>> =
            symbols.iter().take(BINANCE_STREAMS_MAX).map(|symbol| symbol.as_str().into()).collect();
        let known = symbols.iter().cloned().collect();
        Self { symbols, known, last: HashMap::new(), told: None }
    }

    /// Whether the session before has told this trade.
    fn is_repeat(&mut self, symbol: &str, id: u64) -> bool {
        let Some((told, until)) = &self.told else { return false };
        if Instant::now() < *until {
            return told.get(symbol).is_some_and(|last| id <= *last);
        }
        self.told = None;
        false
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    id: Option<u64>,
    /// Of an answer that is a refusal.
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    e: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(borrow)]
    s: Cow<'a, str>,
    t: u64,
    #[serde(borrow)]
    p: Cow<'a, str>,
    #[serde(borrow)]
    q: Cow<'a, str>,
    #[serde(rename = "T")]
    ts_ms: i64,
}

impl Dialect for Trades {
    fn greetings(&self) -> Vec<String> {
        let request = |(number, symbols): (usize, &[Arc<str>])| {
            let streams: Vec<_> = symbols.iter().map(|symbol| format!("{}@trade", symbol.to_lowercase())).collect();
            serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": number + 1}).to_string()
        };
        self.symbols.chunks(STREAMS_PER_REQUEST).enumerate().map(request).collect()
    }

    fn answers(&self) -> bool {
        true
    }

    fn read(&mut self, message: &[u8], ticks: &mut VecDeque<Tick>) -> Result<Heard, String> {
        let envelope: Envelope<'_> = parse(message)?;
        if let Some(data) = envelope.data {
            return self.event(data.get().as_bytes(), ticks);
        }
        match (envelope.msg, envelope.error, envelope.id) {
            (Some(words), ..) => Ok(Heard::Over(format!("Binance says '{}'", crate::failure::one_line(&words)))),
            (_, Some(error), _) => Ok(Heard::Over(format!("Binance says {}", crate::failure::one_line(error.get())))),
            (_, _, Some(_)) => Ok(Heard::Welcome),
            _ => Ok(Heard::Read),
        }
    }

    fn handed_over(&mut self) {
        self.told = Some((std::mem::take(&mut self.last), Instant::now() + OVERLAP));
    }
}

impl Trades {
    fn event(&mut self, data: &[u8], ticks: &mut VecDeque<Tick>) -> Result<Heard, String> {
        match &*parse::<Kind<'_>>(data)?.e {
            "trade" => {}
            "serverShutdown" => return Ok(Heard::Over("the server is about to go".to_owned())),
            _ => return Ok(Heard::Read),
        }
        let trade: Trade<'_> = parse(data)?;
        let symbol = self.known.get(&*trade.s);
        let symbol = Arc::clone(symbol.ok_or_else(|| "it is of a symbol that was not asked for".to_owned())?);
        let price = Price::parse(trade.p.as_bytes()).map_err(|why| format!("price '{}' {why}", trade.p))?;
        if price <= Price::ZERO {
            return Err(format!("price '{}' is not above 0", trade.p));
        }
        let size =
            Quantity::parse_positive(trade.q.as_bytes()).map_err(|why| format!("quantity '{}' {why}", trade.q))?;
        if trade.ts_ms < 0 {
            return Err(format!("time {} is below 0", trade.ts_ms));
        }
        if !self.is_repeat(&symbol, trade.t) {
            self.last.insert(Arc::clone(&symbol), trade.t);
            let price_text = trade.p.into_owned();
            let (ts_ms, id) = (trade.ts_ms, Some(TradeId::of_number(trade.t)));
            ticks.push_back(Tick { ts_ms, stamp: Stamp::Market, symbol, price, price_text, size: Some(size), id });
        }
        Ok(Heard::Read)
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| crate::failure::one_line(&error.to_string()))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
