//! Settings of the guard.

use super::table::{Setting, row, whole};
use crate::guard::GuardSettings;
use std::time::Duration;

/// What is done unless something else is said.
pub(super) const DEFAULT: GuardSettings =
    GuardSettings { enabled: true, notice: Duration::from_millis(150), patience: Duration::from_millis(1_000) };

pub(super) const ENABLED: Setting = row(
    "guard.enabled",
    "STRAT_GUARD_ENABLED",
    "whether the engine watches stops itself while Redis is away: true or false",
    |s, v| v.parse().map(|v| s.guard.enabled = v).map_err(|_| "is neither true nor false".to_owned()),
    |s| s.guard.enabled.to_string(),
);

pub(super) const NOTICE: Setting = row(
    "guard.notice_ms",
    "STRAT_GUARD_NOTICE_MS",
    "how long Redis may leave a price unanswered before the engine watches, 20 to 10000 ms",
    |s, v| whole(v, 20, 10_000).map(|v| s.guard.notice = Duration::from_millis(v)),
    |s| s.guard.notice.as_millis().to_string(),
);

pub(super) const PATIENCE: Setting = row(
    "guard.patience_ms",
    "STRAT_GUARD_PATIENCE_MS",
    "how long Redis must be away before queued and timed exits are sent without it, 0 to 60000 ms",
    |s, v| whole(v, 0, 60_000).map(|v| s.guard.patience = Duration::from_millis(v)),
    |s| s.guard.patience.as_millis().to_string(),
);
