//! How a cache behaves, and how long one value lives.

use super::names;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Most tags of one value.
pub const TAGS_MAX: usize = 16;

/// Gives random numbers.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Settings of a [`super::Cache`].
#[derive(Clone)]
pub struct CacheSettings {
    /// Stands before every key and the channel: a tenant, or a `{hash tag}`. Default empty. Redis Cluster needs a hash tag,
    /// because a value, its lock and its tags are looked at together.
    pub prefix: String,
    /// Bytes that the layer in the process may hold, counted as JSON. Default 16 MiB; 0 switches the layer off.
    pub local_bytes: u64,
    /// Longest life of a value in the process: what a lost invalidation costs at most. Default 5 s.
    pub local_ttl: Duration,
    /// Life of the lock of a computation. Longer than the slowest computation, or a second one begins beside it; it is also
    /// how long others wait for a process that died. Default 3 s.
    pub lock_ttl: Duration,
    /// Longest wait for the computation of another process; who has waited so long computes for itself. Longer than
    /// `lock_ttl`, so that the lock of a dead process is taken over first. Default 4 s.
    pub wait_max: Duration,
    /// Longest wait for one reply of Redis. Default 500 ms; `None` leaves it to a connection that has a limit of its own.
    pub timeout: Option<Duration>,
    /// Computations under way at once, so that the source is not stormed while Redis is away. Default 16.
    pub computes_max: usize,
    /// Lives are shortened at random by up to so many percent, so that what was stored together does not run out
    /// together. Default 10, at most 100.
    pub jitter_percent: u8,
    /// Tells when values in the process run out. Default [`SystemClock`].
    pub clock: Arc<dyn Clock>,
    /// The randomness of the lives. Default: the system's.
    pub random: Random,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            local_bytes: 16 * 1_024 * 1_024,
            local_ttl: Duration::from_secs(5),
            lock_ttl: Duration::from_secs(3),
            wait_max: Duration::from_secs(4),
            timeout: Some(Duration::from_millis(500)),
            computes_max: 16,
            jitter_percent: 10,
            clock: Arc::new(SystemClock),
            // Without randomness lives are not spread, which is no reason to fail.
            random: Arc::new(|| getrandom::u64().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for CacheSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSettings")
            .field("prefix", &self.prefix)
            .field("local_bytes", &self.local_bytes)
            .field("local_ttl", &self.local_ttl)
            .field("lock_ttl", &self.lock_ttl)
            .field("wait_max", &self.wait_max)
            .field("timeout", &self.timeout)
            .field("computes_max", &self.computes_max)
            .field("jitter_percent", &self.jitter_percent)
            .finish_non_exhaustive()
    }
}

impl CacheSettings {
    pub(super) fn check(&self) -> Result<()> {
        let bad = |what: &str| Err(Error::Config(format!("cache: {what}")));
        match self {
            _ if self.lock_ttl < Duration::from_millis(1) => bad("lock_ttl must be at least 1 ms"),
            _ if self.timeout.is_some_and(|timeout| timeout.is_zero()) => bad("timeout must be above 0"),
            _ if self.computes_max == 0 => bad("computes_max must be at least 1"),
            _ if self.jitter_percent > 100 => bad("jitter_percent must be at most 100"),
            _ => Ok(()),
        }
    }

    /// `ttl`, shortened at random; never below a millisecond, which is the least that Redis takes.
    pub(super) fn spread(&self, ttl: Duration) -> Duration {
        let ttl = millis(ttl);
        let most = u128::from(ttl) * u128::from(self.jitter_percent) / 100;
        let less = u128::from((self.random)()) % (most + 1);
        Duration::from_millis(ttl.saturating_sub(u64::try_from(less).unwrap_or(u64::MAX)).max(1))
    }
}

/// Whole milliseconds, as Redis takes them.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long a value lives, and what it is dropped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    pub(super) ttl: Duration,
    pub(super) negative_ttl: Duration,
    pub(super) tags: Vec<String>,
}

impl CacheOptions {
    /// For a value that lives up to `ttl`. That there is none is remembered for as long, but at most 5 s.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, negative_ttl: ttl.min(Duration::from_secs(5)), tags: Vec::new() }
    }

    /// How long it is remembered that there is no value; zero: not at all.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = ttl;
        self
    }

    /// Tags that the value is dropped with, in any order. A key is always asked for with the same tags: a value that
    /// was stored under others is taken for outdated.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self.tags.sort_unstable();
        self.tags.dedup();
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        // A longer life overflows what Redis reckons with.
        let year = Duration::from_secs(366 * 24 * 3_600);
        if !(Duration::from_millis(1)..=year).contains(&self.ttl) || self.negative_ttl > year {
            return Err(Error::Config("cache: ttl must be from 1 ms to 366 days".to_owned()));
        }
        if self.tags.len() > TAGS_MAX {
            return Err(Error::Config(format!("cache: at most {TAGS_MAX} tags, not {}", self.tags.len())));
        }
        self.tags.iter().try_for_each(|tag| names::check("tag", tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_the_same_in_any_order() {
        let options = CacheOptions::new(Duration::from_secs(1));
        assert_eq!(options.clone().tags(["b", "a", "b"]), options.tags(["a", "b"]));
    }

    #[test]
    fn lives_and_tags_have_bounds() {
        let second = CacheOptions::new(Duration::from_secs(1));
        assert!(second.check().is_ok());
        assert!(CacheOptions::new(Duration::ZERO).check().is_err());
        assert!(CacheOptions::new(Duration::MAX).check().is_err());
        assert!(second.clone().tags(["a:b"]).check().is_err());
        assert!(second.tags((0..=TAGS_MAX).map(|n| n.to_string())).check().is_err());
    }

    proptest! {
        #[test]
        fn a_life_is_shortened_by_at_most_its_jitter(ttl in 1u64..=u64::MAX, percent in 0u8..=100, random: u64) {
            let random: Random = Arc::new(move || random);
            let settings = CacheSettings { jitter_percent: percent, random, ..CacheSettings::default() };
            let spread = settings.spread(Duration::from_millis(ttl)).as_millis();
            let least = u128::from(ttl) * u128::from(100 - percent) / 100;
            prop_assert!((least.max(1)..=u128::from(ttl)).contains(&spread), "{spread} of {ttl}");
        }
    }
}
