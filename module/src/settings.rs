//! Module configs: `strat.<name>` in redis.conf and by `CONFIG SET`, with defaults and bounds in one place.

use std::sync::atomic::{AtomicI64, Ordering};
use strat_core::strategy::Backoff;

/// The module's version, as users see it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One numeric config.
pub(crate) struct Setting {
    /// Name behind `strat.`.
    pub(crate) name: &'static str,
    pub(crate) default: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) value: AtomicI64,
}

impl Setting {
    const fn new(name: &'static str, default: i64, min: i64, max: i64) -> Self {
        Self { name, default, min, max, value: AtomicI64::new(default) }
    }

    pub(crate) fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// Life of `price:{symbol}`, ms.
pub(crate) static PRICE_TTL_MS: Setting = Setting::new("price-ttl-ms", 10_000, 1, 86_400_000);
/// Triggers that one call fires before the rest goes on in slices.
pub(crate) static MAX_FIRED_PER_CALL: Setting = Setting::new("max-fired-per-call", 200, 1, 1_000_000);
/// Entries kept in the journal, about.
pub(crate) static JOURNAL_MAXLEN: Setting = Setting::new("journal-maxlen", 1_000_000, 1_000, 1_000_000_000);
/// Wait after the first dead exit attempt, ms; doubles with each further one.
pub(crate) static RETRY_BACKOFF_MS: Setting = Setting::new("retry-backoff-ms", 500, 1, 3_600_000);
/// Longest wait between exit attempts, ms.
pub(crate) static RETRY_BACKOFF_MAX_MS: Setting = Setting::new("retry-backoff-max-ms", 30_000, 1, 3_600_000);
/// Life of an alert's hash after it has fired, ms.
pub(crate) static ALERT_KEPT_MS: Setting = Setting::new("alert-kept-ms", 86_400_000, 1, 31_536_000_000);
/// Alerts that one user may have, waiting and fired.
pub(crate) static MAX_ALERTS_PER_USER: Setting = Setting::new("max-alerts-per-user", 1_000, 1, 1_000_000);

/// The exit retry policy in force.
pub(crate) fn backoff() -> Backoff {
    Backoff { base_ms: RETRY_BACKOFF_MS.get(), max_ms: RETRY_BACKOFF_MAX_MS.get() }
}
