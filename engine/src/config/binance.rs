//! Settings of an account at Binance Spot, and of its market data.

use super::Settings;
use super::table::{Setting, row, whole};
use super::values::{KEY_BYTES_MAX, checked, key, secret_row, shown, user};
use crate::broker::BinanceSettings;
use crate::net::{check_rest, check_socket};
use secrecy::SecretString;
use std::time::Duration;

/// Silence on the account's stream after which it is made anew: Binance pings every 20 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Age at which a session of it is renewed: Binance ends one after 24 hours.
const RENEW: Duration = Duration::from_secs(23 * 3_600);

/// An account at Binance.
#[derive(Debug, Clone)]
pub struct BinanceConfig {
    /// The user whose account it is.
    pub user: String,
    /// Symbols that may be traded.
    pub symbols: Vec<String>,
    /// REST API.
    pub url: String,
    /// WebSocket API.
    pub stream_url: String,
    /// Market streams.
    pub data_url: String,
    /// API key.
    pub api_key: SecretString,
    /// Its secret.
    pub api_secret: SecretString,
    /// How late a request may arrive.
    pub recv_window: Duration,
}

impl Default for BinanceConfig {
    /// The test network: whoever wants to trade with money says so. Prices are the real ones.
    fn default() -> Self {
        Self {
            user: String::new(),
            symbols: Vec::new(),
            url: "https://testnet.binance.vision".to_owned(),
            stream_url: "wss://ws-api.testnet.binance.vision/ws-api/v3".to_owned(),
            data_url: "wss://stream.binance.com:9443".to_owned(),
            api_key: SecretString::default(),
            api_secret: SecretString::default(),
            recv_window: Duration::from_millis(3_000),
        }
    }
}

impl Settings {
    /// What the account at Binance is opened with.
    #[must_use]
    pub fn binance(&self) -> BinanceSettings {
        BinanceSettings {
            rest_url: self.binance.url.clone(),
            stream_url: self.binance.stream_url.clone(),
            user: self.binance.user.clone(),
            symbols: self.binance.symbols.clone(),
            api_key: self.binance.api_key.clone(),
            api_secret: self.binance.api_secret.clone(),
            recv_window: self.binance.recv_window,
            timeout: self.broker.timeout,
            settle: self.broker.settle,
            silence: SILENCE,
            renew: RENEW,
            in_flight_max: self.broker.in_flight_max(self.concurrency),
        }
    }
}

/// `binance.user`.
pub(super) const USER: Setting = row(
    "binance.user",
    "STRAT_BINANCE_USER",
    "whose account at Binance it is: orders of other users are refused",
    |s, v| user(v).map(|v| s.binance.user = v),
    |s| s.binance.user.clone(),
);

/// `binance.symbols`.
pub(super) const SYMBOLS: Setting = row(
    "binance.symbols",
    "STRAT_BINANCE_SYMBOLS",
    "what may be traded at Binance, at most 100: BTCUSDT,ETHUSDT; the day's orders are listed symbol by symbol",
    |s, v| super::feed::parse_list(v).map(|v| s.binance.symbols = v),
    |s| s.binance.symbols.join(","),
);

/// `binance.url`.
pub(super) const URL: Setting = row(
    "binance.url",
    "STRAT_BINANCE_URL",
    "Binance's REST API: the test network's unless set, https://api.binance.com for money",
    |s, v| checked(check_rest, v).map(|v| s.binance.url = v),
    |s| s.binance.url.clone(),
);

/// `binance.stream_url`.
pub(super) const STREAM_URL: Setting = row(
    "binance.stream_url",
    "STRAT_BINANCE_STREAM_URL",
    "its WebSocket API, of the same environment: wss://ws-api.binance.com:443/ws-api/v3 for money",
    |s, v| checked(check_socket, v).map(|v| s.binance.stream_url = v),
    |s| s.binance.stream_url.clone(),
);

/// `binance.data_url`.
pub(super) const DATA_URL: Setting = row(
    "binance.data_url",
    "STRAT_BINANCE_DATA_URL",
    "its market streams, for feed.kind binance",
    |s, v| checked(check_socket, v).map(|v| s.binance.data_url = v),
    |s| s.binance.data_url.clone(),
);

/// `binance.api_key`.
pub(super) const API_KEY: Setting = secret_row(
    "binance.api_key",
    "STRAT_BINANCE_API_KEY",
    "API key of the account, of the kind HMAC",
    |s, v| plain_key(v).map(|v| s.binance.api_key = v),
    |s| shown(&s.binance.api_key),
);

/// `binance.api_secret`.
pub(super) const API_SECRET: Setting = secret_row(
    "binance.api_secret",
    "STRAT_BINANCE_API_SECRET",
    "its secret; better in the environment than in a file that others read",
    |s, v| plain_key(v).map(|v| s.binance.api_secret = v),
    |s| shown(&s.binance.api_secret),
);

/// `binance.recv_window_ms`.
pub(super) const RECV_WINDOW: Setting = row(
    "binance.recv_window_ms",
    "STRAT_BINANCE_RECV_WINDOW_MS",
    "how late a request may arrive at Binance and still be carried out, 100 to 60000 ms; an unknown outcome takes 10 s longer to settle",
    |s, v| whole(v, 100, 60_000).map(|v| s.binance.recv_window = Duration::from_millis(v)),
    |s| s.binance.recv_window.as_millis().to_string(),
);

/// Binance's keys are of letters and digits, and stand in signed texts.
fn plain_key(value: &str) -> Result<SecretString, String> {
    match key(value) {
        Ok(key) if value.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Ok(key),
        _ => Err(format!("is not up to {KEY_BYTES_MAX} letters and digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_shown_and_addresses_are_encrypted() {
        let mut settings = Settings::default();
        for setting in [&API_KEY, &API_SECRET] {
            (setting.set)(&mut settings, "HUNTER2").unwrap();
            assert_eq!((setting.get)(&settings), "***");
            assert!((setting.set)(&mut settings, "a-b").is_err());
        }
        assert!(!format!("{settings:?}{:?}", settings.binance()).contains("HUNTER2"));
        for (setting, value, taken) in [
            (&URL, "http://10.0.0.1", false),
            (&URL, "https://api.binance.com/", true),
            (&STREAM_URL, "ws://ws-api.binance.com", false),
            (&DATA_URL, "ws://127.0.0.1:81", true),
            (&SYMBOLS, "BTC USDT", false),
            (&SYMBOLS, "BTCUSDT, ETHUSDT,", true),
            (&RECV_WINDOW, "60001", false),
            (&USER, "al:ice", false),
        ] {
            assert_eq!((setting.set)(&mut settings, value).is_ok(), taken, "{} {value}", setting.name);
        }
        assert_eq!(settings.binance().symbols, ["BTCUSDT", "ETHUSDT"]);
    }
}
