//! Places for calls: how many there are, and how many are taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// Bounds of a [`Guarded`](super::Guarded) connection.
#[derive(Debug, Clone)]
pub struct GuardSettings {
    /// Where the connection leads to, for error texts.
    pub address: String,
    /// Calls under way at once; a pipeline is one. 256 unless set, at least 1.
    pub in_flight_max: usize,
    /// Callers that may wait for a place. 1024 unless set.
    pub waiting_max: usize,
    /// Longest wait for a place. 100 ms unless set.
    pub wait: Duration,
    /// Longest time of a call once it has a place, above the `BLOCK` of blocking commands, which better have a
    /// connection of their own. 5 s unless set; `None` only for a connection with limits of its own.
    pub timeout: Option<Duration>,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            address: "the guarded address".to_owned(),
            in_flight_max: 256,
            waiting_max: 1_024,
            wait: Duration::from_millis(100),
            timeout: Some(Duration::from_secs(5)),
        }
    }
}

/// What is under way on a [`Guarded`](super::Guarded) connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// Places for calls that are no exits.
    pub limit: usize,
    /// Calls under way, exits included.
    pub in_flight: usize,
    /// Callers that wait for a place.
    pub waiting: usize,
    /// Calls refused for want of a place since it was made. Those that the breaker refused are in its own status.
    pub refused_total: u64,
    /// Calls that got no reply in time.
    pub timeouts_total: u64,
}

/// Held while a call is under way.
pub(super) enum Place<'a> {
    Taken { _place: SemaphorePermit<'a> },
    Exit { _counted: Counted<'a> },
}

/// Counts one more until it is dropped.
pub(super) struct Counted<'a> {
    counter: &'a AtomicUsize,
    /// Others that were counted already.
    pub(super) before: usize,
}

impl<'a> Counted<'a> {
    pub(super) fn one_more(counter: &'a AtomicUsize) -> Self {
        Self { counter, before: counter.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}
