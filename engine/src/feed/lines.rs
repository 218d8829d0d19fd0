//! A feed of lines over TCP: `symbol,price[,epoch_ms]`, one tick a line.
//!
//! Any program can speak it. The engine connects, reads, and connects again with growing pauses whenever the connection
//! ends or says nothing. A line of bad form is counted and logged, never fatal.

use super::rejected::Rejected;
use super::{Feed, FeedError, Stamp, Tick};
use crate::clock::Clock;
use crate::failure::one_line;
use async_trait::async_trait;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use strat_core::Price;
use strat_core::field::parse_count;
use strat_core::key::check_symbol;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longest line, its end not counted: a symbol, a price and a time fit three times over.
pub(super) const LINE_BYTES_MAX: usize = 256;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Symbols whose names are kept for sharing; further ones are just not shared.
const SYMBOLS_MAX: usize = 1_000_000;

/// The feed.
pub struct LinesFeed {
    address: String,
    /// A connection that says nothing for so long is left; zero for as long as it likes.
    idle_max: Duration,
    clock: Arc<dyn Clock>,
    stream: Option<TcpStream>,
    lines: Lines,
    symbols: HashSet<Arc<str>>,
    pause: Duration,
    bad: Rejected,
}

impl LinesFeed {
    /// A feed that connects to `host:port` when its first tick is asked for.
    #[must_use]
    pub fn new(address: &str, idle_max: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            address: address.to_owned(),
            idle_max,
            clock,
            stream: None,
            lines: Lines::default(),
            symbols: HashSet::new(),
            pause: PAUSES.0,
            bad: Rejected::default(),
        }
    }

    /// Connects, if there is no connection. A half line of the last one is forgotten.
    async fn connected(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let connect = TcpStream::connect(&self.address);
            let stream = timeout(CONNECT_MAX, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            tracing::info!(address = self.address, "connected to the feed");
            self.lines = Lines::default();
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Waits for more bytes. Cancel safe: what was read is kept.
    async fn fill(&mut self) -> io::Result<()> {
        let idle_max = if self.idle_max.is_zero() { Duration::MAX } else { self.idle_max };
        let stream = self.connected().await?;
        let mut bytes = [0; READ_BYTES];
        let read = timeout(idle_max, stream.read(&mut bytes)).await;
        let count = read.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing")))?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.lines.push(&bytes[..count]);
        self.pause = PAUSES.0;
        Ok(())
    }

    pub(super) fn tick(&mut self, line: &[u8]) -> Result<Tick, String> {
        self.parse(line).map_err(|why| one_line(&why))
    }

    fn parse(&mut self, line: &[u8]) -> Result<Tick, String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut parts = text.split(',');
        let (Some(symbol), Some(price), ts, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err("it must read symbol,price or symbol,price,epoch_ms".to_owned());
        };
        let parsed = Price::parse(price.as_bytes()).map_err(|why| format!("price '{price}' {why}"))?;
        let (ts_ms, stamp) = match ts {
            None => (self.clock.now_ms(), Stamp::Arrival),
            Some(ts) => {
                let ts_ms = parse_count(ts.as_bytes()).ok_or_else(|| format!("'{ts}' is not epoch milliseconds"))?;
                (ts_ms, Stamp::Market)
            }
        };
        let symbol = match self.symbols.get(symbol) {
            Some(known) => Arc::clone(known),
            None => {
                check_symbol(symbol).map_err(|refusal| refusal.detail)?;
                let symbol: Arc<str> = symbol.into();
                if self.symbols.len() < SYMBOLS_MAX {
                    self.symbols.insert(Arc::clone(&symbol));
                }
                symbol
            }
        };
        Ok(Tick { ts_ms, stamp, symbol, price: parsed, price_text: price.to_owned(), size: None, id: None })
    }

    fn complain(&mut self, why: &str) {
        if let Some(total) = self.bad.another() {
            tracing::error!(address = self.address, why, total, "a line of the feed is not a tick");
        }
    }
}

#[async_trait]
impl Feed for LinesFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        loop {
            match self.lines.next() {
                Some(Ok(line)) if line.is_empty() => {}
                Some(Ok(line)) => match self.tick(&line) {
                    Ok(tick) => return Some(Ok(tick)),
                    Err(why) => self.complain(&why),
                },
                Some(Err(TooLong)) => self.complain("it is too long"),
                None => {
                    if let Err(error) = self.fill().await {
                        let (address, pause) = (&self.address, self.pause);
                        tracing::warn!(address, %error, pause_ms = pause.as_millis() as u64, "no connection to the feed, connecting again");
                        self.stream = None;
                        self.pause = (pause * 2).min(PAUSES.1);
                        sleep(pause).await;
                    }
                }
            }
        }
    }
}

/// A line was longer than [`LINE_BYTES_MAX`]; the rest of it is passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts bytes into lines, within bounded memory. Pure.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Bytes at the front that were handed out.
    done: usize,
    /// A line was given up: whatever comes before its end is passed over.
    skipping: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of a line that is not whole yet.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// The next whole line without its end; `None` where more bytes are needed.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        loop {
            let rest = self.bytes.get(self.done..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                if !self.skipping && rest.len() <= LINE_BYTES_MAX {
                    return None;
                }
                let told = std::mem::replace(&mut self.skipping, true);
                self.done = self.bytes.len();
                return (!told).then_some(Err(TooLong));
            };
            let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]).to_vec();
            self.done += length + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            return Some(if line.len() > LINE_BYTES_MAX { Err(TooLong) } else { Ok(line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ReplayClock;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next() {
                all.push(line.map_or("too long".to_owned(), |line| String::from_utf8_lossy(&line).into_owned()));
            }
            assert!(lines.kept() <= LINE_BYTES_MAX, "bounded");
        }
        all
    }

    #[test]
    fn lines_are_cut_wherever_the_packets_are() {
        assert_eq!(cut(&[b"a,1\nb,", b"2\r\n", b"\n", b"c", b",3"]), ["a,1", "b,2", ""]);
        let long = [b'x'; 300];
        assert_eq!(cut(&[b"a\n", &long, &long, b"tail\nb\n"]), ["a", "too long", "b"]);
        assert_eq!(cut(&[&[&long[..], b"\nb\n"].concat()]), ["too long", "b"]);
        assert_eq!(cut(&[&long[..256], b"\n"]), ["x".repeat(256)]);
    }

    #[test]
    fn a_line_is_a_tick_or_says_why_it_is_none() {
        let mut feed = LinesFeed::new("nowhere:1", Duration::ZERO, Arc::new(ReplayClock::at(77)));
        let tick = feed.tick(b"M&M,2500.50").unwrap();
        assert_eq!((&*tick.symbol, tick.price_text.as_str(), tick.ts_ms), ("M&M", "2500.50", 77));
        let stamped = feed.tick(b"M&M,0.5,1760000000000").unwrap();
        assert_eq!((tick.stamp, stamped.stamp, stamped.ts_ms), (Stamp::Arrival, Stamp::Market, 1_760_000_000_000));
        for (line, complaint) in [
            (&b"IBM"[..], "it must read symbol,price"),
            (b"IBM,1,2,3", "it must read symbol,price"),
            (b"IBM,nan", "price 'nan' is not a plain decimal number"),
            (b"IBM,1,soon", "'soon' is not epoch milliseconds"),
            (b"A:B,1", "symbol 'A:B' must be"),
            (b"\xff,1", "it is not UTF-8"),
        ] {
            let why = feed.tick(line).unwrap_err();
            assert!(why.starts_with(complaint), "{why}");
        }
    }

    #[tokio::test]
    async fn it_comes_back_after_an_end_a_silence_and_an_absence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            // The half line goes with its connection.
            first.write_all(b"IBM,1\nrubbish\nIBM,").await.unwrap();
            drop(first);
            let (mut mute, _) = listener.accept().await.unwrap();
            mute.write_all(b"IBM,2\n").await.unwrap();
            let (mut last, _) = listener.accept().await.unwrap();
            last.write_all(b"IBM,3\n").await.unwrap();
            (mute, last)
        });
        let mut feed = LinesFeed::new(&address, Duration::from_millis(100), Arc::new(ReplayClock::at(1)));
        for price in ["1", "2", "3"] {
            let tick = timeout(Duration::from_secs(10), feed.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(tick.price_text, price);
        }
        assert_eq!(feed.bad.total(), 1);
        drop(server.await.unwrap());
        // Nobody there: it goes on trying, and a dropped call does no harm.
        assert!(timeout(Duration::from_millis(300), feed.next()).await.is_err());
        assert!(feed.pause > PAUSES.0);
    }
}
