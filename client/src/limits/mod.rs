//! Rate limits, by user and action, decided in one step on the server.
//!
//! The rule is GCRA, the generic cell rate algorithm: each unit of cost is one interval of debt, debt goes away with time,
//! and a call passes if its cost still fits below what the burst allows. In any span of time at most
//! `burst + span / interval` passes, without windows that begin anew and let twice as much through at their border.
//!
//! [`RateLimiter`] decides in Redis: one script, one round trip, by the server's clock, so that clients whose clocks differ
//! share one limit. [`Limit::reserved`] keeps a part of the burst for [`Class::Priority`]: entries stop while exits still pass.
//! [`LocalLimiter`] is the same rule in this process; it is what decides while Redis is away, if [`WhenDown`] says so.

mod gcra;
mod limiter;
mod local;
mod script;

pub use gcra::{Class, Decision, Limit, decide};
pub use limiter::{RateLimiter, Settings, WhenDown};
pub use local::LocalLimiter;
pub use script::SCRIPT;

use crate::error::{Error, Result};
use strat_core::{Code, Refusal};

/// Most checks in one call.
pub const CHECKS_MAX: usize = 64;

/// One call that wants to pass: who does what, under which limit.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    action: &'a str,
    user_id: &'a str,
    limit: Limit,
    class: Class,
    cost: u32,
}

impl<'a> Check<'a> {
    /// A call of the normal class that costs 1. Both names are ids: 1 to 128 of `A-Z a-z 0-9 _ . @ -`.
    #[must_use]
    pub fn new(action: &'a str, user_id: &'a str, limit: Limit) -> Self {
        Self { action, user_id, limit, class: Class::Normal, cost: 1 }
    }

    /// May use what the limit keeps in reserve.
    #[must_use]
    pub fn priority(mut self) -> Self {
        self.class = Class::Priority;
        self
    }

    /// Counts as so many calls, from 1 to what its class may use of the burst.
    #[must_use]
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// The key below `prefix`.
    ///
    /// # Errors
    /// `BADFIELD` for an id or a cost that cannot be; the latter would never pass.
    fn key(&self, prefixed: impl Fn(&[&str]) -> String) -> Result<String> {
        strat_core::key::check_id("action", self.action)?;
        strat_core::key::check_id("user id", self.user_id)?;
        let most = self.limit.usable(self.class);
        if !(1..=most).contains(&self.cost) {
            let detail = format!("cost {} must be from 1 to {most}, what its class may use at once", self.cost);
            return Err(Refusal::new(Code::BadField, detail).into());
        }
        Ok(prefixed(&["ratelimit:", self.action, ":", self.user_id]))
    }
}

/// What several checks in one call mean to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each counts if it passes.
    Each,
    /// They count if all of them pass.
    All,
    /// None counts.
    Look,
}

impl Mode {
    /// Whether what passes counts, where all or not all pass.
    fn counts(self, all_pass: bool) -> bool {
        match self {
            Self::Each => true,
            Self::All => all_pass,
            Self::Look => false,
        }
    }
}

/// A check with its key.
struct Keyed<'a> {
    key: String,
    check: &'a Check<'a>,
}

fn keyed<'a>(checks: &'a [Check<'a>], prefixed: impl Fn(&[&str]) -> String) -> Result<Vec<Keyed<'a>>> {
    if checks.len() > CHECKS_MAX {
        let detail = format!("{} checks in one call; at most {CHECKS_MAX} are taken", checks.len());
        return Err(Error::refused(Refusal::new(Code::BadField, detail)));
    }
    checks.iter().map(|check| Ok(Keyed { key: check.key(&prefixed)?, check })).collect()
}

/// From whether each check fits, and the debt before it in µs.
fn decisions(checks: &[Keyed<'_>], mode: Mode, found: Vec<(bool, i64)>) -> Vec<Decision> {
    let count_all = found.iter().all(|(fits, _)| *fits);
    let decided = found.into_iter().zip(checks).map(|((fits, debt), Keyed { check, .. })| {
        let counted = fits && mode.counts(count_all);
        Decision::of(&check.limit, check.class, check.cost, (fits, counted), debt)
    });
    decided.collect()
}

/// One decision over several, of which none counts unless all pass.
fn all_of(decisions: Vec<Decision>) -> Result<Decision> {
    let tightest = decisions.into_iter().reduce(|all, one| Decision {
        allowed: all.allowed && one.allowed,
        remaining: all.remaining.min(one.remaining),
        retry_after: all.retry_after.max(one.retry_after),
        reset_after: all.reset_after.max(one.reset_after),
        local: all.local || one.local,
    });
    tightest.ok_or_else(|| Refusal::new(Code::BadField, "no check is given; give at least one").into())
}
