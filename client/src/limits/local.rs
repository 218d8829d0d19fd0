//! The same limits in this process.

use super::{Check, Decision, Keyed, Mode, gcra};
use crate::clock::Clock;
use crate::error::Result;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Limits that are kept in this process. **Each process counts for itself**: where `n` of them decide locally, up to `n`
/// times the limit passes.
///
/// It knows a bounded number of keys. Beyond them, the one that is nearest to being full again is forgotten, and counts as
/// never used.
#[derive(Clone)]
pub struct LocalLimiter {
    clock: Arc<dyn Clock>,
    keys_max: usize,
    book: Arc<Mutex<Book>>,
}

/// When each limit will be full again, in epoch µs; and the same sorted by that.
#[derive(Default)]
struct Book {
    full_at: HashMap<Arc<str>, i64>,
    sorted: BTreeSet<(i64, Arc<str>)>,
}

impl LocalLimiter {
    /// Keeps at most `keys_max` limits, at least one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, keys_max: usize) -> Self {
        Self { clock, keys_max: keys_max.max(1), book: Arc::default() }
    }

    /// Decides about one call.
    ///
    /// # Errors
    /// `BADFIELD` for an id or a cost that cannot be.
    pub fn check(&self, check: &Check<'_>) -> Result<Decision> {
        Ok(self.check_many(std::slice::from_ref(check))?.remove(0))
    }

    /// Decides about several calls, in their order; each counts if it passes.
    ///
    /// # Errors
    /// As [`LocalLimiter::check`], for the first that cannot be, and for more than [`super::CHECKS_MAX`].
    pub fn check_many(&self, checks: &[Check<'_>]) -> Result<Vec<Decision>> {
        Ok(self.decide(&super::keyed(checks, |parts| parts.concat())?, Mode::Each))
    }

    /// Decides about one call that is under several limits: it counts under all of them, or under none.
    ///
    /// # Errors
    /// As [`LocalLimiter::check_many`], and where no check is given.
    pub fn check_all(&self, checks: &[Check<'_>]) -> Result<Decision> {
        super::all_of(self.decide(&super::keyed(checks, |parts| parts.concat())?, Mode::All))
    }

    /// What [`LocalLimiter::check`] would say now; nothing is counted.
    ///
    /// # Errors
    /// As [`LocalLimiter::check`].
    pub fn look(&self, check: &Check<'_>) -> Result<Decision> {
        Ok(self.decide(&super::keyed(std::slice::from_ref(check), |parts| parts.concat())?, Mode::Look).remove(0))
    }

    /// Mirrors the script line by line.
    pub(super) fn decide(&self, checks: &[Keyed<'_>], mode: Mode) -> Vec<Decision> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = self.clock.now_ms().saturating_mul(1_000);
        let mut taken: HashMap<&str, i64> = HashMap::new();
        let mut found = Vec::with_capacity(checks.len());
        for Keyed { key, check } in checks {
            let full_at = taken.get(key.as_str()).or_else(|| book.full_at.get(key.as_str())).copied();
            let debt = gcra::debt_us(&check.limit, full_at.unwrap_or(now_us), now_us);
            let fits = gcra::fits(&check.limit, check.class, check.cost, debt);
            if fits {
                taken.insert(key, now_us + debt + check.limit.us(check.cost));
            }
            found.push((fits, debt));
        }
        if mode.counts(found.iter().all(|(fits, _)| *fits)) {
            taken.into_iter().for_each(|(key, full_at)| book.set(key, full_at, self.keys_max));
        }
        let mut decisions = super::decisions(checks, mode, found);
        decisions.iter_mut().for_each(|decision| decision.local = true);
        decisions
    }
}

impl Book {
    fn set(&mut self, key: &str, full_at: i64, keys_max: usize) {
        let key = match self.full_at.remove_entry(key) {
            Some((key, before)) => {
                self.sorted.remove(&(before, key.clone()));
                key
            }
            None => Arc::from(key),
        };
        if self.full_at.len() >= keys_max
            && let Some((_, nearest)) = self.sorted.pop_first()
        {
            self.full_at.remove(&nearest);
        }
        self.sorted.insert((full_at, key.clone()));
        self.full_at.insert(key, full_at);
    }
}

#[cfg(test)]
mod tests;
