//! What a transition asks for. The module turns it into Redis writes in one place.

use super::{Status, Strategy};
use crate::event::{EventType, OrderReport};
use crate::order::Action;
use crate::time::rfc3339;
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

    /// The journal's `data`: the changed fields as a JSON object.
    #[must_use]
    pub fn data(&self) -> Map<String, Value> {
        self.fields.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }

    /// [`Change::data`] as text, written at once: a storm writes a hundred thousand of them.
    #[must_use]
    pub fn data_json(&self) -> String {
        let mut json = String::with_capacity(64 + 32 * self.fields.len());
        write_object(&mut json, self.members().collect());
        json
    }

    /// The line that subscribers get for an event of the change: its data and the context.
    #[must_use]
    pub fn event_json(&self, kind: EventType, epoch_ms: i64, strategy_id: &str) -> String {
        let mut json = String::with_capacity(160 + 32 * (self.fields.len() + self.context.len()));
        json.push_str("{\"type\":");
        write_text(&mut json, kind.as_str());
        json.push_str(",\"timestamp\":");
        write_text(&mut json, &rfc3339(epoch_ms));
        json.push_str(",\"strategy_id\":");
        write_text(&mut json, strategy_id);
        json.push_str(",\"data\":");
        let context = self.context.iter().map(|(name, value)| (name.as_str(), Member::Value(value)));
        write_object(&mut json, self.members().chain(context).collect());
        json.push('}');
        json
    }

    fn members(&self) -> impl Iterator<Item = (&str, Member<'_>)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), Member::Text(value)))
    }
}

/// What stands behind a name.
enum Member<'a> {
    Text(&'a str),
    Value(&'a Value),
}

/// Members in the order of their names; of two with one name the later counts.
fn write_object(json: &mut String, mut members: Vec<(&str, Member<'_>)>) {
    members.sort_by_key(|(name, _)| *name);
    json.push('{');
    let mut comma = "";
    for (index, (name, member)) in members.iter().enumerate() {
        if members.get(index + 1).is_some_and(|(next, _)| next == name) {
            continue;
        }
        json.push_str(std::mem::replace(&mut comma, ","));
        write_text(json, name);
        json.push(':');
        match member {
            Member::Text(text) => write_text(json, text),
            Member::Value(Value::String(text)) => write_text(json, text),
            Member::Value(value) => json.push_str(&value.to_string()),
        }
    }
    json.push('}');
}

/// A JSON string. What is plain ASCII, as nearly everything is, needs no escape.
fn write_text(json: &mut String, text: &str) {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&Value::from(text).to_string());
    }
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
            let mut data = change.data();
            prop_assert_eq!(change.data_json(), Value::Object(data.clone()).to_string());
            data.extend(change.context.clone());
            let event = Event::new(EventType::SlTriggered, 1_700_000_000_123, &id, data);
            prop_assert_eq!(change.event_json(EventType::SlTriggered, 1_700_000_000_123, &id), event.to_json());
        }
    }
}
