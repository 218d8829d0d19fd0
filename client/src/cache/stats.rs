//! What a cache has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Counts since the cache was made, of this process.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CacheStats {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl CacheStats {
            /// The counts under the names that Prometheus knows them by.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field),)*]
            }
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $field: Counter,)*
        }

        impl Counters {
            pub(super) fn now(&self) -> CacheStats {
                CacheStats { $($field: self.$field.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

stats! {
    /// Values found in the process.
    local_hits = "cache_local_hits_total",
    /// Values looked for in the process and not found there.
    local_misses = "cache_local_misses_total",
    /// Values found in Redis.
    redis_hits = "redis_hits_total",
    /// Values looked for in Redis and not found there.
    redis_misses = "redis_misses_total",
    /// Requests to Redis that failed: down, silent, refusing.
    redis_failures = "redis_failures_total",
    /// Computations begun.
    computes = "cache_computes_total",
    /// Computations that failed.
    compute_failures = "cache_compute_failures_total",
    /// Computations begun without a lock: Redis was away, or the wait was over.
    computes_alone = "cache_computes_alone_total",
    /// Calls that waited for a computation of the same process.
    joins = "cache_joins_total",
    /// Waits for a computation of another process.
    waits = "cache_waits_total",
    /// Calls turned away because too many computations were under way.
    overloads = "cache_overloads_total",
    /// Computed values that were not stored: invalidated meanwhile, the lock had run out, or Redis did not take them.
    unstored = "cache_unstored_total",
    /// Invalidations asked for in this process.
    invalidations = "cache_invalidations_total",
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
