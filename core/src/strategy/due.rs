//! A strategy's time comes.

use super::{Change, Position, Status, Strategy};
use crate::decimal::Quantity;
use crate::event::EventType;
use crate::order::{Action, Leg};

impl Strategy {
    /// What the time `now_ms` asks of the strategy, if anything.
    ///
    /// The exit's time beats the entry's: an entry that is not filled when its exit comes is not wanted any more.
    #[must_use]
    pub fn due(&self, now_ms: i64) -> Option<Change> {
        self.due_by(now_ms, now_ms)
    }

    /// As [`Strategy::due`], where a cycle that begins is dated `began_ms`: whoever says what time it is may be ahead of
    /// the clock that orders are dated by.
    #[must_use]
    pub fn due_by(&self, now_ms: i64, began_ms: i64) -> Option<Change> {
        let arming = self.arming();
        let come = |at: Option<i64>| at.filter(|at| *at <= now_ms);
        if let Some(at) = come(arming.exit_due) {
            return Some(self.exit_is_due(at, now_ms));
        }
        come(arming.entry_due).map(|at| self.entry_is_due(at, began_ms))
    }

    fn entry_is_due(&self, at_ms: i64, began_ms: i64) -> Change {
        let action = Action::entry(self.side);
        let mut change = Change::new(EventType::OrderQueued);
        change.enqueue(action, self.cycle + 1, "", at_ms);
        self.begin_cycle(&mut change, began_ms);
        change.with("symbol", &self.symbol).with("action", action).with("quantity", self.quantity);
        change
    }

    fn exit_is_due(&self, at_ms: i64, now_ms: i64) -> Change {
        if self.open_quantity() == Quantity::ZERO && !self.entry_in_flight() {
            let mut change = Change::new(EventType::StrategyCompleted);
            change.end(self, Status::Completed, now_ms).with("reason", "exit time came before the entry");
            return change;
        }
        let action = self.retry().map_or(Action::timed_exit(self.side), |(_, action)| action);
        let mut change = Change::new(EventType::OrderQueued);
        change
            .enqueue(action, self.cycle, "", at_ms)
            .with("symbol", &self.symbol)
            .with("action", action)
            .with("quantity", self.open_quantity());
        change
    }

    /// Starts the next cycle: counts it and clears what the last one left.
    pub(super) fn begin_cycle(&self, change: &mut Change, now_ms: i64) {
        debug_assert!(self.position == Position::None && Action::entry(self.side).leg(self.side) == Leg::Entry);
        change
            .set("cycle", self.cycle + 1)
            .set("cycle_at", now_ms)
            .set_if(self.filled > Quantity::ZERO, "filled_quantity", 0)
            .set_if(self.filled > Quantity::ZERO, "entry_price", "")
            .set_if(self.exited > Quantity::ZERO, "exit_quantity", 0)
            .set_if(self.prior_exit.0 > Quantity::ZERO, "prior_exit_quantity", 0)
            .set_if(self.attempt > 0, "attempt", 0)
            .set_if(self.trail_ref.is_some(), "trail_ref", "")
            .set_if(self.trail_from.is_some(), "trail_from", "")
            .set_if(self.exit_price.is_some(), "exit_price", "")
            .set_if(self.retry_at.is_some(), "retry_at", "")
            .set_if(self.retry_action.is_some(), "retry_action", "");
    }
}
