//! What goes wrong on demand.

use std::time::Duration;

/// What the next placement meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The order is placed at once, its answer comes after so long.
    AnswerLate(Duration),
    /// The order is placed, the connection breaks in the middle of the answer.
    AnswerLost,
    /// The order is placed only after so long, and there is no answer.
    PlaceLate(Duration),
    /// There is no order, and the answer is this documented refusal (a code of [`crate::Venue::refusals`]).
    Refuse(&'static str),
}

/// When orders fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fills {
    /// Whole, as they come, at the symbol's price.
    #[default]
    AtOnce,
    /// When [`crate::World::fill`] says so.
    ByHand,
}

/// How news of orders is told on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Updates {
    /// Once each, in their order.
    #[default]
    Once,
    /// Twice each.
    Twice,
    /// Not yet: they are kept until [`crate::World::tell_kept_backwards`].
    Kept,
    /// Not at all.
    Dropped,
}

/// A documented refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Its name for [`Lie::Refuse`].
    pub code: &'static str,
    /// What a client is to make of it.
    pub outcome: Outcome,
}

/// What an answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is no order, and there will be none.
    Rejected,
    /// There may be one.
    Unknown,
    /// The request was not looked at: wait.
    RateLimited,
    /// The request was not looked at: the way to the broker is closed, or the caller is not let in.
    Unavailable,
}
