//! The rules of strat, each in one place and without IO, clock or `unsafe`.
//!
//! The server module, the client and the engine share this crate, so a price is parsed, a key is
//! named and a state transition is decided by the same lines everywhere.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alert;
pub mod book;
pub mod decimal;
pub mod event;
pub mod field;
pub mod key;
pub mod lock;
pub mod manual;
pub mod order;
pub mod planted;
pub mod protection;
pub mod refusal;
pub mod risk;
pub mod strategy;
pub mod time;

pub use alert::{Alert, AlertStatus, Condition};
pub use decimal::{Money, Price, Quantity};
pub use event::EventType;
pub use key::{AlertKey, StrategyKey};
pub use order::{Action, ExecType, Leg};
pub use protection::{Ladder, Protection};
pub use refusal::{Code, Refusal};
pub use strategy::{Position, Side, Status, Strategy};
