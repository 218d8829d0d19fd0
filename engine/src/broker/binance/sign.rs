//! Signed requests: HMAC-SHA256 over what is sent ("Request Security" in the REST and WebSocket API pages).

use super::super::wire::http::escaped;
use data_encoding::HEXLOWER;
use ring::hmac::{self, HMAC_SHA256};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Write as _;

/// An API key, and what signs with its secret.
pub(super) struct Keys {
    key: SecretString,
    secret: hmac::Key,
}

impl Keys {
    pub(super) fn new(key: SecretString, secret: &SecretString) -> Self {
        Self { key, secret: hmac::Key::new(HMAC_SHA256, secret.expose_secret().as_bytes()) }
    }

    /// The key itself: for the header `X-MBX-APIKEY` and the parameter `apiKey`.
    pub(super) fn key(&self) -> &str {
        self.key.expose_secret()
    }

    pub(super) fn sign(&self, payload: &str) -> String {
        HEXLOWER.encode(hmac::sign(&self.secret, payload.as_bytes()).as_ref())
    }
}

/// Parameters of a request over HTTP, percent-encoded in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        let between = if self.0.is_empty() { "" } else { "&" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{between}{name}={}", escaped(value));
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// With the time, for how long the request may be late, and the signature, which comes last.
    pub(super) fn signed(mut self, keys: &Keys, recv_window_ms: u64, timestamp_ms: i64) -> String {
        self.push("recvWindow", &recv_window_ms.to_string());
        self.push("timestamp", &timestamp_ms.to_string());
        let signature = keys.sign(&self.0);
        self.push("signature", &signature);
        self.0
    }
}

/// The request that subscribes to the account's events over the WebSocket API. Its parameters are signed in the
/// alphabetical order of their names, and are not percent-encoded.
pub(super) fn subscription(keys: &Keys, id: u64, recv_window_ms: u64, timestamp_ms: i64) -> String {
    let payload = format!("apiKey={}&recvWindow={recv_window_ms}&timestamp={timestamp_ms}", keys.key());
    let params = serde_json::json!({
        "apiKey": keys.key(),
        "recvWindow": recv_window_ms,
        "timestamp": timestamp_ms,
        "signature": keys.sign(&payload),
    });
    serde_json::json!({"id": id, "method": "userDataStream.subscribe.signature", "params": params}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys, requests and signatures of the documentation's examples.
    fn keys() -> Keys {
        let key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
        let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
        Keys::new(SecretString::from(key), &SecretString::from(secret))
    }

    fn order(symbol: &str) -> String {
        [
            ("symbol", symbol),
            ("side", "BUY"),
            ("type", "LIMIT"),
            ("timeInForce", "GTC"),
            ("quantity", "1"),
            ("price", "0.1"),
        ]
        .into_iter()
        .fold(Query::default(), |query, (name, value)| query.with(name, value))
        .signed(&keys(), 5_000, 1_499_827_319_559)
    }

    #[test]
    fn requests_are_signed_as_in_the_documentation() {
        let signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        assert_eq!(
            order("LTCBTC"),
            format!(
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1\
                 &recvWindow=5000&timestamp=1499827319559&signature={signature}"
            )
        );
        assert!(
            order("１２３４５６")
                .ends_with("signature=e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3")
        );
    }

    #[test]
    fn a_subscription_signs_what_it_says() {
        let text = subscription(&keys(), 7, 5_000, 1_747_385_641_636);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (value["id"].as_u64(), value["method"].as_str()),
            (Some(7), Some("userDataStream.subscribe.signature"))
        );
        let payload = format!("apiKey={}&recvWindow=5000&timestamp=1747385641636", keys().key());
        assert_eq!(value["params"]["signature"], keys().sign(&payload).as_str());
        // The documentation's example of the WebSocket API, where names are sorted.
        let sorted = "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&price=52000.00\
                      &quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC\
                      &timestamp=1645423376532&type=LIMIT";
        assert_eq!(keys().sign(sorted), "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24");
    }
}
