//! The settings of the module, `strat.<name>` in redis.conf and by `CONFIG SET`.

/// One setting, a whole number.
#[derive(Debug)]
pub struct ModuleSetting {
    /// Name behind `strat.`.
    pub name: &'static str,
    /// What it is unless set.
    pub default: i64,
    /// The least that can be set.
    pub min: i64,
    /// The most that can be set.
    pub max: i64,
    /// What it means, one line with the unit.
    pub about: &'static str,
}

/// Life of `price:{symbol}`.
pub const PRICE_TTL_MS: ModuleSetting = ModuleSetting {
    name: "price-ttl-ms",
    default: 10_000,
    min: 1,
    max: 86_400_000,
    about: "how long `price:<symbol>` keeps the last price, ms; one that has expired is unknown, which is better than old",
};

/// How much one call fires.
pub const MAX_FIRED_PER_CALL: ModuleSetting = ModuleSetting {
    name: "max-fired-per-call",
    default: 200,
    min: 1,
    max: 1_000_000,
    about: "most stops that one `STRAT.SLCHECK` fires itself, and as many alerts; the rest goes on in short slices",
};

/// Length of the journal.
pub const JOURNAL_MAXLEN: ModuleSetting = ModuleSetting {
    name: "journal-maxlen",
    default: 1_000_000,
    min: 1_000,
    max: 1_000_000_000,
    about: "entries kept in `journal`, about; has to hold what happens while Postgres is away",
};

/// Wait after a dead exit.
pub const RETRY_BACKOFF_MS: ModuleSetting = ModuleSetting {
    name: "retry-backoff-ms",
    default: 500,
    min: 1,
    max: 3_600_000,
    about: "wait after the broker has refused an exit, ms; doubled with each further refusal",
};

/// Longest wait after a dead exit.
pub const RETRY_BACKOFF_MAX_MS: ModuleSetting = ModuleSetting {
    name: "retry-backoff-max-ms",
    default: 30_000,
    min: 1,
    max: 3_600_000,
    about: "longest such wait, ms",
};

/// Life of a fired alert.
pub const ALERT_KEPT_MS: ModuleSetting = ModuleSetting {
    name: "alert-kept-ms",
    default: 86_400_000,
    min: 1,
    max: 31_536_000_000,
    about: "how long the hash of a price alert that has fired is kept, ms",
};

/// Alerts of a user.
pub const MAX_ALERTS_PER_USER: ModuleSetting = ModuleSetting {
    name: "max-alerts-per-user",
    default: 1_000,
    min: 1,
    max: 1_000_000,
    about: "price alerts that one user may have, waiting and fired; `STRAT.ALERT` refuses more with `LIMIT`",
};

/// Every setting.
pub const SETTINGS: &[&ModuleSetting] = &[
    &PRICE_TTL_MS,
    &MAX_FIRED_PER_CALL,
    &JOURNAL_MAXLEN,
    &RETRY_BACKOFF_MS,
    &RETRY_BACKOFF_MAX_MS,
    &ALERT_KEPT_MS,
    &MAX_ALERTS_PER_USER,
];
