//! A circuit breaker, a bound on the calls in flight, retries, optimistic transactions and batches around a connection.
//!
//! [`Guarded`] wraps any connection and is one itself, so everything of this crate works through it:
//! - at most [`GuardSettings::in_flight_max`] calls are under way at once, and who waits longer than
//!   [`GuardSettings::wait`] for a place is told so
//! - every call has a limit on its time
//! - a [`Breaker`] stands in front: while the server is known to be away, calls fail at once
//!
//! **Nothing of that ever blocks an exit**: what goes through [`Guarded::for_exits`] passes an open breaker and takes no
//! place from anybody. [`Retry`] repeats what may be repeated, [`Transactions`] runs WATCH … MULTI … EXEC, and
//! [`Batch`] reads and writes many keys at once.

mod batch;
mod breaker;
mod guarded;
mod pool;
mod reads;
mod retry;
mod transaction;

pub use batch::{Batch, EachKey};
pub use breaker::{Breaker, BreakerOpen, BreakerSettings, BreakerState, BreakerStatus, Permit};
pub use guarded::{Guarded, LinkHealth};
pub use pool::{GuardSettings, PoolStatus};
pub use reads::is_read;
pub use retry::Retry;
pub use transaction::{Transaction, TransactionSettings, Transactions};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Anything that may fail fast while the server is away.
    #[default]
    Normal,
    /// What ends a position. It is always tried, and its outcome counts as any other.
    Exit,
}
