//! What a transition asks for. The module turns it into Redis writes in one place.

use super::{Status, Strategy};
use crate::event::{EventType, OrderReport};
use crate::order::Action;
use crate::time::rfc3339;
use serde::{Serialize, Serializer};
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

    /// The journal's `data`: the changed fields, and those that it restates.
    #[must_use]
    pub fn record(&self) -> Map<String, Value> {
        object(self.restated.iter().chain(&self.fields))
    }

    /// [`Change::record`] as text, without the object between: a storm writes a hundred thousand of them.
    #[must_use]
    pub fn record_json(&self) -> String {
        json(&Members::of(texts(&self.restated).chain(texts(&self.fields))))
    }

    /// The line that subscribers get for an event of the change: its data and the context.
    #[must_use]
    pub fn event_json(&self, kind: EventType, epoch_ms: i64, strategy_id: &str) -> String {
        let context = self.context.iter().map(|(name, value)| (name.as_str(), Member::Value(value)));
        let data = Members::of(texts(&self.fields).chain(context));
        json(&Line { kind: kind.as_str(), timestamp: rfc3339(epoch_ms), strategy_id, data })
    }
}

/// [`crate::event::Event`], borrowed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    strategy_id: &'a str,
    data: Members<'a>,
}

/// What stands behind a name.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Text(&'a str),
    Value(&'a Value),
}

/// An object's members in the order of their names, each name once.
struct Members<'a>(Vec<(&'a str, Member<'a>)>);

impl<'a> Members<'a> {
    /// Of two with one name the later counts.
    fn of(members: impl Iterator<Item = (&'a str, Member<'a>)>) -> Self {
        let mut members: Vec<_> = members.collect();
        members.reverse();
        members.sort_by_key(|(name, _)| *name);
        members.dedup_by_key(|(name, _)| *name);
        Self(members)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, member)| (name, member)))
    }
}

fn texts(fields: &Fields) -> impl Iterator<Item = (&str, Member<'_>)> {
    fields.iter().map(|(name, value)| (name.as_str(), Member::Text(value)))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn object<'a>(fields: impl Iterator<Item = &'a (String, String)>) -> Map<String, Value> {
    fields.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_at_once_is_what_the_objects_say(
            fields in vec(("[a-d\"é]{0,2}", "[ -~\\x00-\\x{ff}]{0,6}"), 0..6),
            context in vec(("[a-d\"é]{0,2}", "[ -~\\x00-\\x{ff}]{0,6}"), 0..4),
            id in "[A-Za-z0-9_.@-]{1,20}",
        ) {
            let mut change = Change::new(EventType::SlTriggered);
            for (name, value) in &fields {
                change.set(name, value);
            }
            for (name, value) in &context {
                change.with(name, value);
            }
            let mut data = object(change.fields.iter());
            change.restated = vec![("a".to_owned(), "0".to_owned()), ("zz".to_owned(), "1".to_owned())];
            prop_assert_eq!(change.record_json(), Value::Object(change.record()).to_string());
            data.extend(change.context.clone());
            let event = Event::new(EventType::SlTriggered, 1_700_000_000_123, &id, data);
            prop_assert_eq!(change.event_json(EventType::SlTriggered, 1_700_000_000_123, &id), event.to_json());
        }
    }
}
