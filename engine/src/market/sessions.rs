//! When the market of a symbol is open: trades before and after that fire no stop.
//!
//! Whose sessions count is said by `feed.calendar`, or else by the calendars of those who hold the symbol: it is closed
//! where it is closed for all of them. Nobody's stop is kept from a price that he may expect: a holder without a calendar,
//! or with one that cannot answer, has an open market.

use super::{Market, lock};
use crate::calendar::{Calendar, Calendars};
use crate::clock::{Clock, LiveClock};
use crate::feed::{Stamp, Tick};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Time between two looks at who holds what: a position that is new counts from the next one on.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same until it is known for the first time.
const FIRST_LOOKS: Duration = Duration::from_millis(20);

/// Which trades of a day count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRule {
    /// Those of the regular sessions.
    Regular,
    /// All.
    Any,
}

/// Sessions of yesterday, today and tomorrow, from their first moment to the one after their last, epoch ms.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sessions(Arc<[(i64, i64)]>);

impl Sessions {
    /// Whether there is one, also where the clocks differ by so much.
    fn contain(&self, at_ms: i64, grace_ms: i64) -> bool {
        let within = |(open, close): &(i64, i64)| {
            open.saturating_sub(grace_ms) <= at_ms && at_ms < close.saturating_add(grace_ms)
        };
        self.0.iter().any(within)
    }
}

/// When symbols are traded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Openings {
    /// Of the whole feed.
    feed: Option<Sessions>,
    /// Of those that are held; others are always open.
    held: HashMap<String, Sessions>,
}

impl Openings {
    /// Whether a tick is of a session, and comes while there is one: yesterday's last price, told again at eight in the
    /// morning, is none of today's. Without a stamp the time of its arrival counts for both.
    pub(super) fn is_open(&self, tick: &Tick, now_ms: i64, grace_ms: i64) -> bool {
        let Some(sessions) = self.feed.as_ref().or_else(|| self.held.get(&*tick.symbol)) else { return true };
        match tick.stamp {
            Stamp::Market => sessions.contain(tick.ts_ms, 0) && sessions.contain(now_ms, grace_ms),
            Stamp::Arrival => sessions.contain(now_ms, 0),
        }
    }

    /// By the calendar of the feed where it has one, else by those of each symbol's holders.
    pub(super) fn of(
        calendars: &Calendars,
        feed: Option<&str>,
        held: impl IntoIterator<Item = (String, Vec<String>)>,
        now: Timestamp,
    ) -> Self {
        if let Some(name) = feed {
            return Self { feed: sessions(calendars, &[name], now), held: HashMap::new() };
        }
        let of_symbol = |(symbol, names): (String, Vec<String>)| Some((symbol, sessions(calendars, &names, now)?));
        Self { feed: None, held: held.into_iter().filter_map(of_symbol).collect() }
    }
}

/// The sessions of all of these calendars; `None` where one of them is always open, or not known, or where there are none.
fn sessions<T: AsRef<str>>(calendars: &Calendars, names: &[T], now: Timestamp) -> Option<Sessions> {
    let mut all = Vec::new();
    for name in names {
        let calendar = calendars.get(name.as_ref()).ok().filter(|calendar| !calendar.never_closes())?;
        let today = now.to_zoned(calendar.zone.clone()).date();
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        all.extend(days.into_iter().flatten().filter_map(|day| opening(&calendar, day)));
    }
    (!names.is_empty()).then(|| Sessions(all.into()))
}

/// The session of a day. One that the calendar does not cover is open as a whole: in doubt stops are watched.
fn opening(calendar: &Calendar, day: Date) -> Option<(i64, i64)> {
    let (open, close) = match calendar.session(day) {
        Ok(Some(session)) => (session.open, session.close),
        Ok(None) => return None,
        Err(_) => (Time::midnight(), None),
    };
    let ms = |day: Date, time: Time| {
        let at = day.to_datetime(time).to_zoned(calendar.zone.clone()).ok()?;
        Some(at.timestamp().as_millisecond())
    };
    let close = match close {
        Some(close) => ms(day, close)?,
        None => ms(day.tomorrow().ok()?, Time::midnight())?,
    };
    Some((ms(day, open)?, close))
}

/// Tells the market when its symbols are traded.
pub struct SessionWatch {
    market: Arc<Market>,
    calendars: Calendars,
    /// Of the whole feed.
    calendar: Option<String>,
}

impl SessionWatch {
    /// A watch that has not begun; the market waits a moment for its first word.
    #[must_use]
    pub fn new(market: Arc<Market>, calendars: Calendars, calendar: Option<String>) -> Self {
        market.sessions_known.send_replace(false);
        Self { market, calendars, calendar }
    }

    /// Works until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let known = self.look();
            if known {
                self.market.sessions_known.send_replace(true);
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(if known { LOOK_EVERY } else { FIRST_LOOKS }) => {}
            }
        }
    }

    /// Answers whether everything is known that has to be.
    fn look(&self) -> bool {
        let now = Timestamp::from_millisecond(LiveClock.now_ms()).unwrap_or_default();
        let guard = &self.market.guard;
        let known = self.calendar.is_some() || guard.status().behind.is_some();
        let held = guard.with_shadow(|shadow| {
            let with_names = |symbol: String| {
                let names: Vec<_> = shadow.calendars_of(&symbol).map(str::to_owned).collect();
                (symbol, names)
            };
            shadow.open_symbols().into_iter().map(with_names).collect::<Vec<_>>()
        });
        let openings = Openings::of(&self.calendars, self.calendar.as_deref(), held, now);
        lock(&self.market.filter).set_openings(openings);
        known
    }
}

#[cfg(test)]
mod tests;
