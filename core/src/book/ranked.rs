//! Slots in the order of a rank that is kept elsewhere: a level costs little more than the four bytes of its slot.
//!
//! The slots lie in sorted blocks. Beside each block stands its first place, so that a search looks up ranks within
//! one block only. Whoever asks says what the rank of a slot is; it must not change while the slot is in the set.

use super::Slot;

/// Where a slot stands: by rank, equal ranks by slot.
pub(super) type Place = (i64, Slot);

/// Most slots in one block; few in tests, so that blocks are made and joined all the time.
const BLOCK: usize = if cfg!(test) { 8 } else { 256 };
/// Slots in a block of a set that is made at once: some will be added.
const BLOCK_FILLED: usize = BLOCK * 7 / 8;
/// Neighbours that hold no more than this together become one block.
const BLOCK_MERGED: usize = BLOCK / 2;
/// A block grows by so many slots at a time, at least and at most: doubling would leave a quarter of the memory empty.
const GROWTH: (usize, usize) = (4, 32);

#[derive(Debug)]
struct Block {
    first: Place,
    slots: Vec<Slot>,
}

/// An ordered set of slots.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    blocks: Vec<Block>,
    len: usize,
    /// Slots that the blocks have room for.
    room: usize,
}

impl Ranked {
    /// Takes places that are in order already.
    pub(super) fn from_sorted(places: impl ExactSizeIterator<Item = Place>) -> Self {
        let len = places.len();
        let mut blocks: Vec<Block> = Vec::with_capacity(len.div_ceil(BLOCK_FILLED));
        for (index, place) in places.enumerate() {
            if index % BLOCK_FILLED == 0 {
                blocks.push(Block { first: place, slots: Vec::with_capacity(BLOCK_FILLED.min(len - index)) });
            }
            if let Some(block) = blocks.last_mut() {
                block.slots.push(place.1);
            }
        }
        Self { blocks, len, room: len }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first place.
    pub(super) fn first(&self) -> Option<Place> {
        self.blocks.first().map(|block| block.first)
    }

    /// Bytes on the heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.room * size_of::<Slot>() + self.blocks.capacity() * size_of::<Block>()
    }

    /// All slots from a place on, in order.
    pub(super) fn from(&self, place: Place, rank: impl Fn(Slot) -> i64) -> impl Iterator<Item = Slot> + '_ {
        let index = self.block_of(place);
        let blocks = self.blocks.get(index..).unwrap_or_default();
        let skipped = blocks.first().map_or(0, |block| position(block, place, rank));
        blocks.iter().flat_map(|block| &block.slots).skip(skipped).copied()
    }

    /// Every slot, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.blocks.iter().flat_map(|block| &block.slots).copied()
    }

    /// Adds a slot that is not in the set.
    pub(super) fn insert(&mut self, place: Place, rank: impl Fn(Slot) -> i64) {
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.reserve_exact(1);
            self.blocks.push(Block { first: place, slots: Vec::new() });
        }
        let mut index = self.block_of(place);
        if self.blocks[index].slots.len() == BLOCK {
            index = self.split(index, place, &rank);
        }
        let block = &mut self.blocks[index];
        let at = position(block, place, rank);
        let before = block.slots.capacity();
        if block.slots.len() == before {
            block.slots.reserve_exact(before.clamp(GROWTH.0, GROWTH.1).min(BLOCK - before));
        }
        block.slots.insert(at, place.1);
        block.first = block.first.min(place);
        self.room += block.slots.capacity() - before;
    }

    /// Removes a slot from its place. Answers whether it was there.
    pub(super) fn remove(&mut self, place: Place, rank: impl Fn(Slot) -> i64) -> bool {
        let index = self.block_of(place);
        let Some(block) = self.blocks.get_mut(index) else { return false };
        let at = position(block, place, &rank);
        if block.slots.get(at) != Some(&place.1) {
            return false;
        }
        block.slots.remove(at);
        self.len -= 1;
        if let Some(first) = block.slots.first().filter(|_| at == 0) {
            block.first = (rank(*first), *first);
        }
        self.shrink(index);
        true
    }

    /// Whether it is what it claims to be, for the audit.
    pub(super) fn is_sorted(&self, rank: impl Fn(Slot) -> i64) -> bool {
        let place = |slot: Slot| (rank(slot), slot);
        let firsts =
            self.blocks.iter().all(|block| block.slots.first().is_some_and(|slot| place(*slot) == block.first));
        let room: usize = self.blocks.iter().map(|block| block.slots.capacity()).sum();
        firsts
            && self.iter().map(place).is_sorted_by(|a, b| a < b)
            && self.iter().count() == self.len
            && room == self.room
    }

    /// The block in which a place stands, or would.
    fn block_of(&self, place: Place) -> usize {
        self.blocks.partition_point(|block| block.first <= place).saturating_sub(1)
    }

    /// Halves a full block. Answers the half in which `place` belongs. What grows at its end leaves full blocks behind.
    fn split(&mut self, index: usize, place: Place, rank: impl Fn(Slot) -> i64) -> usize {
        let block = &mut self.blocks[index];
        let before = block.slots.capacity();
        let at_end = position(block, place, &rank) == BLOCK;
        let slots = if at_end { Vec::new() } else { block.slots.split_off(BLOCK / 2) };
        block.slots.shrink_to_fit();
        let first = slots.first().map_or(place, |slot| (rank(*slot), *slot));
        self.room = self.room - before + block.slots.capacity() + slots.capacity();
        if self.blocks.len() == self.blocks.capacity() {
            // By an eighth, for the same reason as the blocks.
            self.blocks.reserve_exact((self.blocks.len() / 8).max(1));
        }
        self.blocks.insert(index + 1, Block { first, slots });
        index + usize::from(first <= place)
    }

    /// Lets a block go that is empty, or joins it with its neighbour where both are small.
    fn shrink(&mut self, index: usize) {
        let len = self.blocks[index].slots.len();
        if len == 0 {
            self.room -= self.blocks.remove(index).slots.capacity();
            return;
        }
        let together = |left: usize| {
            let pair = self.blocks.get(left..left.checked_add(2)?)?;
            (pair[0].slots.len() + pair[1].slots.len() <= BLOCK_MERGED).then_some(left)
        };
        if len > BLOCK_MERGED / 2 {
            return;
        }
        if let Some(left) = together(index).or_else(|| together(index.checked_sub(1)?)) {
            let right = self.blocks.remove(left + 1);
            let block = &mut self.blocks[left];
            let before = block.slots.capacity() + right.slots.capacity();
            block.slots.reserve_exact(right.slots.len());
            block.slots.extend_from_slice(&right.slots);
            self.room = self.room + block.slots.capacity() - before;
        }
    }
}

/// Where in a block a place is, or would be.
fn position(block: &Block, place: Place, rank: impl Fn(Slot) -> i64) -> usize {
    block.slots.partition_point(|slot| (rank(*slot), *slot) < place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    fn rank(slot: Slot) -> i64 {
        i64::from(slot % 7)
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(sorted in vec(0..400_u32, 0..90), steps in vec((any::<bool>(), 0..400_u32), 0..400)) {
            let mut model: BTreeSet<Place> = sorted.into_iter().map(|slot| (rank(slot), slot)).collect();
            let places: Vec<Place> = model.iter().copied().collect();
            let mut set = Ranked::from_sorted(places.into_iter());
            for (removes, slot) in steps {
                let place = (rank(slot), slot);
                if removes {
                    prop_assert_eq!(set.remove(place, rank), model.remove(&place));
                } else if model.insert(place) {
                    set.insert(place, rank);
                }
                prop_assert!(set.is_sorted(rank));
                prop_assert_eq!((set.len(), set.first()), (model.len(), model.first().copied()));
            }
            prop_assert!(set.iter().eq(model.iter().map(|(_, slot)| *slot)));
            for from in [(0, 0), (3, 100), (6, 399), (9, 0)] {
                prop_assert!(set.from(from, rank).eq(model.range(from..).map(|(_, slot)| *slot)));
            }
        }
    }

    #[test]
    fn what_grows_at_its_end_or_shrinks_from_its_start_wastes_no_room() {
        let mut set = Ranked::default();
        (0..1_000).for_each(|slot| set.insert((0, slot), |_| 0));
        assert!(set.room <= 1_000 + GROWTH.1, "{}", set.room);
        (0..990).for_each(|slot| assert!(set.remove((0, slot), |_| 0)));
        assert!(set.room <= 10 + BLOCK, "{}", set.room);
    }
}
