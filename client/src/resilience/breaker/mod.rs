//! The circuit breaker: what it is set to, what it says about itself, and its shared form.

mod machine;

use super::Class;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use machine::{Machine, Ticket};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When the breaker opens and how it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures with no answer between them open it. 5 unless set, at least 1.
    pub failures: u32,
    /// A failure later than this after the one before begins a new count. 10 s unless set.
    pub gap: Duration,
    /// From opening to the first probe. 1 s unless set. Each probe that fails doubles it.
    pub recovery: Duration,
    /// The most that it grows to. 30 s unless set.
    pub recovery_max: Duration,
    /// Probes under way at once. 1 unless set, at least 1.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            gap: Duration::from_secs(10),
            recovery: Duration::from_secs(1),
            recovery_max: Duration::from_secs(30),
            probes: 1,
        }
    }
}

impl BreakerSettings {
    fn check(&self) -> Result<()> {
        let complain = |what: &str| Err(Error::Config(format!("circuit breaker: {what}")));
        match self {
            Self { failures: 0, .. } => complain("failures must be at least 1"),
            Self { probes: 0, .. } => complain("probes must be at least 1, or it would never close again"),
            _ if self.recovery < Duration::from_millis(1) => complain("recovery must be at least 1 ms"),
            _ if self.recovery_max < self.recovery => complain("recovery_max must not be below recovery"),
            _ => Ok(()),
        }
    }
}

/// Where the breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused, except exits, until the next probe.
    Open,
    /// A few calls pass as probes: one answer closes it, one failure opens it again.
    HalfOpen,
}

/// What the breaker says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    /// Where it stands. It becomes half-open with the first call after `next_probe_at_ms`, not by itself.
    pub state: BreakerState,
    /// Failures since the last answer.
    pub failures: u32,
    /// When it opened last, epoch ms; `None` while it is closed.
    pub opened_at_ms: Option<i64>,
    /// From when a probe may pass, epoch ms; `None` unless it is open.
    pub next_probe_at_ms: Option<i64>,
    /// Calls let through since it was made, those included that were given up before they began.
    pub passed_total: u64,
    /// Calls that failed.
    pub failed_total: u64,
    /// Calls refused.
    pub refused_total: u64,
    /// Exits that passed where another call would have been refused.
    pub exits_passed_total: u64,
    /// Times that it opened.
    pub opened_total: u64,
}

/// The breaker is open: the call was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the circuit breaker is open after {failures} failures, the next probe passes from epoch ms {next_probe_at_ms}"
)]
pub struct BreakerOpen {
    /// Failures since the last answer.
    pub failures: u32,
    /// From when a probe may pass. In the past while probes are under way.
    pub next_probe_at_ms: i64,
}

/// A circuit breaker for whatever can be away. Clones are the same breaker.
///
/// A failure is a call that got no answer: no connection, a connection that broke, a timeout. An error reply is an answer.
/// Successes and failures of calls that began before the breaker opened change nothing any more.
#[derive(Clone)]
pub struct Breaker {
    machine: Arc<Mutex<Machine>>,
    clock: Arc<dyn Clock>,
}

impl Breaker {
    /// A closed one, by the system's clock.
    ///
    /// # Errors
    /// [`Error::Config`] for settings by which it would never open or never close.
    pub fn new(settings: BreakerSettings) -> Result<Self> {
        Self::with_clock(settings, Arc::new(SystemClock))
    }

    /// A closed one.
    ///
    /// # Errors
    /// As [`Breaker::new`].
    pub fn with_clock(settings: BreakerSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        settings.check()?;
        Ok(Self { machine: Arc::new(Mutex::new(Machine::new(settings))), clock })
    }

    /// Asks whether a call may be made. An exit always may.
    ///
    /// # Errors
    /// [`BreakerOpen`]: do not make it.
    pub fn admit(&self, class: Class) -> std::result::Result<Permit<'_>, BreakerOpen> {
        let ticket = self.machine().admit(class, &*self.clock)?;
        Ok(Permit { breaker: self, ticket: Some(ticket) })
    }

    /// For `/health`.
    #[must_use]
    pub fn status(&self) -> BreakerStatus {
        self.machine().status()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// The right to make one call. Dropped without a word, the call counts for nothing, and a probe's place is free again.
#[derive(Debug)]
#[must_use = "tell it how the call ended"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    ticket: Option<Ticket>,
}

impl Permit<'_> {
    /// An answer came, be it a refusal.
    pub fn answered(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine().answered(ticket);
        }
    }

    /// No answer came.
    pub fn failed(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine().failed(ticket, self.breaker.clock.now_ms());
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine().abandoned(ticket);
        }
    }
}
