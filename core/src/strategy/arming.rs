//! What of a strategy is watched, and who may claim it.

use super::{Position, Side, Status, Strategy, Trailing};
use crate::decimal::{Price, Quantity};
use crate::order::{Action, Leg};
use crate::planted::{self, Mistake};
use crate::refusal::{Code, Refusal};

impl Strategy {
    /// What the books must watch.
    #[must_use]
    pub fn arming(&self) -> Arming {
        let running = self.status == Status::Running;
        let guarded =
            running && self.open_quantity() > Quantity::ZERO && !self.exit_in_flight() && self.pending.is_none();
        let unlatched = planted::is(Mistake::UnlatchedTrigger) && running && self.open_quantity() > Quantity::ZERO;
        let guarded = guarded || unlatched;
        // An exit that waits for its retry goes out at any price: its level would only defeat the backoff,
        // one dead order a tick. A stop still overtakes the retry of another exit, once.
        let retry = self.retry().map(|(_, action)| action);
        let stop_loss = self.stop_loss.filter(|_| retry != Some(Action::StopLoss));
        let take_profit = self.take_profit.filter(|_| retry.is_none());
        let (falls, rises) = match self.side {
            Side::Long => (stop_loss, take_profit),
            Side::Short => (take_profit, stop_loss),
        };
        let fresh = self.position == Position::None && self.pending.is_none() && self.working.is_none();
        Arming {
            fall: falls.filter(|_| guarded),
            rise: rises.filter(|_| guarded),
            trail: self.trailing().filter(|_| guarded && retry != Some(Action::StopLoss)),
            entry_due: self.entry_at().filter(|_| running && fresh),
            exit_due: self.exit_due(running),
        }
    }

    fn exit_due(&self, running: bool) -> Option<i64> {
        let held = self.open_quantity() > Quantity::ZERO;
        if self.exit_in_flight() {
            return None;
        }
        if let Some((at, _)) = self.retry().filter(|_| held) {
            return Some(at);
        }
        let may_fill = self.position == Position::None || self.working_entry().is_some();
        self.exit_at().filter(|_| running && (held || may_fill))
    }

    /// The exit that waits to be tried again, and from when on.
    pub(crate) fn retry(&self) -> Option<(i64, Action)> {
        self.retry_at.zip(self.retry_action)
    }

    /// Whether an order for `action` may be claimed now.
    ///
    /// # Errors
    /// `BUSY` with the reason; the caller drops what made it ask.
    pub fn check_claim(&self, action: Action) -> Result<(), Refusal> {
        let busy = |why: String| Err(Refusal::new(Code::Busy, format!("{action} is not possible: {why}")));
        if let Some(working) =
            self.working.filter(|working| working.leg(self.side) == action.leg(self.side) && *working != action)
        {
            return busy(format!("{working} works at the broker"));
        }
        if self.pending.is_some_and(|pending| pending != action) && self.working != Some(action) {
            return busy(format!("{} is pending", self.pending.map_or("", Action::as_str)));
        }
        match action.leg(self.side) {
            _ if self.pending == Some(action) || self.working == Some(action) => Ok(()),
            Leg::Entry if self.status != Status::Running => busy(format!("status is {}", self.status)),
            Leg::Entry if self.position != Position::None => busy(format!("position is {}", self.position)),
            Leg::Entry if self.exit_in_flight() => busy("an exit works at the broker".to_owned()),
            Leg::Exit if self.open_quantity() == Quantity::ZERO => busy("no open quantity".to_owned()),
            _ => Ok(()),
        }
    }
}

/// What the trigger book and the time book hold of one strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arming {
    /// Fires at prices at or below: stop-loss of a long, take-profit of a short.
    pub fall: Option<Price>,
    /// Fires at prices at or above: take-profit of a long, stop-loss of a short.
    pub rise: Option<Price>,
    /// Fires behind the best price.
    pub trail: Option<Trailing>,
    /// Epoch ms of the entry.
    pub entry_due: Option<i64>,
    /// Epoch ms of the timed exit or of a retry.
    pub exit_due: Option<i64>,
}

impl Arming {
    /// Number of price triggers armed.
    #[must_use]
    pub fn triggers(&self) -> usize {
        usize::from(self.fall.is_some()) + usize::from(self.rise.is_some()) + usize::from(self.trail.is_some())
    }
}
