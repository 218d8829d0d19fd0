//! Ticks in, changed candles out.

use super::{Candle, Hours, Period, Timeframe};
use crate::error::{Error, Result};
use crate::market::Tick;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest lateness that can be set.
pub const LATENESS_MAX: Duration = Duration::from_secs(3_600);
/// Candles of a timeframe that are held. An hour of lateness needs 61; the rest is for the time that Redis is away, more
/// than a day of minutes.
const HELD_MAX: usize = 2_000;

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the newest.
    Newest,
    /// It came late and changed the candles that it belongs to.
    Late,
    /// It came later than is accepted; nothing changed.
    TooLate,
    /// It lies outside the sessions; nothing changed.
    Outside,
}

/// How many ticks became what, since the builder was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuilderCounts {
    /// In order.
    pub newest: u64,
    /// Late, and accepted.
    pub late: u64,
    /// Too late, and refused.
    pub too_late: u64,
    /// Outside the sessions, and refused.
    pub outside: u64,
    /// Changed candles that were let go before they were written, because there were too many. Each is a loss.
    pub dropped: u64,
}

#[derive(Debug)]
struct Held {
    candle: Candle,
    changed: bool,
}

/// Builds all candles of one symbol. Without IO and without a clock: what counts are the times of the ticks, and the newest of
/// those that were accepted tells what is late. A tick whose time lies far ahead of all others makes them too late, so
/// whoever feeds it compares with a clock before.
#[derive(Debug)]
pub struct CandleBuilder {
    hours: Arc<Hours>,
    lateness_ms: i64,
    newest_ms: Option<i64>,
    /// Where the last tick fell: the next one most likely does as well.
    session: Option<Period>,
    held: [BTreeMap<i64, Held>; Timeframe::ALL.len()],
    counts: BuilderCounts,
}

impl CandleBuilder {
    /// A builder that accepts ticks up to `lateness` older than the newest.
    ///
    /// # Errors
    /// [`Error::Config`] for more than [`LATENESS_MAX`].
    pub fn new(hours: Arc<Hours>, lateness: Duration) -> Result<Self> {
        if lateness > LATENESS_MAX {
            return Err(Error::Config(format!("lateness is {lateness:?}, it must be at most {LATENESS_MAX:?}")));
        }
        let lateness_ms = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        let (held, counts) = (Default::default(), BuilderCounts::default());
        Ok(Self { hours, lateness_ms, newest_ms: None, session: None, held, counts })
    }

    /// Goes on from candles that were built before, all of which tell of times up to `at_ms`: ticks older than that by more
    /// than the lateness are too late from now on. For a builder that has seen no tick yet.
    #[must_use]
    pub fn resume(mut self, candles: impl IntoIterator<Item = Candle>, at_ms: i64) -> Self {
        for candle in candles {
            let held = Held { candle, changed: false };
            self.held[candle.timeframe as usize].insert(candle.period.start_ms, held);
        }
        self.newest_ms = Some(at_ms);
        self
    }

    /// Takes a tick. Its quantity may be 0.
    pub fn push(&mut self, tick: &Tick) -> Taken {
        let taken = self.judge(tick.ts_ms);
        let count = match taken {
            Taken::Newest => &mut self.counts.newest,
            Taken::Late => &mut self.counts.late,
            Taken::TooLate => &mut self.counts.too_late,
            Taken::Outside => &mut self.counts.outside,
        };
        *count += 1;
        if let (Some(session), Taken::Newest | Taken::Late) = (self.session, taken) {
            self.newest_ms = self.newest_ms.max(Some(tick.ts_ms));
            for timeframe in Timeframe::ALL {
                self.add(timeframe, session.part_at(timeframe, tick.ts_ms), tick);
            }
        }
        taken
    }

    /// The session is that of the tick afterwards, unless it is outside.
    fn judge(&mut self, ts_ms: i64) -> Taken {
        if !self.session.is_some_and(|session| session.contains(ts_ms)) {
            match self.hours.session_at(ts_ms) {
                None => return Taken::Outside,
                session => self.session = session,
            }
        }
        match self.newest_ms {
            Some(newest_ms) if newest_ms.saturating_sub(ts_ms) > self.lateness_ms => Taken::TooLate,
            Some(newest_ms) if ts_ms < newest_ms => Taken::Late,
            _ => Taken::Newest,
        }
    }

    fn add(&mut self, timeframe: Timeframe, period: Period, tick: &Tick) {
        let all = &mut self.held[timeframe as usize];
        if let Some(held) = all.get_mut(&period.start_ms) {
            held.candle.take(tick);
            held.changed = true;
            return;
        }
        if all.len() >= HELD_MAX {
            let oldest = all.pop_first();
            self.counts.dropped += u64::from(oldest.is_some_and(|(_, held)| held.changed));
        }
        all.insert(period.start_ms, Held { candle: Candle::of(timeframe, period, tick), changed: true });
    }

    /// Candles that changed and were not said to be [written](Self::written) since, at most `most`: by timeframe, the oldest
    /// first.
    #[must_use]
    pub fn changes(&self, most: usize) -> Vec<Candle> {
        let all = self.held.iter().flat_map(BTreeMap::values);
        all.filter(|held| held.changed).map(|held| held.candle).take(most).collect()
    }

    /// These were written as they are here. What has changed since stays to be written; what can change no more is let go.
    pub fn written(&mut self, candles: &[Candle]) {
        for candle in candles {
            if let Some(held) = self.held[candle.timeframe as usize].get_mut(&candle.period.start_ms) {
                // Every tick is counted, so the same count is the same candle.
                held.changed &= held.candle.trades != candle.trades;
            }
        }
        if let Some(newest_ms) = self.newest_ms {
            let oldest_ms = newest_ms.saturating_sub(self.lateness_ms);
            for all in &mut self.held {
                all.retain(|_, held| held.changed || held.candle.period.end_ms > oldest_ms);
            }
        }
    }

    /// Time of the newest tick that was accepted, epoch ms.
    #[must_use]
    pub const fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// What became of the ticks so far.
    #[must_use]
    pub const fn counts(&self) -> BuilderCounts {
        self.counts
    }
}
