//! Pauses between attempts to connect.

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Each pause is twice the one before, up to a longest; by chance up to as much again, so that many clients do not
/// come back in step.
#[derive(Debug)]
pub struct Pauses {
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Pauses {
    /// From `first` to `longest`, before chance adds to it.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter();
        Self { builder, pauses: builder.build(), longest }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// An attempt succeeded: the next pause is the first again.
    pub fn reset(&mut self) {
        self.pauses = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_within_bounds_and_begin_again() {
        let ms = Duration::from_millis;
        let mut pauses = Pauses::new(ms(10), ms(80));
        for least in [10, 20, 40, 80, 80, 80] {
            let pause = pauses.pause();
            assert!(pause >= ms(least) && pause <= ms(160), "{pause:?} for {least}");
        }
        pauses.reset();
        assert!(pauses.pause() <= ms(20));
    }
}
