//! The TOML form of a calendar.

use super::{Calendar, CalendarError};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use strat_core::time::TimeOfDay;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// IANA zone of the hours.
    zone: String,
    weekdays: Vec<String>,
    /// HH:MM.
    open: String,
    /// HH:MM; 24:00 is midnight at the day's end.
    close: String,
    /// Covers every year without listing any: for markets without holidays.
    #[serde(default)]
    every_year: bool,
    #[serde(default)]
    years: BTreeMap<String, Year>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Year {
    #[serde(default)]
    holidays: Vec<String>,
    /// Date → close.
    #[serde(default)]
    early_closes: BTreeMap<String, String>,
    /// Date → [open, close], also on days that would be closed.
    #[serde(default)]
    special_sessions: BTreeMap<String, [String; 2]>,
}

/// Reads a calendar.
pub(super) fn parse(name: &str, text: &str) -> Result<Calendar, CalendarError> {
    let malformed = |reason: String| CalendarError::Malformed { name: name.to_owned(), reason };
    let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    build(name, file).map_err(malformed)
}

fn build(name: &str, file: File) -> Result<Calendar, String> {
    if file.every_year != file.years.is_empty() {
        return Err("give either every_year = true or a [years.YYYY] table for each year covered".to_owned());
    }
    let mut calendar = Calendar {
        name: name.to_owned(),
        zone: TimeZone::get(&file.zone).map_err(|error| format!("zone '{}': {error}", file.zone))?,
        weekdays: weekdays(&file.weekdays)?,
        open: time(&file.open)?,
        close: closing(&file.close)?,
        square_off: None,
        years: None,
        holidays: BTreeSet::new(),
        special: BTreeMap::new(),
    };
    let mut years = BTreeSet::new();
    for (year, days) in &file.years {
        let year: i16 = year.parse().map_err(|_| format!("'{year}' is not a year"))?;
        years.insert(year);
        for holiday in &days.holidays {
            calendar.holidays.insert(date(holiday, year)?);
        }
        for (day, close) in &days.early_closes {
            let hours = (calendar.open, closing(close)?);
            calendar.special.insert(date(day, year)?, hours);
        }
        for (day, [open, close]) in &days.special_sessions {
            let hours = (time(open)?, closing(close)?);
            calendar.special.insert(date(day, year)?, hours);
        }
    }
    calendar.years = (!file.every_year).then_some(years);
    check(&calendar)?;
    Ok(calendar)
}

fn check(calendar: &Calendar) -> Result<(), String> {
    if let Some(day) = calendar.special.keys().find(|day| calendar.holidays.contains(day)) {
        return Err(format!("{day} is both a holiday and a session"));
    }
    let usual = (calendar.open, calendar.close);
    let hours = calendar.special.values().chain(std::iter::once(&usual));
    for (open, close) in hours {
        if close.is_some_and(|close| close <= *open) {
            return Err(format!("the close must be after the open {open}"));
        }
    }
    Ok(())
}

fn weekdays(names: &[String]) -> Result<[bool; 7], String> {
    let mut trading = [false; 7];
    for name in names {
        let index = WEEKDAYS.iter().position(|known| known == name);
        trading[index.ok_or_else(|| format!("weekday '{name}' is not one of {}", WEEKDAYS.join(", ")))?] = true;
    }
    if trading.contains(&true) { Ok(trading) } else { Err("no weekday trades".to_owned()) }
}

fn date(text: &str, year: i16) -> Result<Date, String> {
    let date: Date = text.parse().map_err(|_| format!("'{text}' is not a date YYYY-MM-DD"))?;
    if date.year() == year { Ok(date) } else { Err(format!("{date} stands under year {year}")) }
}

fn time(text: &str) -> Result<Time, String> {
    TimeOfDay::parse(text).map(civil_time).ok_or_else(|| format!("'{text}' is not a time HH:MM"))
}

fn closing(text: &str) -> Result<Option<Time>, String> {
    if text == "24:00" { Ok(None) } else { time(text).map(Some) }
}

/// The same time of day as `jiff` has it.
pub(crate) fn civil_time(time: TimeOfDay) -> Time {
    // In range by construction: `TimeOfDay` only holds 0..=23, 0..=59, 0..=59.
    Time::constant(time.hour as i8, time.minute as i8, time.second as i8, 0)
}
