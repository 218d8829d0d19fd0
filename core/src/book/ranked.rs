//! Slots in the order of a rank: a level costs little more than the twelve bytes of its price and its slot.
//!
//! They lie in sorted blocks, ranks and slots apart, so that a search touches few cache lines and no strategy. Members
//! of something have no rank: `()`, which takes no room.

use super::Slot;

/// Where a slot stands: by rank, equal ranks by slot.
pub(super) type Place<R> = (R, Slot);

/// Most slots in one block; few in tests, so that blocks are made and joined all the time.
const BLOCK: usize = if cfg!(test) { 8 } else { 256 };
/// Slots in a block of a set that is made at once: some will be added.
const BLOCK_FILLED: usize = BLOCK * 7 / 8;
/// Neighbours that hold no more than this together become one block.
const BLOCK_MERGED: usize = BLOCK / 2;
/// A block grows by so many slots at a time, at least and at most: doubling would leave a quarter of the memory empty.
const GROWTH: (usize, usize) = (4, 32);

#[derive(Debug)]
struct Block<R> {
    first: Place<R>,
    ranks: Vec<R>,
    slots: Vec<Slot>,
}

impl<R: Copy + Ord> Block<R> {
    fn with_capacity(first: Place<R>, capacity: usize) -> Self {
        Self { first, ranks: Vec::with_capacity(capacity), slots: Vec::with_capacity(capacity) }
    }

    const fn len(&self) -> usize {
        self.slots.len()
    }

    const fn room(&self) -> usize {
        self.slots.capacity()
    }

    fn places(&self) -> impl Iterator<Item = Place<R>> + '_ {
        self.ranks.iter().copied().zip(self.slots.iter().copied())
    }

    /// Where a place is, or would be.
    fn position(&self, (rank, slot): Place<R>) -> usize {
        let first = self.ranks.partition_point(|other| *other < rank);
        let equal = self.ranks[first..].partition_point(|other| *other == rank);
        first + self.slots[first..first + equal].partition_point(|other| *other < slot)
    }

    fn reserve(&mut self, more: usize) {
        self.ranks.reserve_exact(more);
        self.slots.reserve_exact(more);
    }

    fn insert(&mut self, at: usize, place: Place<R>) {
        if self.len() == self.room() {
            self.reserve(self.room().clamp(GROWTH.0, GROWTH.1).min(BLOCK - self.room()));
        }
        self.ranks.insert(at, place.0);
        self.slots.insert(at, place.1);
        self.first = self.first.min(place);
    }

    /// What stands from an index on.
    fn split_off(&mut self, at: usize) -> (Vec<R>, Vec<Slot>) {
        let rest = (self.ranks.split_off(at), self.slots.split_off(at));
        self.ranks.shrink_to_fit();
        self.slots.shrink_to_fit();
        rest
    }
}

/// An ordered set of slots.
#[derive(Debug)]
pub(super) struct Ranked<R> {
    blocks: Vec<Block<R>>,
    len: usize,
    /// Slots that the blocks have room for.
    room: usize,
}

impl<R> Default for Ranked<R> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0, room: 0 }
    }
}

impl<R: Copy + Ord> Ranked<R> {
    /// Takes places that are in order already.
    pub(super) fn from_sorted(places: impl ExactSizeIterator<Item = Place<R>>) -> Self {
        let len = places.len();
        let mut blocks: Vec<Block<R>> = Vec::with_capacity(len.div_ceil(BLOCK_FILLED));
        for (index, place) in places.enumerate() {
            if index % BLOCK_FILLED == 0 {
                blocks.push(Block::with_capacity(place, BLOCK_FILLED.min(len - index)));
            }
            if let Some(block) = blocks.last_mut() {
                block.ranks.push(place.0);
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
    pub(super) fn first(&self) -> Option<Place<R>> {
        self.blocks.first().map(|block| block.first)
    }

    /// Bytes on the heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.room * (size_of::<Slot>() + size_of::<R>()) + self.blocks.capacity() * size_of::<Block<R>>()
    }

    /// All places from one on, in order.
    pub(super) fn from(&self, place: Place<R>) -> impl Iterator<Item = Place<R>> + '_ {
        let blocks = self.blocks.get(self.block_of(place)..).unwrap_or_default();
        let skipped = blocks.first().map_or(0, |block| block.position(place));
        blocks.iter().flat_map(Block::places).skip(skipped)
    }

    /// Slots of the ranks up to one, in order.
    pub(super) fn up_to(&self, rank: R) -> impl Iterator<Item = Slot> + '_ {
        self.iter().take_while(move |(other, _)| *other <= rank).map(|(_, slot)| slot)
    }

    /// Every place, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Place<R>> + '_ {
        self.blocks.iter().flat_map(Block::places)
    }

    /// Takes the slots of the ranks up to one out of the set, block by block.
    pub(super) fn take_up_to(&mut self, rank: R) -> Self {
        let whole = self.blocks.partition_point(|block| block.ranks.last().is_none_or(|last| *last <= rank));
        let mut rest = self.blocks.split_off(whole);
        let mut taken = std::mem::take(&mut self.blocks);
        if let Some(block) = rest.first_mut() {
            let at = block.ranks.partition_point(|other| *other <= rank);
            if let (true, Some(next)) = (at > 0, block.ranks.get(at).copied().zip(block.slots.get(at).copied())) {
                let (ranks, slots) = block.split_off(at);
                taken.push(std::mem::replace(block, Block { first: next, ranks, slots }));
            }
        }
        *self = Self::of_blocks(rest);
        Self::of_blocks(taken)
    }

    fn of_blocks(blocks: Vec<Block<R>>) -> Self {
        let (len, room) = blocks.iter().fold((0, 0), |(len, room), block| (len + block.len(), room + block.room()));
        Self { blocks, len, room }
    }

    /// Takes over the slots of another set, by adding the smaller to the larger.
    pub(super) fn absorb(&mut self, mut other: Self) {
        if other.len > self.len {
            std::mem::swap(self, &mut other);
        }
        other.iter().for_each(|place| self.insert(place));
    }

    /// Adds a slot that is not in the set.
    pub(super) fn insert(&mut self, place: Place<R>) {
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.reserve_exact(1);
            self.blocks.push(Block::with_capacity(place, 0));
        }
        let mut index = self.block_of(place);
        if self.blocks[index].len() == BLOCK {
            index = self.split(index, place);
        }
        let block = &mut self.blocks[index];
        let before = block.room();
        block.insert(block.position(place), place);
        self.room += block.room() - before;
    }

    /// Removes a slot from its place. Answers whether it was there.
    pub(super) fn remove(&mut self, place: Place<R>) -> bool {
        let index = self.block_of(place);
        let Some(block) = self.blocks.get_mut(index) else { return false };
        let at = block.position(place);
        if (block.ranks.get(at), block.slots.get(at)) != (Some(&place.0), Some(&place.1)) {
            return false;
        }
        block.ranks.remove(at);
        block.slots.remove(at);
        self.len -= 1;
        if let (0, Some(rank), Some(slot)) = (at, block.ranks.first(), block.slots.first()) {
            block.first = (*rank, *slot);
        }
        self.shrink(index);
        true
    }

    /// Whether it is what it claims to be, for the audit.
    pub(super) fn is_sound(&self) -> bool {
        let firsts = self.blocks.iter().all(|block| block.places().next() == Some(block.first));
        let room: usize = self.blocks.iter().map(Block::room).sum();
        firsts && self.iter().is_sorted_by(|a, b| a < b) && self.iter().count() == self.len && room == self.room
    }

    /// The block in which a place stands, or would.
    fn block_of(&self, place: Place<R>) -> usize {
        self.blocks.partition_point(|block| block.first <= place).saturating_sub(1)
    }

    /// Halves a full block. Answers the half in which `place` belongs. What grows at its end leaves full blocks behind.
    fn split(&mut self, index: usize, place: Place<R>) -> usize {
        let block = &mut self.blocks[index];
        let before = block.room();
        let at = if block.position(place) == BLOCK { BLOCK } else { BLOCK / 2 };
        let (ranks, slots) = block.split_off(at);
        let first = ranks.first().copied().zip(slots.first().copied()).unwrap_or(place);
        let next = Block { first, ranks, slots };
        self.room = self.room - before + block.room() + next.room();
        if self.blocks.len() == self.blocks.capacity() {
            // By an eighth, for the same reason as the blocks.
            self.blocks.reserve_exact((self.blocks.len() / 8).max(1));
        }
        self.blocks.insert(index + 1, next);
        index + usize::from(first <= place)
    }

    /// Lets a block go that is empty, or joins it with its neighbour where both are small.
    fn shrink(&mut self, index: usize) {
        let len = self.blocks[index].len();
        if len == 0 {
            self.room -= self.blocks.remove(index).room();
            return;
        }
        if len > BLOCK_MERGED / 2 {
            return;
        }
        let together = |left: usize| {
            let pair = self.blocks.get(left..left.checked_add(2)?)?;
            (pair[0].len() + pair[1].len() <= BLOCK_MERGED).then_some(left)
        };
        if let Some(left) = together(index).or_else(|| together(index.checked_sub(1)?)) {
            let right = self.blocks.remove(left + 1);
            let block = &mut self.blocks[left];
            let before = block.room() + right.room();
            block.reserve(right.len());
            block.ranks.extend_from_slice(&right.ranks);
            block.slots.extend_from_slice(&right.slots);
            self.room = self.room + block.room() - before;
        }
    }
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
            let mut model: BTreeSet<Place<i64>> = sorted.into_iter().map(|slot| (rank(slot), slot)).collect();
            let places: Vec<Place<i64>> = model.iter().copied().collect();
            let mut set = Ranked::from_sorted(places.into_iter());
            for (removes, slot) in steps {
                let place = (rank(slot), slot);
                if removes {
                    prop_assert_eq!(set.remove(place), model.remove(&place));
                } else if model.insert(place) {
                    set.insert(place);
                }
                prop_assert!(set.is_sound());
                prop_assert_eq!((set.len(), set.first()), (model.len(), model.first().copied()));
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            for rank in [-1, 2, 6] {
                let taken = set.take_up_to(rank);
                prop_assert!(taken.is_sound() && set.is_sound());
                prop_assert!(taken.iter().eq(model.iter().copied().filter(|place| place.0 <= rank)));
                prop_assert!(set.iter().eq(model.iter().copied().filter(|place| place.0 > rank)));
                set.absorb(taken);
                prop_assert!(set.is_sound() && set.iter().eq(model.iter().copied()));
            }
            for from in [(0, 0), (3, 100), (6, 399), (9, 0)] {
                prop_assert!(set.from(from).eq(model.range(from..).copied()));
            }
        }
    }

    #[test]
    fn what_grows_at_its_end_or_shrinks_from_its_start_wastes_no_room() {
        let mut set = Ranked::default();
        (0..1_000).for_each(|slot| set.insert(((), slot)));
        assert!(set.room <= 1_000 + GROWTH.1, "{}", set.room);
        (0..990).for_each(|slot| assert!(set.remove(((), slot))));
        assert!(set.room <= 10 + BLOCK, "{}", set.room);
    }
}
