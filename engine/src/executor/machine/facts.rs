//! What to do next for an order, given what is known. Pure: no IO, no clock.

mod exits;

use super::types::{Now, Verdict};
use crate::broker::{Idempotency, OrderRequest, OrderSide, OrderState};
use std::collections::BTreeMap;
use strat_core::order::OrderIdentity;
use strat_core::planted::{self, Mistake};
use strat_core::risk::{Cleared, Intent, Refused};
use strat_core::{Action, Ladder, Leg, Quantity, Strategy, StrategyKey};

/// How long to wait for an entry that was asked to be cancelled and is not dead yet, ms.
const CANCEL_WAIT_MS: i64 = 50;
/// How long an order waits before the next look where a person has to decide, ms.
const PERSON_WAIT_MS: i64 = 5_000;
/// The same where nothing but another configuration helps, ms.
const REUSED_WAIT_MS: i64 = 60_000;
/// Longest wait between two looks for an order that may still show, ms.
const SETTLE_LOOK_MS: i64 = 250;
/// Longest wait for a time of day, ms: the clock that says how long it is may be wrong.
const CLOCK_LOOK_MS: i64 = 1_000;
/// How long an entry waits for what its limits depend on, ms.
const RISK_WAIT_MS: i64 = 250;
/// An entry is never late by less than this, ms: reading the clock, the queue and the lock take their time.
const LATE_MIN_MS: i64 = 5_000;
/// Said of an order whose client order id belongs to an order of the past.
const REUSED: &str = "the order id was used before: give the strategy another id or raise its cycle";

/// What is known of an order at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known {
    /// Not asked yet.
    #[default]
    NotAsked,
    /// The broker does not have it: proof.
    Absent,
    /// The broker has it.
    There(OrderState),
}

impl From<Option<OrderState>> for Known {
    fn from(found: Option<OrderState>) -> Self {
        found.map_or(Self::Absent, Self::There)
    }
}

/// What the broker said of an exit's attempts: `None` where it does not have one.
pub type Attempts = BTreeMap<u64, Option<OrderState>>;

/// Everything that the decision depends on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Whose strategy.
    pub key: StrategyKey<'a>,
    /// Its state, read after the lock was taken.
    pub strategy: &'a Strategy,
    /// What the queue entry wants.
    pub action: Action,
    /// Cycle of the queue entry.
    pub cycle: u64,
    /// The time.
    pub now: Now,
    /// No later than the broker was asked what is known of it, by the monotonic clock.
    pub asked_ms: i64,
    /// When the gate opened, by the monotonic clock: what was sent before may not show yet, and nobody knows of it.
    pub opened_ms: Option<i64>,
    /// The order may have been sent before.
    pub must_query: bool,
    /// It was sent, or may have been, at this time at the latest, by the monotonic clock: that the broker does not have
    /// it proves nothing for a while.
    pub sent_ms: Option<i64>,
    /// When the entry was first asked for, by the monotonic clock.
    pub entry_asked_ms: Option<i64>,
    /// A request that was sent shows in a look-up after this, ms.
    pub settle_ms: i64,
    /// The order was sent without the strategy having asked for it: Redis was away.
    pub unasked: bool,
    /// Entries have to wait this long, ms.
    pub entries_wait: Option<i64>,
    /// What its limits say of an entry.
    pub risk: Verdict,
    /// How far the broker's clock may be from Redis's, ms.
    pub skew_ms: i64,
    /// Epoch ms of the time that asks for the order.
    pub due_ms: Option<i64>,
    /// How late an entry may be sent, ms; `None`: as late as it gets.
    pub grace_ms: Option<i64>,
    /// How the broker treats repeated ids.
    pub idempotency: Idempotency,
    /// How far exits may trade from the last price.
    pub ladder: Ladder,
    /// This order at the broker.
    pub own: Known,
    /// For exits: the entry's order at the broker, after its cancellation was asked for.
    pub entry: Known,
    /// For exits: the entry's end has been reported.
    pub entry_reported: bool,
    /// For exits: other attempts at the broker, as far as it was asked. Those before this one were taken for dead; one
    /// after it shows that the strategy was further already.
    pub others: &'a Attempts,
    /// Redis is away: the strategy is as this engine last knew it.
    pub alone: bool,
    /// The engine's copy of the strategy is old: others may have made several attempts since.
    pub stale: bool,
    /// This engine may have sent a later attempt of the exit without Redis.
    pub later_alone: Option<u64>,
    /// The cycle is older than Redis's memory.
    pub restored: bool,
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The queue entry speaks of something that is over: acknowledge and forget.
    Drop(String),
    /// Too early.
    Wait {
        /// How long, ms.
        ms: i64,
        /// Why.
        why: &'static str,
    },
    /// Something is wrong that only a person can mend: say so, and look again later.
    Alarm {
        /// The wait, ms.
        ms: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// The order id belongs to an order of the past: report the entry as rejected.
    Refuse(&'static str),
    /// A limit stands against the entry: report it as rejected.
    Deny(Refused),
    /// The entry's time passed too long ago: report it as expired.
    Expire(String),
    /// Ask the broker to cancel the entry, then look it up.
    KillEntry,
    /// Report how the entry ended, then read the strategy again.
    ReportEntry(OrderState),
    /// Nothing is held: report the exit as cancelled, which ends the cycle.
    Conclude,
    /// Look this order up.
    Query,
    /// Look another attempt of this exit up.
    QueryAttempt(u64),
    /// Ask the broker to cancel an attempt before this one.
    KillBefore(u64),
    /// The broker has the next attempt: memory was lost. Report this one as dead, so that the next is followed.
    Superseded,
    /// The broker has the order: report what it says and follow it.
    Adopt(OrderState),
    /// Send the order.
    Submit(Cleared<OrderRequest>),
}

impl Facts<'_> {
    /// What to do next.
    #[must_use]
    pub fn next_step(&self) -> Step {
        if self.cycle != self.strategy.cycle {
            return Step::Drop(format!(
                "it belongs to cycle {}, the strategy is in cycle {}",
                self.cycle, self.strategy.cycle
            ));
        }
        // With nothing pending the lock is granted to whoever trades by hand; an old queue entry must not use that.
        let asked = [self.strategy.pending, self.strategy.working].contains(&Some(self.action));
        let may_be_told = self.unasked && !self.strategy.is_idle();
        if !asked && !may_be_told {
            return Step::Drop("the strategy does not ask for it any more".to_owned());
        }
        let leg = self.action.leg(self.strategy.side);
        if leg == Leg::Exit
            && let Some(step) = self.before_exit()
        {
            return step;
        }
        match &self.own {
            Known::There(state) if is_of_the_past(self.strategy, self.action, state, self.skew_ms) => {
                return match leg {
                    Leg::Entry => Step::Refuse(REUSED),
                    Leg::Exit => Step::Alarm { ms: REUSED_WAIT_MS, why: REUSED },
                };
            }
            Known::There(state) => return Step::Adopt(state.clone()),
            Known::NotAsked if self.query_first() => return Step::Query,
            Known::Absent if self.idempotency != Idempotency::Dedupes => {
                if let Some(left) = self.unsettled(self.sent_ms.max(self.opened_ms)) {
                    return Step::Wait { ms: left, why: "the order may still show at the broker" };
                }
            }
            Known::NotAsked | Known::Absent => {}
        }
        let quantity = match leg {
            Leg::Entry => self.strategy.quantity,
            Leg::Exit if planted::is(Mistake::IntentSizedExit) => self.strategy.quantity,
            Leg::Exit => self.strategy.open_quantity(),
        };
        if quantity == Quantity::ZERO {
            return Step::Conclude;
        }
        if self.sent_ms.is_some() && self.idempotency == Idempotency::None && !planted::is(Mistake::BlindResend) {
            let why = "the order may have been sent, the broker does not show it and would not notice a second one: a person must decide";
            return Step::Alarm { ms: PERSON_WAIT_MS, why };
        }
        if let Some(late_ms) = self.too_late().filter(|_| leg == Leg::Entry) {
            // What is said to have expired must not be filled afterwards.
            if let Some(ms) = self.unsettled(self.sent_ms) {
                return Step::Wait { ms, why: "the order may still show at the broker" };
            }
            return Step::Expire(format!("its time passed {} s ago", late_ms / 1_000));
        }
        if let Some(ms) = self.entries_wait.filter(|_| leg == Leg::Entry) {
            return Step::Wait { ms, why: "Postgres has not heard of it yet: exits go on, entries wait" };
        }
        let request = self.request(quantity);
        match leg {
            Leg::Entry => self.held_against_limits(request),
            Leg::Exit => self.beside_other_attempts().unwrap_or_else(|| match Cleared::exit(request) {
                Some(exit) => Step::Submit(exit),
                None => Step::Drop("it is no exit".to_owned()),
            }),
        }
    }

    /// An entry goes only where every limit lets it pass.
    fn held_against_limits(&self, request: OrderRequest) -> Step {
        let wait = |why| Step::Wait { ms: RISK_WAIT_MS, why };
        match &self.risk {
            Verdict::Approved(approved) => match approved.cover(request) {
                Some(approved) => Step::Submit(Cleared::Entry(approved)),
                None => wait("the strategy has changed since its entry was approved"),
            },
            Verdict::Refused(refused) => match self.unsettled(self.sent_ms) {
                // What is said to be rejected must not be filled afterwards.
                Some(ms) => Step::Wait { ms, why: "the order may still show at the broker" },
                None => Step::Deny(refused.clone()),
            },
            Verdict::Later(why) => wait(why),
            Verdict::NotAsked => wait("its limits have not been looked at"),
        }
    }

    /// How late it is, ms, where that is beyond the grace.
    fn too_late(&self) -> Option<i64> {
        let (due, grace) = (self.due_ms?, self.grace_ms?.max(LATE_MIN_MS));
        Some(self.now.wall_ms.saturating_sub(due)).filter(|late| *late > grace)
    }

    /// Brokers that do not dedupe are always asked first: a restart may have forgotten that the order was sent.
    fn query_first(&self) -> bool {
        let working = self
            .strategy
            .working
            .is_some_and(|working| working.leg(self.strategy.side) == self.action.leg(self.strategy.side));
        self.must_query || self.sent_ms.is_some() || working || self.idempotency != Idempotency::Dedupes
    }

    /// The client order id of this cycle's order of `leg`.
    #[must_use]
    pub fn order_id(&self, leg: Leg) -> String {
        order_id(self.key, self.strategy, (self.cycle, leg), self.action)
    }

    /// The client order id of this order.
    #[must_use]
    pub fn own_id(&self) -> String {
        self.order_id(self.action.leg(self.strategy.side))
    }

    fn request(&self, quantity: Quantity) -> OrderRequest {
        let leg = self.action.leg(self.strategy.side);
        OrderRequest {
            client_order_id: self.own_id(),
            user: self.key.user.to_owned(),
            symbol: self.strategy.symbol.clone(),
            side: OrderSide::of(self.action, self.strategy.side),
            quantity,
            leg,
            protection: self.ladder.step(self.strategy.attempt).filter(|_| leg == Leg::Exit),
            // Whoever sends it knows.
            last_price: None,
        }
    }
}

/// What of a cycle's entry is held against its limits.
#[must_use]
pub fn intent_of(key: StrategyKey<'_>, strategy: &Strategy, cycle: u64) -> Intent {
    let client_order_id = order_id(key, strategy, (cycle, Leg::Entry), Action::entry(strategy.side));
    Intent { client_order_id, symbol: strategy.symbol.clone(), quantity: strategy.quantity }
}

/// The client order id of a cycle's order of `leg`, as a job for `action` needs it.
pub(super) fn order_id(key: StrategyKey<'_>, strategy: &Strategy, order: (u64, Leg), action: Action) -> String {
    let (cycle, leg) = order;
    let attempt = match leg {
        Leg::Entry => 0,
        Leg::Exit if planted::is(Mistake::TwoExitIds) => strategy.attempt + 1_000 * action as u64,
        Leg::Exit => strategy.attempt,
    };
    OrderIdentity { key, cycle, leg, attempt }.client_order_id()
}

/// Whether an ended order cannot be the strategy's: it ended before the cycle began. That happens where a strategy was
/// deleted and created again, and counts its cycles from the start.
pub(super) fn is_of_the_past(strategy: &Strategy, action: Action, state: &OrderState, skew_ms: i64) -> bool {
    let leg = action.leg(strategy.side);
    // All exits of an attempt are one order, whichever of them sent it.
    let works = strategy.working.is_some_and(|working| working.leg(strategy.side) == leg);
    let ended_before = |at: i64| state.ts_ms.saturating_add(skew_ms) < at;
    state.status.is_terminal() && !works && strategy.cycle_at.is_some_and(ended_before)
}

/// Whether a strategy's cycle began before Redis's memory did, at `began_ms`: what Redis lost of the cycle was loaded from
/// elsewhere. Where neither is known, it may have.
#[must_use]
pub fn is_restored(strategy: &Strategy, began_ms: Option<i64>, skew_ms: i64) -> bool {
    let began = began_ms.map(|began| began.saturating_add(skew_ms));
    strategy.cycle_at.is_none_or(|at| began.is_none_or(|began| at <= began))
}

#[cfg(test)]
mod tests;
