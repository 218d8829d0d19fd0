//! Limits of entries where no admin said anything else of a user, and those of the account.

use super::Settings;
use super::table::{Setting, row};
use crate::risk::RiskSettings;
use jiff::tz::TimeZone;
use strat_core::risk::Limits;

/// Limits, and when a day begins.
#[derive(Debug, Clone)]
pub struct RiskConfig {
    /// Of each user.
    pub each_user: Limits,
    /// Of all together.
    pub account: Limits,
    /// IANA zone of the day.
    pub zone: String,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self { each_user: Limits::NONE, account: Limits::NONE, zone: "UTC".to_owned() }
    }
}

impl RiskConfig {
    /// As the desk wants it.
    #[must_use]
    pub fn settings(&self) -> RiskSettings {
        // It was looked up when it was set.
        let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
        RiskSettings { each_user: self.each_user.clone(), account: self.account.clone(), zone }
    }
}

/// A limit of each user.
macro_rules! of_user {
    ($const:ident, $limit:literal, $env:literal, $about:literal) => {
        #[doc = concat!("`risk.", $limit, "`.")]
        pub(super) const $const: Setting = row(
            concat!("risk.", $limit),
            $env,
            $about,
            |s, v| s.risk.each_user.set($limit, v),
            |s| s.risk.each_user.text($limit),
        );
    };
}

/// A limit of the account.
macro_rules! of_account {
    ($const:ident, $limit:literal, $env:literal, $about:literal) => {
        #[doc = concat!("`risk.account_", $limit, "`.")]
        pub(super) const $const: Setting = row(
            concat!("risk.account_", $limit),
            $env,
            $about,
            |s, v| s.risk.account.set($limit, v),
            |s| s.risk.account.text($limit),
        );
    };
}

of_user!(MAX_QUANTITY, "max_quantity", "STRAT_RISK_MAX_QUANTITY", "largest quantity of an entry; `none` for any");
of_user!(
    MAX_NOTIONAL,
    "max_notional",
    "STRAT_RISK_MAX_NOTIONAL",
    "largest worth of an entry at the last price; `none` for any"
);
of_user!(
    MAX_OPEN,
    "max_open_positions",
    "STRAT_RISK_MAX_OPEN_POSITIONS",
    "positions that a user may have, entries on their way included; `none` for any number"
);
of_user!(
    MAX_ORDERS,
    "max_orders_per_minute",
    "STRAT_RISK_MAX_ORDERS_PER_MINUTE",
    "entries that a user may send in any minute; `none` for any number"
);
of_user!(
    MAX_LOSS,
    "max_daily_loss",
    "STRAT_RISK_MAX_DAILY_LOSS",
    "loss of a day, realised and open, at which a user's entries stop; `none` for never"
);
of_user!(
    COLLAR,
    "price_collar_percent",
    "STRAT_RISK_PRICE_COLLAR_PERCENT",
    "how far the last price may be from an entry's reference_price; an entry waits for a price. `none` for any"
);
of_user!(
    ON_LOSS,
    "on_daily_loss",
    "STRAT_RISK_ON_DAILY_LOSS",
    "what reaching the daily loss leads to: `stop_entries`, or `square_off` what is open as well"
);
of_account!(
    ACCOUNT_OPEN,
    "max_open_positions",
    "STRAT_RISK_ACCOUNT_MAX_OPEN_POSITIONS",
    "positions of all users together; `none` for any number"
);
of_account!(
    ACCOUNT_ORDERS,
    "max_orders_per_minute",
    "STRAT_RISK_ACCOUNT_MAX_ORDERS_PER_MINUTE",
    "entries of all users together in any minute; `none` for any number"
);
of_account!(
    ACCOUNT_LOSS,
    "max_daily_loss",
    "STRAT_RISK_ACCOUNT_MAX_DAILY_LOSS",
    "loss of a day of all users together at which all entries stop; `none` for never"
);
of_account!(
    ACCOUNT_ON_LOSS,
    "on_daily_loss",
    "STRAT_RISK_ACCOUNT_ON_DAILY_LOSS",
    "the same as risk.on_daily_loss, for all users together"
);

/// `risk.zone`.
pub(super) const ZONE: Setting = row(
    "risk.zone",
    "STRAT_RISK_ZONE",
    "IANA zone at whose midnight the day of the daily loss begins",
    set_zone,
    |s| s.risk.zone.clone(),
);

fn set_zone(settings: &mut Settings, value: &str) -> Result<(), String> {
    TimeZone::get(value).map_err(|_| "is no IANA zone such as Asia/Kolkata".to_owned())?;
    value.clone_into(&mut settings.risk.zone);
    Ok(())
}
