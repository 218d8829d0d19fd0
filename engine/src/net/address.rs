//! Addresses of brokers and feeds: encrypted, or on this machine.

use hyper::Uri;
use std::net::IpAddr;

/// Why an address cannot be used; completes "the address …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

/// `https://host[:port][/path]`, or `http://` to this machine; answers it without a slash at its end.
///
/// # Errors
/// Where it is neither, or carries a login, a query or a fragment.
pub fn check_rest(url: &str) -> Result<String, AddressError> {
    let known = Known { plain: "http", encrypted: "https" };
    known.check(url, "does not start with https://, or with http:// for this machine (127.0.0.1)")
}

/// `wss://host[:port][/path]`, or `ws://` to this machine; answers it without a slash at its end.
///
/// # Errors
/// As [`check_rest`].
pub fn check_socket(url: &str) -> Result<String, AddressError> {
    let known = Known { plain: "ws", encrypted: "wss" };
    known.check(url, "does not start with wss://, or with ws:// for this machine (127.0.0.1)")
}

struct Known {
    plain: &'static str,
    encrypted: &'static str,
}

impl Known {
    fn check(&self, url: &str, other_scheme: &'static str) -> Result<String, AddressError> {
        let uri: Uri = url.parse().map_err(|_| AddressError("is not an address with a scheme and a host"))?;
        // Anywhere: a password of a login that is not written as it should be would be taken for a part of the path.
        if url.contains('@') {
            return Err(AddressError("carries a login; credentials have settings of their own"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(AddressError("names no host"))?;
        if uri.query().is_some() || url.contains('#') {
            return Err(AddressError("has a query or a fragment, which cannot be kept"));
        }
        match uri.scheme_str() {
            Some(scheme) if scheme == self.encrypted => {}
            // Orders and credentials must not be readable on the way.
            Some(scheme) if scheme == self.plain && is_loopback(host) => {}
            Some(scheme) if scheme == self.plain => {
                return Err(AddressError("is not encrypted and not on this machine"));
            }
            _ => return Err(AddressError(other_scheme)),
        }
        Ok(url.trim_end_matches('/').to_owned())
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text() {
        for (url, taken) in [
            ("https://api.alpaca.markets/", Ok("https://api.alpaca.markets")),
            ("http://127.0.0.1:81/v2", Ok("http://127.0.0.1:81/v2")),
            ("http://[::1]:81", Ok("http://[::1]:81")),
            ("http://localhost:81", Ok("http://localhost:81")),
            ("http://10.0.0.1:81", Err("is not encrypted and not on this machine")),
            ("http://127.0.0.1.example.com", Err("is not encrypted and not on this machine")),
            ("https://u:p@host", Err("carries a login; credentials have settings of their own")),
            ("https://host/?a=b", Err("has a query or a fragment, which cannot be kept")),
            ("/v2/orders", Err("names no host")),
        ] {
            assert_eq!(check_rest(url), taken.map(str::to_owned).map_err(AddressError), "{url}");
        }
        assert!(check_rest("ws://127.0.0.1:1").is_err() && check_socket("http://127.0.0.1:1").is_err());
        assert_eq!(check_socket("ws://127.0.0.1:1/stream"), Ok("ws://127.0.0.1:1/stream".to_owned()));
        assert_eq!(check_socket("wss://host/"), Ok("wss://host".to_owned()));
        assert!(check_socket("ws://host").is_err());
    }
}
