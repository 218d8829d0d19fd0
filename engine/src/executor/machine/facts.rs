//! What to do next for an order, given what is known. Pure: no IO, no clock.

use crate::broker::{Idempotency, OrderRequest, OrderSide, OrderState};
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Position, Quantity, Strategy, StrategyKey};

/// How long to wait for an entry that was asked to be cancelled and is not dead yet, ms.
const CANCEL_WAIT_MS: i64 = 50;
/// How long an order waits before the next look where a person has to decide, ms.
const PERSON_WAIT_MS: i64 = 5_000;
/// The same where nothing but another configuration helps, ms.
const REUSED_WAIT_MS: i64 = 60_000;
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
    /// Epoch ms.
    pub now_ms: i64,
    /// The order may have been sent before.
    pub must_query: bool,
    /// A request for it may be on its way: that the broker does not have it yet proves nothing where ids are not
    /// deduped.
    pub sent: bool,
    /// Epoch ms when the queue entry was written; `None` where there is none, and in a replay.
    pub enqueued_ms: Option<i64>,
    /// How far the broker's clock may be from Redis's, ms.
    pub skew_ms: i64,
    /// Epoch ms of the time that asks for the order.
    pub due_ms: Option<i64>,
    /// How late an entry may be sent, ms; `None`: as late as it gets.
    pub grace_ms: Option<i64>,
    /// How the broker treats repeated ids.
    pub idempotency: Idempotency,
    /// This order at the broker.
    pub own: Known,
    /// For exits: the entry's order at the broker, after its cancellation was asked for.
    pub entry: Known,
    /// For exits: the entry's end has been reported.
    pub entry_reported: bool,
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
    /// The broker has the order: report what it says and follow it.
    Adopt(OrderState),
    /// Send the order.
    Submit(OrderRequest),
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
        if ![self.strategy.pending, self.strategy.working].contains(&Some(self.action)) {
            return Step::Drop("the strategy does not ask for it any more".to_owned());
        }
        let leg = self.action.leg(self.strategy.side);
        if leg == Leg::Exit
            && let Some(step) = self.before_exit()
        {
            return step;
        }
        match &self.own {
            Known::There(state) if self.is_of_the_past(state) => {
                return match leg {
                    Leg::Entry => Step::Refuse(REUSED),
                    Leg::Exit => Step::Alarm { ms: REUSED_WAIT_MS, why: REUSED },
                };
            }
            Known::There(state) => return Step::Adopt(state.clone()),
            Known::NotAsked if self.query_first() => return Step::Query,
            Known::NotAsked | Known::Absent => {}
        }
        let quantity = match leg {
            Leg::Entry => self.strategy.quantity,
            Leg::Exit => self.strategy.open_quantity(),
        };
        if quantity == Quantity::ZERO {
            return Step::Conclude;
        }
        if self.sent && self.idempotency == Idempotency::None {
            let why = "the order may have been sent, the broker does not show it and would not notice a second one: a person must decide";
            return Step::Alarm { ms: PERSON_WAIT_MS, why };
        }
        if let Some(late_ms) = self.too_late().filter(|_| leg == Leg::Entry) {
            return Step::Expire(format!("its time passed {} s ago", late_ms / 1_000));
        }
        Step::Submit(self.request(quantity))
    }

    /// Whether an ended order of this id cannot be this order: it ended before this one was asked for. That happens
    /// where a strategy was deleted and created again, and counts its cycles from the start.
    #[must_use]
    pub fn is_of_the_past(&self, state: &OrderState) -> bool {
        let leg = self.action.leg(self.strategy.side);
        // All exits of an attempt are one order, whichever of them sent it.
        let works = self.strategy.working.is_some_and(|working| working.leg(self.strategy.side) == leg);
        let ended_before = |at: i64| state.ts_ms.saturating_add(self.skew_ms) < at;
        state.status.is_terminal() && !works && self.enqueued_ms.is_some_and(ended_before)
    }

    /// How late it is, ms, where that is beyond the grace.
    fn too_late(&self) -> Option<i64> {
        let (due, grace) = (self.due_ms?, self.grace_ms?.max(LATE_MIN_MS));
        Some(self.now_ms.saturating_sub(due)).filter(|late| *late > grace)
    }

    /// Brokers that do not dedupe are always asked first: a restart may have forgotten that the order was sent.
    fn query_first(&self) -> bool {
        let working = self
            .strategy
            .working
            .is_some_and(|working| working.leg(self.strategy.side) == self.action.leg(self.strategy.side));
        self.must_query || working || self.idempotency != Idempotency::Dedupes
    }

    /// An exit first makes sure that the entry is dead and that what it filled is known.
    fn before_exit(&self) -> Option<Step> {
        let strategy = self.strategy;
        if let Some(left) = strategy.retry_at.map(|at| at - self.now_ms).filter(|left| *left > 0) {
            return Some(Step::Wait { ms: left, why: "the last attempt failed a moment ago" });
        }
        let entry_works = strategy.working.is_some_and(|working| working.leg(strategy.side) == Leg::Entry);
        let entry_open = entry_works || strategy.position == Position::None;
        match &self.entry {
            _ if self.entry_reported => None,
            Known::NotAsked => entry_open.then_some(Step::KillEntry),
            Known::There(state) if !state.status.is_terminal() => {
                Some(Step::Wait { ms: CANCEL_WAIT_MS, why: "the entry's cancellation is under way" })
            }
            Known::There(state) => {
                let news = entry_works
                    || state.cum_qty > strategy.filled
                    || (strategy.position == Position::None && state.cum_qty > Quantity::ZERO);
                news.then(|| Step::ReportEntry(state.clone()))
            }
            Known::Absent => entry_works.then(|| Step::ReportEntry(self.never_arrived())),
        }
    }

    /// The end of an entry that the broker does not know.
    fn never_arrived(&self) -> OrderState {
        OrderState {
            client_order_id: self.order_id(Leg::Entry),
            status: ExecType::Canceled,
            cum_qty: Quantity::ZERO,
            avg_px: None,
            text: "the broker does not have the order".to_owned(),
            ts_ms: self.now_ms,
        }
    }

    /// The client order id of this cycle's order of `leg`.
    #[must_use]
    pub fn order_id(&self, leg: Leg) -> String {
        let attempt = if leg == Leg::Exit { self.strategy.attempt } else { 0 };
        OrderIdentity { key: self.key, cycle: self.cycle, leg, attempt }.client_order_id()
    }

    /// The client order id of this order.
    #[must_use]
    pub fn own_id(&self) -> String {
        self.order_id(self.action.leg(self.strategy.side))
    }

    fn request(&self, quantity: Quantity) -> OrderRequest {
        OrderRequest {
            client_order_id: self.own_id(),
            user: self.key.user.to_owned(),
            symbol: self.strategy.symbol.clone(),
            side: OrderSide::of(self.action, self.strategy.side),
            quantity,
        }
    }
}

#[cfg(test)]
mod tests;
