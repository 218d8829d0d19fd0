//! How long things live, and how many there may be.

use std::time::Duration;

/// Settings of all that this module keeps.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Stands before every key: a `{tag}` of a cluster, a tenant's name, or nothing. Default nothing.
    pub prefix: String,
    /// Longest wait for an answer, where the connection's own limit is not to count. Default `None`: every connection of this
    /// crate and of the `redis` crate has one.
    pub timeout: Option<Duration>,
    /// A session ends when it was not touched for so long. Default 24 h.
    pub idle_ttl: Duration,
    /// A session ends at this age, however often it is touched. Default 30 days.
    pub age_max: Duration,
    /// Most sessions of a user; the oldest makes way for a new one. Default 10.
    pub sessions_max: usize,
    /// Most fields of a session or of a user's preferences. Default 64.
    pub fields_max: usize,
    /// Longest value of such a field, in bytes. Default 1,024.
    pub value_bytes_max: usize,
    /// Preferences that nobody uses for so long go. Default 90 days.
    pub preferences_ttl: Duration,
    /// Subscriptions of a connection whose heartbeat stays away for so long go. Default 60 s, twice the usual ping's 30 s.
    pub subscriptions_ttl: Duration,
    /// Most connections of a user. Default 16.
    pub connections_max: usize,
    /// Most channels of a connection. Default 256.
    pub channels_max: usize,
    /// A revocation outlives its token by this, for verifiers whose clock is behind. Default 60 s.
    pub revoked_leeway: Duration,
    /// A one-time token is good for so long. Default 15 min.
    pub reset_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            prefix: String::new(),
            timeout: None,
            idle_ttl: days(1),
            age_max: days(30),
            sessions_max: 10,
            fields_max: 64,
            value_bytes_max: 1_024,
            preferences_ttl: days(90),
            subscriptions_ttl: Duration::from_secs(60),
            connections_max: 16,
            channels_max: 256,
            revoked_leeway: Duration::from_secs(60),
            reset_ttl: Duration::from_secs(15 * 60),
        }
    }
}
