//! Bounds of settings and arguments.

use crate::error::{Error, Result};
use std::time::Duration;
use strat_core::key::{TAG_BYTES_MAX, split_tag};
use strat_core::{Code, Refusal};

/// A prefix is empty or one `{tag}`: no symbol has a brace, so no tenant can name another's key.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    match split_tag(prefix) {
        Some((_, "")) => Ok(()),
        _ => Err(Error::Config(format!(
            "prefix {prefix:?} must be empty or one {{tag}} of 1 to {TAG_BYTES_MAX} printable ASCII bytes without braces"
        ))),
    }
}

/// A time to live in ms; Redis refuses 0.
pub(crate) fn ttl_ms(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}

/// Longest duration that a setting may have: beyond it a time to live is a mistake.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A duration of the settings, from 1 ms to 366 days.
pub(crate) fn check_duration(what: &str, duration: Duration) -> Result<()> {
    if (Duration::from_millis(1)..=DURATION_MAX).contains(&duration) {
        return Ok(());
    }
    Err(Error::Config(format!("{what} is {duration:?}, it must be from 1 ms to 366 days")))
}

/// The bound of an argument.
pub(crate) fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Refusal::new(Code::BadField, format!("{what} are {count}, at most {most} are taken; ask in parts")).into())
}
