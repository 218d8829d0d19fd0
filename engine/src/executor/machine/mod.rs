//! One order's life as a state machine without IO and without a clock: `step(now, input) → effect`.
//!
//! ```text
//! claim ─► read ─► decide ─► look up ─► (found | absent)
//!                    │                      │
//!                    ├─► cancel the entry, report its end
//!                    ▼                      ▼
//!                 extend ─► submit ─► acknowledged ─► partial ─► filled, cancelled, expired
//!                              │                      (each one reported)
//!                              ├─► rejected
//!                              └─► UNKNOWN ─► look up ─► found, or proven absent ─► submit again
//!                                               └─► given up: a person must decide
//! ```
//!
//! One effect is under way at a time; its outcome is the next input. The shell carries effects out against Redis and
//! the broker, the simulator against models of both, so both run the same rules.

mod claim;
mod decide;
mod facts;
mod rest;
mod send;
mod state;
mod submissions;
mod tell;
mod turns;
mod types;
mod unknown;

pub use facts::{Attempts, Facts, Known, Step, intent_of, is_restored};
pub use submissions::Submissions;
pub use types::{
    Claim, Effect, Found, Holder, Input, Now, OrderName, Phase, ReportFailure, Rules, Seen, SentAlone, Verdict, Waits,
};

use super::Job;
use crate::broker::OrderState;
use state::{After, Rival, State};
use strat_client::LockToken;
use strat_core::{ExecType, Leg, Quantity, Strategy};

/// First wait of a job whose strategy is locked by somebody else, ms; it grows to eight times that. Cut short when an
/// order of this engine ends.
const HELD_WAIT_MS: i64 = 100;
/// Wait after Redis or the broker gave no answer, ms.
const TROUBLE_WAIT_MS: i64 = 500;
/// Wait for the end of an order that was asked to be cancelled, ms.
const CANCEL_WAIT_MS: i64 = 50;
/// Wait before an exit that the broker refused is sent again, ms, where Redis cannot count its attempts.
const REFUSED_WAIT_MS: i64 = 2_000;
/// Wait before a hash that does not parse is looked at again, ms.
const BROKEN_WAIT_MS: i64 = 5_000;
/// Attempts of an exit that are looked for beyond the one that the strategy knows of.
pub(crate) const LATER_ATTEMPTS_MAX: u64 = strat_core::order::ATTEMPTS_NEAR;
/// Attempts before the current one that are made sure to be dead.
const EARLIER_ATTEMPTS_MAX: u64 = strat_core::order::ATTEMPTS_NEAR;
/// A copy of a strategy is taken to be at most one attempt behind for so long, ms: the pauses between attempts that fail,
/// `strat.retry-backoff-ms` and twice that, are longer by default.
const COPY_LIFE_MS: i64 = 1_000;
/// Tries for what may be tried again at once.
const TRIES: u32 = 3;
/// How long attempts are taken for absent that were looked for without Redis, over the pauses of a broker that throttles, ms.
const ANSWERS_LIFE_MS: i64 = 5_000;
/// First pause between tries, ms; each is twice the one before.
const PAUSE_MS: i64 = 50;

/// One order from its queue entry to its end.
#[derive(Debug, Clone)]
pub struct OrderMachine {
    job: Job,
    rules: Rules,
    state: State,
    lock: Option<LockToken>,
    strategy: Option<Strategy>,
    grace_ms: Option<i64>,
    own: Known,
    entry: Known,
    entry_reported: bool,
    /// Other attempts of the exit.
    others: Attempts,
    /// When the first of those was looked for that do not exist, by the monotonic clock.
    others_ms: i64,
    /// What was reported last of the own order.
    reported: Option<(ExecType, Quantity)>,
    order: Option<OrderName>,
    /// Redis is away: the strategy is as it was last known, until the order has been sent.
    alone: bool,
    /// When the strategy was last known to be as Redis has it, by the monotonic clock.
    copied_ms: i64,
    /// The broker has it, or there is nothing to send: only Redis has to hear of it.
    handed: bool,
    /// This engine may have sent a later attempt without Redis.
    later_alone: Option<u64>,
    /// The cycle is older than Redis's memory.
    restored: bool,
    /// What somebody else held the lock for since it was last tried.
    rival: Option<Rival>,
    /// When another engine last held it for the same order.
    rival_ms: Option<i64>,
    /// How often that was so. Two that hold the lock in turn, both in doubt about the other, must come to an end.
    contests: u32,
    entries_wait: Option<i64>,
    risk: Verdict,
    /// Claims in a row that found the lock held.
    held: u32,
    /// The own order's end, once the broker has shown it.
    ended: Option<OrderState>,
    /// No later than the broker was asked what is known of it, by the monotonic clock: an answer that takes its time says
    /// how things were when it was given.
    asked_ms: i64,
    /// When the lock was asked for, by the monotonic clock.
    claimed_ms: i64,
    /// When the gate opened for the epoch that it claims with.
    opened_ms: Option<i64>,
    /// Time of the step.
    now: Now,
}

impl OrderMachine {
    /// The machine of a job; it starts with [`Input::Go`].
    #[must_use]
    pub fn new(job: Job, rules: Rules) -> Self {
        Self {
            job,
            rules,
            state: State::Idle,
            lock: None,
            strategy: None,
            grace_ms: None,
            own: Known::NotAsked,
            entry: Known::NotAsked,
            entry_reported: false,
            others: Attempts::new(),
            others_ms: 0,
            reported: None,
            order: None,
            alone: false,
            copied_ms: 0,
            handed: false,
            later_alone: None,
            restored: false,
            rival: None,
            rival_ms: None,
            contests: 0,
            entries_wait: None,
            risk: Verdict::NotAsked,
            held: 0,
            ended: None,
            asked_ms: 0,
            claimed_ms: 0,
            opened_ms: None,
            now: Now::default(),
        }
    }

    /// The machine of an exit that cannot be claimed because Redis is away. It is sent with the id that it has anyway,
    /// and claimed and reported as soon as Redis is back. `copied_ms`: when the strategy was last known to be as Redis has
    /// it, by the monotonic clock.
    #[must_use]
    pub fn unclaimed(mut job: Job, strategy: Strategy, copied_ms: i64, rules: Rules) -> Self {
        job.unasked = true;
        let strategy = Strategy { pending: Some(job.action), ..strategy };
        Self { alone: true, strategy: Some(strategy), copied_ms, ..Self::new(job, rules) }
    }

    /// The job that it carries out.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The lock that it holds, as far as it knows.
    #[must_use]
    pub fn lock(&self) -> Option<&LockToken> {
        self.lock.as_ref()
    }

    /// The own order at the broker, once it may exist there.
    #[must_use]
    pub fn order(&self) -> Option<&OrderName> {
        self.order.as_ref()
    }

    /// No later than the broker was last asked for the order, by the monotonic clock.
    #[must_use]
    pub const fn asked_ms(&self) -> i64 {
        self.asked_ms
    }

    /// Whether it works without Redis now.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether the engine asks for a later attempt of the exit by another job: then the strategy has heard that this one is
    /// dead, or is about to. `knows`: an attempt is asked for without Redis; `hides`: it was sent, and may not show yet.
    ///
    /// A later attempt that was looked for and does not show was refused without a trace, and stands in nobody's way. One
    /// that another job has sent since it was looked for does, be it later or earlier.
    #[must_use]
    pub fn is_superseded(&self, knows: impl Fn(u64) -> bool, hides: impl Fn(u64) -> bool) -> bool {
        let exit = |strategy: &&Strategy| self.job.action.leg(strategy.side) == Leg::Exit;
        let Some(strategy) = self.strategy.as_ref().filter(exit) else { return false };
        if self.others.iter().any(|(attempt, found)| found.is_none() && hides(*attempt)) {
            return true;
        }
        match SentAlone::of(strategy.attempt, knows) {
            SentAlone::Later(later) => self.alone || self.later_alone != Some(later) || hides(later),
            SentAlone::Same | SentAlone::No => false,
        }
    }

    /// Takes the outcome of the last effect, answers with the next one.
    pub fn step(&mut self, now: Now, input: Input) -> Effect {
        self.now = now;
        if self.alone && matches!(input, Input::Go { redis_away: false, .. }) {
            // Whatever it was about to do without Redis: others work from what Redis says now.
            self.state = State::Idle;
        }
        let state = std::mem::replace(&mut self.state, State::Done);
        match (state, input) {
            (State::Idle, Input::Go { epoch, opened_ms, redis_away }) => {
                self.opened_ms = opened_ms;
                // Redis is back: it knows the strategy better, and others work from what it says. Or it is away once more.
                let alone = redis_away && self.job.unasked && self.strategy.is_some() && !self.handed;
                if std::mem::replace(&mut self.alone, alone) && !alone {
                    self.forget_entry_asked();
                }
                self.go(epoch)
            }
            (State::ReleasingBeforeClaim, Input::Released) => {
                self.lock = None;
                self.to(State::Idle, Effect::Wait { ms: 0, waits: Waits::Turn, why: String::new() })
            }
            (State::Claiming, Input::Claimed(claim)) => self.claimed(claim),
            (State::Inspecting(unwanted), Input::Inspected(holder)) => self.inspected(unwanted, holder),
            (State::CancelingForExit, Input::Canceled(outcome)) => {
                if let Err(error) = outcome {
                    tracing::warn!(key = self.job.key, %error, "cannot cancel the entry yet, its exit waits");
                }
                self.held()
            }
            (State::Reading, Input::Read(found)) => self.read(found),
            (State::CancelingEntry(name), Input::Canceled(Ok(()))) => {
                self.to(State::LookingForEntry, Effect::Lookup(name))
            }
            (State::LookingForEntry, Input::Looked(Ok(found))) => {
                self.job.entry_asked_ms.get_or_insert(self.now.mono_ms);
                self.entry = found.into();
                self.look_again()
            }
            (State::Looking, Input::Looked(Ok(found))) => {
                self.own = self.recall(found).into();
                self.look_again()
            }
            (State::LookingForAttempt(attempt), Input::Looked(Ok(found))) => {
                if self.others.values().all(Option::is_some) {
                    self.others_ms = self.now.mono_ms;
                }
                self.others.insert(attempt, found);
                self.look_again()
            }
            (State::CancelingBefore, Input::Canceled(Ok(()))) => {
                self.release_and_wait(CANCEL_WAIT_MS, Waits::Turn, "the attempt before is being cancelled")
            }
            (State::CancelingEntry(_) | State::CancelingBefore, Input::Canceled(Err(error)))
            | (State::LookingForEntry | State::Looking | State::LookingForAttempt(_), Input::Looked(Err(error))) => {
                self.broker_trouble(error)
            }
            (State::ReportingEntry, Input::Reported(Ok(()))) => {
                self.entry_reported = true;
                self.to(State::Reading, Effect::Read)
            }
            (State::ReportingEntry, Input::Reported(Err(failure))) => self.give_back(failure.to_string()),
            (State::Extending(request, tries), Input::Extended(Ok(true))) => self.submit(request, tries),
            (State::Extending(..), Input::Extended(Ok(false))) => {
                self.lock = None;
                self.held_because("the lock is lost")
            }
            (State::Extending(..), Input::Extended(Err(why))) => self.give_back(why),
            (State::Submitting(request, tries), Input::Submitted(outcome)) => self.submitted(request, tries, outcome),
            (State::Unknown(unknown), input) => self.resolve(unknown, input),
            (State::Reporting { report, news, ends, tries }, Input::Reported(outcome)) => {
                self.after_report(report, news, ends, tries, outcome)
            }
            (State::Reporting { report, news, ends, tries }, Input::Go { .. }) => {
                let effect = Effect::Report(report.clone());
                self.to(State::Reporting { report, news, ends, tries }, effect)
            }
            (State::Extending(request, tries), Input::Go { .. }) => self.extend(request, tries),
            (State::Watching, Input::Execution(state)) if self.is_own(&state) => self.report(&state),
            // A late word on an attempt before this one.
            (State::Watching, Input::Execution(_)) => self.watch(),
            (State::Watching, Input::LockLost) => {
                tracing::warn!(key = self.job.key, "the lock was lost; the order is looked up again");
                self.lock = None;
                self.job.doubt(self.now.mono_ms);
                self.held_because("the lock was lost")
            }
            (State::Watching, Input::EpochChanged) => {
                tracing::info!(key = self.job.key, "Redis may have lost what was reported; the order is claimed again");
                self.doubt_report();
                self.wait(0, Waits::Turn, "")
            }
            (State::Watching, Input::Silent) => self.silent(),
            (State::GivingUp, Input::Canceled(outcome)) => self.given_up(outcome),
            (State::WatchLooking, Input::Looked(Ok(Some(state)))) => self.report(&state),
            (State::WatchLooking, Input::Looked(_)) => self.watch(),
            (State::Releasing(after), Input::Released) => {
                self.lock = None;
                match after {
                    After::Wait(wait) => self.to(State::Idle, wait),
                    After::Discard(why) => self.to(State::Discarding, Effect::Discard { why }),
                }
            }
            (State::Discarding, Input::Discarded(Ok(()))) => self.to(State::Done, Effect::Done),
            (State::Discarding, Input::Discarded(Err(why))) => self.wait(TROUBLE_WAIT_MS, Waits::Turn, why),
            (state, input) => {
                astray(&input, &format!("{state:?}"));
                tracing::error!(key = self.job.key, ?state, ?input, "an order's machine lost its way; it starts again");
                self.job.doubt(self.now.mono_ms);
                self.wait(TROUBLE_WAIT_MS, Waits::Turn, "starts again")
            }
        }
    }

    fn is_own(&self, state: &OrderState) -> bool {
        self.order.as_ref().is_some_and(|order| order.client_order_id == state.client_order_id)
    }
}

/// A machine that lost its way starts again; in tests and in the simulator that ends the process.
fn astray(input: &Input, state: &str) {
    if cfg!(any(debug_assertions, feature = "planted")) {
        panic!("{input:?} does not fit {state}");
    }
}

#[cfg(test)]
mod tests;
