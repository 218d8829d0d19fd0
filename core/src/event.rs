//! Events and the journal: types, field names and the JSON that subscribers see.

use crate::order::wire_enum;
use crate::time::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

wire_enum! {
    /// What happened to a strategy. The same names stand in `journal` entries and in `events:{user_id}`.
    EventType {
        /// Created or resumed as RUNNING.
        StrategyStarted = "STRATEGY_STARTED",
        /// Fields changed.
        StrategyUpdated = "STRATEGY_UPDATED",
        /// No longer RUNNING, by the user's wish.
        StrategyStopped = "STRATEGY_STOPPED",
        /// The hash was deleted.
        StrategyRemoved = "STRATEGY_REMOVED",
        /// Its day's work is done.
        StrategyCompleted = "STRATEGY_COMPLETED",
        /// Something needs a person's eye: a rejection, an exit given up, a missed time.
        StrategyError = "STRATEGY_ERROR",
        /// A timed order or a square-off went into its queue.
        OrderQueued = "ORDER_QUEUED",
        /// The broker accepted the order.
        OrderAccepted = "ORDER_ACCEPTED",
        /// Quantity was filled.
        OrderExecuted = "ORDER_EXECUTED",
        /// The order ended unfilled or part filled.
        OrderCanceled = "ORDER_CANCELED",
        /// The stop-loss was crossed.
        SlTriggered = "SL_TRIGGERED",
        /// The take-profit was crossed.
        TpTriggered = "TP_TRIGGERED",
        /// A price alert was crossed.
        PriceAlert = "PRICE_ALERT",
    }
}

/// Field names of a `journal` entry.
pub mod journal_field {
    /// Key of the strategy's hash.
    pub const KEY: &str = "key";
    /// Version that the change led to.
    pub const VERSION: &str = "version";
    /// [`super::EventType`].
    pub const TYPE: &str = "type";
    /// Epoch ms.
    pub const TS: &str = "ts";
    /// JSON object of the changed fields: enough to bring a row from version-1 to version.
    pub const DATA: &str = "data";
    /// JSON of the execution report where the change came from one ([`super::OrderReport`]), else absent.
    pub const ORDER: &str = "order";
    /// `1` where the entry replaces the whole strategy rather than changing some fields, else absent.
    pub const REPLACE: &str = "replace";
}

/// The execution report behind a journal entry, enough to bring the `orders` table up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// The id given with `ORDER`, the client order id where the engine reports; empty if none was given.
    pub order_id: String,
    /// [`crate::Action`].
    pub action: String,
    /// [`crate::Leg`].
    pub leg: String,
    /// Cycle.
    pub cycle: u64,
    /// Attempt of the leg that the report is of.
    pub attempt: u64,
    /// [`crate::ExecType`].
    pub exec_type: String,
    /// Cumulative quantity of this order, a decimal string.
    pub cum_qty: String,
    /// Average price of this order, a decimal string; empty if nothing was filled.
    pub avg_px: String,
    /// The broker's words.
    pub text: String,
}

/// The JSON that is published to `events:{user_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`EventType`] as text; newer servers may send types that an older client does not know.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// Strategy id (alert id for PRICE_ALERT).
    pub strategy_id: String,
    /// What the type carries.
    pub data: Map<String, Value>,
}

impl Event {
    /// An event of now.
    #[must_use]
    pub fn new(kind: EventType, epoch_ms: i64, strategy_id: &str, data: Map<String, Value>) -> Self {
        Self { kind: kind.as_str().to_owned(), timestamp: rfc3339(epoch_ms), strategy_id: strategy_id.to_owned(), data }
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_json_has_the_published_shape() {
        let mut data = Map::new();
        data.insert("price".into(), "2499.95".into());
        let event = Event::new(EventType::SlTriggered, 0, "s1", data);
        assert_eq!(
            event.to_json(),
            r#"{"type":"SL_TRIGGERED","timestamp":"1970-01-01T00:00:00.000Z","strategy_id":"s1","data":{"price":"2499.95"}}"#
        );
    }

    proptest! {
        #[test]
        fn an_event_reads_back_from_its_line(
            kind in proptest::sample::select(EventType::ALL),
            epoch_ms in any::<i64>(),
            data in proptest::collection::btree_map("\\PC{0,6}", "[\\x00-\\x{ffff}]{0,12}", 0..4),
        ) {
            let data = data.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
            let event = Event::new(kind, epoch_ms, "s1", data);
            let line = event.to_json();
            prop_assert!(!line.contains('\n'), "one event, one line");
            prop_assert_eq!(serde_json::from_str::<Event>(&line).ok(), Some(event));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[{}\\[\\]\":,a-z0-9\\\\ ]{0,80}|\\PC{0,40}") {
            let _ = (serde_json::from_str::<Event>(&text), serde_json::from_str::<OrderReport>(&text));
        }
    }
}
