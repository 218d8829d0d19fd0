//! The trailing stops of one side of a symbol. Everything is in heights: what is better for the side is higher.

use super::group::Group;
use super::stack::Stack;
use crate::book::Slot;
use crate::strategy::Distance;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A trailing stop that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) distance: Distance,
    pub(super) armed: bool,
    /// Height that it starts from.
    pub(super) reference: i64,
    /// Number of the first extreme that counts.
    pub(super) from: i64,
    /// The book's sequence number when it was armed as it is.
    pub(super) seq: u64,
}

/// What counts for a storm: what was armed by then, and the extremes by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) seq: u64,
    pub(super) fence: i64,
}

/// Stops that share a running extreme form a group; a new extreme makes one group of all that it overtakes, and looks
/// at none of their stops. In which group a stop is follows from where it begins and from the extremes, so it is
/// nowhere written down.
#[derive(Debug)]
pub(super) struct Track {
    stack: Stack,
    /// The group of the lowest extreme, apart from the others: a new extreme of a rising market is news to it alone, and
    /// costs no tree anything then.
    low: Option<(i64, Group)>,
    groups: BTreeMap<i64, Group>,
    /// The first level and the extreme of each of the others with anything armed, first to fire first.
    tops: BTreeSet<(Reverse<i64>, i64)>,
    followers: FxHashMap<Slot, Follower>,
    /// How many begin at each number; 0 until [`Track::settle`] has seen it.
    froms: BTreeMap<i64, u32>,
    idle: Vec<i64>,
    /// Open positions whose stop begins nowhere yet.
    anchorless: BTreeSet<Slot>,
    /// A higher price is news to somebody: the lowest extreme of any group.
    lowest: i64,
    /// A price at or below fires something: the highest level of any group.
    first: i64,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            stack: Stack::default(),
            low: None,
            groups: BTreeMap::new(),
            tops: BTreeSet::new(),
            followers: FxHashMap::default(),
            froms: BTreeMap::new(),
            idle: Vec::new(),
            anchorless: BTreeSet::new(),
            lowest: i64::MAX,
            first: i64::MIN,
        }
    }
}

impl Track {
    /// Follows a stop, or takes its change over.
    pub(super) fn put(&mut self, slot: Slot, follower: Follower) {
        self.remove(slot);
        *self.froms.entry(follower.from).or_default() += 1;
        self.followers.insert(slot, follower);
        self.place(slot, &follower);
    }

    /// Waits for somebody to say where a stop begins.
    pub(super) fn put_anchorless(&mut self, slot: Slot) {
        self.remove(slot);
        self.anchorless.insert(slot);
        self.look();
    }

    /// Forgets a stop; its extremes stay until [`Track::settle`], so that it can come back changed.
    pub(super) fn remove(&mut self, slot: Slot) {
        self.anchorless.remove(&slot);
        if let Some(follower) = self.followers.remove(&slot) {
            let extreme = self.best(follower.reference, follower.from);
            self.change(extreme, |group| group.remove(follower.distance, follower.armed, slot));
            if let Some(count) = self.froms.get_mut(&follower.from) {
                *count -= 1;
                if *count == 0 {
                    self.idle.push(follower.from);
                }
            }
        }
        self.look();
    }

    /// Drops the extremes that nobody needs any more; answers their numbers in `gone`.
    pub(super) fn settle(&mut self, gone: &mut Vec<i64>) {
        let idle = std::mem::take(&mut self.idle);
        let idle = idle.into_iter().filter(|from| self.froms.get(from) == Some(&0)).collect::<Vec<_>>();
        for from in &idle {
            self.froms.remove(from);
        }
        if self.followers.is_empty() {
            self.stack.clear(gone);
            return;
        }
        let froms = &self.froms;
        for from in idle {
            self.stack.drop_idle(from, |before, number| is_needed(froms, before, number), gone);
        }
    }

    fn place(&mut self, slot: Slot, follower: &Follower) {
        let extreme = self.best(follower.reference, follower.from);
        self.change(extreme, |group| group.insert(follower.distance, follower.armed, slot));
        self.look();
    }

    /// Changes the group of an extreme, which is there while anything is in it.
    fn change(&mut self, extreme: i64, body: impl FnOnce(&mut Group)) {
        match self.low.as_mut() {
            Some((low, group)) if *low == extreme => {
                body(group);
                if group.is_empty() {
                    self.low = self.take_lowest();
                }
            }
            Some((low, _)) if *low < extreme => self.change_other(extreme, body),
            _ => {
                let mut group = Group::default();
                body(&mut group);
                if !group.is_empty()
                    && let Some((low, other)) = self.low.replace((extreme, group))
                {
                    self.change_other(low, |group| *group = other);
                }
            }
        }
    }

    /// Takes the lowest group out of the trees.
    fn take_lowest(&mut self) -> Option<(i64, Group)> {
        let (extreme, group) = self.groups.pop_first()?;
        if let Some(top) = group.top(extreme) {
            self.tops.remove(&(Reverse(top), extreme));
        }
        Some((extreme, group))
    }

    fn change_other(&mut self, extreme: i64, body: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(extreme).or_default();
        let before = group.top(extreme);
        body(group);
        let after = group.top(extreme);
        if group.is_empty() {
            self.groups.remove(&extreme);
        }
        if before != after {
            before.map(|top| self.tops.remove(&(Reverse(top), extreme)));
            after.map(|top| self.tops.insert((Reverse(top), extreme)));
        }
    }

    fn look(&mut self) {
        let lowest = self.low.as_ref().map_or(i64::MAX, |(extreme, _)| *extreme);
        self.lowest = if self.anchorless.is_empty() { lowest } else { i64::MIN };
        let low = self.low.as_ref().and_then(|(extreme, group)| group.top(*extreme));
        self.first = self.tops.first().map(|(Reverse(top), _)| *top).max(low).unwrap_or(i64::MIN);
    }

    /// The best height of a stop that starts from `reference` and counts the extremes from a number on.
    pub(super) fn best(&self, reference: i64, from: i64) -> i64 {
        self.stack.best(from).map_or(reference, |extreme| extreme.max(reference))
    }

    /// As [`Track::best`], when a storm came; none where the stop began later.
    pub(super) fn best_until(&self, reference: i64, from: i64, fence: i64) -> Option<i64> {
        let extreme = self.stack.best_until(from, fence);
        (from <= fence).then(|| extreme.map_or(reference, |extreme| extreme.max(reference)))
    }

    /// Whether a height is news to anybody, or somebody waits for any.
    pub(super) const fn is_news(&self, height: i64) -> bool {
        height > self.lowest
    }

    /// Whether a height crosses a level.
    pub(super) const fn is_crossed(&self, height: i64) -> bool {
        height <= self.first
    }

    /// Takes a height over for every stop to which it is news. Answers the number under which it counts, if there is
    /// any; those of the extremes that count for nobody any more in `gone`.
    pub(super) fn raise(&mut self, height: i64, fences: &[i64], gone: &mut Vec<i64>) -> Option<i64> {
        let (_, mut raised) = self.low.take_if(|(extreme, _)| *extreme < height)?;
        while self.groups.first_key_value().is_some_and(|(extreme, _)| *extreme <= height) {
            if let Some((_, overtaken)) = self.take_lowest() {
                raised = raised.merged(overtaken);
            }
        }
        self.low = Some((height, raised));
        self.look();
        let number = self.number(fences);
        self.stack.push(number, height, fences, gone);
        Some(number)
    }

    /// The number of the next extreme: that of the last one, unless a stop began since.
    fn number(&self, fences: &[i64]) -> i64 {
        let fence = fences.iter().max().map_or(0, |fence| fence.saturating_add(1));
        self.newest().max(fence)
    }

    fn newest(&self) -> i64 {
        self.froms.last_key_value().map_or(0, |(from, _)| *from).max(self.stack.pushed())
    }

    /// The number at which a stop begins now.
    pub(super) fn start(&self, now_ms: i64, fences: &[i64]) -> i64 {
        now_ms.max(self.number(fences)).max(self.stack.pushed().saturating_add(1))
    }

    /// The number that a storm remembers: every later extreme has a higher one.
    pub(super) fn fence(&self) -> i64 {
        self.newest()
    }

    /// Slots whose level `height` crosses, first to fire first.
    pub(super) fn crossed(&self, height: i64, until: Option<Until>) -> impl Iterator<Item = Slot> + '_ {
        let low = self.low.as_ref();
        let mut low_waits = low.and_then(|(extreme, group)| Some((group.top(*extreme)?, *extreme, group)));
        let mut waiting = (self.first >= height).then(|| self.tops.iter().peekable());
        let mut open = BinaryHeap::new();
        let mut levels = Vec::new();
        let all = std::iter::from_fn(move || {
            // A group is looked into when its first level is the next one.
            let next = |open: &BinaryHeap<(i64, Reverse<Slot>, usize)>, top: i64| {
                top >= height && open.peek().is_none_or(|(level, ..)| *level <= top)
            };
            let waiting = waiting.as_mut()?;
            loop {
                let low = low_waits.take_if(|(top, ..)| next(&open, *top)).map(|(_, extreme, group)| (extreme, group));
                let mut other = || waiting.next_if(|(Reverse(top), _)| next(&open, *top));
                let other = || other().and_then(|(_, extreme)| Some((*extreme, self.groups.get(extreme)?)));
                let Some((extreme, group)) = low.or_else(other) else { break };
                let mut group = group.levels(extreme);
                let (level, slot) = group.next()?;
                open.push((level, Reverse(slot), levels.len()));
                levels.push(group);
            }
            let (_, Reverse(slot), group) = open.pop()?;
            if let Some((level, next)) = levels[group].next().filter(|(level, _)| *level >= height) {
                open.push((level, Reverse(next), group));
            }
            Some(slot)
        });
        all.filter(move |slot| until.is_none_or(|until| self.was_crossed(*slot, height, until)))
    }

    /// Whether a storm crossed a stop, with the extremes of then.
    fn was_crossed(&self, slot: Slot, height: i64, until: Until) -> bool {
        self.followers.get(&slot).filter(|follower| follower.seq <= until.seq).is_some_and(|follower| {
            let best = self.best_until(follower.reference, follower.from, until.fence);
            best.is_some_and(|best| follower.distance.below(best) >= height)
        })
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Follower> {
        self.followers.get(&slot)
    }

    pub(super) fn anchorless(&self) -> &BTreeSet<Slot> {
        &self.anchorless
    }

    /// Forgets what only storms that are over needed.
    pub(super) fn release(&mut self, fences: &[i64], gone: &mut Vec<i64>) {
        self.stack.release(fences, gone);
    }

    /// Takes the extremes for what the key says; `entries` in the order of their numbers.
    pub(super) fn load(&mut self, entries: &[(i64, i64)], fences: &[i64], gone: &mut Vec<i64>) {
        self.stack = Stack::default();
        for (number, extreme) in entries {
            self.stack.push(*number, *extreme, fences, gone);
        }
        self.low = None;
        self.groups.clear();
        self.tops.clear();
        for (slot, follower) in std::mem::take(&mut self.followers) {
            self.place(slot, &follower);
            self.followers.insert(slot, follower);
        }
        self.look();
        if self.followers.is_empty() {
            self.stack.clear(gone);
        }
        let numbers = self.stack.entries().map(|(number, _)| number).collect::<BTreeSet<_>>();
        let froms = &self.froms;
        for number in numbers {
            self.stack.drop_idle(number, |before, number| is_needed(froms, before, number), gone);
        }
    }

    /// Numbers and heights of the extremes.
    pub(super) fn extremes(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.stack.entries()
    }

    pub(super) fn has_extreme(&self, number: i64) -> bool {
        self.stack.contains(number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.followers.is_empty() && self.anchorless.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.followers.len()
    }

    /// Bytes on the heap, estimated: a B-tree node of 11 places is about two thirds full.
    pub(super) fn heap_bytes(&self) -> usize {
        let tree = |entries: usize, size: usize| entries * size * 3 / 2;
        self.followers.capacity() * (size_of::<(Slot, Follower)>() + 1)
            + tree(self.followers.len(), size_of::<(i64, Slot)>())
            + tree(self.froms.len() + self.stack.len() + self.tops.len(), size_of::<(i64, i64)>())
            + tree(self.groups.len(), size_of::<(i64, Group)>())
    }

    /// What is wrong with it, for tests and `DEBUG VERIFY`.
    pub(super) fn inconsistencies(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut fresh = Self::default();
        fresh.stack.clone_from_entries(&self.stack);
        for (slot, follower) in &self.followers {
            fresh.put(*slot, *follower);
        }
        for slot in &self.anchorless {
            fresh.put_anchorless(*slot);
        }
        let shape = |track: &Self| {
            let low = track.low.iter().map(|(extreme, group)| (extreme, group));
            let groups =
                low.chain(&track.groups).map(|(extreme, group)| (*extreme, group.members())).collect::<Vec<_>>();
            (groups, track.tops.clone(), track.froms.clone(), track.lowest, track.first)
        };
        if shape(self) != shape(&fresh) {
            wrong.push(format!("trails: {:?}, derived anew {:?}", shape(self), shape(&fresh)));
        }
        wrong.extend(self.stack.inconsistencies());
        wrong
    }
}

/// Whether anybody begins behind `before` and not behind `number`.
fn is_needed(froms: &BTreeMap<i64, u32>, before: i64, number: i64) -> bool {
    before < number && froms.range(before + 1..=number).next().is_some()
}
