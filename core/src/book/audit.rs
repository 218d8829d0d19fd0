//! The book counts itself and checks itself.

use super::{Book, Entry, Slot, SymbolBook, levels, times};
use crate::strategy::Status;
use std::collections::BTreeSet;

/// Totals for `INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Strategies in the book, whatever their status.
    pub strategies: usize,
    /// RUNNING ones.
    pub running: usize,
    /// Armed price triggers.
    pub triggers: usize,
    /// Armed times.
    pub times: usize,
    /// Hashes that do not parse.
    pub invalid: usize,
    /// Symbols with at least one strategy.
    pub symbols: usize,
}

impl Book {
    /// Totals.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            strategies: self.by_key.len(),
            running: self.running,
            triggers: self.triggers,
            times: self.partitions.values().map(|partition| partition.due.len()).sum(),
            invalid: self.invalid.len(),
            symbols: self.by_symbol.len(),
        }
    }

    /// Bytes that the books hold on the heap, estimated from their lengths.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        // A B-tree node of 11 places is about two thirds full.
        let tree = |entries: usize, size: usize| entries * size * 3 / 2;
        let stats = self.stats();
        self.key_bytes
            + self.entries.capacity() * size_of::<Option<Entry>>()
            + self.by_key.capacity() * (size_of::<Slot>() + 1)
            + tree(stats.triggers, levels::LEVEL_BYTES)
            + tree(stats.times, size_of::<(i64, Slot)>())
            + tree(3 * stats.strategies, size_of::<Slot>())
            + self.symbols.capacity() * size_of::<SymbolBook>()
    }

    /// Checks the books against themselves; answers what is wrong. For tests and `DEBUG VERIFY`.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let live = self.entries.iter().flatten().count();
        let mut expect = |what: &str, found: usize, expected: usize| {
            if found != expected {
                wrong.push(format!("book: {what} is {found}, expected {expected}"));
            }
        };
        let entries = || self.entries.iter().flatten();
        expect("keys", self.by_key.len(), live);
        expect("slots", live + self.free.len(), self.entries.len());
        expect("symbol places", self.by_symbol.len() + self.free_symbols.len(), self.symbols.len());
        expect("partition members", self.partitions.values().map(|partition| partition.slots.len()).sum(), live);
        expect("key bytes", self.key_bytes, entries().map(|entry| entry.key.len()).sum());
        expect("running", self.running, entries().filter(|entry| entry.status == Status::Running).count());
        expect("triggers", self.triggers, entries().map(|entry| entry.arming.triggers()).sum());
        expect(
            "falls",
            self.symbols.iter().map(|book| book.falls.len()).sum(),
            entries().filter(|entry| entry.arming.fall.is_some()).count(),
        );
        expect(
            "rises",
            self.symbols.iter().map(|book| book.rises.len()).sum(),
            entries().filter(|entry| entry.arming.rise.is_some()).count(),
        );
        let times = entries().map(|entry| times(entry).count()).sum();
        expect("times", self.partitions.values().map(|partition| partition.due.len()).sum(), times);
        expect("users", self.by_user.values().map(BTreeSet::len).sum(), live);
        expect("symbol members", self.symbols.iter().map(|book| book.slots.len()).sum(), live);
        wrong
    }
}
