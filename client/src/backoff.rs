//! Pauses between attempts: doubled each time, up to a limit, with jitter.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Counts failures and says how long to pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, failures: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure; the pause after it is between half and all of `first · 2^(failures-1)`, so that many
    /// clients of one server do not come back in step.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // The hasher's random keys are all the randomness that jitter needs.
        let per_mille = (RandomState::new().hash_one(self.failures) % 501) as u32;
        full / 2 + full / 1_000 * per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_again_after_success() {
        let mut backoff = Backoff::new((Duration::from_millis(50), Duration::from_millis(400)));
        for full in [50, 100, 200, 400, 400, 400] {
            let pause = backoff.next_pause();
            let (low, high) = (Duration::from_millis(full / 2), Duration::from_millis(full));
            assert!((low..=high).contains(&pause), "{pause:?} not in {low:?}..={high:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(50));
    }
}
