//! Clean-up, reports of keys, and a watch on memory.
//!
//! [`Upkeep::run_once`] does a bounded part of the work and goes on from there the next time; when to call it is up to the
//! caller. Keys are looked at with `SCAN`, in slices after each of which the server can turn to others. Nothing is changed
//! before [`UpkeepSettings::dry_run`] is taken back and [`UpkeepSettings::rules`] are given.
//!
//! For one server; Redis Cluster, where each node would have to be scanned, is out of scope.

mod clean;
mod memory;
mod pattern;
mod report;
mod run;
mod scan;
mod settings;

pub use clean::{CleanAction, ListEnd, Rule, RuleOutcome};
pub use memory::{Level, MemoryEvent, MemoryKind, MemoryReading, MemoryThresholds, MemoryWatch};
pub use pattern::KeyPattern;
pub use report::{BigKey, KeyGroup, KeyReport};
pub use run::{RunReport, Upkeep};
pub use settings::UpkeepSettings;
