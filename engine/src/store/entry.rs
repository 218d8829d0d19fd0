//! A journal entry as it is read from the stream.

use serde_json::{Map, Value};
use strat_core::event::OrderReport;
use strat_core::{EventType, StrategyKey};

/// What stands for a NUL.
const REPLACEMENT: &str = "\u{fffd}";

/// One state change of one strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Id in the stream.
    pub id: String,
    /// Key of the hash.
    pub key: String,
    /// From the key.
    pub user: String,
    /// From the key.
    pub strategy: String,
    /// Version that the change led to.
    pub version: i64,
    /// Type of the event.
    pub kind: String,
    /// Epoch ms.
    pub ts_ms: i64,
    /// Changed fields; an empty text clears one.
    pub data: Map<String, Value>,
    /// The execution report behind the change.
    pub order: Option<OrderReport>,
    /// The data are the whole strategy.
    pub replace: bool,
}

impl JournalEntry {
    /// From an entry as the client read it.
    ///
    /// # Errors
    /// A sentence on what makes it unusable.
    pub fn of(entry: strat_client::JournalEntry) -> Result<Self, String> {
        let key = entry.key;
        let parsed = StrategyKey::parse(&key).ok_or_else(|| format!("'{key}' is not a strategy's key"))?;
        let mut data = Value::Object(entry.data);
        without_nul(&mut data);
        let Value::Object(data) = data else { return Err("data is not a JSON object".to_owned()) };
        let order = entry.order.map(|order| OrderReport { text: order.text.replace('\0', REPLACEMENT), ..order });
        Ok(Self {
            user: parsed.user.to_owned(),
            strategy: parsed.strategy.to_owned(),
            version: i64::try_from(entry.version).map_err(|_| "the version is out of range".to_owned())?,
            id: entry.id,
            kind: entry.kind,
            ts_ms: entry.ts_ms,
            replace: entry.replace,
            key,
            data,
            order,
        })
    }

    /// Whether the hash went away.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        self.kind == EventType::StrategyRemoved.as_str()
    }
}

/// Postgres keeps no NUL in a text; Redis does. It becomes U+FFFD rather than holding up the journal.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', REPLACEMENT),
        Value::Object(members) => {
            if members.keys().any(|name| name.contains('\0')) {
                let old = std::mem::take(members);
                members.extend(old.into_iter().map(|(name, value)| (name.replace('\0', REPLACEMENT), value)));
            }
            members.values_mut().for_each(without_nul);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(key: &str, data: Value) -> Result<JournalEntry, String> {
        let Value::Object(data) = data else { unreachable!() };
        JournalEntry::of(strat_client::JournalEntry {
            id: "5-0".to_owned(),
            deliveries: 1,
            key: key.to_owned(),
            version: 3,
            kind: "STRATEGY_UPDATED".to_owned(),
            ts_ms: 9,
            data,
            order: None,
            replace: false,
        })
    }

    #[test]
    fn the_strategy_is_told_by_the_key_and_nul_does_not_reach_postgres() {
        let entry = read("user:a:strategy:s", json!({"note": "x\0", "b\0": ["\0"]})).unwrap();
        assert_eq!((entry.user.as_str(), entry.strategy.as_str(), entry.version), ("a", "s", 3));
        assert_eq!(Value::Object(entry.data), json!({"note": "x\u{fffd}", "b\u{fffd}": ["\u{fffd}"]}));
        assert!(read("other", json!({})).unwrap_err().contains("not a strategy's key"));
    }
}
