//! Time as the rules see it: epoch milliseconds that somebody else measured, and local times of day.

/// Formats epoch milliseconds as RFC 3339 in UTC with milliseconds: `2026-01-02T09:30:00.000Z`.
///
/// The civil date is Howard Hinnant's `civil_from_days` (chrono-Compatible Low-Level Date Algorithms).
#[must_use]
pub fn rfc3339(epoch_ms: i64) -> String {
    let days = epoch_ms.div_euclid(86_400_000);
    let ms_of_day = epoch_ms.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, ms) = (ms_of_day / 1_000, ms_of_day % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A local time of day, `HH:MM` or `HH:MM:SS`, 00:00:00 to 23:59:59.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// 0..=23
    pub hour: u8,
    /// 0..=59
    pub minute: u8,
    /// 0..=59
    pub second: u8,
}

impl TimeOfDay {
    /// Parses `HH:MM` or `HH:MM:SS`, two digits each.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut next = |limit: u8| -> Option<u8> {
            let part = parts.next()?;
            let two_digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|n| two_digits && *n < limit)
        };
        let (hour, minute) = (next(24)?, next(60)?);
        let second = if text.len() > 5 { next(60)? } else { 0 };
        parts.next().is_none().then_some(Self { hour, minute, second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_milliseconds_become_utc_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_381_219_217_034, "2013-10-08T08:00:17.034Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn times_of_day_are_two_digits_each() {
        assert_eq!(TimeOfDay::parse("09:30"), Some(TimeOfDay { hour: 9, minute: 30, second: 0 }));
        assert_eq!(TimeOfDay::parse("23:59:59"), Some(TimeOfDay { hour: 23, minute: 59, second: 59 }));
        for text in
            ["", "9:30", "24:00", "12:60", "12:00:60", "12:00:", "12:00:00:00", "12-00", "+9:30", "12", "12:00:0"]
        {
            assert_eq!(TimeOfDay::parse(text), None, "{text:?}");
        }
    }
}
