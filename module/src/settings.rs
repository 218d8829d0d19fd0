//! Module configs: `strat.<name>` in redis.conf and by `CONFIG SET`. What they mean, their defaults and bounds stand in
//! core's manual, from which the documentation is made too.

use std::sync::atomic::{AtomicI64, Ordering};
use strat_core::manual::settings::{self as manual, ModuleSetting};
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
    const fn of(manual: &ModuleSetting) -> Self {
        let ModuleSetting { name, default, min, max, .. } = *manual;
        Self { name, default, min, max, value: AtomicI64::new(default) }
    }

    pub(crate) fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

pub(crate) static PRICE_TTL_MS: Setting = Setting::of(&manual::PRICE_TTL_MS);
pub(crate) static MAX_FIRED_PER_CALL: Setting = Setting::of(&manual::MAX_FIRED_PER_CALL);
pub(crate) static JOURNAL_MAXLEN: Setting = Setting::of(&manual::JOURNAL_MAXLEN);
pub(crate) static RETRY_BACKOFF_MS: Setting = Setting::of(&manual::RETRY_BACKOFF_MS);
pub(crate) static RETRY_BACKOFF_MAX_MS: Setting = Setting::of(&manual::RETRY_BACKOFF_MAX_MS);
pub(crate) static ALERT_KEPT_MS: Setting = Setting::of(&manual::ALERT_KEPT_MS);
pub(crate) static MAX_ALERTS_PER_USER: Setting = Setting::of(&manual::MAX_ALERTS_PER_USER);

/// The exit retry policy in force.
pub(crate) fn backoff() -> Backoff {
    Backoff { base_ms: RETRY_BACKOFF_MS.get(), max_ms: RETRY_BACKOFF_MAX_MS.get() }
}
