//! The two times of one session: clocks, early closes, late opens, square-off.

use super::{ScheduleError, Times};
use crate::calendar::Session;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Entry and exit, epoch ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Legs {
    pub(super) entry: Option<i64>,
    pub(super) exit: Option<i64>,
}

impl Times {
    /// When its calendar squares it off: `None` where it does not, and for what is held over night.
    pub(super) fn square_off(&self) -> Option<Time> {
        self.calendar.square_off.filter(|_| !self.is_overnight())
    }

    pub(super) fn is_overnight(&self) -> bool {
        matches!((self.entry, self.exit), (Some(entry), Some(exit)) if exit <= entry)
    }

    /// An entry that would be squared off at once is a mistake, and no session would ever fit it. Where the zones differ only
    /// the day tells.
    pub(super) fn check_square_off(&self) -> Result<(), ScheduleError> {
        match (self.entry, self.square_off()) {
            (Some(entry), Some(square_off)) if entry >= square_off && self.zone == self.calendar.zone => {
                let calendar = self.calendar.name.clone();
                Err(ScheduleError::AfterSquareOff { entry, calendar, square_off })
            }
            _ => Ok(()),
        }
    }

    /// The first date from `from` on that has a session with room for the times.
    pub(super) fn day_from(&self, from: Date, overnight: bool) -> Result<(Date, Legs), ScheduleError> {
        let mut date = from;
        loop {
            if let Some(legs) = self.legs_on(date, overnight)? {
                return Ok((date, legs));
            }
            // Jumps over closed days, and errs where the calendar ends.
            date = self.calendar.next_session(after(date)?)?.date.max(after(date)?);
        }
    }

    pub(super) fn legs_on(&self, date: Date, overnight: bool) -> Result<Option<Legs>, ScheduleError> {
        let entry = self.entry.map(|time| instant(&self.zone, date, time)).transpose()?;
        let mut exit = self.exit.map(|time| instant(&self.zone, date, time)).transpose()?;
        // The session is that of the exchange's own date: zones may differ.
        let day = match (entry.or(exit), self.square_off()) {
            (Some(first), _) => on_wall(&self.calendar.zone, first)?,
            (None, Some(_)) => date,
            (None, None) => return Ok(Some(Legs { entry, exit })),
        };
        let Some(session) = self.calendar.session(day)? else { return Ok(None) };
        if let (true, Some(at), Some(time)) = (overnight, exit, self.exit)
            && entry.is_some_and(|entry| at <= entry)
        {
            exit = Some(instant(&self.zone, after(date)?, time)?);
        }
        match self.shorten(session, Legs { entry, exit })? {
            Some(legs) => self.squared_off(session, legs),
            None => Ok(None),
        }
    }

    /// No exit is later than the square-off of its session. `None`: there is no room for the entry.
    fn squared_off(&self, session: Session, legs: Legs) -> Result<Option<Legs>, ScheduleError> {
        let Some(time) = self.square_off() else { return Ok(Some(legs)) };
        let zone = &self.calendar.zone;
        let mut at = instant(zone, session.date, time)?;
        if let (Some(close), Some(regular)) = (session.close, session.regular_close)
            && close != regular
        {
            let before_close = instant(zone, session.date, regular)? - at;
            at = instant(zone, session.date, close)? - before_close;
        }
        let exit = Some(legs.exit.map_or(at, |exit| exit.min(at)));
        Ok(legs.entry.is_none_or(|entry| entry < at).then_some(Legs { exit, ..legs }))
    }

    /// Fits the legs into a session that opens late or closes early. `None`: there is no room for the entry.
    fn shorten(&self, session: Session, legs: Legs) -> Result<Option<Legs>, ScheduleError> {
        // A session that begins later, such as the hour of muhurat trading: an entry before it would find nobody.
        let begins = instant(&self.calendar.zone, session.date, session.open)?;
        if session.open > session.regular_open && legs.entry.is_some_and(|entry| entry < begins) {
            return Ok(None);
        }
        let (Some(close), Some(regular)) = (session.close, session.regular_close) else { return Ok(Some(legs)) };
        let close = instant(&self.calendar.zone, session.date, close)?;
        let regular = instant(&self.calendar.zone, session.date, regular)?;
        if close >= regular {
            return Ok(Some(legs));
        }
        let exit = legs.exit.map(|at| if at > close && at <= regular { close - (regular - at) } else { at });
        let no_room = legs.entry.is_some_and(|entry| {
            (entry >= close && entry <= regular) || (exit != legs.exit && exit.is_some_and(|exit| exit <= entry))
        });
        Ok((!no_room).then_some(Legs { entry: legs.entry, exit }))
    }
}

/// The instant at which the clocks of `zone` show `time` on `date`.
pub(super) fn instant(zone: &TimeZone, date: Date, time: Time) -> Result<i64, ScheduleError> {
    let out_of_range = |_| ScheduleError::OutOfRange(date);
    let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(time));
    let timestamp = match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            // Read with the later offset the skipped time lies before the change; the change is what follows.
            let before = ambiguous.earlier().map_err(out_of_range)?;
            let change = zone.following(before).next().map(|transition| transition.timestamp());
            change.ok_or(ScheduleError::OutOfRange(date))?
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.earlier().map_err(out_of_range)?
        }
    };
    Ok(timestamp.as_millisecond())
}

fn on_wall(zone: &TimeZone, at_ms: i64) -> Result<Date, ScheduleError> {
    let at = Timestamp::from_millisecond(at_ms).map_err(|_| ScheduleError::OutOfRange(Date::MAX))?;
    Ok(at.to_zoned(zone.clone()).date())
}

pub(super) fn after(date: Date) -> Result<Date, ScheduleError> {
    date.tomorrow().map_err(|_| ScheduleError::OutOfRange(date))
}
