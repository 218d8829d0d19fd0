//! Times as feeds write them.

use jiff::Timestamp;
use std::fmt;

/// What a time is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970, perhaps with decimals.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// `2026-11-22T09:30:00.123Z`.
    Rfc3339,
}

impl TimeUnit {
    /// Its words in the settings.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("s", Self::Seconds),
        ("ms", Self::Millis),
        ("us", Self::Micros),
        ("ns", Self::Nanos),
        ("rfc3339", Self::Rfc3339),
    ];

    /// Epoch ms; what is finer is cut off. `None` for what is no time, or lies before 1970.
    pub(super) fn parse(self, text: &str) -> Option<i64> {
        let (per_second, ms) = match self {
            Self::Seconds => (true, 1),
            Self::Millis => (false, 1),
            Self::Micros => (false, 1_000),
            Self::Nanos => (false, 1_000_000),
            Self::Rfc3339 => {
                return text.parse::<Timestamp>().ok().map(|at| at.as_millisecond()).filter(|ms| *ms >= 0);
            }
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        if !per_second {
            return Some(whole / ms);
        }
        let millis: i64 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
        whole.checked_mul(1_000)?.checked_add(millis)
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, unit)| unit == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}
