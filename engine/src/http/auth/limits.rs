//! How often a caller may ask: per user and kind of request, in Redis, so that all engines share one limit.

use super::Who;
use crate::config::HttpSettings;
use crate::http::answer::Problem;
use crate::http::api::Redis;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use color_eyre::Result;
use std::net::IpAddr;
use std::time::Duration;
use strat_client::limits::{Check, Decision, Limit, RateLimiter, Settings};

/// What the settings count in.
const MINUTE: Duration = Duration::from_secs(60);
/// This part of a minute's requests may come at once.
const BURST_PART: u32 = 6;

/// The limits, while Redis is away counted by this engine alone.
pub(in crate::http) struct Limits {
    limiter: RateLimiter<Redis>,
    reads: Allowance,
    writes: Allowance,
}

/// So many in a minute.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    per_minute: u32,
    burst: u32,
    pub(super) limit: Limit,
}

impl Allowance {
    /// # Errors
    /// For limits that cannot be; the settings were checked.
    pub(super) fn new(per_minute: u32) -> Result<Self> {
        let burst = (per_minute / BURST_PART).max(1);
        Ok(Self { per_minute, burst, limit: Limit::new(per_minute, MINUTE, burst)? })
    }
}

/// What was taken of a limit.
pub(super) struct Taken {
    pub(super) allowance: Allowance,
    pub(super) decision: Decision,
}

impl Limits {
    /// # Errors
    /// For limits that cannot be; the settings were checked.
    pub(in crate::http) fn new(settings: &HttpSettings, redis: Redis) -> Result<Self> {
        Ok(Self {
            limiter: RateLimiter::new(redis, &Settings::default())?,
            reads: Allowance::new(settings.reads_per_minute)?,
            writes: Allowance::new(settings.writes_per_minute)?,
        })
    }

    /// Counts a request, or refuses it.
    pub(super) async fn take(&self, who: &Who, is_read: bool) -> Result<Taken, Problem> {
        let allowance = if is_read { self.reads } else { self.writes };
        let (action, name) = counted(who, is_read);
        let decision = self.limiter.check(&Check::new(action, &name, allowance.limit)).await?;
        let taken = Taken { allowance, decision };
        if decision.allowed { Ok(taken) } else { Err(taken.refusal("such requests")) }
    }
}

/// What is counted, and by which name. Users choose their ids: what is not one is counted apart.
fn counted(who: &Who, is_read: bool) -> (&'static str, String) {
    match who {
        Who::Token { claims, .. } => (if is_read { "http.read" } else { "http.write" }, claims.sub.clone()),
        Who::Operator => (if is_read { "http.read.operator" } else { "http.write.operator" }, "operator".to_owned()),
        Who::Address(address) => (if is_read { "http.read.address" } else { "http.write.address" }, as_id(*address)),
    }
}

/// An address as an id, which has no colons.
pub(super) fn as_id(address: IpAddr) -> String {
    address.to_canonical().to_string().replace([':', '%'], "-")
}

impl Taken {
    /// `what` there were too many of.
    pub(super) fn refusal(&self, what: &str) -> Problem {
        let (wait, per_minute) = (seconds(self.decision.retry_after).max(1), self.allowance.per_minute);
        let detail = format!("more than {per_minute} {what} in a minute: wait {wait} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail);
        self.tell(problem.with(RETRY_AFTER, HeaderValue::from(wait)))
    }

    /// Tells it with a problem.
    pub(super) fn tell(&self, problem: Problem) -> Problem {
        self.headers().into_iter().fold(problem, |problem, (name, value)| problem.with(name, value))
    }

    /// Tells the caller where he stands.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.extend(self.headers());
    }

    fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        let Allowance { per_minute, burst, .. } = self.allowance;
        let policy = HeaderValue::from_str(&format!("{per_minute};w={};burst={burst}", MINUTE.as_secs()));
        [
            (HeaderName::from_static("ratelimit-limit"), HeaderValue::from(burst)),
            (HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(self.decision.remaining)),
            (HeaderName::from_static("ratelimit-reset"), HeaderValue::from(seconds(self.decision.reset_after))),
            (HeaderName::from_static("ratelimit-policy"), policy.unwrap_or(HeaderValue::from(per_minute))),
        ]
    }
}

/// Whole seconds, rounded up: who waits so long has waited long enough.
fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::key::is_id;

    #[test]
    fn every_address_is_counted_under_an_id_of_its_own() {
        let ids: Vec<_> =
            ["127.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"].map(|text| as_id(text.parse().unwrap())).into();
        assert!(ids.iter().all(|id| is_id(id)), "{ids:?}");
        assert_eq!(ids[3], "10.0.0.1", "the same machine, however it came");
        assert_eq!((seconds(Duration::from_millis(1_001)), seconds(Duration::ZERO)), (2, 0));
    }
}
