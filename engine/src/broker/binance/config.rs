//! How to reach Binance, whose account it is, and what may be traded.

use crate::net::{AddressError, check_rest, check_socket};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;

/// Symbols that may be named: what listing their orders costs grows with them.
pub const BINANCE_SYMBOLS_MAX: usize = 100;
/// Longest window that Binance takes.
const RECV_WINDOW_MAX: Duration = Duration::from_secs(60);

/// Settings of [`super::BinanceBroker`].
#[derive(Debug, Clone)]
pub struct BinanceSettings {
    /// Orders and look-ups: `https://api.binance.com`.
    pub rest_url: String,
    /// The WebSocket API, for the account's events: `wss://ws-api.binance.com:443/ws-api/v3`.
    pub stream_url: String,
    /// Whose account it is; orders of others are refused.
    pub user: String,
    /// What may be traded, in Binance's names. The day's orders can only be listed symbol by symbol.
    pub symbols: Vec<String>,
    /// API key, of the kind HMAC.
    pub api_key: SecretString,
    /// Its secret.
    pub api_secret: SecretString,
    /// How late a request may arrive and still be carried out; at most a minute, whole ms.
    pub recv_window: Duration,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How long after that an order may not show in a look-up yet: see [`crate::broker::Broker::settles_within`].
    pub settle: Duration,
    /// Nothing heard on the stream for so long is a cut. Binance pings every 20 s.
    pub silence: Duration,
    /// Age at which a session of the stream is renewed: Binance ends one after 24 hours.
    pub renew: Duration,
    /// Requests at the same time.
    pub in_flight_max: usize,
}

/// Why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinanceError {
    /// An address.
    #[error("the address of Binance's {which} {why}")]
    Address {
        /// Which of the two.
        which: &'static str,
        /// What is wrong with it.
        why: AddressError,
    },
    /// Nobody's account.
    #[error("nobody is named whose account it is")]
    NoUser,
    /// No API key, or no secret.
    #[error("the API key or its secret is missing")]
    NoKeys,
    /// Symbols.
    #[error("{0}")]
    Symbols(String),
    /// The window.
    #[error("the window in which a request may arrive must be within 1 ms and 60 s")]
    Window,
}

impl BinanceSettings {
    /// Checks what can be checked without asking anybody, and brings addresses into their usual form.
    pub(super) fn checked(mut self) -> Result<Self, BinanceError> {
        let wrong = |which| move |why| BinanceError::Address { which, why };
        self.rest_url = check_rest(&self.rest_url).map_err(wrong("REST API"))?;
        self.stream_url = check_socket(&self.stream_url).map_err(wrong("WebSocket API"))?;
        if self.user.is_empty() {
            return Err(BinanceError::NoUser);
        }
        if self.api_key.expose_secret().is_empty() || self.api_secret.expose_secret().is_empty() {
            return Err(BinanceError::NoKeys);
        }
        if self.recv_window.as_millis() == 0 || self.recv_window > RECV_WINDOW_MAX {
            return Err(BinanceError::Window);
        }
        if self.symbols.is_empty() || self.symbols.len() > BINANCE_SYMBOLS_MAX {
            let why = format!("between 1 and {BINANCE_SYMBOLS_MAX} symbols may be traded, not {}", self.symbols.len());
            return Err(BinanceError::Symbols(why));
        }
        match self.symbols.iter().find(|symbol| !is_symbol(symbol)) {
            Some(symbol) => Err(BinanceError::Symbols(format!("'{symbol}' is no symbol such as BTCUSDT"))),
            None => Ok(self),
        }
    }
}

/// Names are upper-case letters and digits; few have others, and those are not traded here.
fn is_symbol(symbol: &str) -> bool {
    (1..=32).contains(&symbol.len()) && symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
