//! What may be set, with its defaults and bounds in one place.

use super::bounds::{check_duration, check_prefix};
use crate::error::{Error, Result};
use std::time::Duration;

/// Longest list that may be configured.
const LENGTH_MAX: usize = 1_000_000;

/// Settings of [`super::Market`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketSettings {
    /// Put before every key: empty, or one `{tag}`, which may stand for a tenant. Default empty.
    pub prefix: String,
    /// Life of a last price. Ages are computed from it, so all who write prices must use the same; the strat module's is
    /// `strat.price-ttl-ms`. Default 10 s, as there.
    pub price_ttl: Duration,
    /// Life of the raw ticks after the newest of them. Default 5 min.
    pub tick_ttl: Duration,
    /// Raw ticks kept of a symbol. Default 1,000.
    pub ticks_max: usize,
    /// Life of the last trades after the newest of them. Default 1 h.
    pub trade_ttl: Duration,
    /// Trades kept of a symbol. Default 500.
    pub trades_max: usize,
    /// Life of an order book. Default 10 s.
    pub book_ttl: Duration,
    /// Levels of a side that are kept, best first. Default 50.
    pub depth_max: usize,
    /// Life of the statistics. Default 5 min: who feeds them does so more often.
    pub stats_ttl: Duration,
    /// Life of a symbol's information. Default 1 h.
    pub info_ttl: Duration,
    /// Age of the oldest price of the history, and its life after the newest. Default 24 h.
    pub history_age: Duration,
    /// Prices kept in a symbol's history. Default 10,000.
    pub history_max: usize,
    /// Symbols or entries of one call. Default 1,000.
    pub batch_max: usize,
    /// Keys that a listing of the symbols looks at, about. Default 1,000,000.
    pub scan_max: usize,
    /// Longest wait for a reply, where the connection's own limit is not to count. Default `None`: every connection of this
    /// crate and of the `redis` crate has one.
    pub call_timeout: Option<Duration>,
}

impl Default for MarketSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            price_ttl: Duration::from_secs(10),
            tick_ttl: Duration::from_secs(300),
            ticks_max: 1_000,
            trade_ttl: Duration::from_secs(3_600),
            trades_max: 500,
            book_ttl: Duration::from_secs(10),
            depth_max: 50,
            stats_ttl: Duration::from_secs(300),
            info_ttl: Duration::from_secs(3_600),
            history_age: Duration::from_secs(86_400),
            history_max: 10_000,
            batch_max: 1_000,
            scan_max: 1_000_000,
            call_timeout: None,
        }
    }
}

impl MarketSettings {
    pub(super) fn check(&self) -> Result<()> {
        check_prefix(&self.prefix)?;
        for (name, duration) in [
            ("price_ttl", self.price_ttl),
            ("tick_ttl", self.tick_ttl),
            ("trade_ttl", self.trade_ttl),
            ("book_ttl", self.book_ttl),
            ("stats_ttl", self.stats_ttl),
            ("info_ttl", self.info_ttl),
            ("history_age", self.history_age),
            ("call_timeout", self.call_timeout.unwrap_or(self.price_ttl)),
        ] {
            check_duration(name, duration)?;
        }
        for (name, count) in [
            ("ticks_max", self.ticks_max),
            ("trades_max", self.trades_max),
            ("depth_max", self.depth_max),
            ("history_max", self.history_max),
            ("batch_max", self.batch_max),
        ] {
            if !(1..=LENGTH_MAX).contains(&count) {
                return Err(Error::Config(format!("{name} is {count}, it must be from 1 to {LENGTH_MAX}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut MarketSettings);

    fn bad() -> [(&'static str, Change); 6] {
        [
            ("prefix", |settings| settings.prefix = "tenant:".into()),
            ("prefix", |settings| settings.prefix = "{a}{b}".into()),
            ("prefix", |settings| settings.prefix = "{a b}".into()),
            ("price_ttl", |settings| settings.price_ttl = Duration::ZERO),
            ("call_timeout", |settings| settings.call_timeout = Some(Duration::MAX)),
            ("depth_max", |settings| settings.depth_max = 0),
        ]
    }

    #[test]
    fn the_defaults_are_usable_and_what_is_not_is_named() {
        let with = |change: Change| {
            let mut settings = MarketSettings::default();
            change(&mut settings);
            settings.check()
        };
        with(|_| {}).unwrap();
        with(|settings| settings.prefix = "{tenant-1}".into()).unwrap();
        for (name, change) in bad() {
            assert!(matches!(with(change), Err(Error::Config(text)) if text.starts_with(name)), "{name}");
        }
    }
}
