//! Things with a name, by a number that is short enough to stand in every entry.

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

#[derive(Debug)]
pub(super) struct Interned<T> {
    items: Vec<(Box<str>, T)>,
    by_name: HashTable<u32>,
    /// Numbers whose thing is gone. Dated symbols of options come and go for ever: their places are used again.
    free: Vec<u32>,
    name_bytes: usize,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { items: Vec::new(), by_name: HashTable::new(), free: Vec::new(), name_bytes: 0 }
    }
}

fn hash(name: &[u8]) -> u64 {
    FxBuildHasher.hash_one(name)
}

impl<T: Default> Interned<T> {
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.find_bytes(name.as_bytes())
    }

    /// As [`Interned::find`], of bytes that need not be text.
    pub(super) fn find_bytes(&self, name: &[u8]) -> Option<u32> {
        self.by_name.find(hash(name), |index| self.items[*index as usize].0.as_bytes() == name).copied()
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.find(name).map(|index| self.at(index))
    }

    /// The number of a name that is in use.
    pub(super) fn at(&self, index: u32) -> &T {
        &self.items[index as usize].1
    }

    pub(super) fn at_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize].1
    }

    /// As [`Interned::at_mut`], of a number that may not be in use any more.
    pub(super) fn get_index_mut(&mut self, index: u32) -> Option<&mut T> {
        self.items.get_mut(index as usize).map(|(_, item)| item)
    }

    pub(super) fn name(&self, index: u32) -> &str {
        &self.items[index as usize].0
    }

    /// The number of a name, which begins to be in use.
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        if let Some(index) = self.find(name) {
            return index;
        }
        self.name_bytes += name.len();
        let item = (name.into(), T::default());
        let index = match self.free.pop() {
            Some(index) => {
                self.items[index as usize] = item;
                index
            }
            None => {
                self.items.push(item);
                u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_name
            .insert_unique(hash(name.as_bytes()), index, |index| hash(self.items[*index as usize].0.as_bytes()));
        index
    }

    /// Forgets the name behind a number, and the thing.
    pub(super) fn remove(&mut self, index: u32) {
        let name = hash(self.name(index).as_bytes());
        if let Ok(found) = self.by_name.find_entry(name, |other| *other == index) {
            found.remove();
            let (name, _) = std::mem::take(&mut self.items[index as usize]);
            self.name_bytes -= name.len();
            self.free.push(index);
        }
    }

    /// Forgets what is not wanted any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        let gone: Vec<u32> = self.by_name.iter().copied().filter(|index| !wanted(self.at(*index))).collect();
        gone.into_iter().for_each(|index| self.remove(index));
    }

    /// Names and things in use, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.by_name.iter().map(|index| &self.items[*index as usize]).map(|(name, item)| (name.as_ref(), item))
    }

    /// Every thing.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().map(|(_, item)| item)
    }

    /// Bytes on the heap, without what the things hold.
    pub(super) fn heap_bytes(&self) -> usize {
        self.name_bytes
            + self.items.capacity() * size_of::<(Box<str>, T)>()
            + self.by_name.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Whether every number is either in use or free.
    pub(super) fn is_complete(&self) -> bool {
        self.by_name.len() + self.free.len() == self.items.len()
    }
}
