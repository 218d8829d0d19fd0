//! What a transition asks for. The module turns it into Redis writes in one place.

use super::{Status, Strategy};
use crate::event::{EventType, OrderReport};
use crate::order::Action;
use serde_json::{Map, Value};

/// Field writes, in order. An empty value clears the field.
pub type Fields = Vec<(String, String)>;

/// An order to put into its leg's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// What to do.
    pub action: Action,
    /// Cycle that it belongs to.
    pub cycle: u64,
    /// Price of the tick that fired, as it was given; empty for timed actions.
    pub price: String,
    /// Epoch ms of the tick or of the time that came.
    pub ts: i64,
}

/// One state change: one version, one journal entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Fields to write, without `version` and `updated_at`.
    pub fields: Fields,
    /// What the journal says besides, though it stays as it is: after a failover some readers have seen changes that
    /// Redis lost, and must not go on from those.
    pub restated: Fields,
    /// Type of the journal entry.
    pub journal: EventType,
    /// Events to publish, in order.
    pub publish: Vec<EventType>,
    /// Extra members of the events' `data`, next to the changed fields.
    pub context: Map<String, Value>,
    /// Order to enqueue.
    pub enqueue: Option<Enqueue>,
    /// The order in flight has ended: its lock goes.
    pub release_lock: bool,
    /// The execution report behind the change.
    pub order: Option<OrderReport>,
}

impl Change {
    /// A change that is journaled and published as `kind`.
    #[must_use]
    pub fn new(kind: EventType) -> Self {
        Self {
            fields: Vec::new(),
            restated: Vec::new(),
            journal: kind,
            publish: vec![kind],
            context: Map::new(),
            enqueue: None,
            release_lock: false,
            order: None,
        }
    }

    /// Writes a field.
    pub(super) fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Writes a field only where `differs`.
    pub(super) fn set_if(&mut self, differs: bool, name: &str, value: impl ToString) -> &mut Self {
        if differs {
            self.set(name, value);
        }
        self
    }

    /// Adds context for the events.
    pub(super) fn with(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.context.insert(name.to_owned(), Value::String(value.to_string()));
        self
    }

    /// Marks `action` as pending and enqueues it.
    pub(super) fn enqueue(&mut self, action: Action, cycle: u64, price: &str, ts: i64) -> &mut Self {
        self.enqueue = Some(Enqueue { action, cycle, price: price.to_owned(), ts });
        self.set("pending", action)
    }

    /// Ends the strategy: a RUNNING one becomes `status`.
    pub(super) fn end(&mut self, strategy: &Strategy, status: Status, now_ms: i64) -> &mut Self {
        self.set("terminated_at", now_ms);
        if strategy.status == Status::Running {
            self.set("status", status);
        }
        self
    }

    /// The changed fields as a JSON object: what events carry.
    #[must_use]
    pub fn data(&self) -> Map<String, Value> {
        object(self.fields.iter())
    }

    /// The journal's `data`: the changed fields, and those that it restates.
    #[must_use]
    pub fn record(&self) -> Map<String, Value> {
        object(self.restated.iter().chain(&self.fields))
    }
}

fn object<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Map<String, Value> {
    fields.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}
