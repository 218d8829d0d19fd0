//! Journal entries onto rows, in memory and without IO.

use super::entry::JournalEntry;
use super::rows::{Fields, count, state};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use strat_core::event::OrderReport;
use strat_core::field::OnStop;
use strat_core::{EventType, Leg, Quantity, Status, StrategyKey, order::OrderIdentity};

/// User and strategy id.
pub(super) type Id = (String, String);

/// A row while entries are applied to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The hash.
    pub fields: Fields,
    /// Whether it was removed.
    pub removed: bool,
    /// Redis has lost newer changes than its journal goes on from.
    pub forked: bool,
    /// Whether the entries changed it.
    pub changed: bool,
}

/// An order as the last report leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OrderRow {
    pub(crate) client_order_id: String,
    pub(crate) user_id: String,
    pub(crate) strategy_id: String,
    pub(crate) symbol: String,
    pub(crate) cycle: u64,
    pub(crate) leg: String,
    pub(crate) attempt: u64,
    pub(crate) action: String,
    pub(crate) status: String,
    pub(crate) quantity: String,
    pub(crate) cum_qty: String,
    pub(crate) avg_px: Option<String>,
    pub(crate) reference: String,
    pub(crate) text: String,
    pub(crate) submitted_at_ms: i64,
    pub(crate) updated_at_ms: i64,
}

/// A row of `order_events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct OrderEvent {
    journal_id: String,
    user_id: String,
    strategy_id: String,
    version: i64,
    client_order_id: String,
    action: String,
    exec_type: String,
    cum_qty: String,
    avg_px: Option<String>,
    text: String,
    ts_ms: i64,
}

/// What a batch of entries leads to.
#[derive(Debug, Default)]
pub struct Fold {
    /// Every row that the entries speak of.
    pub rows: BTreeMap<(String, String), Slot>,
    /// Those that Postgres has.
    pub(super) stored: BTreeSet<Id>,
    pub(super) orders: BTreeMap<String, OrderRow>,
    pub(super) order_events: Vec<OrderEvent>,
    /// Strategies whose cycle started below what was used before, and the cycle to raise them to.
    pub lowered: Vec<(String, i64)>,
    /// Strategies whose row cannot be told from the journal alone: a change of an unknown one, or a gap.
    pub doubtful: Vec<String>,
}

impl Fold {
    /// Starts from the rows as they are.
    #[must_use]
    pub fn new(rows: BTreeMap<(String, String), Slot>) -> Self {
        Self { stored: rows.keys().cloned().collect(), rows, ..Self::default() }
    }

    /// Applies an entry that was never applied before; entries of a strategy come in their order.
    pub fn apply(&mut self, entry: &JournalEntry) {
        if let Some(order) = &entry.order {
            self.apply_order(entry, order);
        }
        let id = (entry.user.clone(), entry.strategy.clone());
        match self.rows.get_mut(&id) {
            Some(slot) if entry.is_removal() && !slot.removed => {
                slot.forked |= slot.goes_before(entry);
                slot.changed = true;
                if slot.forked {
                    self.doubtful.push(entry.key.clone());
                }
                // Its user did not see what the row knows to be in the market: that is closed first.
                if slot.forked && state(&slot.fields).is_ok_and(|state| !state.is_idle()) {
                    heed_status(&mut slot.fields, Status::Stopped);
                } else {
                    slot.removed |= slot.forked || entry.version >= count(&slot.fields, "version");
                }
            }
            Some(slot) if entry.replace => {
                let known = count(&slot.fields, "cycle");
                slot.fields.clear();
                merge(&mut slot.fields, entry);
                (slot.removed, slot.forked, slot.changed) = (false, false, true);
                if count(&slot.fields, "cycle") < known {
                    self.lowered.push((entry.key.clone(), known));
                }
            }
            Some(slot) if !slot.removed => {
                let version = count(&slot.fields, "version");
                slot.forked |= slot.goes_before(entry);
                if slot.forked || entry.version != version + 1 {
                    self.doubtful.push(entry.key.clone());
                }
                if slot.forked {
                    heed(&mut slot.fields, entry);
                } else if entry.version > version {
                    merge(&mut slot.fields, entry);
                }
                slot.changed = true;
            }
            None if entry.replace => {
                let mut fields = Fields::new();
                merge(&mut fields, entry);
                self.rows.insert(id, Slot { fields, removed: false, forked: false, changed: true });
            }
            None | Some(_) if entry.is_removal() => {}
            Some(_) | None => self.doubtful.push(entry.key.clone()),
        }
    }

    fn apply_order(&mut self, entry: &JournalEntry, report: &OrderReport) {
        let Some(leg) = Leg::parse(&report.leg) else { return };
        let Some(key) = StrategyKey::parse(&entry.key) else { return };
        let identity = OrderIdentity { key, cycle: report.cycle, leg, attempt: report.attempt };
        let client_order_id = identity.client_order_id();
        let avg_px = (!report.avg_px.is_empty()).then(|| report.avg_px.clone());
        let slot = self.rows.get(&(entry.user.clone(), entry.strategy.clone()));
        let row = OrderRow {
            client_order_id: client_order_id.clone(),
            user_id: entry.user.clone(),
            strategy_id: entry.strategy.clone(),
            symbol: slot.and_then(|slot| slot.fields.get("symbol")).cloned().unwrap_or_default(),
            cycle: report.cycle,
            leg: report.leg.clone(),
            attempt: report.attempt,
            action: report.action.clone(),
            status: report.exec_type.clone(),
            quantity: ordered_quantity(slot, leg).unwrap_or_else(|| report.cum_qty.clone()),
            cum_qty: report.cum_qty.clone(),
            avg_px: avg_px.clone(),
            reference: report.order_id.clone(),
            text: report.text.clone(),
            submitted_at_ms: entry.ts_ms,
            updated_at_ms: entry.ts_ms,
        };
        match self.orders.get_mut(&client_order_id) {
            Some(known) => known.follow(row),
            None => drop(self.orders.insert(client_order_id.clone(), row)),
        }
        self.order_events.push(OrderEvent {
            journal_id: entry.id.clone(),
            user_id: entry.user.clone(),
            strategy_id: entry.strategy.clone(),
            version: entry.version,
            client_order_id,
            action: report.action.clone(),
            exec_type: report.exec_type.clone(),
            cum_qty: report.cum_qty.clone(),
            avg_px,
            text: report.text.clone(),
            ts_ms: entry.ts_ms,
        });
    }
}

impl OrderRow {
    /// The next report of the same order. An end without quantities keeps what was filled before.
    fn follow(&mut self, next: Self) {
        let filled = |row: &Self| Quantity::parse(row.cum_qty.as_bytes()).unwrap_or_default();
        let keep = (filled(self) > filled(&next)).then(|| (self.cum_qty.clone(), self.avg_px.clone()));
        let quantity = std::mem::take(&mut self.quantity);
        *self = Self { submitted_at_ms: self.submitted_at_ms, quantity, ..next };
        if let Some(keep) = keep {
            (self.cum_qty, self.avg_px) = keep;
        }
    }
}

/// What the order was sent for: an entry for the whole quantity, an exit for what the entry filled less what
/// dead attempts sold.
fn ordered_quantity(slot: Option<&Slot>, leg: Leg) -> Option<String> {
    let state = state(&slot?.fields).ok()?;
    let quantity = match leg {
        Leg::Entry => state.quantity,
        Leg::Exit => state.filled.minus(state.prior_exit.0),
    };
    (quantity > Quantity::ZERO).then(|| quantity.to_string())
}

impl Slot {
    /// Whether an entry that was never applied was written by a server that did not know this row: it is not newer by its
    /// version, and yet by its time. One that is late (another engine had it, and could not apply it) is older by both.
    fn goes_before(&self, entry: &JournalEntry) -> bool {
        let (version, at) = (count(&self.fields, "version"), count(&self.fields, "updated_at"));
        entry.version <= version && entry.ts_ms > at
    }
}

/// What a user says of a strategy whatever it has been through.
const WORDS: [&str; 2] = ["stop_loss", "take_profit"];

/// Of a change to a hash that does not know what the row knows, only its user's words count.
fn heed(fields: &mut Fields, entry: &JournalEntry) {
    let said = [EventType::StrategyUpdated, EventType::StrategyStarted, EventType::StrategyStopped];
    if !said.iter().any(|kind| entry.kind == kind.as_str()) {
        return;
    }
    write(fields, entry.data.iter().filter(|(name, _)| WORDS.contains(&name.as_str())));
    let status = entry.data.get("status").and_then(Value::as_str).and_then(Status::parse);
    if let Some(status) = status {
        heed_status(fields, status);
    }
}

/// A strategy in the market can only be stopped; not where that would leave a position without a guard, for its user was
/// not told of it.
fn heed_status(fields: &mut Fields, status: Status) {
    let Ok(state) = state(fields) else { return };
    let leaves = state.position.is_open() && state.on_stop == OnStop::Leave;
    let status = if state.is_idle() || status == Status::Running { status } else { Status::Stopped };
    if status == Status::Running || !leaves {
        fields.insert("status".to_owned(), status.to_string());
    }
}

/// The change as a whole.
fn merge(fields: &mut Fields, entry: &JournalEntry) {
    write(fields, entry.data.iter());
    fields.insert("version".to_owned(), entry.version.to_string());
}

/// Writes the changed fields; an empty text clears one.
fn write<'a>(fields: &mut Fields, changed: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (name, value) in changed {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if text.is_empty() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(version: i64, replace: bool, data: Value) -> JournalEntry {
        let Value::Object(data) = data else { unreachable!() };
        JournalEntry {
            id: format!("{version}-0"),
            key: "user:a:strategy:s".to_owned(),
            user: "a".to_owned(),
            strategy: "s".to_owned(),
            version,
            kind: "STRATEGY_UPDATED".to_owned(),
            ts_ms: version * 10,
            data,
            order: None,
            replace,
        }
    }

    fn started() -> Fold {
        let mut fold = Fold::default();
        fold.apply(&entry(1, true, json!({"symbol": "IBM", "quantity": "10", "stop_loss": "99.50", "pending": ""})));
        fold
    }

    fn slot(fold: &Fold) -> &Slot {
        fold.rows.values().next().unwrap()
    }

    #[test]
    fn changes_add_up_and_texts_stay_as_given() {
        let mut fold = started();
        fold.apply(&entry(2, false, json!({"stop_loss": "", "take_profit": "120.00"})));
        let fields = &slot(&fold).fields;
        assert_eq!(fields.get("take_profit").map(String::as_str), Some("120.00"));
        assert!(!fields.contains_key("stop_loss") && !fields.contains_key("pending"));
        assert_eq!(count(fields, "version"), 2);
        assert!(fold.doubtful.is_empty());
    }

    #[test]
    fn after_a_gap_the_row_needs_a_look_at_its_hash() {
        let mut fold = started();
        fold.apply(&entry(5, false, json!({"note": "new"})));
        assert_eq!(fold.doubtful, ["user:a:strategy:s"]);
        assert_eq!((count(&slot(&fold).fields, "version"), slot(&fold).forked), (5, false));
    }

    #[test]
    fn a_history_that_lost_what_the_row_knows_is_not_mixed_into_it() {
        let mut fold = started();
        fold.apply(&entry(2, false, json!({"position": "BOUGHT", "filled_quantity": "10"})));
        fold.apply(&entry(3, false, json!({"pending": "STOPLOSS"})));
        // The server that took over had heard of version 1 only; three more, and its hash is the newer one.
        let of_other = |version: i64, kind: EventType, data: Value| JournalEntry {
            id: format!("9-{version}"),
            kind: kind.as_str().to_owned(),
            ..entry(version, false, data)
        };
        fold.apply(&of_other(2, EventType::OrderQueued, json!({"pending": "BUY", "cycle_at": "99"})));
        fold.apply(&of_other(3, EventType::StrategyUpdated, json!({"stop_loss": "98.50", "position": "NONE"})));
        fold.apply(&of_other(4, EventType::StrategyStopped, json!({"status": "STOPPED", "pending": ""})));
        let kept = slot(&fold);
        let text = |name: &str| kept.fields.get(name).map_or("", String::as_str);
        assert!(kept.forked && kept.changed && fold.doubtful.len() == 3);
        assert_eq!(["position", "pending", "cycle_at", "version"].map(text), ["BOUGHT", "STOPLOSS", "", "3"]);
        assert_eq!(["stop_loss", "status"].map(text), ["98.50", "STOPPED"], "what its user said");
        fold.apply(&of_other(5, EventType::StrategyStarted, json!({"status": "RUNNING", "take_profit": "130"})));
        let said = ["status", "take_profit"].map(|name| slot(&fold).fields[name].clone());
        assert_eq!(said, ["RUNNING", "130"], "his last word counts");
        fold.apply(&of_other(6, EventType::StrategyUpdated, json!({"status": "COMPLETED"})));
        assert_eq!(slot(&fold).fields["status"], "STOPPED", "it is in the market");
        fold.apply(&of_other(7, EventType::StrategyRemoved, json!({})));
        assert!(!slot(&fold).removed && slot(&fold).fields["status"] == "STOPPED", "closed before it goes");
        let mut left = started();
        left.apply(&entry(2, false, json!({"position": "BOUGHT", "on_stop": "LEAVE"})));
        left.apply(&of_other(2, EventType::StrategyStopped, json!({"status": "STOPPED"})));
        assert!(!slot(&left).fields.contains_key("status"), "nobody said that it may be left alone");
        fold.apply(&entry(5, true, json!({"symbol": "IBM", "quantity": "10"})));
        assert!(!slot(&fold).forked, "Redis was brought up to the row");
    }

    #[test]
    fn a_late_entry_is_no_fork_and_a_deletion_on_top_of_a_loss_is_one() {
        let mut fold = started();
        fold.apply(&entry(4, false, json!({"note": "4", "updated_at": "40"})));
        fold.apply(&entry(3, false, json!({"note": "3", "updated_at": "30"})));
        assert!(!slot(&fold).forked && slot(&fold).fields["note"] == "4", "another engine could not apply it in time");
        assert_eq!(fold.doubtful.len(), 2);
        let removed = |version: i64| JournalEntry {
            kind: EventType::StrategyRemoved.as_str().to_owned(),
            ts_ms: 99,
            ..entry(version, false, json!({}))
        };
        let mut idle = started();
        idle.apply(&entry(2, false, json!({"updated_at": "20"})));
        idle.apply(&removed(2));
        assert!(slot(&idle).removed, "nothing of it is in the market");
        let mut held = started();
        held.apply(&entry(2, false, json!({"position": "BOUGHT", "filled_quantity": "10", "updated_at": "20"})));
        held.apply(&removed(2));
        assert!(!slot(&held).removed && slot(&held).forked && slot(&held).fields["status"] == "STOPPED");
    }

    #[test]
    fn a_removed_strategy_keeps_its_cycle_and_a_lower_one_is_raised() {
        let mut fold = started();
        fold.apply(&entry(2, false, json!({"cycle": "7"})));
        fold.apply(&JournalEntry { kind: "STRATEGY_REMOVED".to_owned(), ..entry(3, false, json!({})) });
        assert!(slot(&fold).removed);
        fold.apply(&entry(4, false, json!({"note": "x"})));
        assert!(slot(&fold).removed && fold.doubtful.len() == 1);
        fold.apply(&entry(1, true, json!({"symbol": "IBM", "quantity": "1", "cycle": "0"})));
        assert!(!slot(&fold).removed);
        assert_eq!(fold.lowered, [("user:a:strategy:s".to_owned(), 7)]);
    }

    #[test]
    fn reports_become_one_order_and_one_event_each() {
        let mut fold = started();
        let report = |exec_type: &str, cum_qty: &str| OrderReport {
            order_id: "X".to_owned(),
            action: "BUY".to_owned(),
            leg: "ENTRY".to_owned(),
            cycle: 1,
            attempt: 0,
            exec_type: exec_type.to_owned(),
            cum_qty: cum_qty.to_owned(),
            avg_px: if cum_qty == "0" { String::new() } else { "100".to_owned() },
            text: String::new(),
        };
        fold.apply(&JournalEntry { order: Some(report("NEW", "0")), ..entry(2, false, json!({"working": "BUY"})) });
        fold.apply(&JournalEntry { order: Some(report("FILL", "10")), ..entry(3, false, json!({"working": ""})) });
        let order = fold.orders.values().next().unwrap();
        assert_eq!((order.status.as_str(), order.quantity.as_str(), order.cum_qty.as_str()), ("FILL", "10", "10"));
        assert_eq!(
            (order.submitted_at_ms, order.updated_at_ms, fold.orders.len(), fold.order_events.len()),
            (20, 30, 1, 2)
        );
    }
}
