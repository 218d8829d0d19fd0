//! The entries by slot, in chunks: a book that grows moves none of them, and stays on time.

use super::Slot;
use super::entry::Entry;

/// Entries per chunk.
const CHUNK: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Box<[Option<Entry>]>>,
    /// Slots below the highest that hold nothing.
    free: Vec<Slot>,
    /// Slots handed out so far.
    used: usize,
    /// Bytes that the entries hold beyond themselves.
    beyond: usize,
}

impl Slab {
    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?.as_mut()
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Slot {
        self.beyond += entry.heap_bytes();
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.used == self.chunks.len() * CHUNK {
                self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
            }
            self.used += 1;
            Slot::try_from(self.used - 1).unwrap_or(Slot::MAX)
        });
        self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] = Some(entry);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(entry) = self.chunks[slot as usize / CHUNK][slot as usize % CHUNK].take() {
            self.beyond -= entry.heap_bytes();
            self.free.push(slot);
        }
    }

    /// Every entry with its slot, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let all = self.chunks.iter().flatten();
        (0..).zip(all).filter_map(|(slot, entry)| entry.as_ref().map(|entry| (slot, entry)))
    }

    /// Number of entries.
    pub(super) const fn len(&self) -> usize {
        self.used - self.free.len()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.beyond
            + self.chunks.len() * CHUNK * size_of::<Option<Entry>>()
            + self.chunks.capacity() * size_of::<Box<[Option<Entry>]>>()
            + self.free.capacity() * size_of::<Slot>()
    }
}
