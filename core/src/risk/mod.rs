//! What an entry is held against before it is sent: limits per user and per account, checked in one place.
//!
//! **An entry that nobody approved cannot be sent, and an exit needs no approval.** [`Cleared`] is what may go to a broker: an
//! entry only as [`RiskApproved`], which only [`approve`] makes; an exit as it is. So no limit ever stands between a position and
//! its end.
//!
//! An account is the broker's: where several users trade through one, its limits count them together.
//!
//! ```compile_fail
//! use strat_core::risk::{Intent, RiskApproved};
//! fn by_hand(intent: Intent) -> RiskApproved<Intent> {
//!     RiskApproved(intent)
//! }
//! ```

mod check;
mod cleared;
mod limits;

pub use check::{Check, Denied, Exposure, Refused, Rule, Scope, approve};
pub use cleared::{Cleared, ExitOrder, Intent, Order, RiskApproved};
pub use limits::{LIMIT_NAMES, Limits, OnDailyLoss};

#[cfg(test)]
mod tests;
