//! When a market trades, and where the periods of its candles begin.
//!
//! Periods are counted from the session's open, as most vendors chart them (an hour of the New York Stock Exchange begins at
//! 09:30, one of the National Stock Exchange of India at 09:15), and not by the wall clock: then every period but the last is
//! full, and a change of clocks within a session neither skips nor doubles one.

use super::Timeframe;
use crate::error::{Error, Result};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use strat_core::time::TimeOfDay;
use strat_core::{Code, Refusal};

const DAY_MS: i64 = 86_400_000;
/// Longest time that is searched for periods, days: twenty years.
const DAYS_MAX: i64 = 7_320;

/// From when to when, epoch ms; the end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// First millisecond.
    pub start_ms: i64,
    /// First millisecond after it.
    pub end_ms: i64,
}

impl Period {
    /// Whether a time lies within.
    #[must_use]
    pub fn contains(&self, ts_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&ts_ms)
    }

    /// The part of this session that holds `ts_ms`, which lies within.
    pub(super) fn part_at(&self, timeframe: Timeframe, ts_ms: i64) -> Self {
        let Some(length_ms) = timeframe.length_ms() else { return *self };
        let start_ms = ts_ms - (ts_ms - self.start_ms) % length_ms;
        Self { start_ms, end_ms: self.end_ms.min(start_ms + length_ms) }
    }
}

/// Trading hours: a local open and close in a zone, the days of the week, and days that differ.
#[derive(Debug, Clone)]
pub struct Hours {
    zone: TimeZone,
    regular: (Time, Time),
    /// Monday first.
    weekdays: [bool; 7],
    special: BTreeMap<Date, Option<(Time, Time)>>,
}

impl Hours {
    /// A market that never closes; its days are those of UTC.
    #[must_use]
    pub fn always() -> Self {
        let regular = (Time::midnight(), Time::midnight());
        Self { zone: TimeZone::UTC, regular, weekdays: [true; 7], special: BTreeMap::new() }
    }

    /// From `open` until before `close`, both `HH:MM` or `HH:MM:SS` of the IANA zone, Monday to Friday. A close that is not
    /// after the open is on the following day, so `00:00` to `24:00` (or `00:00`) is a whole day.
    ///
    /// # Errors
    /// [`Error::Config`] naming the zone or the time.
    pub fn new(zone: &str, open: &str, close: &str) -> Result<Self> {
        let known = TimeZone::get(zone).map_err(|_| {
            Error::Config(format!("time zone '{zone}' is not known; use an IANA name such as America/New_York"))
        })?;
        let weekdays = [true, true, true, true, true, false, false];
        Ok(Self { zone: known, regular: times(open, close)?, weekdays, special: BTreeMap::new() })
    }

    /// Opens on these days of the week, Monday first.
    #[must_use]
    pub fn on_weekdays(mut self, weekdays: [bool; 7]) -> Self {
        self.weekdays = weekdays;
        self
    }

    /// Does not open on this day, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the day.
    pub fn closed_on(mut self, day: &str) -> Result<Self> {
        self.special.insert(date(day)?, None);
        Ok(self)
    }

    /// Has other hours on this day, `YYYY-MM-DD`, whatever day of the week it is.
    ///
    /// # Errors
    /// [`Error::Config`] naming the day or the time.
    pub fn with_day(mut self, day: &str, open: &str, close: &str) -> Result<Self> {
        self.special.insert(date(day)?, Some(times(open, close)?));
        Ok(self)
    }

    /// The session that a time lies in; `None` outside.
    #[must_use]
    pub fn session_at(&self, ts_ms: i64) -> Option<Period> {
        let day = self.day_of(ts_ms)?;
        // A session may have opened on the day before.
        let days = [day.yesterday().ok(), Some(day)];
        days.into_iter().flatten().filter_map(|day| self.session_on(day)).find(|session| session.contains(ts_ms))
    }

    /// The period that a time lies in; `None` outside the sessions.
    #[must_use]
    pub fn period_at(&self, timeframe: Timeframe, ts_ms: i64) -> Option<Period> {
        Some(self.session_at(ts_ms)?.part_at(timeframe, ts_ms))
    }

    /// The periods that begin in `from_ms..to_ms`, in order.
    ///
    /// # Errors
    /// `BADFIELD` where these are more than `most`, or the time is longer than twenty years.
    pub fn periods(&self, timeframe: Timeframe, from_ms: i64, to_ms: i64, most: usize) -> Result<Vec<Period>> {
        let mut found = Vec::new();
        if from_ms >= to_ms {
            return Ok(found);
        }
        let days = to_ms.saturating_sub(from_ms) / DAY_MS;
        let (true, Some(mut day)) = (days <= DAYS_MAX, self.day_of(from_ms).and_then(|day| day.yesterday().ok()))
        else {
            return Err(refusal(format!(
                "the time from {from_ms} to {to_ms} is longer than {DAYS_MAX} days or out of range"
            )));
        };
        // The day before, the day itself, and one more at the end where the zone is ahead.
        for _ in 0..days + 4 {
            if let Some(session) = self.session_on(day) {
                if session.start_ms >= to_ms {
                    break;
                }
                found.extend(parts(&session, timeframe, from_ms, to_ms).take(most + 1 - found.len()));
            }
            if found.len() > most {
                return Err(refusal(format!("more than {most} candles of {timeframe}; ask for a shorter time")));
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        Ok(found)
    }

    fn day_of(&self, ts_ms: i64) -> Option<Date> {
        let timestamp = Timestamp::from_millisecond(ts_ms).ok()?;
        Some(self.zone.to_datetime(timestamp).date())
    }

    /// The session that opens on a day.
    fn session_on(&self, day: Date) -> Option<Period> {
        let weekday = usize::from(day.weekday().to_monday_zero_offset().unsigned_abs());
        let (open, close) = match self.special.get(&day) {
            Some(special) => (*special)?,
            None => self.weekdays[weekday].then_some(self.regular)?,
        };
        let last = if close > open { day } else { day.tomorrow().ok()? };
        // A time that is skipped is taken as later by as much as the clocks go forward, one that comes twice as the first.
        let instant = |day: Date, time| Some(self.zone.to_timestamp(day.to_datetime(time)).ok()?.as_millisecond());
        let session = Period { start_ms: instant(day, open)?, end_ms: instant(last, close)? };
        (session.start_ms < session.end_ms).then_some(session)
    }
}

/// The periods of a session that begin in `from_ms..to_ms`.
fn parts(session: &Period, timeframe: Timeframe, from_ms: i64, to_ms: i64) -> impl Iterator<Item = Period> {
    let session = *session;
    let first = if from_ms <= session.start_ms {
        session.start_ms
    } else if session.contains(from_ms - 1) {
        // The period that begins at `from_ms` or is the next one.
        session.part_at(timeframe, from_ms - 1).end_ms
    } else {
        session.end_ms
    };
    let begins = move |start_ms: i64| (start_ms < session.end_ms.min(to_ms)).then_some(start_ms);
    let part = move |start_ms| session.part_at(timeframe, start_ms);
    std::iter::successors(begins(first), move |start_ms| begins(part(*start_ms).end_ms)).map(part)
}

fn refusal(detail: String) -> Error {
    Refusal::new(Code::BadField, detail).into()
}

fn times(open: &str, close: &str) -> Result<(Time, Time)> {
    Ok((time(open)?, if close == "24:00" { Time::midnight() } else { time(close)? }))
}

fn time(text: &str) -> Result<Time> {
    let bad = || Error::Config(format!("'{text}' is not a local time HH:MM or HH:MM:SS"));
    let time = TimeOfDay::parse(text).ok_or_else(bad)?;
    let [hour, minute, second] =
        [time.hour, time.minute, time.second].map(|part| i8::try_from(part).unwrap_or(i8::MAX));
    Time::new(hour, minute, second, 0).map_err(|_| bad())
}

fn date(text: &str) -> Result<Date> {
    text.parse().map_err(|_| Error::Config(format!("'{text}' is not a day YYYY-MM-DD")))
}
