//! A Redis stream with one consumer group, as far as the engine uses it.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// Id of an entry: milliseconds and a number.
pub(crate) type Id = (i64, u64);

/// An entry that was handed out and not acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) at_ms: i64,
    pub(crate) deliveries: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Stream<T> {
    entries: BTreeMap<Id, T>,
    last: Id,
    delivered: Id,
    pending: BTreeMap<Id, Pending>,
}

impl<T> Default for Stream<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), last: (0, 0), delivered: (0, 0), pending: BTreeMap::new() }
    }
}

impl<T: Clone> Stream<T> {
    /// `XADD *`.
    pub(crate) fn add(&mut self, now_ms: i64, make: impl FnOnce(Id) -> T) -> Id {
        self.last = if now_ms > self.last.0 { (now_ms, 0) } else { (self.last.0, self.last.1 + 1) };
        self.entries.insert(self.last, make(self.last));
        self.last
    }

    pub(crate) const fn last(&self) -> Id {
        self.last
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Entries that nobody was given yet.
    pub(crate) fn has_new(&self) -> bool {
        self.entries.range((Excluded(self.delivered), Unbounded)).next().is_some()
    }

    /// `XREADGROUP >`.
    pub(crate) fn read_new(&mut self, now_ms: i64, count: usize) -> Vec<(Id, u64, T)> {
        let new: Vec<_> = self.entries.range((Excluded(self.delivered), Unbounded)).take(count).collect();
        let found: Vec<_> = new.into_iter().map(|(id, entry)| (*id, 1, entry.clone())).collect();
        for (id, ..) in &found {
            self.delivered = *id;
            self.pending.insert(*id, Pending { at_ms: now_ms, deliveries: 1 });
        }
        found
    }

    /// Whether `XAUTOCLAIM` would find something.
    pub(crate) fn has_idle(&self, now_ms: i64, idle_ms: i64) -> bool {
        self.pending.values().any(|pending| now_ms - pending.at_ms >= idle_ms)
    }

    /// `XAUTOCLAIM`: what was handed out so long ago is handed out again; deleted entries fall out of the list.
    pub(crate) fn claim(&mut self, now_ms: i64, idle_ms: i64) -> Vec<(Id, u64, T)> {
        let entries = &self.entries;
        self.pending.retain(|id, _| entries.contains_key(id));
        let idle = self.pending.iter_mut().filter(|(_, pending)| now_ms - pending.at_ms >= idle_ms);
        idle.filter_map(|(id, pending)| {
            *pending = Pending { at_ms: now_ms, deliveries: pending.deliveries + 1 };
            Some((*id, pending.deliveries, entries.get(id)?.clone()))
        })
        .collect()
    }

    /// `XACK`, and `XDEL` with `delete`.
    pub(crate) fn acknowledge(&mut self, id: Id, delete: bool) {
        self.pending.remove(&id);
        if delete {
            self.entries.remove(&id);
        }
    }

    /// Entries after `id`, as `XREAD` gives them.
    pub(crate) fn after(&self, id: Id) -> Vec<T> {
        self.entries.range((Excluded(id), Unbounded)).map(|(_, entry)| entry.clone()).collect()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether everything up to `id` was handed out and acknowledged.
    pub(crate) fn drained_to(&self, id: Id) -> bool {
        self.delivered >= id && self.pending.keys().next().is_none_or(|oldest| *oldest > id)
    }

    /// Deletes what was handed out and acknowledged; with `early` everything.
    pub(crate) fn trim(&mut self, early: bool) {
        let (pending, delivered) = (&self.pending, self.delivered);
        self.entries.retain(|id, _| !early && (*id > delivered || pending.contains_key(id)));
    }
}
