//! A candle, and how a tick changes it.

use super::Period;
use crate::market::{Decimal, Tick};
use std::fmt;
use strat_core::Price;

/// How long the period of a candle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeframe {
    /// `1m`
    Minute,
    /// `5m`
    FiveMinutes,
    /// `15m`
    FifteenMinutes,
    /// `1h`
    Hour,
    /// `1d`: a session.
    Day,
}

impl Timeframe {
    /// All, the shortest first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::FiveMinutes, Self::FifteenMinutes, Self::Hour, Self::Day];

    /// As it stands in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// The timeframe of a text as in keys.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timeframe| timeframe.as_str() == text)
    }

    /// Length of a full period, ms; `None` for the day, which is as long as its session.
    #[must_use]
    pub const fn length_ms(self) -> Option<i64> {
        match self {
            Self::Minute => Some(60_000),
            Self::FiveMinutes => Some(300_000),
            Self::FifteenMinutes => Some(900_000),
            Self::Hour => Some(3_600_000),
            Self::Day => None,
        }
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was traded in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// Which series it belongs to.
    pub timeframe: Timeframe,
    /// From when to when.
    pub period: Period,
    /// Price of the earliest tick; of equal times the one that came first.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Price of the latest tick; of equal times the one that came last.
    pub close: Price,
    /// Sum of the quantities, exact; 0 where the feed has none.
    pub volume: Decimal,
    /// Number of ticks; 0 in a flat candle that fills a gap.
    pub trades: u64,
    /// Time of the earliest tick, epoch ms.
    pub first_ms: i64,
    /// Time of the latest tick, epoch ms.
    pub last_ms: i64,
}

impl Candle {
    pub(super) fn of(timeframe: Timeframe, period: Period, tick: &Tick) -> Self {
        Self {
            timeframe,
            period,
            open: tick.price,
            high: tick.price,
            low: tick.price,
            close: tick.price,
            volume: tick.quantity.into(),
            trades: 1,
            first_ms: tick.ts_ms,
            last_ms: tick.ts_ms,
        }
    }

    /// Ticks may come in any order: open and close know their times.
    pub(super) fn take(&mut self, tick: &Tick) {
        if tick.ts_ms < self.first_ms {
            (self.open, self.first_ms) = (tick.price, tick.ts_ms);
        }
        if tick.ts_ms >= self.last_ms {
            (self.close, self.last_ms) = (tick.price, tick.ts_ms);
        }
        self.high = self.high.max(tick.price);
        self.low = self.low.min(tick.price);
        self.volume += tick.quantity.into();
        self.trades += 1;
    }

    /// A period without a trade, after this one.
    pub(super) fn flat(&self, period: Period) -> Self {
        let price = self.close;
        Self {
            timeframe: self.timeframe,
            period,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Decimal::ZERO,
            trades: 0,
            first_ms: period.start_ms,
            last_ms: period.start_ms,
        }
    }
}
