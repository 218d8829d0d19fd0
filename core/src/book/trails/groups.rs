//! Trailing stops that share a best price, together: a new best moves them all at once.

use super::super::Slot;
use super::super::ranked::Ranked;
use crate::strategy::Offset;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The stops behind one best price, the nearest first.
#[derive(Debug, Default)]
struct Group {
    absolute: Ranked<i64>,
    percent: Ranked<i64>,
}

impl Group {
    fn kind(&mut self, offset: Offset) -> &mut Ranked<i64> {
        match offset {
            Offset::Absolute(_) => &mut self.absolute,
            Offset::Percent(_) => &mut self.percent,
        }
    }

    /// The stop that fires first, as a gain; `i64::MIN` where none does.
    fn nearest_stop(&self, best: i64) -> i64 {
        let absolute = self.absolute.first().map(|(units, _)| Offset::Absolute(units).behind(best));
        let percent = self.percent.first().map(|(units, _)| Offset::Percent(units).behind(best));
        absolute.into_iter().chain(percent).max().unwrap_or(i64::MIN)
    }

    const fn len(&self) -> usize {
        self.absolute.len() + self.percent.len()
    }

    fn crossed(&self, best: i64, gain: i64) -> impl Iterator<Item = Slot> + '_ {
        let (absolute, percent) = reached(best, gain);
        let up_to = |stops, most: Option<i64>| most.map(|most| Ranked::up_to(stops, most)).into_iter().flatten();
        up_to(&self.absolute, absolute).chain(up_to(&self.percent, percent))
    }

    fn take_crossed(&mut self, best: i64, gain: i64) -> Self {
        let (absolute, percent) = reached(best, gain);
        let take = |stops: &mut Ranked<i64>, most: Option<i64>| most.map(|most| stops.take_up_to(most));
        Self {
            absolute: take(&mut self.absolute, absolute).unwrap_or_default(),
            percent: take(&mut self.percent, percent).unwrap_or_default(),
        }
    }

    /// Costs as much as the smaller of the two: a stop changes its group so at most as often as its group doubles.
    fn absorb(&mut self, other: Self) {
        self.absolute.absorb(other.absolute);
        self.percent.absorb(other.percent);
    }
}

/// The largest offsets, absolute and in percent, that a price reaches from a best one.
fn reached(best: i64, gain: i64) -> (Option<i64>, Option<i64>) {
    if best == i64::MIN {
        return (None, None);
    }
    (Offset::Absolute(0).reached(best, gain), Offset::Percent(0).reached(best, gain))
}

/// The groups of one side of a symbol.
#[derive(Debug, Default)]
pub(in crate::book) struct Groups {
    by_best: BTreeMap<i64, Group>,
    /// Stop that fires first and best price of each group, the nearest first.
    by_stop: BTreeSet<(Reverse<i64>, i64)>,
}

impl Groups {
    /// Changes the group of a best price, and its place among the others.
    fn change<T>(&mut self, best: i64, change: impl FnOnce(&mut Group) -> T) -> T {
        let group = self.by_best.entry(best).or_default();
        let before = group.nearest_stop(best);
        let (known, changed) = (group.len() > 0, change(group));
        let (after, empty) = (group.nearest_stop(best), group.len() == 0);
        if known && (before != after || empty) {
            self.by_stop.remove(&(Reverse(before), best));
        }
        if empty {
            self.by_best.remove(&best);
        } else if !known || before != after {
            self.by_stop.insert((Reverse(after), best));
        }
        changed
    }

    pub(in crate::book) fn insert(&mut self, best: i64, offset: Offset, slot: Slot) {
        self.change(best, |group| group.kind(offset).insert((offset.units(), slot)));
    }

    pub(in crate::book) fn contains(&self, best: i64, offset: Offset, slot: Slot) -> bool {
        let stops = self.by_best.get(&best).map(|group| match offset {
            Offset::Absolute(_) => &group.absolute,
            Offset::Percent(_) => &group.percent,
        });
        let place = (offset.units(), slot);
        stops.is_some_and(|stops| stops.from(place).next() == Some(place))
    }

    /// Answers whether it was there.
    pub(in crate::book) fn remove(&mut self, best: i64, offset: Offset, slot: Slot) -> bool {
        self.by_best.contains_key(&best) && self.change(best, |group| group.kind(offset).remove((offset.units(), slot)))
    }

    /// A new best price: the groups behind it become one.
    pub(in crate::book) fn raise(&mut self, gain: i64) {
        let mut raised: Option<Group> = None;
        while let Some(first) = self.by_best.first_entry().filter(|first| *first.key() < gain) {
            let (best, group) = first.remove_entry();
            self.by_stop.remove(&(Reverse(group.nearest_stop(best)), best));
            match &mut raised {
                Some(raised) => raised.absorb(group),
                None => raised = Some(group),
            }
        }
        if let Some(raised) = raised {
            self.change(gain, |group| group.absorb(raised));
        }
    }

    /// Whether a price crosses a stop: it is enough to look at the nearest.
    pub(in crate::book) fn is_crossed(&self, gain: i64) -> bool {
        self.by_stop.first().is_some_and(|(Reverse(stop), _)| gain <= *stop)
    }

    /// What a price crosses, the groups with the nearest stop first.
    pub(in crate::book) fn crossed(&self, gain: i64) -> impl Iterator<Item = Slot> + '_ {
        let groups = self.by_stop.iter().take_while(move |(Reverse(stop), _)| gain <= *stop);
        groups.flat_map(move |(_, best)| {
            self.by_best.get(best).map(|group| group.crossed(*best, gain)).into_iter().flatten()
        })
    }

    /// Takes what a price crosses out of the groups, by whole blocks of stops.
    pub(in crate::book) fn take_crossed(&mut self, gain: i64) -> Self {
        let mut taken = Self::default();
        while let Some((Reverse(stop), best)) = self.by_stop.first().copied().filter(|_| self.is_crossed(gain)) {
            debug_assert!(stop >= gain);
            let crossed = self.change(best, |group| group.take_crossed(best, gain));
            taken.change(best, |group| group.absorb(crossed));
        }
        taken
    }

    /// Takes over what others hold.
    pub(in crate::book) fn absorb(&mut self, other: Self) {
        for (best, group) in other.by_best {
            self.change(best, |own| own.absorb(group));
        }
    }

    /// Every stop.
    pub(in crate::book) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let stops = self.by_best.values().flat_map(|group| [&group.absolute, &group.percent]);
        stops.flat_map(|stops| stops.iter().map(|(_, slot)| slot))
    }

    pub(in crate::book) fn len(&self) -> usize {
        self.by_best.values().map(Group::len).sum()
    }

    pub(in crate::book) fn is_empty(&self) -> bool {
        self.by_best.is_empty()
    }

    pub(in crate::book) fn heap_bytes(&self) -> usize {
        // A B-tree's node is about two thirds full.
        let nodes = self.by_best.len() * (size_of::<(i64, Group)>() + size_of::<(i64, i64)>()) * 3 / 2;
        let stops = self.by_best.values().map(|group| group.absolute.heap_bytes() + group.percent.heap_bytes());
        nodes + stops.sum::<usize>()
    }

    /// Whether each group stands where its nearest stop belongs.
    pub(in crate::book) fn is_sound(&self) -> bool {
        let places = self.by_best.iter().map(|(best, group)| (Reverse(group.nearest_stop(*best)), *best));
        let expected: BTreeSet<_> = places.collect();
        let sound = |group: &Group| group.len() > 0 && group.absolute.is_sound() && group.percent.is_sound();
        expected == self.by_stop && self.by_best.values().all(sound)
    }
}
