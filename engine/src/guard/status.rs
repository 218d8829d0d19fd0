//! How the guard is doing.

use super::shadow::ShadowStats;
use std::time::Duration;

/// Who watches the stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// Redis, as it should be.
    Redis,
    /// This engine.
    Engine,
    /// Nobody.
    Nobody,
}

impl Watcher {
    /// One lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Engine => "engine",
            Self::Nobody => "nobody",
        }
    }
}

/// How the guard is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardStatus {
    /// Whether it may act at all.
    pub enabled: bool,
    /// Who watches the stops now.
    pub watching: Watcher,
    /// What the engine itself knows.
    pub shadow: ShadowStats,
    /// How long ago the shadow last had everything that the journal had; `None` before the first time.
    pub behind: Option<Duration>,
    /// Times that Redis was away.
    pub outages: u64,
    /// Exits handed over.
    pub exits: u64,
    /// Exits that were crossed and not handed over, because another engine may act.
    pub alarms: u64,
}
