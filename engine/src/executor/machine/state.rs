//! Where an order's machine is.

use super::unknown::Unknown;
use super::{Effect, OrderMachine, OrderName, Phase};
use crate::broker::OrderRequest;
use strat_client::ReportRequest;
use strat_core::risk::Cleared;
use strat_core::{ExecType, Quantity};

/// Where the machine is; each state waits for the outcome of the effect that it is named after.
#[derive(Debug, Clone)]
pub(super) enum State {
    Idle,
    ReleasingBeforeClaim,
    Claiming,
    Inspecting(Option<String>),
    CancelingForExit,
    Reading,
    CancelingEntry(OrderName),
    LookingForEntry,
    ReportingEntry,
    Looking,
    LookingForAttempt(u64),
    CancelingBefore,
    Extending(Cleared<OrderRequest>, u32),
    Submitting(Cleared<OrderRequest>, u32),
    Unknown(Unknown),
    Reporting { report: ReportRequest, news: Option<(ExecType, Quantity)>, ends: bool, tries: u32 },
    Watching,
    WatchLooking,
    GivingUp,
    Releasing(After),
    Discarding,
    Done,
}

/// For what somebody else held the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// The same order.
    Same,
    /// The entry, which an exit waits for.
    Entry,
}

/// What follows when the lock was given back.
#[derive(Debug, Clone)]
pub(super) enum After {
    Wait(Effect),
    Discard(String),
}

impl OrderMachine {
    /// Where the order is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Idle | State::ReleasingBeforeClaim | State::Claiming | State::Inspecting(_) => Phase::Claiming,
            State::Submitting(..) | State::Extending(..) => Phase::Submitting,
            State::Unknown(_) => Phase::Unknown,
            State::Watching | State::WatchLooking | State::GivingUp | State::Reporting { .. } => match self.reported {
                None | Some((ExecType::New, _)) => Phase::Acknowledged,
                Some(_) => Phase::Partial,
            },
            State::Done => Phase::Ended,
            _ => Phase::Deciding,
        }
    }
}
