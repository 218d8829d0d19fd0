//! The last price of a symbol, and how old it is.

use super::Market;
use super::bounds::{check_count, ttl_ms};
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use redis::{Pipeline, cmd};
use std::time::Duration;
use strat_core::Price;

const PRICE: &str = "price:";

/// A last price and its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgedPrice {
    /// The price.
    pub price: Price,
    /// How long ago it was written, from the time to live that is left. `None` where that does not tell: the key has none, or
    /// more than [`super::MarketSettings::price_ttl`].
    ///
    /// By the server's clock, to the millisecond, and never too young: the time to live is read before the price. Prices
    /// that the strat module writes look older by up to a sixteenth of the time to live (0.6 s of 10 s), because it is
    /// not renewed with every tick. A price that is written with another time to live has a wrong age.
    pub age: Option<Duration>,
}

impl AgedPrice {
    /// Whether it is known to be no older than `age_max`.
    #[must_use]
    pub fn is_fresh(&self, age_max: Duration) -> bool {
        self.age.is_some_and(|age| age <= age_max)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Stores the last price of a symbol, for [`super::MarketSettings::price_ttl`]. May be repeated.
    ///
    /// Where the strat module runs, its ticks (`STRAT.SLCHECK`) write the same key, and without replicating it; this
    /// write is replicated as every other.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; whatever the server or the connection says.
    pub async fn set_price(&self, symbol: &str, price: Price) -> Result<()> {
        let mut set = cmd("SET");
        set.arg(self.key(PRICE, symbol)?).arg(price.to_string()).arg("PX").arg(ttl_ms(self.settings.price_ttl));
        self.link.command(&set).await
    }

    /// As [`Market::set_price`] for many symbols, in one round trip.
    ///
    /// # Errors
    /// As [`Market::set_price`]; `BADFIELD` for more than [`super::MarketSettings::batch_max`]. Where the outcome is
    /// unknown, any of them may be stored.
    pub async fn set_prices(&self, prices: &[(&str, Price)]) -> Result<()> {
        check_count("symbols of one call", prices.len(), self.settings.batch_max)?;
        if prices.is_empty() {
            return Ok(());
        }
        let ttl = ttl_ms(self.settings.price_ttl);
        let mut pipeline = Pipeline::with_capacity(prices.len());
        for (symbol, price) in prices {
            let set = pipeline.cmd("SET").arg(self.key(PRICE, symbol)?).arg(price.to_string());
            set.arg("PX").arg(ttl).ignore();
        }
        self.link.pipeline(&pipeline).await
    }

    /// The last price; `None` where there is none, or none since [`super::MarketSettings::price_ttl`].
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; [`Error::BadReply`] where the key holds no price; whatever the server or the
    /// connection says.
    pub async fn price(&self, symbol: &str) -> Result<Option<Price>> {
        let mut get = cmd("GET");
        get.arg(self.key(PRICE, symbol)?);
        let text: Option<String> = self.link.command(&get).await?;
        text.map(|text| parse(symbol, &text)).transpose()
    }

    /// The last prices of many symbols, in their order, by one `MGET`: all of one moment.
    ///
    /// # Errors
    /// As [`Market::price`]; `BADFIELD` for more than [`super::MarketSettings::batch_max`].
    pub async fn prices(&self, symbols: &[&str]) -> Result<Vec<Option<Price>>> {
        if symbols.is_empty() {
            return Ok(Vec::new());
        }
        let get = self.of_keys("MGET", PRICE, symbols)?;
        let texts: Vec<Option<String>> = self.link.command(&get).await?;
        let read = symbols.iter().zip(texts);
        read.map(|(symbol, text)| text.map(|text| parse(symbol, &text)).transpose()).collect()
    }

    /// The last price with its age, see [`AgedPrice::age`].
    ///
    /// # Errors
    /// As [`Market::price`].
    pub async fn aged_price(&self, symbol: &str) -> Result<Option<AgedPrice>> {
        Ok(self.aged_prices(&[symbol]).await?.pop().flatten())
    }

    /// The last prices of many symbols with their ages, in their order and in one round trip.
    ///
    /// # Errors
    /// As [`Market::prices`].
    pub async fn aged_prices(&self, symbols: &[&str]) -> Result<Vec<Option<AgedPrice>>> {
        if symbols.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(2 * symbols.len());
        for key in self.keys(PRICE, symbols)? {
            // In this order a price that is written in between looks older than it is, never younger.
            pipeline.cmd("PTTL").arg(&key).cmd("GET").arg(&key);
        }
        let replies: Vec<(i64, Option<String>)> = self.link.pipeline(&pipeline).await?;
        let read = symbols.iter().zip(replies);
        read.map(|(symbol, (left_ms, text))| {
            let Some(text) = text else { return Ok(None) };
            Ok(Some(AgedPrice { price: parse(symbol, &text)?, age: age(self.settings.price_ttl, left_ms) }))
        })
        .collect()
    }

    /// The last price if it is known to be no older than `age_max`, see [`AgedPrice::age`].
    ///
    /// # Errors
    /// As [`Market::price`].
    pub async fn fresh_price(&self, symbol: &str, age_max: Duration) -> Result<Option<Price>> {
        let aged = self.aged_price(symbol).await?;
        Ok(aged.filter(|aged| aged.is_fresh(age_max)).map(|aged| aged.price))
    }
}

/// `PTTL` answers -2 for no key and -1 for no time to live.
fn age(ttl: Duration, left_ms: i64) -> Option<Duration> {
    ttl.checked_sub(Duration::from_millis(u64::try_from(left_ms).ok()?))
}

fn parse(symbol: &str, text: &str) -> Result<Price> {
    text.parse().map_err(|why| Error::BadReply(format!("the price of {symbol} {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_what_has_passed_of_the_time_to_live() {
        let ttl = Duration::from_secs(10);
        for (left_ms, passed_ms) in [(10_000, Some(0)), (9_999, Some(1)), (0, Some(10_000))] {
            assert_eq!(age(ttl, left_ms), passed_ms.map(Duration::from_millis));
        }
        for unknown in [-2, -1, 10_001, i64::MAX] {
            assert_eq!(age(ttl, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_unknown_age_is_never_fresh() {
        let aged = |age| AgedPrice { price: Price::ZERO, age };
        assert!(aged(Some(Duration::from_secs(1))).is_fresh(Duration::from_secs(1)));
        assert!(!aged(Some(Duration::from_secs(2))).is_fresh(Duration::from_secs(1)));
        assert!(!aged(None).is_fresh(Duration::MAX));
    }
}
