//! The rule itself, in whole microseconds. `check.lua` is the same rule for the server; tests drive both.

use crate::error::{Error, Result};
use std::time::Duration;

/// Shortest interval, in µs: rounding an interval up to whole microseconds costs at most one call in a hundred.
const INTERVAL_US_MIN: u128 = 100;
/// Longest time from empty to full, in µs: one year of 366 days. With the time of day added, it stays far below 2^53, where
/// Lua's numbers stop being exact.
const FULL_US_MAX: u128 = 366 * 86_400 * 1_000_000;

/// Which part of a limit a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// All but the reserved part: entries.
    Normal,
    /// All of it: exits.
    Priority,
}

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Time in which one call is earned back.
    interval_us: i64,
    burst: u32,
    reserved: u32,
}

impl Limit {
    /// `burst` calls at once, and `count` per `period` in the long run: in any span of time at most `burst + count * span /
    /// period`. The time per call is rounded up to whole microseconds.
    ///
    /// # Errors
    /// [`Error::Config`] if one of them is 0, for more than 10,000 calls per second, or if the whole burst would take more
    /// than 366 days to come back.
    pub fn new(count: u32, period: Duration, burst: u32) -> Result<Self> {
        let wrong =
            |why: &str| Err(Error::Config(format!("a limit of {count} per {period:?}, {burst} at once: {why}")));
        if count == 0 || burst == 0 {
            return wrong("both numbers must be above 0");
        }
        if period.as_micros() < INTERVAL_US_MIN * u128::from(count) {
            return wrong("at most 10,000 calls per second can be told apart");
        }
        let interval = period.as_micros().div_ceil(u128::from(count));
        match i64::try_from(interval) {
            Ok(interval_us) if interval.saturating_mul(u128::from(burst)) <= FULL_US_MAX => {
                Ok(Self { interval_us, burst, reserved: 0 })
            }
            _ => wrong("the burst must come back within 366 days"),
        }
    }

    /// At most `count` calls in **any** span of `period`, of which `burst` at once: for somebody else's limit that counts in
    /// windows and must never be passed. In the long run that is `count - burst + 1` per period.
    ///
    /// # Errors
    /// As [`Limit::new`], and if `burst` is above `count`.
    pub fn strict(count: u32, period: Duration, burst: u32) -> Result<Self> {
        match count.checked_sub(burst) {
            Some(rest) => Self::new(rest.saturating_add(1), period, burst),
            None => Err(Error::Config(format!("{burst} at once cannot keep to {count} per {period:?}"))),
        }
    }

    /// Keeps so much of the burst for [`Class::Priority`].
    ///
    /// # Errors
    /// [`Error::Config`] if nothing is left for the others.
    pub fn reserved(mut self, reserved: u32) -> Result<Self> {
        if reserved >= self.burst {
            return Err(Error::Config(format!("a reserve of {reserved} leaves nothing of a burst of {}", self.burst)));
        }
        self.reserved = reserved;
        Ok(self)
    }

    /// Most that a call of this class may cost; one that costs more never passes.
    #[must_use]
    pub fn usable(&self, class: Class) -> u32 {
        match class {
            Class::Normal => self.burst - self.reserved,
            Class::Priority => self.burst,
        }
    }

    pub(super) fn full_us(&self) -> i64 {
        self.us(self.burst)
    }

    pub(super) fn usable_us(&self, class: Class) -> i64 {
        self.us(self.usable(class))
    }

    pub(super) fn us(&self, calls: u32) -> i64 {
        self.interval_us.saturating_mul(i64::from(calls))
    }
}

/// What became of a call, and where the limit stands after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the call may pass.
    pub allowed: bool,
    /// How much more its class may use right now.
    pub remaining: u32,
    /// When the same call may pass if nothing else does meanwhile; whole ms, rounded up. Zero where it was allowed.
    pub retry_after: Duration,
    /// When the limit is as if it had never been used; whole ms, rounded up.
    pub reset_after: Duration,
    /// Decided by this process alone, because Redis did not answer.
    pub local: bool,
}

impl Decision {
    /// From the debt before the call, in µs. `counted`: the call's cost was added to it.
    pub(super) fn of(limit: &Limit, class: Class, cost: u32, (allowed, counted): (bool, bool), debt_us: i64) -> Self {
        let usable = limit.usable_us(class);
        let after = debt_us + limit.us(cost);
        let debt = if counted { after } else { debt_us };
        let remaining = (usable - debt).max(0) / limit.interval_us;
        Self {
            allowed,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            retry_after: whole_ms(if allowed { 0 } else { after - usable }),
            reset_after: whole_ms(debt),
            local: false,
        }
    }
}

fn whole_ms(us: i64) -> Duration {
    Duration::from_millis(u64::try_from(us).unwrap_or(0).div_ceil(1_000))
}

/// The rule for one call: what becomes of it at `now_us`, and the `full_at_us` after it. `full_at_us` is the one number that
/// a limit is kept as: when it will be as if never used. Any time in the past is a limit that is.
///
/// A `full_at_us` further away than the burst allows comes from a clock that was set back, or from another limit before; it
/// counts as an empty limit, so that nobody waits longer than that.
#[must_use]
pub fn decide(limit: &Limit, class: Class, cost: u32, full_at_us: i64, now_us: i64) -> (Decision, i64) {
    let debt = debt_us(limit, full_at_us, now_us);
    let allowed = fits(limit, class, cost, debt);
    let full_at = if allowed { now_us + debt + limit.us(cost) } else { full_at_us };
    (Decision::of(limit, class, cost, (allowed, allowed), debt), full_at)
}

pub(super) fn debt_us(limit: &Limit, full_at_us: i64, now_us: i64) -> i64 {
    full_at_us.saturating_sub(now_us).clamp(0, limit.full_us())
}

pub(super) fn fits(limit: &Limit, class: Class, cost: u32, debt_us: i64) -> bool {
    debt_us + limit.us(cost) <= limit.usable_us(class)
}

#[cfg(test)]
mod tests;
