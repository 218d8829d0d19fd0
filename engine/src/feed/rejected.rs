//! What of a feed is no tick.

use crate::metrics;

/// Counts it.
#[derive(Debug, Default)]
pub(super) struct Rejected(u64);

impl Rejected {
    /// One more; how many it makes where that is worth a line in the log. A feed that has gone mad must not fill the disk.
    pub(super) fn another(&mut self) -> Option<u64> {
        self.0 += 1;
        metrics::tick_rejected();
        self.0.is_power_of_two().then_some(self.0)
    }

    /// How many so far.
    #[cfg(test)]
    pub(super) const fn total(&self) -> u64 {
        self.0
    }
}
