//! Candles (OHLCV), built from ticks and kept in Redis.
//!
//! [`CandleBuilder`] is pure: ticks go in, changed candles come out, without IO and without a clock. [`Hours`] say when a
//! market trades and where its periods begin. [`CandleStore`] writes what changed and reads ranges back.
//!
//! **Periods** of 1, 5, 15 and 60 minutes are counted from the session's open in elapsed time: with an open at 09:30 the
//! hours begin at 09:30, 10:30, ..., and the last period ends with the session, however short that leaves it. A day's candle
//! is the session's. On days when clocks change nothing is skipped or counted twice; the day is an hour shorter or longer.
//!
//! **Gaps.** Where nothing was traded there is no candle. On reading, [`Gaps::Flat`] fills what lies between two candles.
//!
//! **Without Redis** the builder goes on by itself and holds what changed until it was written; writing and reading
//! answer an error, [`crate::Error::Unavailable`] where nothing was sent. A write may always be repeated: it stores candles
//! whole.

mod builder;
mod candle;
mod hours;
mod store;

pub use builder::{BuilderCounts, CandleBuilder, LATENESS_MAX, Taken};
pub use candle::{Candle, Timeframe};
pub use hours::{Hours, Period};
pub use store::{CandleSettings, CandleStore, Gaps};

#[cfg(test)]
mod tests;
