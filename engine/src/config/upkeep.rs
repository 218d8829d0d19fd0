//! Settings of what the engine does to keep Redis in order.

use super::table::{Setting, row, whole};
use std::time::Duration;

/// How Redis is looked after.
#[derive(Debug, Clone)]
pub struct UpkeepConfig {
    /// Time between two runs; zero for none.
    pub interval: Duration,
    /// Whether keys that lost their end get one; otherwise they are only reported.
    pub clean: bool,
    /// From so many percent of the limit on memory runs short.
    pub memory_warn_percent: u64,
    /// From so many it is nearly used up.
    pub memory_critical_percent: u64,
    /// The limit of a server without `maxmemory`, MiB; 0 for none.
    pub memory_limit_mb: u64,
    /// Time between two looks at the positions of users in calm mode; zero for none.
    pub calm_interval: Duration,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            clean: false,
            memory_warn_percent: 75,
            memory_critical_percent: 90,
            memory_limit_mb: 0,
            calm_interval: Duration::from_secs(60),
        }
    }
}

/// `upkeep.interval_seconds`.
pub(super) const INTERVAL: Setting = row(
    "upkeep.interval_seconds",
    "STRAT_UPKEEP_INTERVAL_SECONDS",
    "time between two looks at a part of Redis' keys and its memory, up to 86400 s; 0 for none",
    |s, v| whole(v, 0, 86_400).map(|v| s.upkeep.interval = Duration::from_secs(v)),
    |s| s.upkeep.interval.as_secs().to_string(),
);

/// `upkeep.clean`.
pub(super) const CLEAN: Setting = row(
    "upkeep.clean",
    "STRAT_UPKEEP_CLEAN",
    "whether keys that should end and do not, such as price:*, are given an end: true or false, then they are only reported",
    |s, v| v.parse().map(|v| s.upkeep.clean = v).map_err(|_| "is neither true nor false".to_owned()),
    |s| s.upkeep.clean.to_string(),
);

/// `upkeep.memory_warn_percent`.
pub(super) const MEMORY_WARN: Setting = row(
    "upkeep.memory_warn_percent",
    "STRAT_UPKEEP_MEMORY_WARN_PERCENT",
    "from this share of maxmemory on the engine warns, 6 to 99 percent",
    |s, v| whole(v, 6, 99).map(|v| s.upkeep.memory_warn_percent = v),
    |s| s.upkeep.memory_warn_percent.to_string(),
);

/// `upkeep.memory_critical_percent`.
pub(super) const MEMORY_CRITICAL: Setting = row(
    "upkeep.memory_critical_percent",
    "STRAT_UPKEEP_MEMORY_CRITICAL_PERCENT",
    "from this share of maxmemory on it raises an alarm, 7 to 100 percent, above the warning",
    |s, v| whole(v, 7, 100).map(|v| s.upkeep.memory_critical_percent = v),
    |s| s.upkeep.memory_critical_percent.to_string(),
);

/// `upkeep.memory_limit_mb`.
pub(super) const MEMORY_LIMIT: Setting = row(
    "upkeep.memory_limit_mb",
    "STRAT_UPKEEP_MEMORY_LIMIT_MB",
    "what those are shares of where the server has no maxmemory, MiB; 0 for nothing",
    |s, v| whole(v, 0, 1 << 30).map(|v| s.upkeep.memory_limit_mb = v),
    |s| s.upkeep.memory_limit_mb.to_string(),
);

/// `calm.interval_seconds`.
pub(super) const CALM_INTERVAL: Setting = row(
    "calm.interval_seconds",
    "STRAT_CALM_INTERVAL_SECONDS",
    "time between two looks at the positions of users in calm mode, up to 1800 s; 0 for none",
    |s, v| whole(v, 0, 1_800).map(|v| s.upkeep.calm_interval = Duration::from_secs(v)),
    |s| s.upkeep.calm_interval.as_secs().to_string(),
);
