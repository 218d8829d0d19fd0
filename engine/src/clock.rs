//! Time is injected: nothing in the engine asks the operating system for "now" but [`LiveClock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where "now" comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct LiveClock;

impl Clock for LiveClock {
    fn now_ms(&self) -> i64 {
        // A clock set before 1970 reads as 1970: nothing is due then, which is the safe side.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A clock that stands still until a tick sets it.
#[derive(Debug, Default)]
pub struct ReplayClock(AtomicI64);

impl ReplayClock {
    /// A clock that shows `now_ms`.
    #[must_use]
    pub const fn at(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Sets the clock. It never goes back: an older time leaves it where it is.
    pub fn set(&self, now_ms: i64) {
        self.0.fetch_max(now_ms, Ordering::AcqRel);
    }
}

impl Clock for ReplayClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_clock_never_goes_back() {
        let clock = ReplayClock::at(10);
        clock.set(25);
        clock.set(20);
        assert_eq!(clock.now_ms(), 25);
    }

    #[test]
    fn the_live_clock_is_in_this_century() {
        assert!(LiveClock.now_ms() > 1_700_000_000_000);
    }
}
