//! When a strategy buys and sells: local times, zone and session calendar become epoch milliseconds.
//!
//! - **Clock changes.** A local time that a change of clocks skips means the first instant after the gap; one
//!   that comes twice means the first of the two.
//! - **Closed days.** A day without a session is passed over.
//! - **Shortened sessions.** An exit between the early close and the usual one keeps its distance from the
//!   close; an entry that this leaves no time for waits for the next session.
//! - **Square-off.** Where a calendar has a time at which intraday positions are squared off, no exit is later: a strategy without
//!   an exit time gets that one, also for what it holds already. On a day with other hours it keeps its distance from the close.
//!   Overnight strategies are not intraday and keep their time.
//! - **Repeat.** With the field `repeat` at `daily` a strategy that has COMPLETED waits for the first session after its entry's day.
//! - **Overnight.** An exit time not after the entry time means the following day, live. A replay has one day.

mod decide;
mod legs;
mod task;

use legs::{Legs, after, instant};
pub use task::{Scheduler, SchedulerError, SchedulerSettings};

use crate::calendar::{Calendar, CalendarError, Calendars, civil_time};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::sync::Arc;
use strat_core::field::{Kind, lookup};
use strat_core::time::TimeOfDay;
use strat_core::{Action, Leg, Side};

/// Field of a strategy that overrules the grace window of the settings, in seconds.
const GRACE_FIELD: &str = "grace_seconds";

/// Field of a strategy that lets it begin again: `daily`, or empty.
const REPEAT_FIELD: &str = "repeat";
const DAILY: &str = "daily";

/// Why no times can be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The zone is not in the time zone database.
    #[error("timezone '{zone}' is not known; use an IANA name such as America/New_York")]
    Zone {
        /// As given.
        zone: String,
    },
    /// A time of day does not parse.
    #[error("{field} '{value}' must be a local time HH:MM or HH:MM:SS")]
    Time {
        /// Field.
        field: &'static str,
        /// As given.
        value: String,
    },
    /// The calendar cannot answer.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// Neither empty nor `daily`.
    #[error("repeat '{0}' must be daily, or empty")]
    Repeat(String),
    /// Nothing begins again without an entry time.
    #[error("repeat daily needs an entry time: buy_time, or sell_time for a SHORT")]
    RepeatsNothing,
    /// It would be squared off as soon as it is entered.
    #[error("the entry at {entry} is not before {calendar}'s square-off at {square_off}")]
    AfterSquareOff {
        /// The entry's time of day.
        entry: Time,
        /// Calendar.
        calendar: String,
        /// Its time.
        square_off: Time,
    },
    /// Beyond the years that dates can have.
    #[error("the date {0} is out of range")]
    OutOfRange(Date),
}

/// What becomes of an entry whose time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Enter late if no more than this many milliseconds have passed, else wait for the next session.
    Late {
        /// The grace window, ms.
        grace_ms: i64,
    },
    /// Wait for the next session, always.
    Skip,
}

impl Missed {
    /// How late an entry may be, ms.
    #[must_use]
    pub const fn grace_ms(self) -> i64 {
        match self {
            Self::Late { grace_ms } => grace_ms,
            Self::Skip => 0,
        }
    }

    /// What counts for one strategy: its own field `grace_seconds` overrules the window of the settings.
    #[must_use]
    pub fn of(self, hash: &strat_client::Strategy) -> Self {
        match (self, hash.count(GRACE_FIELD)) {
            (Self::Late { .. }, Some(seconds)) => Self::Late { grace_ms: seconds.saturating_mul(1_000) },
            (missed, _) => missed,
        }
    }
}

/// Times of one day, epoch ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Field `buy_at`.
    pub buy_at: Option<i64>,
    /// Field `sell_at`.
    pub sell_at: Option<i64>,
}

/// A plan, and the entry time that it passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The times to set.
    pub plan: Plan,
    /// The entry time that was missed and is not made up for, epoch ms.
    pub skipped: Option<i64>,
}

/// A strategy's wishes about time.
#[derive(Debug, Clone)]
pub struct Times {
    side: Side,
    entry: Option<Time>,
    exit: Option<Time>,
    zone: TimeZone,
    calendar: Arc<Calendar>,
    repeats: bool,
}

impl Times {
    /// Reads the fields `side buy_time sell_time timezone calendar repeat`. Without a timezone the calendar's counts,
    /// which is UTC where no calendar is named.
    ///
    /// # Errors
    /// [`ScheduleError`] naming the field.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>, calendars: &Calendars) -> Result<Self, ScheduleError> {
        let side = get("side").and_then(Side::parse).unwrap_or(Side::Long);
        let calendar = calendars.get(get("calendar").unwrap_or_default())?;
        let zone = match get("timezone").unwrap_or_default() {
            "" => calendar.zone.clone(),
            zone => TimeZone::get(zone).map_err(|_| ScheduleError::Zone { zone: zone.to_owned() })?,
        };
        let (buy, sell) = (time_field(&get, "buy_time")?, time_field(&get, "sell_time")?);
        let (entry, exit) = match Action::Buy.leg(side) {
            Leg::Entry => (buy, sell),
            Leg::Exit => (sell, buy),
        };
        let repeats = match get(REPEAT_FIELD).unwrap_or_default() {
            "" => false,
            DAILY if entry.is_none() => return Err(ScheduleError::RepeatsNothing),
            DAILY => true,
            other => return Err(ScheduleError::Repeat(other.to_owned())),
        };
        let times = Self { side, entry, exit, zone, calendar, repeats };
        times.check_square_off()?;
        Ok(times)
    }

    /// Whether there is anything to plan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry.is_none() && self.exit.is_none() && self.square_off().is_none()
    }

    /// Whether it begins again when it has completed.
    #[must_use]
    pub const fn repeats(&self) -> bool {
        self.repeats
    }

    /// Whether there is an entry time.
    #[must_use]
    pub const fn has_entry(&self) -> bool {
        self.entry.is_some()
    }

    /// Whether there is an exit time of its own.
    #[must_use]
    pub const fn has_exit(&self) -> bool {
        self.exit.is_some()
    }

    /// Whether what it holds is exited by time: its own, or its calendar's square-off.
    #[must_use]
    pub fn ends_by_time(&self) -> bool {
        self.exit.is_some() || self.square_off().is_some()
    }

    /// The date at `now_ms` where the strategy's clock hangs.
    ///
    /// # Errors
    /// [`ScheduleError::OutOfRange`].
    pub fn date(&self, now_ms: i64) -> Result<Date, ScheduleError> {
        let now = Timestamp::from_millisecond(now_ms).map_err(|_| ScheduleError::OutOfRange(Date::MAX))?;
        Ok(now.to_zoned(self.zone.clone()).date())
    }

    /// The times of the replayed day `date`, or of the session after it; both times on the same date.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn on_day(&self, date: Date) -> Result<Plan, ScheduleError> {
        Ok(self.named(self.day_from(date, false)?.1))
    }

    /// What to wait for at `now_ms` while nothing is held.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn plan(&self, now_ms: i64, missed: Missed) -> Result<Planned, ScheduleError> {
        let today = self.date(now_ms)?;
        // Overnight the day before counts as well: its exit may be still to come.
        let first = if self.is_overnight() { today.yesterday().unwrap_or(today) } else { today };
        self.plan_from(first, now_ms, missed)
    }

    /// What to wait for once what was entered at `entered_ms` is over: nothing of that day again.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn plan_again(&self, entered_ms: i64, now_ms: i64, missed: Missed) -> Result<Planned, ScheduleError> {
        self.plan_from(after(self.date(entered_ms)?)?, now_ms, missed)
    }

    fn plan_from(&self, first: Date, now_ms: i64, missed: Missed) -> Result<Planned, ScheduleError> {
        let today = self.date(now_ms)?;
        let mut date = first;
        let mut skipped = None;
        loop {
            let (day, legs) = self.day_from(date, true)?;
            let late = legs.entry.is_some_and(|at| at.saturating_add(missed.grace_ms()) < now_ms);
            let over = legs.exit.is_some_and(|at| at <= now_ms);
            if !late && !over {
                return Ok(Planned { plan: self.named(legs), skipped });
            }
            if day <= today {
                skipped = legs.entry.filter(|at| *at <= now_ms);
            }
            date = after(day)?;
        }
    }

    /// When to exit what is already held. A time that has passed today stays: exits are made up for, never skipped.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn plan_exit(&self, now_ms: i64) -> Result<Plan, ScheduleError> {
        let today = self.date(now_ms)?;
        if self.entered_for_the_night(today, now_ms)?
            && let Some(legs) = self.legs_on(today, true)?
        {
            return Ok(self.named(Legs { entry: None, ..legs }));
        }
        let exit_only = Self { entry: None, ..self.clone() };
        Ok(exit_only.named(exit_only.day_from(today, true)?.1))
    }

    /// Whether what is held was entered today to be exited tomorrow.
    fn entered_for_the_night(&self, today: Date, now_ms: i64) -> Result<bool, ScheduleError> {
        match (self.entry, self.exit) {
            (Some(entry), Some(exit)) if exit <= entry => Ok(instant(&self.zone, today, entry)? <= now_ms),
            _ => Ok(false),
        }
    }

    fn named(&self, legs: Legs) -> Plan {
        match Action::entry(self.side) {
            Action::Buy => Plan { buy_at: legs.entry, sell_at: legs.exit },
            _ => Plan { buy_at: legs.exit, sell_at: legs.entry },
        }
    }
}

fn time_field<'a>(get: &impl Fn(&str) -> Option<&'a str>, field: &'static str) -> Result<Option<Time>, ScheduleError> {
    debug_assert!(lookup(field).is_some_and(|spec| spec.kind == Kind::TimeOfDay));
    match get(field).unwrap_or_default() {
        "" => Ok(None),
        value => TimeOfDay::parse(value)
            .map(|time| Some(civil_time(time)))
            .ok_or_else(|| ScheduleError::Time { field, value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests;
