//! Settings of the times.

use super::table::{Setting, row};
use strat_core::key::is_id;
use strat_core::time::TimeOfDay;

/// `schedule.square_off`.
pub(super) const SQUARE_OFF: Setting = row(
    "schedule.square_off",
    "STRAT_SCHEDULE_SQUARE_OFF",
    "when intraday positions are squared off, before the broker does it: CALENDAR=HH:MM,… such as XNSE=15:20; empty for never",
    |s, v| parse(v).map(|v| s.square_offs = v),
    |s| {
        let shown =
            |(name, at): &(String, TimeOfDay)| format!("{name}={:02}:{:02}:{:02}", at.hour, at.minute, at.second);
        s.square_offs.iter().map(shown).collect::<Vec<_>>().join(",")
    },
);

fn parse(text: &str) -> Result<Vec<(String, TimeOfDay)>, String> {
    let mut times: Vec<(String, TimeOfDay)> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, time) =
            part.split_once('=').ok_or_else(|| format!("has '{part}' where CALENDAR=HH:MM is expected"))?;
        let time =
            TimeOfDay::parse(time).ok_or_else(|| format!("has '{part}', whose time is not HH:MM or HH:MM:SS"))?;
        if !is_id(name) || times.iter().any(|(known, _)| known == name) {
            return Err(format!("has '{part}', whose calendar is no name or named twice"));
        }
        times.push((name.to_owned(), time));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn square_offs_are_calendars_and_times() {
        assert_eq!(parse("XNSE=15:20,XNYS=15:50:30").unwrap().len(), 2);
        assert!(parse("").unwrap().is_empty());
        for bad in ["15:20", "XNSE=25:00", "XNSE=15:20,XNSE=15:10", "=15:20", "X:Y=15:20"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
