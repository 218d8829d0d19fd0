//! The breaker's state machine: time and outcomes come in, nothing else.

use super::{BreakerOpen, BreakerSettings, BreakerState, BreakerStatus};
use crate::clock::Clock;
use crate::resilience::Class;
use std::time::Duration;

/// What was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// How often the breaker had opened by then: an outcome from before says nothing about the time since.
    opened: u64,
    /// Holds one of the places for probes.
    slot: bool,
    /// Was let through while the breaker was open: its failure is what everybody expects.
    in_vain: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open,
    HalfOpen { probes: u32 },
}

#[derive(Debug)]
pub(super) struct Machine {
    settings: BreakerSettings,
    state: State,
    failures: u32,
    last_failure_ms: i64,
    /// The wait that the next opening begins with.
    wait: Duration,
    opened_at_ms: i64,
    next_probe_at_ms: i64,
    passed: u64,
    failed: u64,
    refused: u64,
    exits_passed: u64,
    opened: u64,
}

impl Machine {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let wait = settings.recovery;
        Self {
            settings,
            state: State::Closed,
            failures: 0,
            last_failure_ms: 0,
            wait,
            opened_at_ms: 0,
            next_probe_at_ms: 0,
            passed: 0,
            failed: 0,
            refused: 0,
            exits_passed: 0,
            opened: 0,
        }
    }

    /// The clock is not read while the breaker is closed: every call comes by here.
    pub(super) fn admit(&mut self, class: Class, clock: &dyn Clock) -> Result<Ticket, BreakerOpen> {
        if let State::Open = self.state {
            self.look_at_the_clock(clock.now_ms());
        }
        let (slot, free) = match &mut self.state {
            State::Closed => (false, true),
            State::Open => (false, false),
            State::HalfOpen { probes } if *probes < self.settings.probes => {
                *probes += 1;
                (true, true)
            }
            State::HalfOpen { .. } => (false, false),
        };
        if !free {
            if class != Class::Exit {
                self.refused += 1;
                return Err(BreakerOpen { failures: self.failures, next_probe_at_ms: self.next_probe_at_ms });
            }
            self.exits_passed += 1;
        }
        self.passed += 1;
        Ok(Ticket { opened: self.opened, slot, in_vain: matches!(self.state, State::Open) })
    }

    fn look_at_the_clock(&mut self, now_ms: i64) {
        if now_ms < self.opened_at_ms {
            // The clock was set back; without this it would stay open for as long as that.
            self.opened_at_ms = now_ms;
            self.next_probe_at_ms = later(now_ms, self.wait);
        }
        if now_ms >= self.next_probe_at_ms {
            self.state = State::HalfOpen { probes: 0 };
        }
    }

    pub(super) fn answered(&mut self, ticket: Ticket) {
        if ticket.opened != self.opened {
            return;
        }
        self.failures = 0;
        if !matches!(self.state, State::Closed) {
            tracing::info!("circuit breaker closed: an answer came");
            self.state = State::Closed;
            self.wait = self.settings.recovery;
        }
    }

    pub(super) fn failed(&mut self, ticket: Ticket, now_ms: i64) {
        self.failed += 1;
        if ticket.opened != self.opened {
            return;
        }
        let since = u64::try_from(now_ms.saturating_sub(self.last_failure_ms)).unwrap_or(0);
        let closed = matches!(self.state, State::Closed);
        if closed && Duration::from_millis(since) > self.settings.gap {
            self.failures = 0;
        }
        self.last_failure_ms = now_ms;
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures >= self.settings.failures => self.open(now_ms),
            State::HalfOpen { .. } if !ticket.in_vain => {
                self.wait = self.wait.saturating_mul(2).min(self.settings.recovery_max);
                self.open(now_ms);
            }
            _ => {}
        }
    }

    /// Nobody will say how it ended.
    pub(super) fn abandoned(&mut self, ticket: Ticket) {
        if let State::HalfOpen { probes } = &mut self.state
            && ticket.slot
            && ticket.opened == self.opened
        {
            *probes = probes.saturating_sub(1);
        }
    }

    fn open(&mut self, now_ms: i64) {
        tracing::warn!(failures = self.failures, wait = ?self.wait, "circuit breaker open");
        self.state = State::Open;
        self.opened += 1;
        self.opened_at_ms = now_ms;
        self.next_probe_at_ms = later(now_ms, self.wait);
    }

    pub(super) fn status(&self) -> BreakerStatus {
        let state = match self.state {
            State::Closed => BreakerState::Closed,
            State::Open => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        };
        BreakerStatus {
            state,
            failures: self.failures,
            opened_at_ms: (state != BreakerState::Closed).then_some(self.opened_at_ms),
            next_probe_at_ms: (state == BreakerState::Open).then_some(self.next_probe_at_ms),
            passed_total: self.passed,
            failed_total: self.failed,
            refused_total: self.refused,
            exits_passed_total: self.exits_passed,
            opened_total: self.opened,
        }
    }
}

fn later(now_ms: i64, wait: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
