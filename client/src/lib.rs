//! Async client of the strat module for Redis.
//!
//! [`StratCommands`] puts the `STRAT.*` commands on every async connection of the [`redis`] crate. Around it:
//!
//! - [`Config`] and [`Connection`]: explicit timeouts, reconnection with backoff, no blind repetition of writes; with a
//!   `redis+sentinel://` URL a failover is followed by everything that is connected, readers and events included
//! - [`StrategySpec`], [`StrategyUpdate`], [`Strategy`]: texts stay as they were given, typed views next to them
//! - [`AlertCommands`]: price alerts
//! - [`OrderLock`]: a lock that extends itself while held
//! - [`EventStream`]: live events of a user, with its gaps named
//! - [`QueueReader`], [`JournalReader`]: the streams that engines and databases are fed from
//! - [`Error`]: what may be retried, and what has an unknown outcome
//!
//! ```no_run
//! # async fn example() -> strat_client::Result<()> {
//! use strat_client::{Config, Connection, StratCommands, StrategySpec, StrategyUpdate};
//!
//! let mut redis = Connection::open(&Config::from_env()?).await?;
//! redis.check_module().await?;
//!
//! let key = strat_client::strategy_key("alice", "s1");
//! let spec = StrategySpec::new("RELIANCE", "10").buy_time("09:30").sell_time("15:00").stop_loss("2450.00");
//! let version = redis.strat_set(&key, &spec).await?;
//! redis.strat_update(&key, &StrategyUpdate::new().stop_loss("2460.00").if_version(version)).await?;
//! let strategy = redis.strat_get(&key).await?.expect("just set");
//! assert_eq!(strategy.text("stop_loss"), "2460.00");
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// A test that unwraps what is not there fails, which is what it is for.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod alert;
mod backoff;
mod clock;
mod commands;
mod config;
mod connection;
mod entry;
mod error;
mod events;
#[cfg(test)]
mod fake;
mod fields;
mod follow;
mod group;
mod hash;
#[cfg(test)]
mod hostile;
mod journal;
#[cfg(any(feature = "limits", feature = "market", feature = "sessions"))]
#[allow(dead_code, reason = "each family uses a part of it")]
mod link;
mod lock;
mod observer;
mod queue;
mod reply;
mod request;
mod sentinel;
mod server;
#[cfg(any(
    feature = "cache",
    feature = "limits",
    feature = "market",
    feature = "sealed",
    feature = "sessions",
    feature = "upkeep"
))]
#[allow(dead_code, reason = "each family uses a part of it")]
mod shared;
mod strategy;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "candles")]
pub mod candles;
#[cfg(feature = "limits")]
pub mod limits;
#[cfg(feature = "market")]
pub mod market;
#[cfg(feature = "positions")]
pub mod positions;
#[cfg(feature = "resilience")]
pub mod resilience;
#[cfg(feature = "sealed")]
pub mod sealed;
#[cfg(feature = "sessions")]
pub mod sessions;
#[cfg(feature = "upkeep")]
pub mod upkeep;

pub use alert::{AlertCommands, AlertQuery, AlertSpec, PriceAlert};
pub use clock::{Clock, ManualClock, SystemClock};
pub use commands::StratCommands;
pub use config::{Config, URL_DEFAULT};
pub use connection::Connection;
pub use entry::BadEntry;
pub use error::{Error, Result};
pub use events::{EventStream, Notice};
pub use fields::{FieldValue, StrategySpec, StrategyUpdate};
pub use follow::JournalFollower;
pub use journal::{JournalDelivery, JournalEntry, JournalReader, SYNC_GROUP};
pub use lock::OrderLock;
pub use observer::{Observer, Outcome};
pub use queue::{Claimed, Delivery, ENGINE_GROUP, Queue, QueueDepths, QueueEntry, QueueReader, Taken, discard_own};
pub use request::{Due, ListQuery, LockToken, Page, ReportRequest};
pub use server::{Health, VERSION, check_module, health};
pub use strategy::Strategy;
#[cfg(feature = "tls")]
pub use tls::TlsFiles;

/// The `redis` crate that this one is built on.
pub use redis;
/// Prices, keys, actions and rules, shared with module and engine.
pub use strat_core as core;

/// The key of a strategy without a tag. [`strat_core::StrategyKey`] makes those with one.
///
/// Ids are not checked here; the server refuses forbidden ones with `BADFIELD`.
#[must_use]
pub fn strategy_key(user_id: &str, strategy_id: &str) -> String {
    strat_core::StrategyKey { prefix: "", user: user_id, strategy: strategy_id }.hash()
}
