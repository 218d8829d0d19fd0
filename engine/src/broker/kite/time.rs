//! Kite's clock: India's, five and a half hours ahead of UTC all year.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

/// When access tokens end.
pub(super) const TOKENS_END: Time = Time::constant(6, 0, 0, 0);
/// When the list of instruments of a day is there.
pub(super) const LISTED_AT: Time = Time::constant(8, 30, 0, 0);

fn india() -> TimeZone {
    TimeZone::fixed(Offset::constant(5).saturating_add(30.minutes()))
}

/// Reads `YYYY-MM-DD HH:MM:SS`, into epoch ms.
pub(super) fn read(text: &str) -> Option<i64> {
    let at: DateTime = text.parse().ok()?;
    Some(at.to_zoned(india()).ok()?.timestamp().as_millisecond())
}

/// The first time after `now_ms` that clocks in India show `at`; epoch ms.
pub(super) fn next(at: Time, now_ms: i64) -> i64 {
    let Ok(now) = Timestamp::from_millisecond(now_ms) else { return i64::MAX };
    let now = now.to_zoned(india());
    let on = |day: Date| day.to_datetime(at).to_zoned(india()).map(|zoned| zoned.timestamp().as_millisecond());
    let days = [Ok(now.date()), now.date().tomorrow()];
    days.into_iter().flatten().flat_map(on).find(|found| *found > now_ms).unwrap_or(i64::MAX)
}

/// For people: `2026-11-23 06:00 in India`.
pub(super) fn shown(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(india());
    format!("{} in India", at.strftime("%Y-%m-%d %H:%M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_indias() {
        let at = read("2026-11-23 09:15:00").unwrap();
        assert_eq!(Timestamp::from_millisecond(at).unwrap().to_string(), "2026-11-23T03:45:00Z");
        assert_eq!(shown(at), "2026-11-23 09:15 in India");
        for bad in ["", "09:15:00", "2026-13-01 00:00:00", "soon"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn tokens_end_at_the_next_six() {
        for (now, end) in [
            ("2026-11-23 05:59:59", "2026-11-23 06:00:00"),
            ("2026-11-23 06:00:00", "2026-11-24 06:00:00"),
            ("2026-11-23 23:30:00", "2026-11-24 06:00:00"),
            ("2026-12-31 08:00:00", "2027-01-01 06:00:00"),
        ] {
            assert_eq!(next(TOKENS_END, read(now).unwrap()), read(end).unwrap(), "{now}");
        }
    }
}
