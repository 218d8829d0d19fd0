//! The server's time. Requests carry it, and one that is off by more than the window is refused ("Timing security").

use crate::clock::Clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A measurement older than this, in ms, is made anew: machines' clocks drift, and are set.
const LIFE_MS: i64 = 15 * 60 * 1_000;

/// This machine's clock, corrected by what was measured.
pub(super) struct ServerClock {
    clock: Arc<dyn Clock>,
    measured: Mutex<Option<Measured>>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    /// What the server's clock is ahead by, ms.
    offset_ms: i64,
    at_ms: i64,
    /// The server did not like it.
    doubted: bool,
}

impl ServerClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, measured: Mutex::default() }
    }

    /// This machine's time.
    pub(super) fn local_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The server's time now; `None` where it has to be measured first.
    pub(super) fn now_ms(&self) -> Option<i64> {
        let now_ms = self.clock.now_ms();
        let believed = |known: &Measured| !known.doubted && (now_ms - known.at_ms).abs() < LIFE_MS;
        let known = self.lock().filter(believed);
        known.map(|known| now_ms.saturating_add(known.offset_ms))
    }

    /// What the server's clock was last seen to be ahead by.
    pub(super) fn offset_ms(&self) -> i64 {
        self.lock().map_or(0, |known| known.offset_ms)
    }

    /// The server's time came in an answer that was asked for at `asked_ms` and is here now: it was read somewhere in between.
    pub(super) fn measured(&self, asked_ms: i64, server_ms: i64) {
        let now_ms = self.clock.now_ms();
        let middle_ms = asked_ms + (now_ms - asked_ms) / 2;
        *self.lock() = Some(Measured { offset_ms: server_ms.saturating_sub(middle_ms), at_ms: now_ms, doubted: false });
    }

    /// The server did not like the time: it has to be measured again.
    pub(super) fn doubt(&self) {
        if let Some(known) = &mut *self.lock() {
            known.doubted = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Measured>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ReplayClock;

    #[test]
    fn the_middle_of_the_round_trip_is_when_the_server_looked() {
        let clock = Arc::new(ReplayClock::at(1_000_000));
        let server = ServerClock::new(Arc::clone(&clock) as _);
        assert_eq!(server.now_ms(), None);
        clock.set(1_000_200);
        server.measured(1_000_000, 1_005_100);
        assert_eq!((server.now_ms(), server.offset_ms()), (Some(1_005_200), 5_000));
        clock.set(1_000_300);
        assert_eq!(server.now_ms(), Some(1_005_300));
        server.doubt();
        assert_eq!(server.now_ms(), None);
        server.measured(1_000_300, 999_300);
        assert_eq!(server.now_ms(), Some(999_300), "a server that is behind");
        clock.set(1_000_300 + LIFE_MS);
        assert_eq!(server.now_ms(), None, "too old");
    }
}
