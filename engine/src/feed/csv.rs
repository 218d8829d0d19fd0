//! Ticks from a file: columns `ts_ms`, `symbol`, `price` and, where they exist, `size`; others are passed over.

use super::{Feed, FeedError, Stamp, Tick};
use crate::replay::{Pace, Speed};
use crate::table::{BadValue, Table, TableError};
use async_trait::async_trait;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use strat_core::field::parse_count;
use strat_core::key::check_symbol;
use strat_core::{Price, Quantity};

/// Choices about bad lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct CsvOptions {
    /// Count bad lines and go on, instead of stopping at the first.
    pub skip_bad: bool,
}

/// A file of ticks, in time order.
pub struct CsvFeed {
    table: Table,
    columns: Columns,
    options: CsvOptions,
    /// Symbols seen, so that each is allocated once.
    symbols: HashSet<Arc<str>>,
    last_ts_ms: i64,
    skipped: u64,
}

#[derive(Clone, Copy)]
struct Columns {
    ts: usize,
    symbol: usize,
    price: usize,
    size: Option<usize>,
}

impl CsvFeed {
    /// Opens a file of ticks.
    ///
    /// # Errors
    /// [`TableError`] where it cannot be read or lacks a column.
    pub fn open(path: &Path, options: CsvOptions) -> Result<Self, TableError> {
        let table = Table::open(path, &["ts_ms", "symbol", "price"])?;
        let column = |name| table.column(name);
        // Present: `open` has checked them.
        let columns = Columns {
            ts: column("ts_ms").unwrap_or(0),
            symbol: column("symbol").unwrap_or(0),
            price: column("price").unwrap_or(0),
            size: column("size"),
        };
        Ok(Self { table, columns, options, symbols: HashSet::new(), last_ts_ms: i64::MIN, skipped: 0 })
    }

    /// Lines passed over because they were bad.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next tick; `None` at the end.
    ///
    /// # Errors
    /// The first bad line, unless bad lines are skipped; a file that cannot be read on.
    pub fn read(&mut self) -> Option<Result<Tick, TableError>> {
        loop {
            let outcome = match self.table.advance() {
                Ok(false) => return None,
                Ok(true) => self.tick().map_err(|bad| self.table.complain(bad)),
                Err(error) => Err(error),
            };
            match outcome {
                Err(error @ TableError::Line { .. }) if self.options.skip_bad => {
                    self.skipped += 1;
                    tracing::warn!(%error, skipped = self.skipped, "bad tick skipped");
                }
                outcome => return Some(outcome),
            }
        }
    }

    fn tick(&mut self) -> Result<Tick, BadValue> {
        let (ts, symbol, price) = (
            self.table.value(self.columns.ts),
            self.table.value(self.columns.symbol),
            self.table.value(self.columns.price),
        );
        let ts_ms = parse_count(ts.as_bytes())
            .ok_or_else(|| BadValue::new("ts_ms", format!("'{ts}' is not epoch milliseconds, a whole number")))?;
        let parsed =
            Price::parse(price.as_bytes()).map_err(|why| BadValue::new("price", format!("'{price}' {why}")))?;
        let size = match self.columns.size.map(|column| self.table.value(column)).unwrap_or_default() {
            "" => None,
            size => {
                Some(Quantity::parse(size.as_bytes()).map_err(|why| BadValue::new("size", format!("'{size}' {why}")))?)
            }
        };
        let known = self.symbols.get(symbol).cloned();
        let symbol = match known {
            Some(symbol) => symbol,
            None => {
                check_symbol(symbol).map_err(|refusal| BadValue::new("symbol", refusal.detail))?;
                let symbol: Arc<str> = symbol.into();
                self.symbols.insert(Arc::clone(&symbol));
                symbol
            }
        };
        // Last, so that a line that is bad for another reason does not move the time.
        if ts_ms < self.last_ts_ms {
            let reason = format!(
                "{ts_ms} is before {}, the time of a tick above: the file must be in time order",
                self.last_ts_ms
            );
            return Err(BadValue::new("ts_ms", reason));
        }
        self.last_ts_ms = ts_ms;
        let price_text = self.table.value(self.columns.price).to_owned();
        Ok(Tick { ts_ms, stamp: Stamp::Market, symbol, price: parsed, price_text, size, id: None })
    }
}

#[async_trait]
impl Feed for CsvFeed {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        self.read().map(|outcome| outcome.map_err(FeedError::from))
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// A file of ticks at the pace in which they happened, or a multiple of it.
pub struct PacedCsv {
    feed: CsvFeed,
    speed: Speed,
    /// Starts with the first tick.
    pace: Option<Pace>,
    /// Read, and not due yet.
    waiting: Option<Tick>,
}

impl PacedCsv {
    /// The ticks of `feed` at `speed`.
    #[must_use]
    pub const fn new(feed: CsvFeed, speed: Speed) -> Self {
        Self { feed, speed, pace: None, waiting: None }
    }
}

#[async_trait]
impl Feed for PacedCsv {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        if self.waiting.is_none() {
            match self.feed.read()? {
                Ok(tick) => self.waiting = Some(tick),
                Err(error) => return Some(Err(error.into())),
            }
        }
        let ts_ms = self.waiting.as_ref()?.ts_ms;
        self.pace.get_or_insert_with(|| Pace::new(self.speed, ts_ms)).wait_for(ts_ms).await;
        self.waiting.take().map(Ok)
    }

    fn can_wait(&self) -> bool {
        self.speed == Speed::Max
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn read(name: &str, bytes: &[u8], skip_bad: bool) -> (Vec<Result<Tick, String>>, u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut feed = CsvFeed::open(&path, CsvOptions { skip_bad }).unwrap();
        let mut ticks = Vec::new();
        while let Some(outcome) = feed.read() {
            let stop = outcome.is_err();
            ticks.push(outcome.map_err(|error| error.to_string().rsplit('/').next().unwrap_or_default().to_owned()));
            if stop {
                break;
            }
        }
        (ticks, feed.skipped())
    }

    const DAY: &str = "ts_ms,symbol,price,size,exchange,suspicious\n10,SPY,167.4200,210,Q,0\n10,IBM,180.10,100,Q,0\n12,SPY,167.33,,Q,0\n";

    #[test]
    fn ticks_keep_the_price_text() {
        let (ticks, _) = read("t.csv", DAY.as_bytes(), false);
        let first = ticks[0].as_ref().unwrap();
        assert_eq!((first.price_text.as_str(), first.price.to_string().as_str()), ("167.4200", "167.42"));
        assert_eq!((first.size, ticks[2].as_ref().unwrap().size), (Some("210".parse().unwrap()), None));
        assert_eq!(ticks.len(), 3);
    }

    #[test]
    fn a_gzipped_file_reads_the_same() {
        let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(DAY.as_bytes()).unwrap();
        let bytes = gz.finish().unwrap();
        assert_eq!(read("t.csv.gz", &bytes, false), read("t.csv", DAY.as_bytes(), false));
        let (ticks, _) = read("t.csv.gz", &bytes[..bytes.len() - 10], false);
        assert!(ticks.last().unwrap().as_ref().unwrap_err().contains("cannot read on"), "{ticks:?}");
    }

    #[test]
    fn a_bad_line_stops_the_feed_and_says_where() {
        for (line, complaint) in [
            ("x,SPY,1", "t.csv, line 3, column ts_ms: 'x' is not epoch milliseconds, a whole number"),
            ("2,SPY,nan", "t.csv, line 3, column price: 'nan' is not a plain decimal number such as 2500.00"),
            ("2,SPY,1e5", "t.csv, line 3, column price: '1e5' is not a plain decimal number such as 2500.00"),
            ("2,SPY,0.123456789", "t.csv, line 3, column price: '0.123456789' has more than 8 decimals"),
            (
                "2,A:B,1",
                "t.csv, line 3, column symbol: symbol 'A:B' must be 1 to 64 printable ASCII bytes without space, colon or braces",
            ),
            (
                "1,SPY,1",
                "t.csv, line 3, column ts_ms: 1 is before 2, the time of a tick above: the file must be in time order",
            ),
            ("2,SPY", "t.csv, line 3, column price: the line has 2 columns, the header 3"),
        ] {
            let text = format!("ts_ms,symbol,price\n2,SPY,1\n{line}\n3,SPY,1\n");
            let (ticks, _) = read("t.csv", text.as_bytes(), false);
            assert_eq!(ticks.last().unwrap().as_ref().unwrap_err(), complaint);
            let (ticks, skipped) = read("t.csv", text.as_bytes(), true);
            assert_eq!((ticks.len(), skipped), (2, 1), "{line}");
        }
    }

    #[tokio::test]
    async fn a_paced_file_takes_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.csv");
        std::fs::write(&path, "ts_ms,symbol,price\n1000,IBM,1\n1200,IBM,2\n").unwrap();
        for (speed, took_ms) in [(Speed::Times(1), 200), (Speed::Times(4), 50), (Speed::Max, 0)] {
            let mut feed = PacedCsv::new(CsvFeed::open(&path, CsvOptions::default()).unwrap(), speed);
            let started = tokio::time::Instant::now();
            let mut prices = Vec::new();
            // Dropped calls lose nothing.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(5), async {
                prices.push(feed.next().await);
                prices.push(feed.next().await);
            })
            .await;
            while let Some(tick) = feed.next().await {
                prices.push(Some(tick));
            }
            let prices: Vec<_> = prices.into_iter().flatten().map(|tick| tick.unwrap().price_text).collect();
            assert_eq!(prices, ["1", "2"]);
            assert!(started.elapsed().as_millis() >= took_ms, "{speed:?}");
        }
    }
}
