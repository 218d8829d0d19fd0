//! Limits that all processes share.

use super::{Check, Decision, Keyed, LocalLimiter, Mode, all_of, keyed, script};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::link::Link;
use redis::aio::ConnectionLike;
use std::sync::Arc;
use std::time::Duration;

/// What to do while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDown {
    /// Answer with the error, which is no permission: for logins, codes and whatever somebody may be guessing at.
    Refuse,
    /// Decide in this process alone, by a [`LocalLimiter`]: each process then counts for itself. For calls that must go on,
    /// an exit at the broker above all.
    DecideLocally,
}

/// Settings of a [`RateLimiter`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Stands before every key: a `{tag}` of a cluster, a tenant's name, or nothing. Default nothing.
    pub prefix: String,
    /// Longest wait for an answer. Default 250 ms: a limit shall not hold up the call that it is for.
    pub timeout: Duration,
    /// Default [`WhenDown::DecideLocally`].
    pub when_down: WhenDown,
    /// Most limits that are kept in this process while Redis is away. Default 10,000.
    pub local_keys_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            timeout: Duration::from_millis(250),
            when_down: WhenDown::DecideLocally,
            local_keys_max: 10_000,
        }
    }
}

/// Decides in Redis, by the server's clock, in one round trip.
///
/// While Redis does not answer, or refuses writes, it does what [`Settings::when_down`] says. A check whose answer was lost may
/// have counted in Redis as well.
#[derive(Clone)]
pub struct RateLimiter<C> {
    link: Link<C>,
    local: Option<LocalLimiter>,
}

impl<C: ConnectionLike + Clone + Send + Sync> RateLimiter<C> {
    /// Limits over this connection.
    ///
    /// # Errors
    /// [`Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        Self::with_clock(connection, settings, Arc::new(SystemClock))
    }

    /// As [`RateLimiter::new`], with the clock that is gone by while Redis is away.
    ///
    /// # Errors
    /// As [`RateLimiter::new`].
    pub fn with_clock(connection: C, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let local = LocalLimiter::new(clock, settings.local_keys_max);
        Ok(Self {
            link: Link::new(connection, &settings.prefix, Some(settings.timeout))?,
            local: (settings.when_down == WhenDown::DecideLocally).then_some(local),
        })
    }

    /// Decides about one call, and counts it if it may pass.
    ///
    /// # Errors
    /// `BADFIELD` for an id or a cost that cannot be. With [`WhenDown::Refuse`] also what the connection says while Redis is
    /// away; **an error is no permission**.
    pub async fn check(&self, check: &Check<'_>) -> Result<Decision> {
        Ok(self.check_many(std::slice::from_ref(check)).await?.remove(0))
    }

    /// Decides about several calls in one round trip, in their order; each counts if it passes.
    ///
    /// # Errors
    /// As [`RateLimiter::check`], for the first that cannot be, and for more than [`super::CHECKS_MAX`]. In a cluster all
    /// keys of one call must share a slot, by the prefix' tag.
    pub async fn check_many(&self, checks: &[Check<'_>]) -> Result<Vec<Decision>> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        self.decide(&keyed(checks, |parts| self.link.key(parts))?, Mode::Each).await
    }

    /// Decides about one call that is under several limits, such as one per second and one per day: it counts under all of
    /// them, or under none. The decision is that of the tightest.
    ///
    /// # Errors
    /// As [`RateLimiter::check_many`], and where no check is given.
    pub async fn check_all(&self, checks: &[Check<'_>]) -> Result<Decision> {
        if checks.is_empty() {
            return all_of(Vec::new());
        }
        all_of(self.decide(&keyed(checks, |parts| self.link.key(parts))?, Mode::All).await?)
    }

    async fn decide(&self, checks: &[Keyed<'_>], mode: Mode) -> Result<Vec<Decision>> {
        let reply: Result<Vec<i64>> = self.link.script(&script::invocation(checks, mode)).await;
        match (reply, &self.local) {
            (Ok(reply), _) => script::decisions(checks, mode, &reply),
            (Err(error), Some(local)) if is_away(&error) => {
                tracing::debug!(%error, "Redis did not decide, this process does");
                Ok(local.decide(checks, mode))
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// Whether Redis cannot decide for the moment. What it refuses for good, a missing right or a key of another type, stays an
/// error: it would otherwise go unseen that nothing is limited together.
fn is_away(error: &Error) -> bool {
    error.is_retryable() || matches!(error, Error::Lost { .. } | Error::Timeout { .. })
}
