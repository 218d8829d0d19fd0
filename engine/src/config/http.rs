//! Settings of HTTP: where it listens, who may ask, and how often.

use super::table::{Setting, row, whole};
use super::values::{is_set, secret_row, shown};
use secrecy::SecretString;
use std::net::SocketAddr;

/// Shortest secret that tokens are signed with: as long as the hash that it feeds.
const JWT_SECRET_BYTES_MIN: usize = 32;

/// Settings of HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The operator's bearer token; empty for none.
    pub token: SecretString,
    /// What users' tokens are signed with; empty for none.
    pub jwt_secret: SecretString,
    /// Reads of one user, or of one address, in a minute.
    pub reads_per_minute: u32,
    /// Writes of one user, or of one address, in a minute.
    pub writes_per_minute: u32,
    /// Refused log-ins of one peer in a minute.
    pub refused_per_minute: u32,
    /// Streams of events that are open at a time.
    pub streams_max: usize,
    /// The same of one user.
    pub streams_per_user: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 8710)),
            token: SecretString::default(),
            jwt_secret: SecretString::default(),
            reads_per_minute: 6_000,
            writes_per_minute: 600,
            refused_per_minute: 60,
            streams_max: 256,
            streams_per_user: 8,
        }
    }
}

impl HttpSettings {
    /// Whether whoever asks has to show who he is.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        is_set(&self.token) || is_set(&self.jwt_secret)
    }
}

pub(super) const ADDR: Setting = row(
    "http.addr",
    "STRAT_HTTP_ADDR",
    "address and port of /health, /metrics and /api; port 0 takes a free one; beyond loopback http.token or http.jwt_secret must be set",
    |s, v| v.parse().map(|v| s.http.addr = v).map_err(|_| "is not an address such as 127.0.0.1:8710".to_owned()),
    |s| s.http.addr.to_string(),
);

pub(super) const TOKEN: Setting = secret_row(
    "http.token",
    "STRAT_HTTP_TOKEN",
    "bearer token of operators, who may do everything at /api, 16 to 256 printable characters; empty for none",
    |s, v| secret(v, 16).map(|v| s.http.token = v),
    |s| shown(&s.http.token),
);

pub(super) const JWT_SECRET: Setting = secret_row(
    "http.jwt_secret",
    "STRAT_HTTP_JWT_SECRET",
    "what users' tokens (JWT, HS256) are signed with, 32 to 256 printable characters; empty for no users' tokens",
    |s, v| secret(v, JWT_SECRET_BYTES_MIN).map(|v| s.http.jwt_secret = v),
    |s| shown(&s.http.jwt_secret),
);

pub(super) const READS: Setting = row(
    "http.reads_per_minute",
    "STRAT_HTTP_READS_PER_MINUTE",
    "requests that change nothing, of one user or address in a minute, a sixth of them at once; 6 to 600000",
    |s, v| whole(v, 6, 600_000).map(|v| s.http.reads_per_minute = v as u32),
    |s| s.http.reads_per_minute.to_string(),
);

pub(super) const WRITES: Setting = row(
    "http.writes_per_minute",
    "STRAT_HTTP_WRITES_PER_MINUTE",
    "requests that change something, of one user or address in a minute, a sixth of them at once; 6 to 600000",
    |s, v| whole(v, 6, 600_000).map(|v| s.http.writes_per_minute = v as u32),
    |s| s.http.writes_per_minute.to_string(),
);

pub(super) const REFUSED: Setting = row(
    "http.refused_per_minute",
    "STRAT_HTTP_REFUSED_PER_MINUTE",
    "refused log-ins of one address in a minute, a sixth of them at once; beyond them http.token is not looked at; 6 to 600000",
    |s, v| whole(v, 6, 600_000).map(|v| s.http.refused_per_minute = v as u32),
    |s| s.http.refused_per_minute.to_string(),
);

pub(super) const STREAMS: Setting = row(
    "http.streams_max",
    "STRAT_HTTP_STREAMS_MAX",
    "streams of events that are open at a time, 1 to 10000",
    |s, v| whole(v, 1, 10_000).map(|v| s.http.streams_max = v as usize),
    |s| s.http.streams_max.to_string(),
);

pub(super) const STREAMS_PER_USER: Setting = row(
    "http.streams_per_user",
    "STRAT_HTTP_STREAMS_PER_USER",
    "streams of events that one user has open at a time, 1 to 1000",
    |s, v| whole(v, 1, 1_000).map(|v| s.http.streams_per_user = v as usize),
    |s| s.http.streams_per_user.to_string(),
);

/// Empty for none; short ones can be guessed.
fn secret(value: &str, bytes_min: usize) -> Result<SecretString, String> {
    let fits = value.is_empty() || (bytes_min..=256).contains(&value.len());
    if fits && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(SecretString::from(value.to_owned()));
    }
    Err(format!("is not {bytes_min} to 256 printable ASCII bytes without blanks"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn secrets_are_long_enough_and_never_shown() {
        let mut settings = Settings::default();
        assert!(!settings.http.has_secret());
        for (setting, short, long) in [(&TOKEN, 15, 16), (&JWT_SECRET, 31, 32)] {
            assert!((setting.set)(&mut settings, &"x".repeat(short)).is_err());
            assert!((setting.set)(&mut settings, &"x y".repeat(20)).is_err());
            (setting.set)(&mut settings, &"x".repeat(long)).unwrap();
            assert_eq!((setting.get)(&settings), "***");
            assert!(settings.http.has_secret());
        }
        assert!(!format!("{settings:?}").contains("xxx"));
    }
}
