//! Settings of the broker: which one, and how to reach it.

use super::Settings;
use super::table::{Secret, Setting, one_of, path, row, shown_path, url, whole};
use crate::broker::{BridgeSettings, Idempotency, LimitSettings, check_url};
use crate::executor::ExitProtection;
use std::path::PathBuf;
use std::time::Duration;
use strat_core::Ladder;

/// Who carries orders out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// The simulated broker inside the engine.
    Paper,
    /// A program that speaks to a broker, reached over HTTP.
    Bridge,
    /// Alpaca.
    Alpaca,
    /// Zerodha's Kite.
    Kite,
    /// Binance Spot.
    Binance,
}

/// Settings of the broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Which one.
    pub kind: BrokerKind,
    /// Where the bridge listens.
    pub url: String,
    /// What the broker behind the bridge does with a client order id that it has seen.
    pub class: Idempotency,
    /// Longest wait for one answer of the broker.
    pub timeout: Duration,
    /// How long the broker may deny an order that it has got.
    pub settle: Duration,
    /// How many calls an account may make.
    pub limits: LimitSettings,
    /// How exits are protected.
    pub exits: ExitProtection,
    /// Folder of the accounts of single users.
    pub accounts_dir: Option<PathBuf>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            kind: BrokerKind::Paper,
            url: "http://127.0.0.1:8720".to_owned(),
            // What assumes least.
            class: Idempotency::None,
            timeout: Duration::from_millis(1_500),
            settle: Duration::from_millis(5_000),
            limits: LimitSettings { per_second: 0, per_minute: 0, per_day: 0, exit_share: 30 },
            exits: ExitProtection { ladder: Ladder::NONE, rest: Duration::from_secs(3) },
            accounts_dir: None,
        }
    }
}

/// Requests to the broker beyond those of the jobs: look-ups by the reconciliation, polls.
const IN_FLIGHT_SPARE: usize = 64;

impl BrokerSettings {
    /// `broker.kind` as it is written.
    #[must_use]
    pub fn kind_word(&self) -> String {
        word(KINDS, &self.kind)
    }

    /// What the bridge is opened with, for this many jobs of each kind at a time.
    #[must_use]
    pub fn bridge(&self, concurrency: usize) -> BridgeSettings {
        BridgeSettings {
            url: self.url.clone(),
            class: self.class,
            timeout: self.timeout,
            settle: self.settle,
            in_flight_max: self.in_flight_max(concurrency),
        }
    }

    /// Requests at the same time, for this many jobs of each kind.
    #[must_use]
    pub const fn in_flight_max(&self, concurrency: usize) -> usize {
        2 * concurrency + IN_FLIGHT_SPARE
    }
}

const KINDS: &[(&str, BrokerKind)] = &[
    ("paper", BrokerKind::Paper),
    ("bridge", BrokerKind::Bridge),
    ("alpaca", BrokerKind::Alpaca),
    ("kite", BrokerKind::Kite),
    ("binance", BrokerKind::Binance),
];
const CLASSES: &[(&str, Idempotency)] =
    &[("dedupes", Idempotency::Dedupes), ("queryable", Idempotency::Queryable), ("none", Idempotency::None)];

fn word<T: PartialEq>(known: &[(&str, T)], value: &T) -> String {
    known.iter().find(|(_, known)| known == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}

fn set_url(settings: &mut Settings, value: &str) -> Result<(), String> {
    url(value, &["http://"])?;
    settings.broker.url = check_url(value).map_err(|wrong| wrong.to_string())?;
    Ok(())
}

/// `broker.kind`.
pub(super) const KIND: Setting = row(
    "broker.kind",
    "STRAT_BROKER_KIND",
    "`paper` fills orders at the feed's prices; `bridge` sends them to broker.url, `alpaca` to Alpaca, `kite` to Zerodha's Kite, `binance` to Binance Spot",
    |s, v| one_of(v, KINDS).map(|v| s.broker.kind = v),
    |s| s.broker.kind_word(),
);

/// `broker.url`.
pub(super) const URL: Setting = Setting {
    secret: Secret::InUrl,
    ..row(
        "broker.url",
        "STRAT_BROKER_URL",
        "where the bridge listens: http://host:port, with a path if need be",
        set_url,
        |s| s.broker.url.clone(),
    )
};

/// `broker.class`.
pub(super) const CLASS: Setting = row(
    "broker.class",
    "STRAT_BROKER_CLASS",
    "a repeated order id: the broker `dedupes` it for ever, is `queryable` by it, or `none` of that",
    |s, v| one_of(v, CLASSES).map(|v| s.broker.class = v),
    |s| word(CLASSES, &s.broker.class),
);

/// `broker.timeout_ms`.
pub(super) const TIMEOUT: Setting = row(
    "broker.timeout_ms",
    "STRAT_BROKER_TIMEOUT_MS",
    "longest wait for an answer of the broker, 50 to 60000 ms",
    |s, v| whole(v, 50, 60_000).map(|v| s.broker.timeout = Duration::from_millis(v)),
    |s| s.broker.timeout.as_millis().to_string(),
);

/// `broker.settle_ms`.
pub(super) const SETTLE: Setting = row(
    "broker.settle_ms",
    "STRAT_BROKER_SETTLE_MS",
    "how long the broker may deny an order that it has got, 0 to 600000 ms; only later is a denial proof",
    |s, v| whole(v, 0, 600_000).map(|v| s.broker.settle = Duration::from_millis(v)),
    |s| s.broker.settle.as_millis().to_string(),
);

/// Most calls that a limit may allow; more is no limit.
const CALLS_MAX: u64 = 10_000_000;

fn calls(value: &str) -> Result<u32, String> {
    whole(value, 0, CALLS_MAX).map(|calls| calls as u32)
}

/// `broker.calls_per_second`.
pub(super) const PER_SECOND: Setting = row(
    "broker.calls_per_second",
    "STRAT_BROKER_CALLS_PER_SECOND",
    "calls to the broker that an account may make in any second; 0 for any number",
    |s, v| calls(v).map(|v| s.broker.limits.per_second = v),
    |s| s.broker.limits.per_second.to_string(),
);

/// `broker.calls_per_minute`.
pub(super) const PER_MINUTE: Setting = row(
    "broker.calls_per_minute",
    "STRAT_BROKER_CALLS_PER_MINUTE",
    "calls to the broker that an account may make in any minute; 0 for any number",
    |s, v| calls(v).map(|v| s.broker.limits.per_minute = v),
    |s| s.broker.limits.per_minute.to_string(),
);

/// `broker.calls_per_day`.
pub(super) const PER_DAY: Setting = row(
    "broker.calls_per_day",
    "STRAT_BROKER_CALLS_PER_DAY",
    "calls to the broker that an account may make in any 24 hours; 0 for any number",
    |s, v| calls(v).map(|v| s.broker.limits.per_day = v),
    |s| s.broker.limits.per_day.to_string(),
);

/// `broker.exit_share`.
pub(super) const EXIT_SHARE: Setting = row(
    "broker.exit_share",
    "STRAT_BROKER_EXIT_SHARE",
    "percent of those calls that are for exits alone, 0 to 90; exits may use the rest as well",
    |s, v| whole(v, 0, 90).map(|v| s.broker.limits.exit_share = v as u32),
    |s| s.broker.limits.exit_share.to_string(),
);

/// `broker.exit_protection`.
pub(super) const EXIT_PROTECTION: Setting = row(
    "broker.exit_protection",
    "STRAT_BROKER_EXIT_PROTECTION",
    "percent from the last price that an exit may trade at, one step for each attempt: 1,2,5 or 1,2,market; empty for any price",
    |s, v| v.parse().map(|v| s.broker.exits.ladder = v).map_err(|why: String| format!("is no list of steps: {why}")),
    |s| s.broker.exits.ladder.to_string(),
);

/// `broker.exit_rest_ms`.
pub(super) const EXIT_REST: Setting = row(
    "broker.exit_rest_ms",
    "STRAT_BROKER_EXIT_REST_MS",
    "an exit of which nothing is filled for so long is cancelled and sent with the next step, 100 to 60000 ms",
    |s, v| whole(v, 100, 60_000).map(|v| s.broker.exits.rest = Duration::from_millis(v)),
    |s| s.broker.exits.rest.as_millis().to_string(),
);

/// `broker.accounts_dir`.
pub(super) const ACCOUNTS_DIR: Setting = row(
    "broker.accounts_dir",
    "STRAT_BROKER_ACCOUNTS_DIR",
    "folder of *.toml, one for each user with an account of his own: broker.*, alpaca.*, kite.*, binance.*; empty for none",
    |s, v| {
        s.broker.accounts_dir = path(v);
        Ok(())
    },
    |s| shown_path(s.broker.accounts_dir.as_ref()),
);
