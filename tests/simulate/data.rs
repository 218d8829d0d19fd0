//! What the model of Redis keeps.

use crate::stream::{Id, Stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use strat_client::JournalEntry;
use strat_core::{Action, EventType};

/// Fields of a hash.
pub(crate) type Fields = BTreeMap<String, String>;
/// An entry of an order queue.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) cycle: u64,
    pub(crate) version: u64,
    pub(crate) ts_ms: i64,
}

/// What is on the disk, and on a replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Data {
    pub(crate) hashes: BTreeMap<String, Fields>,
    pub(crate) exits: Stream<Item>,
    pub(crate) orders: Stream<Item>,
    pub(crate) journal: Stream<Arc<JournalEntry>>,
    /// Value and epoch ms of its end, by key of the strategy.
    pub(crate) locks: BTreeMap<String, (String, i64)>,
}

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Up,
    Down,
    /// OOM, MISCONF, READONLY: reads go, writes do not.
    Refusing,
}

/// What was published: which strategy, and whether it asks for a person's eye for good.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) key: String,
    pub(crate) kind: EventType,
    /// Not merely an exit that is tried again.
    pub(crate) alarm: bool,
    pub(crate) enqueued: Option<(Id, Item)>,
}
