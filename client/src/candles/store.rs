//! Candles in Redis: one hash for each, `candle:{symbol}:{timeframe}:{period}`.

use super::{Candle, CandleBuilder, Hours, Period, Timeframe};
use crate::error::{Error, Result};
use crate::link::Link;
use crate::market::bounds::{check_count, check_duration, check_prefix, ttl_ms};
use redis::aio::ConnectionLike;
use redis::{Pipeline, pipe};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use strat_core::key::check_symbol;

const FIELDS: [&str; 8] = ["open", "high", "low", "close", "volume", "trades", "first_ms", "last_ms"];
/// Most candles of one call that may be configured.
const COUNT_MAX: usize = 100_000;

/// Settings of [`CandleStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandleSettings {
    /// Put before every key: empty, or one `{tag}`, which may stand for a tenant. Default empty.
    pub prefix: String,
    /// Life of a candle after it was last written, the open one included. Default 1 h.
    pub ttl: Duration,
    /// Candles of one call. Default 2,000.
    pub batch_max: usize,
    /// Longest wait for a reply, where the connection's own limit is not to count. Default `None`: every connection of this
    /// crate and of the `redis` crate has one.
    pub call_timeout: Option<Duration>,
}

impl Default for CandleSettings {
    fn default() -> Self {
        Self { prefix: String::new(), ttl: Duration::from_secs(3_600), batch_max: 2_000, call_timeout: None }
    }
}

/// What to do about periods in which nothing was traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// There is no candle.
    Leave,
    /// Between two candles that are there, a flat one at the close of the one before, with `trades` and `volume` 0. Nothing
    /// before the first and nothing behind the last.
    Flat,
}

/// Writes and reads candles. Clones share the connection.
#[derive(Debug, Clone)]
pub struct CandleStore<C> {
    link: Link<C>,
    settings: Arc<CandleSettings>,
}

impl<C: ConnectionLike + Clone + Send + Sync> CandleStore<C> {
    /// Over a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting that is not usable.
    pub fn new(connection: C, settings: CandleSettings) -> Result<Self> {
        check_prefix(&settings.prefix)?;
        check_duration("ttl", settings.ttl)?;
        settings.call_timeout.map_or(Ok(()), |timeout| check_duration("call_timeout", timeout))?;
        if !(1..=COUNT_MAX).contains(&settings.batch_max) {
            return Err(Error::Config(format!(
                "batch_max is {}, it must be from 1 to {COUNT_MAX}",
                settings.batch_max
            )));
        }
        Ok(Self { link: Link::bare(connection, settings.call_timeout), settings: Arc::new(settings) })
    }

    /// Stores candles whole, those of many symbols in one round trip, all or none. May be repeated.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none and for more than [`CandleSettings::batch_max`] candles; whatever the server or
    /// the connection says. The builder keeps what is not said to be [written](CandleBuilder::written).
    pub async fn write(&self, changed: &[(&str, &[Candle])]) -> Result<()> {
        let count = changed.iter().map(|(_, candles)| candles.len()).sum();
        check_count("candles of one call", count, self.settings.batch_max)?;
        if count == 0 {
            return Ok(());
        }
        let ttl = ttl_ms(self.settings.ttl);
        let mut pipeline = Pipeline::with_capacity(2 * count);
        pipeline.atomic();
        for (symbol, candles) in changed {
            check_symbol(symbol)?;
            for candle in *candles {
                let key = self.key(symbol, candle.timeframe, candle.period);
                let set = pipeline.cmd("HSET").arg(&key);
                for (field, text) in FIELDS.iter().zip(texts(candle)) {
                    set.arg(field).arg(text);
                }
                set.ignore();
                pipeline.cmd("PEXPIRE").arg(&key).arg(ttl).ignore();
            }
        }
        self.link.pipeline(&pipeline).await
    }

    /// Writes what changed in a builder, in as many round trips as [`CandleSettings::batch_max`] asks for. Answers how many
    /// candles.
    ///
    /// # Errors
    /// As [`CandleStore::write`]; what was not written is written the next time.
    pub async fn write_changes(&self, symbol: &str, builder: &mut CandleBuilder) -> Result<usize> {
        let mut count = 0;
        loop {
            let changes = builder.changes(self.settings.batch_max);
            if changes.is_empty() {
                return Ok(count);
            }
            self.write(&[(symbol, &changes)]).await?;
            builder.written(&changes);
            count += changes.len();
        }
    }

    /// The candles whose periods begin in `from_ms..to_ms`, oldest first, in one round trip.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none and for more than [`CandleSettings::batch_max`] periods; [`Error::BadReply`] where a
    /// key holds no candle; whatever the server or the connection says.
    pub async fn range(
        &self,
        symbol: &str,
        timeframe: Timeframe,
        hours: &Hours,
        (from_ms, to_ms): (i64, i64),
        gaps: Gaps,
    ) -> Result<Vec<Candle>> {
        let periods = hours.periods(timeframe, from_ms, to_ms, self.settings.batch_max)?;
        let wanted: Vec<_> = periods.into_iter().map(|period| (timeframe, period)).collect();
        let read = self.read(symbol, &wanted).await?;
        Ok(match gaps {
            Gaps::Leave => read.into_iter().flatten().collect(),
            Gaps::Flat => fill(&wanted, &read),
        })
    }

    /// The candles of all timeframes that hold a time, the shortest first, in one round trip: at the present time those
    /// that are open.
    ///
    /// # Errors
    /// As [`CandleStore::range`].
    pub async fn at(&self, symbol: &str, hours: &Hours, ts_ms: i64) -> Result<Vec<Candle>> {
        let period = |timeframe| Some((timeframe, hours.period_at(timeframe, ts_ms)?));
        let wanted: Vec<_> = Timeframe::ALL.into_iter().filter_map(period).collect();
        Ok(self.read(symbol, &wanted).await?.into_iter().flatten().collect())
    }

    /// A builder that goes on from the candles that a tick at `at_ms` or up to `lateness` before would change, in one round
    /// trip. Give it the ticks that came since what is stored was written, and no others: it cannot know them again. `at_ms`
    /// is not before the last of what is stored.
    ///
    /// A candle that has run out is missing: with the default time to live that of the day, where nothing was traded for an
    /// hour before.
    ///
    /// # Errors
    /// As [`CandleStore::range`]; [`Error::Config`] for a lateness that is too long.
    pub async fn resume(
        &self,
        symbol: &str,
        hours: Arc<Hours>,
        lateness: Duration,
        at_ms: i64,
    ) -> Result<CandleBuilder> {
        let builder = CandleBuilder::new(Arc::clone(&hours), lateness)?;
        let from_ms = at_ms.saturating_sub(ttl_ms(lateness));
        let mut wanted = Vec::new();
        for timeframe in Timeframe::ALL {
            let first = hours.period_at(timeframe, from_ms);
            let from_ms = first.map_or(from_ms, |period| period.start_ms);
            let periods = hours.periods(timeframe, from_ms, at_ms.saturating_add(1), self.settings.batch_max)?;
            wanted.extend(periods.into_iter().map(|period| (timeframe, period)));
        }
        let candles = self.read(symbol, &wanted).await?;
        Ok(builder.resume(candles.into_iter().flatten(), at_ms))
    }

    async fn read(&self, symbol: &str, wanted: &[(Timeframe, Period)]) -> Result<Vec<Option<Candle>>> {
        check_symbol(symbol)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = pipe();
        for (timeframe, period) in wanted {
            pipeline.cmd("HMGET").arg(self.key(symbol, *timeframe, *period)).arg(&FIELDS);
        }
        let replies: Vec<[Option<String>; FIELDS.len()]> = self.link.pipeline(&pipeline).await?;
        wanted.iter().zip(&replies).map(|((timeframe, period), texts)| parse(*timeframe, *period, texts)).collect()
    }

    fn key(&self, symbol: &str, timeframe: Timeframe, period: Period) -> String {
        format!("{}candle:{symbol}:{timeframe}:{}", self.settings.prefix, period.start_ms)
    }
}

/// In the order of [`FIELDS`].
fn texts(candle: &Candle) -> [String; FIELDS.len()] {
    [
        candle.open.to_string(),
        candle.high.to_string(),
        candle.low.to_string(),
        candle.close.to_string(),
        candle.volume.to_string(),
        candle.trades.to_string(),
        candle.first_ms.to_string(),
        candle.last_ms.to_string(),
    ]
}

fn parse(timeframe: Timeframe, period: Period, texts: &[Option<String>; FIELDS.len()]) -> Result<Option<Candle>> {
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [open, high, low, close, volume, trades, first_ms, last_ms] = texts;
    let read = || {
        Some(Candle {
            timeframe,
            period,
            open: number(open)?,
            high: number(high)?,
            low: number(low)?,
            close: number(close)?,
            volume: number(volume)?,
            trades: number(trades)?,
            first_ms: number(first_ms)?,
            last_ms: number(last_ms)?,
        })
    };
    let start_ms = period.start_ms;
    let bad = || Error::BadReply(format!("candle {timeframe} of {start_ms}: a field is missing or no number"));
    read().ok_or_else(bad).map(Some)
}

fn number<T: FromStr>(text: &Option<String>) -> Option<T> {
    text.as_deref()?.parse().ok()
}

/// What is there, and flat candles in between.
fn fill(wanted: &[(Timeframe, Period)], read: &[Option<Candle>]) -> Vec<Candle> {
    let end = read.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let mut filled: Vec<Candle> = Vec::new();
    for ((_, period), candle) in wanted.iter().zip(&read[..end]) {
        let flat = || filled.last().map(|before| before.flat(*period));
        filled.extend(candle.or_else(flat));
    }
    filled
}
