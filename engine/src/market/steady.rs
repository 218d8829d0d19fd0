//! What a feed's stamps are held against.

use crate::clock::{Clock as _, LiveClock};
use tokio::time::Instant;

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// Epoch ms.
    pub(super) ms: i64,
}

/// The machine's clock, or the time since the start where that is later: a clock that is put back must not make every tick one
/// of the future, and so the stops blind.
#[derive(Debug)]
pub(super) struct Steady(Moment);

impl Steady {
    /// A clock that goes from now on.
    pub(super) fn start() -> Self {
        Self(Moment { at: Instant::now(), ms: LiveClock.now_ms() })
    }

    pub(super) fn now(&self) -> Moment {
        let at = Instant::now();
        Moment { at, ms: self.later_of(LiveClock.now_ms(), at) }
    }

    fn later_of(&self, wall_ms: i64, at: Instant) -> i64 {
        let since_ms = i64::try_from(at.saturating_duration_since(self.0.at).as_millis()).unwrap_or(i64::MAX);
        wall_ms.max(self.0.ms.saturating_add(since_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_that_is_put_back_changes_nothing_and_one_that_is_put_forward_counts() {
        let steady = Steady(Moment { at: Instant::now(), ms: 1_000_000 });
        let at = steady.0.at + Duration::from_secs(10);
        for (wall_ms, ms) in
            [(1_010_000, 1_010_000), (830_000, 1_010_000), (1_040_000, 1_040_000), (1_010_001, 1_010_001)]
        {
            assert_eq!(steady.later_of(wall_ms, at), ms);
        }
        assert!(Steady::start().now().ms >= LiveClock.now_ms() - 1);
    }
}
