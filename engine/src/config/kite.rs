//! Settings of an account at Kite.

use super::table::{Setting, one_of, path, row, whole};
use super::values::{checked, key, secret_row, shown, user};
use super::{BrokerKind, Settings};
use crate::broker::{KITE_LIMITS, KITE_URLS, KiteSettings, LimitSettings, MarketProtection, Product};
use crate::feed::KiteMode;
use crate::net::{check_rest, check_socket};
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

/// Silence of the ticker after which it is connected anew, where `feed.idle_seconds` does not say. It sends a heartbeat about
/// every second.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest name of an exchange.
const EXCHANGE_BYTES_MAX: usize = 16;

/// An account at Kite.
#[derive(Debug, Clone)]
pub struct KiteConfig {
    /// The account and the roads to it; time-outs are those of the broker.
    account: KiteSettings,
    /// How much the feed is told.
    pub mode: KiteMode,
}

impl Default for KiteConfig {
    fn default() -> Self {
        let (rest_url, stream_url) = KITE_URLS;
        let account = KiteSettings {
            user: String::new(),
            api_key: String::new(),
            api_secret: SecretString::default(),
            token_file: PathBuf::from("kite-token.json"),
            instruments_file: PathBuf::from("kite-instruments.csv"),
            rest_url: rest_url.to_owned(),
            stream_url: stream_url.to_owned(),
            exchange: "NSE".to_owned(),
            product: Product::Mis,
            market_protection: MarketProtection::Automatic,
            timeout: Duration::ZERO,
            settle: Duration::ZERO,
            silence: SILENCE,
        };
        Self { account, mode: KiteMode::Full }
    }
}

impl Settings {
    /// What the account at Kite is opened with.
    #[must_use]
    pub fn kite(&self) -> KiteSettings {
        KiteSettings { timeout: self.broker.timeout, settle: self.broker.settle, ..self.kite.account.clone() }
    }

    /// Whose account at Kite it is.
    pub(super) fn kite_user(&self) -> &str {
        &self.kite.account.user
    }

    /// What its ticker is listened to with, for prices.
    #[must_use]
    pub fn kite_feed(&self) -> KiteSettings {
        let silence = if self.feed.idle.is_zero() { SILENCE } else { self.feed.idle };
        KiteSettings { silence, ..self.kite() }
    }

    /// How many calls an account may make: as was set, or as the broker documents.
    #[must_use]
    pub fn limits(&self) -> LimitSettings {
        let set = self.broker.limits;
        if self.broker.kind != BrokerKind::Kite {
            return set;
        }
        let or = |set: u32, documented| if set == 0 { documented } else { set };
        LimitSettings {
            per_second: or(set.per_second, KITE_LIMITS.per_second),
            per_minute: or(set.per_minute, KITE_LIMITS.per_minute),
            per_day: or(set.per_day, KITE_LIMITS.per_day),
            ..set
        }
    }
}

const PRODUCTS: &[(&str, Product)] = &[("MIS", Product::Mis), ("CNC", Product::Cnc), ("NRML", Product::Nrml)];
const MODES: &[(&str, KiteMode)] = &[("full", KiteMode::Full), ("quote", KiteMode::Quote), ("ltp", KiteMode::Ltp)];

/// `kite.user`.
pub(super) const USER: Setting = row(
    "kite.user",
    "STRAT_KITE_USER",
    "whose account at Kite it is: orders of other users are refused",
    |s, v| user(v).map(|v| s.kite.account.user = v),
    |s| s.kite.account.user.clone(),
);

/// `kite.api_key`.
pub(super) const API_KEY: Setting = row(
    "kite.api_key",
    "STRAT_KITE_API_KEY",
    "API key of the app, from Kite's developer console",
    |s, v| plain(v, 64).map(|v| s.kite.account.api_key = v),
    |s| s.kite.account.api_key.clone(),
);

/// `kite.api_secret`.
pub(super) const API_SECRET: Setting = secret_row(
    "kite.api_secret",
    "STRAT_KITE_API_SECRET",
    "API secret of the app, for `strat-engine kite login` alone: better in its environment than in a file",
    |s, v| key(v).map(|v| s.kite.account.api_secret = v),
    |s| shown(&s.kite.account.api_secret),
);

/// `kite.token_file`.
pub(super) const TOKEN_FILE: Setting = row(
    "kite.token_file",
    "STRAT_KITE_TOKEN_FILE",
    "file of the access token of the day, which `strat-engine kite login` writes and only its owner may read",
    |s, v| path(v).map(|v| s.kite.account.token_file = v).ok_or_else(|| "names no file".to_owned()),
    |s| s.kite.account.token_file.display().to_string(),
);

/// `kite.instruments_file`.
pub(super) const INSTRUMENTS_FILE: Setting = row(
    "kite.instruments_file",
    "STRAT_KITE_INSTRUMENTS_FILE",
    "file in which the list of instruments of the day is kept",
    |s, v| path(v).map(|v| s.kite.account.instruments_file = v).ok_or_else(|| "names no file".to_owned()),
    |s| s.kite.account.instruments_file.display().to_string(),
);

/// `kite.url`.
pub(super) const URL: Setting = row(
    "kite.url",
    "STRAT_KITE_URL",
    "Kite's HTTP interface",
    |s, v| checked(check_rest, v).map(|v| s.kite.account.rest_url = v),
    |s| s.kite.account.rest_url.clone(),
);

/// `kite.stream_url`.
pub(super) const STREAM_URL: Setting = row(
    "kite.stream_url",
    "STRAT_KITE_STREAM_URL",
    "Kite's ticker: prices and order updates",
    |s, v| checked(check_socket, v).map(|v| s.kite.account.stream_url = v),
    |s| s.kite.account.stream_url.clone(),
);

/// `kite.exchange`.
pub(super) const EXCHANGE: Setting = row(
    "kite.exchange",
    "STRAT_KITE_EXCHANGE",
    "exchange of symbols that name none: with NSE, INFY is NSE's and BSE/INFY is the other",
    |s, v| exchange(v).map(|v| s.kite.account.exchange = v),
    |s| s.kite.account.exchange.clone(),
);

/// `kite.product`.
pub(super) const PRODUCT: Setting = row(
    "kite.product",
    "STRAT_KITE_PRODUCT",
    "product of every order: `MIS` (within the day), `CNC` (delivery) or `NRML` (futures and options overnight)",
    |s, v| one_of(v, PRODUCTS).map(|v| s.kite.account.product = v),
    |s| s.kite.account.product.to_string(),
);

/// `kite.market_protection`.
pub(super) const MARKET_PROTECTION: Setting = row(
    "kite.market_protection",
    "STRAT_KITE_MARKET_PROTECTION",
    "how far from the last price a market order may fill: `auto`, or 1 to 100 %; Kite refuses market orders without it",
    |s, v| protection(v).map(|v| s.kite.account.market_protection = v),
    |s| match s.kite.account.market_protection {
        MarketProtection::Automatic => "auto".to_owned(),
        MarketProtection::Percent(percent) => percent.to_string(),
    },
);

/// `kite.mode`.
pub(super) const MODE: Setting = row(
    "kite.mode",
    "STRAT_KITE_MODE",
    "what feed.kind kite asks for: `full` has the exchange's time, `quote` and `ltp` have less and none",
    |s, v| one_of(v, MODES).map(|v| s.kite.mode = v),
    |s| s.kite.mode.as_str().to_owned(),
);

fn plain(value: &str, bytes_max: usize) -> Result<String, String> {
    if value.len() <= bytes_max && value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(value.to_owned());
    }
    Err(format!("is not up to {bytes_max} letters and digits"))
}

fn exchange(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("is empty".to_owned()) } else { plain(value, EXCHANGE_BYTES_MAX) }
}

fn protection(value: &str) -> Result<MarketProtection, String> {
    if value == "auto" {
        return Ok(MarketProtection::Automatic);
    }
    whole(value, 1, 100)
        .map(|percent| MarketProtection::Percent(percent as u8))
        .map_err(|_| "is neither auto nor a whole number from 1 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_shown_and_terms_are_kites() {
        let mut settings = Settings::default();
        (API_SECRET.set)(&mut settings, "TOPSECRET").unwrap();
        assert_eq!((API_SECRET.get)(&settings), "***");
        assert!(!format!("{settings:?} {:?}", settings.kite()).contains("TOPSECRET"));
        for (setting, value, taken) in [
            (&URL, "http://10.0.0.1", false),
            (&URL, "http://127.0.0.1:81/", true),
            (&STREAM_URL, "ws://ws.kite.trade", false),
            (&PRODUCT, "NRML", true),
            (&PRODUCT, "BO", false),
            (&MARKET_PROTECTION, "0", false),
            (&MARKET_PROTECTION, "-1", false),
            (&MARKET_PROTECTION, "2", true),
            (&EXCHANGE, "", false),
            (&EXCHANGE, "NS/E", false),
            (&EXCHANGE, "BSE", true),
            (&API_KEY, "a&b", false),
            (&MODE, "depth", false),
        ] {
            assert_eq!((setting.set)(&mut settings, value).is_ok(), taken, "{} {value}", setting.name);
        }
        let kite = settings.kite();
        assert_eq!((kite.product, kite.market_protection), (Product::Nrml, MarketProtection::Percent(2)));
        assert_eq!((kite.exchange.as_str(), kite.timeout), ("BSE", settings.broker.timeout));
    }

    #[test]
    fn limits_are_those_of_kite_where_none_are_set() {
        let mut settings = Settings::default();
        assert!(settings.limits().are_none());
        settings.broker.kind = BrokerKind::Kite;
        settings.broker.limits.per_minute = 100;
        let limits = settings.limits();
        assert_eq!((limits.per_second, limits.per_minute, limits.per_day), (10, 100, 5_000));
        assert_eq!(limits.exit_share, settings.broker.limits.exit_share);
        assert!(limits.let_entries_pass());
    }
}
