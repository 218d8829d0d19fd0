//! Settings of an account at Alpaca.

use super::Settings;
use super::table::{Setting, row};
use super::values::{checked, key, secret_row, shown, user};
use crate::broker::AlpacaSettings;
use crate::feed::AlpacaFeedSettings;
use crate::net::{check_rest, check_socket};
use secrecy::SecretString;
use std::time::Duration;

/// Silence on a stream after which it is made anew, where `feed.idle_seconds` does not say.
const SILENCE: Duration = Duration::from_secs(30);
/// Least time for a connection to market data: several round trips, perhaps around the world.
const CONNECT_MIN: Duration = Duration::from_secs(5);

/// An account at Alpaca.
#[derive(Debug, Clone)]
pub struct AlpacaConfig {
    /// The user whose account it is.
    pub user: String,
    /// Trading API.
    pub url: String,
    /// Stream of the account's updates.
    pub stream_url: String,
    /// Stream of market data.
    pub data_url: String,
    /// API key id.
    pub key_id: SecretString,
    /// API secret key.
    pub secret_key: SecretString,
}

impl Default for AlpacaConfig {
    /// A paper account: whoever wants to trade with money says so.
    fn default() -> Self {
        Self {
            user: String::new(),
            url: "https://paper-api.alpaca.markets".to_owned(),
            stream_url: "wss://paper-api.alpaca.markets/stream".to_owned(),
            data_url: "wss://stream.data.alpaca.markets/v2/iex".to_owned(),
            key_id: SecretString::default(),
            secret_key: SecretString::default(),
        }
    }
}

impl Settings {
    /// What the account at Alpaca is opened with.
    #[must_use]
    pub fn alpaca(&self) -> AlpacaSettings {
        AlpacaSettings {
            user: self.alpaca.user.clone(),
            rest_url: self.alpaca.url.clone(),
            stream_url: self.alpaca.stream_url.clone(),
            key_id: self.alpaca.key_id.clone(),
            secret_key: self.alpaca.secret_key.clone(),
            timeout: self.broker.timeout,
            settle: self.broker.settle,
            silence: SILENCE,
            in_flight_max: self.broker.in_flight_max(self.concurrency),
        }
    }

    /// What its market data are opened with.
    #[must_use]
    pub fn alpaca_feed(&self) -> AlpacaFeedSettings {
        AlpacaFeedSettings {
            url: self.alpaca.data_url.clone(),
            key_id: self.alpaca.key_id.clone(),
            secret_key: self.alpaca.secret_key.clone(),
            symbols: self.feed.subscribe.clone(),
            timeout: self.broker.timeout.max(CONNECT_MIN),
            silence: if self.feed.idle.is_zero() { SILENCE } else { self.feed.idle },
        }
    }
}

/// `alpaca.user`.
pub(super) const USER: Setting = row(
    "alpaca.user",
    "STRAT_ALPACA_USER",
    "whose account at Alpaca it is: orders of other users are refused",
    |s, v| user(v).map(|v| s.alpaca.user = v),
    |s| s.alpaca.user.clone(),
);

/// `alpaca.url`.
pub(super) const URL: Setting = row(
    "alpaca.url",
    "STRAT_ALPACA_URL",
    "Alpaca's Trading API: the paper account's unless set, https://api.alpaca.markets for money",
    |s, v| checked(check_rest, v).map(|v| s.alpaca.url = v),
    |s| s.alpaca.url.clone(),
);

/// `alpaca.stream_url`.
pub(super) const STREAM_URL: Setting = row(
    "alpaca.stream_url",
    "STRAT_ALPACA_STREAM_URL",
    "its stream of order updates, of the same environment: wss://api.alpaca.markets/stream for money",
    |s, v| checked(check_socket, v).map(|v| s.alpaca.stream_url = v),
    |s| s.alpaca.stream_url.clone(),
);

/// `alpaca.data_url`.
pub(super) const DATA_URL: Setting = row(
    "alpaca.data_url",
    "STRAT_ALPACA_DATA_URL",
    "its stream of trades for feed.kind alpaca: …/v2/iex, or …/v2/sip where the plan includes it",
    |s, v| checked(check_socket, v).map(|v| s.alpaca.data_url = v),
    |s| s.alpaca.data_url.clone(),
);

/// `alpaca.key_id`.
pub(super) const KEY_ID: Setting = secret_row(
    "alpaca.key_id",
    "STRAT_ALPACA_KEY_ID",
    "API key id of the account",
    |s, v| key(v).map(|v| s.alpaca.key_id = v),
    |s| shown(&s.alpaca.key_id),
);

/// `alpaca.secret_key`.
pub(super) const SECRET_KEY: Setting = secret_row(
    "alpaca.secret_key",
    "STRAT_ALPACA_SECRET_KEY",
    "API secret key of the account; better in the environment than in a file that others read",
    |s, v| key(v).map(|v| s.alpaca.secret_key = v),
    |s| shown(&s.alpaca.secret_key),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_shown_and_addresses_are_encrypted() {
        let mut settings = Settings::default();
        for setting in [&KEY_ID, &SECRET_KEY] {
            (setting.set)(&mut settings, "PKSECRET").unwrap();
            assert_eq!((setting.get)(&settings), "***");
            assert!((setting.set)(&mut settings, "a b").is_err());
        }
        assert!(!format!("{settings:?}").contains("PKSECRET"));
        assert!(!format!("{:?}", (settings.alpaca(), settings.alpaca_feed())).contains("PKSECRET"));
        for (setting, value, taken) in [
            (&URL, "http://10.0.0.1", false),
            (&URL, "http://127.0.0.1:81/", true),
            (&STREAM_URL, "https://api.alpaca.markets/stream", false),
            (&STREAM_URL, "wss://api.alpaca.markets/stream", true),
            (&DATA_URL, "ws://stream.data.alpaca.markets/v2/iex", false),
            (&USER, "al:ice", false),
            (&USER, "alice", true),
        ] {
            assert_eq!((setting.set)(&mut settings, value).is_ok(), taken, "{} {value}", setting.name);
        }
        assert_eq!((settings.alpaca.url.as_str(), settings.alpaca.user.as_str()), ("http://127.0.0.1:81", "alice"));
    }
}
