//! Session calendars: on which days, from when to when, an exchange trades.
//!
//! They are data (TOML, `engine/calendars/`), because exchanges change their minds. The shipped ones are
//! embedded; a file of the same name in the operator's directory wins. A year that a calendar does not cover
//! is an error: guessing would trade on a holiday, or miss a session.

mod file;

pub(crate) use file::civil_time;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use strat_core::time::TimeOfDay;

/// Calendars that come with the engine.
const SHIPPED: &[(&str, &str)] = &[
    ("24x7", include_str!("../../calendars/24x7.toml")),
    ("XNYS", include_str!("../../calendars/XNYS.toml")),
    ("XNSE", include_str!("../../calendars/XNSE.toml")),
];

/// Longest run of days without a session that a search passes over; no exchange closes for longer.
const CLOSED_DAYS_MAX: usize = 60;

/// Why a calendar cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// No such calendar.
    #[error("no calendar '{name}'; known are {known}. Put {name}.toml into the calendar directory to add it")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Names, comma-separated.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the calendar directory or file {path}: {source}")]
    Read {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not say what a calendar must say.
    #[error("calendar {name}: {reason}")]
    Malformed {
        /// Calendar.
        name: String,
        /// What is wrong, in words.
        reason: String,
    },
    /// The year is not covered.
    #[error(
        "calendar {name} does not cover {year} (it covers {covered}); add the year's holidays to {name}.toml in the calendar directory"
    )]
    YearMissing {
        /// Calendar.
        name: String,
        /// Year asked for.
        year: i16,
        /// Years it has.
        covered: String,
    },
    /// No session for two months: the data must be wrong.
    #[error("calendar {name} has no session within {CLOSED_DAYS_MAX} days from {from}")]
    NoSession {
        /// Calendar.
        name: String,
        /// First day that was looked at.
        from: Date,
    },
}

/// One day's trading hours, local to the calendar's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The day.
    pub date: Date,
    /// First moment.
    pub open: Time,
    /// Last moment; `None` is midnight at the day's end.
    pub close: Option<Time>,
    /// What the open would be on a regular day.
    pub regular_open: Time,
    /// What the close would be on a regular day; differs from `close` on shortened days.
    pub regular_close: Option<Time>,
}

/// An exchange's sessions.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Name, by market identifier code where the exchange has one.
    pub name: String,
    /// Zone of the hours.
    pub zone: TimeZone,
    /// Trading days of the week, Monday first.
    weekdays: [bool; 7],
    open: Time,
    close: Option<Time>,
    /// When intraday positions are squared off; `None` where they are not.
    pub square_off: Option<Time>,
    /// Covered years; `None` covers all.
    years: Option<BTreeSet<i16>>,
    holidays: BTreeSet<Date>,
    /// Days whose hours differ, with those hours; also extra sessions on days that would be closed.
    special: BTreeMap<Date, (Time, Option<Time>)>,
}

impl Calendar {
    /// The session of `date`, if there is one.
    ///
    /// # Errors
    /// [`CalendarError::YearMissing`].
    pub fn session(&self, date: Date) -> Result<Option<Session>, CalendarError> {
        if let Some(years) = self.years.as_ref().filter(|years| !years.contains(&date.year())) {
            return Err(CalendarError::YearMissing {
                name: self.name.clone(),
                year: date.year(),
                covered: years.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            });
        }
        let (regular_open, regular_close) = (self.open, self.close);
        if let Some(&(open, close)) = self.special.get(&date) {
            return Ok(Some(Session { date, open, close, regular_open, regular_close }));
        }
        let weekday = date.weekday().to_monday_zero_offset().unsigned_abs() as usize;
        let trades = self.weekdays[weekday] && !self.holidays.contains(&date);
        Ok(trades.then_some(Session { date, open: self.open, close: self.close, regular_open, regular_close }))
    }

    /// Whether there is no moment at which it is closed.
    #[must_use]
    pub fn never_closes(&self) -> bool {
        let every_day = self.years.is_none() && self.weekdays == [true; 7];
        let all_day = self.open == Time::midnight() && self.close.is_none();
        every_day && all_day && self.holidays.is_empty() && self.special.is_empty()
    }

    /// The first session on `from` or after it.
    ///
    /// # Errors
    /// [`CalendarError::YearMissing`], [`CalendarError::NoSession`].
    pub fn next_session(&self, from: Date) -> Result<Session, CalendarError> {
        for date in from.series(jiff::ToSpan::days(1)).take(CLOSED_DAYS_MAX) {
            if let Some(session) = self.session(date)? {
                return Ok(session);
            }
        }
        Err(CalendarError::NoSession { name: self.name.clone(), from })
    }
}

/// All calendars by name.
#[derive(Debug, Clone)]
pub struct Calendars(HashMap<String, Arc<Calendar>>);

impl Calendars {
    /// The shipped calendars, and those of `directory` over them.
    ///
    /// # Errors
    /// [`CalendarError`] where a file cannot be read or is malformed.
    pub fn load(directory: Option<&Path>) -> Result<Self, CalendarError> {
        let mut all = HashMap::new();
        for (name, text) in SHIPPED {
            all.insert((*name).to_owned(), Arc::new(file::parse(name, text)?));
        }
        let Some(directory) = directory else { return Ok(Self(all)) };
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| CalendarError::Read { path, source }
        };
        for entry in std::fs::read_dir(directory).map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
                all.insert(name.clone(), Arc::new(file::parse(&name, &text)?));
            }
        }
        Ok(Self(all))
    }

    /// Squares intraday positions off at these times, by calendar.
    ///
    /// # Errors
    /// Where there is no such calendar, or the time is not within its regular hours.
    pub fn with_square_offs(mut self, times: &[(String, TimeOfDay)]) -> Result<Self, CalendarError> {
        for (name, time) in times {
            let time = civil_time(*time);
            let calendar = Arc::make_mut(self.entry(name)?);
            if time <= calendar.open || calendar.close.is_some_and(|close| time >= close) {
                let reason = format!("the square-off at {time} is not within its hours");
                return Err(CalendarError::Malformed { name: name.clone(), reason });
            }
            calendar.square_off = Some(time);
        }
        Ok(self)
    }

    /// Whether any calendar squares off.
    #[must_use]
    pub fn square_off(&self) -> bool {
        self.0.values().any(|calendar| calendar.square_off.is_some())
    }

    fn entry(&mut self, name: &str) -> Result<&mut Arc<Calendar>, CalendarError> {
        let unknown = self.unknown(name);
        self.0.get_mut(name).ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> CalendarError {
        let mut known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        known.sort_unstable();
        CalendarError::Unknown { name: name.to_owned(), known: known.join(", ") }
    }

    /// The calendar of a name; an empty name is `24x7`.
    ///
    /// # Errors
    /// [`CalendarError::Unknown`] with the known names.
    pub fn get(&self, name: &str) -> Result<Arc<Calendar>, CalendarError> {
        let wanted = if name.is_empty() { "24x7" } else { name };
        self.0.get(wanted).cloned().ok_or_else(|| self.unknown(wanted))
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
