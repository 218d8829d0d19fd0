//! What an account at Alpaca is reached with.

use crate::net::{AddressError, SocketBounds, check_rest, check_socket};
use hyper::http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;

/// Least time for a connection and its handshakes: they are several round trips, perhaps around the world.
const CONNECT_MIN: Duration = Duration::from_secs(5);
/// Largest message of the stream of updates: an order is about 2 kB.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// An account at Alpaca, and how to reach it.
#[derive(Debug, Clone)]
pub struct AlpacaSettings {
    /// The user whose account it is; orders of others are refused.
    pub user: String,
    /// `https://paper-api.alpaca.markets` or `https://api.alpaca.markets`.
    pub rest_url: String,
    /// `wss://paper-api.alpaca.markets/stream` or `wss://api.alpaca.markets/stream`.
    pub stream_url: String,
    /// API key id.
    pub key_id: SecretString,
    /// API secret key.
    pub secret_key: SecretString,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How long after it got an order Alpaca may still deny that it has it: see
    /// [`Broker::settles_within`](crate::broker::Broker::settles_within).
    pub settle: Duration,
    /// Silence on the stream, unanswered pings included, after which it is opened anew.
    pub silence: Duration,
    /// Requests at the same time.
    pub in_flight_max: usize,
}

/// Why an account's settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlpacaError {
    /// An address that may not be used.
    #[error("the address {url} {why}")]
    Address {
        /// Which one.
        url: String,
        /// What is wrong with it.
        why: AddressError,
    },
    /// Key id or secret key is empty or holds what a header cannot.
    #[error("the {0} is missing or holds other characters than printable ASCII")]
    Credential(&'static str),
    /// No user was named.
    #[error("nobody is named whose account it is")]
    NoUser,
}

/// Settings that were looked at.
pub(super) struct Checked {
    pub(super) rest: String,
    pub(super) stream: String,
    /// What every request shows.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) bounds: SocketBounds,
}

impl AlpacaSettings {
    pub(super) fn checked(&self) -> Result<Checked, AlpacaError> {
        if self.user.is_empty() {
            return Err(AlpacaError::NoUser);
        }
        let wrong = |url: &str| {
            let url = url.to_owned();
            move |why| AlpacaError::Address { url, why }
        };
        Ok(Checked {
            rest: check_rest(&self.rest_url).map_err(wrong(&self.rest_url))?,
            stream: check_socket(&self.stream_url).map_err(wrong(&self.stream_url))?,
            headers: credentials(&self.key_id, &self.secret_key)?,
            bounds: bounds(self.timeout, self.silence),
        })
    }
}

/// The two headers that say who asks.
pub(crate) fn credentials(
    key_id: &SecretString,
    secret_key: &SecretString,
) -> Result<Vec<(HeaderName, HeaderValue)>, AlpacaError> {
    let pair = |name: &'static str, what: &'static str, secret: &SecretString| {
        let text = secret.expose_secret();
        let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let value = printable.then(|| HeaderValue::from_str(text).ok()).flatten();
        let mut value = value.ok_or(AlpacaError::Credential(what))?;
        value.set_sensitive(true);
        Ok((HeaderName::from_static(name), value))
    };
    Ok(vec![pair("apca-api-key-id", "key id", key_id)?, pair("apca-api-secret-key", "secret key", secret_key)?])
}

/// Bounds of a stream: it is pinged twice before it is taken for dead.
fn bounds(timeout: Duration, silence: Duration) -> SocketBounds {
    SocketBounds { connect: timeout.max(CONNECT_MIN), silence, ping: silence / 3, message_bytes: MESSAGE_BYTES_MAX }
}
