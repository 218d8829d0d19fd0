//! Prices of Kite's ticker.
//!
//! The engine connects, subscribes to its symbols, and does so again with growing pauses whenever a connection ends, says
//! nothing (there is a heartbeat about every second), or another list of instruments is due. More symbols than one connection
//! takes are divided among two, each symbol always on one, so that its prices keep their order. A message that does not add up
//! is counted and logged, never fatal.
//!
//! In mode `full` a tick has the exchange's time, in whole seconds; in `quote` and `ltp` Kite tells none, and it is the time
//! of arrival.

mod line;
mod packet;

pub(crate) use packet::MESSAGE_BYTES_MAX;

use super::rejected::Rejected;
use super::{Feed, FeedError, Stamp, Tick};
use crate::broker::kite::{
    KiteError, KiteSettings, News, Rest, Session, Ticker, instruments_of_the_day, list_due_after, news, roads,
};
use crate::clock::Clock;
use crate::net::{Frame, Pauses};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use line::{Line, Next, wait_for_login};
use packet::{Message, Packet, read};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use strat_core::Quantity;
use strat_core::decimal::SCALE;
use tokio::time::sleep;

/// Instruments that a connection may subscribe to.
const SYMBOLS_PER_LINE: usize = 3_000;
/// Connections for prices: an app may have three, and the broker's order updates take one.
const LINES_MAX: usize = 2;
/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How much Kite tells of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KiteMode {
    /// Prices alone.
    Ltp,
    /// With what was traded.
    Quote,
    /// With the exchange's time.
    Full,
}

impl KiteMode {
    /// As Kite writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ltp => "ltp",
            Self::Quote => "quote",
            Self::Full => "full",
        }
    }
}

/// The feed.
pub struct KiteFeed {
    settings: KiteSettings,
    mode: KiteMode,
    symbols: Vec<String>,
    clock: Arc<dyn Clock>,
    session: Arc<Session>,
    rest: Rest,
    ticker: Arc<Ticker>,
    list: Option<Numbers>,
    /// What each connection says next.
    lines: FuturesUnordered<Next>,
    ready: VecDeque<Tick>,
    pauses: Pauses,
    bad: Rejected,
}

/// What is subscribed to, by its number.
struct Numbers {
    by_token: HashMap<u32, Subscribed>,
    /// When another list is due, epoch ms.
    until_ms: i64,
}

struct Subscribed {
    symbol: Arc<str>,
    /// Units traded today, as last told.
    volume: Option<u32>,
}

impl KiteFeed {
    /// A feed of these symbols, which connects when its first tick is asked for.
    ///
    /// # Errors
    /// Where an address cannot be used, or there are more symbols than Kite takes, or none.
    pub fn new(
        settings: KiteSettings,
        symbols: Vec<String>,
        mode: KiteMode,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KiteError> {
        if symbols.is_empty() {
            return Err(KiteError::Missing("feed.subscribe"));
        }
        if symbols.len() > SYMBOLS_PER_LINE * LINES_MAX {
            return Err(KiteError::TooMany(symbols.len()));
        }
        let (session, rest, ticker) = roads(&settings, &clock)?;
        Ok(Self {
            settings,
            mode,
            symbols,
            clock,
            session,
            rest,
            ticker: Arc::new(ticker),
            list: None,
            lines: FuturesUnordered::new(),
            ready: VecDeque::new(),
            pauses: Pauses::new(PAUSES.0, PAUSES.1),
            bad: Rejected::default(),
        })
    }

    /// Waits for more ticks. Cancel safe: what a connection has begun goes on with the next call.
    async fn fill(&mut self) -> Result<(), String> {
        if self.list.as_ref().is_none_or(|list| list.until_ms <= self.clock.now_ms()) {
            self.lines.clear();
            wait_for_login(&self.session).await;
            let list = self.numbers().await?;
            self.lines = self.divided(&list);
            self.list = Some(list);
            self.pauses.reset();
        }
        let Some((line, heard)) = self.lines.next().await else { return Err("nothing is connected".to_owned()) };
        self.lines.push(line.next());
        match heard {
            Ok(Frame::Binary(bytes)) => self.take(&bytes),
            Ok(Frame::Text(text)) => {
                if let News::Error(why) = news(text.as_bytes()) {
                    tracing::warn!(why, "Kite's ticker complains");
                }
            }
            // The line has said so, and comes back.
            Err(_) => {}
        }
        Ok(())
    }

    /// As many connections as the symbols need, each with about as many of them.
    fn divided(&self, list: &Numbers) -> FuturesUnordered<Next> {
        let tokens: Vec<u32> = list.by_token.keys().copied().collect();
        let each = tokens.len().div_ceil(tokens.len().div_ceil(SYMBOLS_PER_LINE));
        let line = |tokens: &[u32]| Line::new(&self.session, &self.ticker, self.mode, tokens.to_vec());
        tokens.chunks(each).map(|tokens| line(tokens).next()).collect()
    }

    /// The numbers of the symbols by the list of the day.
    async fn numbers(&mut self) -> Result<Numbers, String> {
        let asked_ms = self.clock.now_ms();
        let list = instruments_of_the_day(&self.settings, &self.rest, &*self.clock);
        let list = list.await.map_err(|error| error.to_string())?;
        let mut by_token = HashMap::new();
        for symbol in &self.symbols {
            match list.of(symbol) {
                Some(found) => {
                    let subscribed = Subscribed { symbol: symbol.as_str().into(), volume: None };
                    let other = by_token.insert(found.token, subscribed).filter(|other| *other.symbol != **symbol);
                    if let Some(other) = other {
                        return Err(format!("{symbol} and {} have the same number, {}", other.symbol, found.token));
                    }
                }
                None => tracing::error!(symbol, "NO PRICES: Kite has no such instrument; check feed.subscribe"),
            }
        }
        if by_token.is_empty() {
            return Err("Kite has none of the symbols in feed.subscribe".to_owned());
        }
        Ok(Numbers { by_token, until_ms: list_due_after(asked_ms) })
    }

    fn take(&mut self, message: &[u8]) {
        match read(message) {
            Err(torn) => self.complain(&torn.to_string()),
            Ok(Message { packets, unreadable }) => {
                if unreadable > 0 {
                    self.complain("it has packets of an unknown length, or prices below 0");
                }
                for packet in packets {
                    if let Some(tick) = self.tick(packet) {
                        self.ready.push_back(tick);
                    }
                }
            }
        }
    }

    /// `None` for what was not subscribed to.
    fn tick(&mut self, packet: Packet) -> Option<Tick> {
        let known = self.list.as_mut()?.by_token.get_mut(&packet.token)?;
        let before = packet.volume.and_then(|volume| known.volume.replace(volume));
        // What was traded since the last message; the first one tells of the whole day.
        let traded = packet.volume.zip(before).and_then(|(now, before)| now.checked_sub(before));
        let (ts_ms, stamp) = match packet.exchange_s {
            Some(seconds) => (i64::from(seconds) * 1_000, Stamp::Market),
            None => (self.clock.now_ms(), Stamp::Arrival),
        };
        Some(Tick {
            ts_ms,
            stamp,
            symbol: Arc::clone(&known.symbol),
            price: packet.price,
            price_text: packet.price.to_string(),
            size: traded.filter(|units| *units > 0).map(|units| Quantity::from_units(i64::from(units) * SCALE)),
            id: None,
        })
    }

    fn complain(&mut self, why: &str) {
        if let Some(total) = self.bad.another() {
            tracing::error!(why, total, "a message of Kite's ticker cannot be read");
        }
    }
}

#[async_trait]
impl Feed for KiteFeed {
    fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        loop {
            if let Some(tick) = self.ready.pop_front() {
                return Some(Ok(tick));
            }
            if let Err(error) = self.fill().await {
                let pause = self.pauses.pause();
                tracing::warn!(error, pause_ms = pause.as_millis() as u64, "no prices from Kite, trying again");
                sleep(pause).await;
            }
        }
    }
}
