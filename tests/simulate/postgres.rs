//! A model of Postgres: rows folded from the journal by the engine's own rules, and the sessions' advisory locks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strat_client::JournalEntry;
use strat_core::order::OrderIdentity;
use strat_core::{ExecType, Leg, Quantity, StrategyKey};
use strat_engine::store::{self, Fields, Fold, Row, Slot};

/// A session: which engine, and which of its lives.
pub(crate) type Session = (usize, u64);

/// What was reported of an order.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) key: String,
    pub(crate) cum_qty: Quantity,
    pub(crate) ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Postgres {
    pub(crate) down: bool,
    fold: Fold,
    applied: BTreeSet<(String, String, u64)>,
    orders: BTreeMap<String, Known>,
    /// Who reads the journal.
    pub(crate) leader: Option<Session>,
    /// Who may act without Redis, where the broker does not dedupe.
    pub(crate) lease: Option<(Session, i64)>,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) lowered: Vec<(String, i64)>,
    pub(crate) doubtful: bool,
}

impl Postgres {
    /// One transaction of the journal's reader.
    pub(crate) fn apply(&mut self, entries: &[Arc<JournalEntry>]) -> Applied {
        for entry in entries {
            if !self.applied.insert((entry.id.clone(), entry.key.clone(), entry.version)) {
                continue;
            }
            if let Ok(entry) = store::JournalEntry::of(JournalEntry::clone(entry)) {
                self.note_order(&entry);
                self.fold.apply(&entry);
            }
        }
        let lowered = std::mem::take(&mut self.fold.lowered);
        let doubtful = !std::mem::take(&mut self.fold.doubtful).is_empty();
        Applied { lowered, doubtful }
    }

    fn note_order(&mut self, entry: &store::JournalEntry) {
        let Some(report) = &entry.order else { return };
        let (Some(key), Some(leg)) = (StrategyKey::parse(&entry.key), Leg::parse(&report.leg)) else { return };
        let id = OrderIdentity { key, cycle: report.cycle, leg, attempt: report.attempt }.client_order_id();
        let cum_qty: Quantity = report.cum_qty.parse().unwrap_or_default();
        let ended = ExecType::parse(&report.exec_type).is_some_and(ExecType::is_terminal);
        let known = self.orders.entry(id).or_insert(Known { key: entry.key.clone(), cum_qty, ended });
        known.cum_qty = known.cum_qty.max(cum_qty);
        known.ended = ended;
    }

    pub(crate) fn known_order(&self, id: &str) -> Option<&Known> {
        self.orders.get(id)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.fold.rows.iter().map(|(id, slot)| row_of(id, slot)).collect()
    }

    pub(crate) fn row(&self, key: &str) -> Option<Row> {
        let key = StrategyKey::parse(key)?;
        let id = (key.user.to_owned(), key.strategy.to_owned());
        self.fold.rows.get(&id).map(|slot| row_of(&id, slot))
    }

    /// Writes a row over the one it was judged by; `None`: over no row.
    pub(crate) fn overwrite(&mut self, key: &str, fields: Fields, judged: Option<&Row>) -> bool {
        let Some(id) = StrategyKey::parse(key).map(|key| (key.user.to_owned(), key.strategy.to_owned())) else {
            return false;
        };
        let fits = match (self.fold.rows.get(&id), judged) {
            (None, None) => true,
            (Some(slot), None) => slot.removed,
            (Some(slot), Some(row)) => (row_of(&id, slot).version(), slot.forked) == (row.version(), row.forked),
            (None, Some(_)) => false,
        };
        if fits {
            self.fold.rows.insert(id, Slot { fields, removed: false, forked: false, changed: true });
        }
        fits
    }

    /// A session has ended.
    pub(crate) fn forget(&mut self, session: Session) {
        self.leader = self.leader.filter(|leader| *leader != session);
    }
}

fn row_of((user, strategy): &(String, String), slot: &Slot) -> Row {
    let (user, strategy, fields) = (user.clone(), strategy.clone(), slot.fields.clone());
    Row { user, strategy, fields, removed: slot.removed, forked: slot.forked }
}
