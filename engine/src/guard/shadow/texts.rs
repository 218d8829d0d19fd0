//! The fields of a hash that the rules read, and nothing else of it: there are many strategies.

use serde_json::Value;
use strat_core::strategy::FIELDS_READ;

/// Read by the feed's watch, not by the rules.
pub(super) const CALENDAR: &str = "calendar";

/// Field texts by name. A handful of them, so a list is faster and smaller than a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts(Vec<(&'static str, Box<str>)>);

impl Texts {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_ref())
    }

    /// Sets a field, or clears it where the text is empty. Fields that nobody reads are passed over.
    pub(super) fn set(&mut self, name: &str, text: &str) {
        let Some(name) = FIELDS_READ.iter().chain([&CALENDAR]).find(|read| **read == name).copied() else { return };
        self.0.retain(|(known, _)| *known != name);
        if !text.is_empty() {
            self.0.push((name, text.into()));
        }
    }

    /// As [`Texts::set`], from a journal entry.
    pub(super) fn set_json(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.set(name, text),
            Value::Null => self.set(name, ""),
            other => self.set(name, &other.to_string()),
        }
    }
}
