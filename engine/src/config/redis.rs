//! Settings of the connection to Redis.

use super::table::{Setting, path, row, shown_path};

/// Where Redis may be; an `s` behind `redis` means TLS.
pub(super) const SCHEMES: [&str; 6] =
    ["redis://", "rediss://", "redis+unix://", "unix://", "redis+sentinel://", "rediss+sentinel://"];

pub(super) const CA_FILE: Setting = row(
    "redis.ca_file",
    "REDIS_CA_FILE",
    "PEM file of the authorities that may sign the server's certificate (rediss://); empty for the public ones",
    |s, v| {
        s.redis_tls.ca = path(v);
        Ok(())
    },
    |s| shown_path(s.redis_tls.ca.as_ref()),
);

pub(super) const CERT_FILE: Setting = row(
    "redis.cert_file",
    "REDIS_CERT_FILE",
    "PEM file of the certificate that the engine shows to Redis (rediss://, tls-auth-clients yes); empty for none",
    |s, v| {
        s.redis_tls.cert = path(v);
        Ok(())
    },
    |s| shown_path(s.redis_tls.cert.as_ref()),
);

pub(super) const KEY_FILE: Setting = row(
    "redis.key_file",
    "REDIS_KEY_FILE",
    "PEM file of the private key of redis.cert_file",
    |s, v| {
        s.redis_tls.key = path(v);
        Ok(())
    },
    |s| shown_path(s.redis_tls.key.as_ref()),
);
