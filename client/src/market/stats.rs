//! Statistics of the last 24 hours.

use super::bounds::ttl_ms;
use super::{Decimal, Market, Trade};
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use redis::{Pipeline, pipe};
use std::str::FromStr;
use strat_core::Price;

const STATS: &str = "market:stats:";
/// Fields that are read back; `change` and `change_percent` stand next to them for other readers.
const FIELDS: [&str; 6] = ["ts_ms", "open", "high", "low", "last", "volume"];

/// Statistics of a symbol over 24 hours, or over whatever window their writer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// When they were computed, epoch ms.
    pub ts_ms: i64,
    /// First price of the window.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub last: Price,
    /// Sum of the quantities, exact.
    pub volume: Decimal,
}

impl Stats {
    /// Of the trades that happened in `from_ms..=to_ms`, given in the order in which they came; of equal times the first
    /// opens and the last closes. `None` where there is none.
    #[must_use]
    pub fn of_trades(trades: &[Trade], from_ms: i64, to_ms: i64) -> Option<Self> {
        let inside = || trades.iter().filter(|trade| (from_ms..=to_ms).contains(&trade.ts_ms));
        Some(Self {
            ts_ms: to_ms,
            open: inside().min_by_key(|trade| trade.ts_ms)?.price,
            high: inside().map(|trade| trade.price).max()?,
            low: inside().map(|trade| trade.price).min()?,
            last: inside().max_by_key(|trade| trade.ts_ms)?.price,
            volume: inside().fold(Decimal::ZERO, |sum, trade| sum + trade.quantity.into()),
        })
    }

    /// `last` less `open`, exact.
    #[must_use]
    pub fn change(&self) -> Decimal {
        Decimal::from(self.last) - Decimal::from(self.open)
    }

    /// The change in percent of the magnitude of `open`, rounded half away from zero to 10⁻⁸ percent; `None` where `open`
    /// is 0.
    #[must_use]
    pub fn change_percent(&self) -> Option<Decimal> {
        Decimal::percent_change(self.open, self.last)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Stores a symbol's statistics, change and percentage included, for [`super::MarketSettings::stats_ttl`]. In one round
    /// trip, all or nothing; may be repeated.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; whatever the server or the connection says.
    pub async fn set_stats(&self, symbol: &str, stats: &Stats) -> Result<()> {
        let key = self.key(STATS, symbol)?;
        let mut pipeline = pipe();
        let set = pipeline.atomic().cmd("HSET").arg(&key).arg("ts_ms").arg(stats.ts_ms);
        for (field, price) in [("open", stats.open), ("high", stats.high), ("low", stats.low), ("last", stats.last)] {
            set.arg(field).arg(price.to_string());
        }
        set.arg("volume").arg(stats.volume.to_string()).arg("change").arg(stats.change().to_string());
        let percent = stats.change_percent().map_or_else(String::new, |percent| percent.to_string());
        set.arg("change_percent").arg(percent).ignore();
        pipeline.cmd("PEXPIRE").arg(&key).arg(ttl_ms(self.settings.stats_ttl)).ignore();
        self.link.pipeline(&pipeline).await
    }

    /// The statistics of a symbol; `None` where there are none.
    ///
    /// # Errors
    /// As [`Market::stats_of`].
    pub async fn stats(&self, symbol: &str) -> Result<Option<Stats>> {
        Ok(self.stats_of(&[symbol]).await?.pop().flatten())
    }

    /// The statistics of many symbols, in their order and in one round trip.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none and for more than [`super::MarketSettings::batch_max`]; [`Error::BadReply`]
    /// where a key holds no statistics; whatever the server or the connection says.
    pub async fn stats_of(&self, symbols: &[&str]) -> Result<Vec<Option<Stats>>> {
        if symbols.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(symbols.len());
        for key in self.keys(STATS, symbols)? {
            pipeline.cmd("HMGET").arg(key).arg(&FIELDS);
        }
        let replies: Vec<[Option<String>; FIELDS.len()]> = self.link.pipeline(&pipeline).await?;
        symbols.iter().zip(&replies).map(|(symbol, texts)| read(symbol, texts)).collect()
    }
}

fn read(symbol: &str, texts: &[Option<String>; FIELDS.len()]) -> Result<Option<Stats>> {
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [ts_ms, open, high, low, last, volume] = texts;
    let parse = || {
        Some(Stats {
            ts_ms: number(ts_ms)?,
            open: number(open)?,
            high: number(high)?,
            low: number(low)?,
            last: number(last)?,
            volume: number(volume)?,
        })
    };
    let bad = || Error::BadReply(format!("the statistics of {symbol}: a field is missing or no number"));
    parse().ok_or_else(bad).map(Some)
}

fn number<T: FromStr>(text: &Option<String>) -> Option<T> {
    text.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(ts_ms: i64, price: &str, quantity: &str) -> Trade {
        Trade { ts_ms, price: price.parse().unwrap(), quantity: quantity.parse().unwrap(), side: None }
    }

    #[test]
    fn trades_of_the_window_make_the_statistics_whatever_their_order() {
        let trades =
            [trade(5, "3", "1"), trade(2, "4", "0.5"), trade(2, "9", "1"), trade(1, "99", "7"), trade(5, "5", "2")];
        let stats = Stats::of_trades(&trades, 2, 10).unwrap();
        let texts = [stats.open, stats.high, stats.low, stats.last].map(|price| price.to_string());
        assert_eq!(texts, ["4", "9", "3", "5"]);
        assert_eq!((stats.volume.to_string(), stats.change().to_string()), ("4.5".into(), "1".into()));
        assert_eq!(stats.change_percent().unwrap().to_string(), "25");
        assert_eq!(Stats::of_trades(&trades, 6, 10), None);
    }

    #[test]
    fn half_of_the_fields_are_no_statistics() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("IBM", &[const { None }; 6]).unwrap(), None);
        let texts = [some("1"), some("2"), some("2"), some("2"), None, some("0")];
        assert!(matches!(read("IBM", &texts), Err(Error::BadReply(_))));
    }
}
