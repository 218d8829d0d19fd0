//! Prices by time: a sorted set with one price for each millisecond.
//!
//! A sorted set and not a stream, because a price that comes late still finds its place, and because writing the same point
//! again changes nothing.

use super::bounds::{check_count, ttl_ms};
use super::{Change, Market, PricePoint};
use crate::error::{Error, Result};
use crate::reply::one_line;
use redis::aio::ConnectionLike;
use redis::{cmd, pipe};
use strat_core::{Code, Refusal};

const HISTORY: &str = "history:";
/// Scores of a sorted set are doubles: up to here each millisecond has its own.
const TS_MAX: i64 = 1 << 53;

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Adds prices to a symbol's history, in any order; of two in the same millisecond the one that is added last stays. What
    /// is older than the newest of `points` by [`super::MarketSettings::history_age`] goes, and what is beyond the newest
    /// [`super::MarketSettings::history_max`]. In one round trip, all or none; may be repeated.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol or a time that is none and for more than [`super::MarketSettings::batch_max`]; whatever the
    /// server or the connection says.
    pub async fn add_history(&self, symbol: &str, points: &[PricePoint]) -> Result<()> {
        check_count("prices of one call", points.len(), self.settings.batch_max)?;
        let key = self.key(HISTORY, symbol)?;
        let Some(newest) = points.iter().map(|point| point.ts_ms).max() else { return Ok(()) };
        let age_ms = ttl_ms(self.settings.history_age);
        let mut pipeline = pipe();
        pipeline.atomic();
        for PricePoint { ts_ms, price } in points {
            check_time(*ts_ms)?;
            pipeline.cmd("ZREMRANGEBYSCORE").arg(&key).arg(ts_ms).arg(ts_ms).ignore();
            pipeline.cmd("ZADD").arg(&key).arg(ts_ms).arg(format!("{ts_ms} {price}")).ignore();
        }
        pipeline.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(format!("({}", newest - age_ms)).ignore();
        let beyond = -1 - i64::try_from(self.settings.history_max).unwrap_or(i64::MAX - 1);
        pipeline.cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(beyond).ignore();
        pipeline.cmd("PEXPIRE").arg(&key).arg(age_ms).ignore();
        self.link.pipeline(&pipeline).await
    }

    /// The prices of `from_ms..=to_ms`, oldest first, at most `count` and at most what is kept.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol or a time that is none; [`Error::BadReply`] where something else stands in the set; whatever
    /// the server or the connection says.
    pub async fn history(&self, symbol: &str, from_ms: i64, to_ms: i64, count: usize) -> Result<Vec<PricePoint>> {
        let mut range = cmd("ZRANGE");
        range.arg(self.key(HISTORY, symbol)?).arg(check_time(from_ms)?).arg(check_time(to_ms)?);
        range.arg("BYSCORE").arg("LIMIT").arg(0).arg(count.min(self.settings.history_max));
        let members: Vec<String> = self.link.command(&range).await?;
        members.iter().map(|member| parse(member)).collect()
    }

    /// How the price changed from one time to another: from the last price at or before `from_ms` to the last at or before
    /// `to_ms`, in one round trip. `None` where the history does not reach back that far.
    ///
    /// # Errors
    /// As [`Market::history`].
    pub async fn change(&self, symbol: &str, from_ms: i64, to_ms: i64) -> Result<Option<Change>> {
        let key = self.key(HISTORY, symbol)?;
        let mut pipeline = pipe();
        for ts_ms in [from_ms, to_ms] {
            let range = pipeline.cmd("ZRANGE").arg(&key).arg(check_time(ts_ms)?).arg("-inf");
            range.arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(1);
        }
        let (from, to): (Vec<String>, Vec<String>) = self.link.pipeline(&pipeline).await?;
        match (from.first(), to.first()) {
            (Some(from), Some(to)) => Ok(Some(Change::between(parse(from)?, parse(to)?))),
            _ => Ok(None),
        }
    }
}

fn check_time(ts_ms: i64) -> Result<i64> {
    if (0..=TS_MAX).contains(&ts_ms) {
        return Ok(ts_ms);
    }
    Err(Refusal::new(Code::BadField, format!("time {ts_ms} must be in epoch ms, from 0 to 2^53")).into())
}

fn parse(member: &str) -> Result<PricePoint> {
    let words = member.split_once(' ');
    let point =
        words.and_then(|(ts_ms, price)| Some(PricePoint { ts_ms: ts_ms.parse().ok()?, price: price.parse().ok()? }));
    point.ok_or_else(|| Error::BadReply(one_line(&format!("'{member}' is no price of a history"))))
}
