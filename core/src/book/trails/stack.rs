//! The running extremes of one direction of a symbol, as far as somebody's trailing stop needs them.

use std::collections::BTreeMap;

/// Extremes by number, in heights: a later one is lower, or the earlier would count for nobody. A stop that begins at a
/// number has the first extreme from there on as its best price.
///
/// Numbers never fall. A stop begins at a number above that of the last extreme, unless nothing was pushed under the
/// last number that was given out; so extremes between which nobody began share a number, and the later one stands.
#[derive(Debug, Default)]
pub(super) struct Stack {
    extremes: BTreeMap<i64, i64>,
    /// Extremes that were overtaken while a storm waits that saw them, by the number at which the storm came; each with
    /// the number that overtook it.
    kept: BTreeMap<i64, BTreeMap<i64, (i64, i64)>>,
    /// The highest number of any extreme so far.
    pushed: i64,
}

impl Stack {
    /// The highest extreme from a number on.
    pub(super) fn best(&self, from: i64) -> Option<i64> {
        self.extremes.range(from..).next().map(|(_, extreme)| *extreme)
    }

    /// The highest extreme from a number on until a storm came.
    pub(super) fn best_until(&self, from: i64, fence: i64) -> Option<i64> {
        if from > fence {
            return None;
        }
        let kept = self.kept.range(..=fence).filter_map(|(_, extremes)| extremes.range(from..=fence).next());
        let kept = kept.map(|(_, (extreme, _))| *extreme).max();
        kept.max(self.extremes.range(from..=fence).next().map(|(_, extreme)| *extreme))
    }

    /// The highest number so far.
    pub(super) const fn pushed(&self) -> i64 {
        self.pushed
    }

    /// Adds an extreme; `number` is not below any other. Answers the numbers of those that count for nobody any more,
    /// in `gone`. What a storm behind one of the `fences` saw is kept.
    pub(super) fn push(&mut self, number: i64, extreme: i64, fences: &[i64], gone: &mut Vec<i64>) {
        // The usual case by far: the last extreme goes on rising, and overtakes no other.
        if number == self.pushed {
            let mut last = self.extremes.iter_mut().rev();
            if let Some((_, old)) = last.next().filter(|(last, _)| **last == number)
                && last.next().is_none_or(|(_, before)| *before > extreme)
            {
                *old = extreme.max(*old);
                return;
            }
        }
        while let Some(last) = self.extremes.last_entry().filter(|last| *last.get() <= extreme) {
            let (old, height) = last.remove_entry();
            match fences.iter().filter(|fence| (old..number).contains(*fence)).min() {
                Some(fence) => drop(self.kept.entry(*fence).or_default().insert(old, (height, number))),
                None if old != number => gone.push(old),
                None => {}
            }
        }
        // A copy that is merged with another may say less.
        self.extremes.entry(number).and_modify(|old| *old = extreme.max(*old)).or_insert(extreme);
        self.pushed = self.pushed.max(number);
    }

    /// Drops the extreme that counts for those who begin at `from`, if `is_needed` says of its numbers that nobody else
    /// needs it.
    pub(super) fn drop_idle(&mut self, from: i64, is_needed: impl Fn(i64, i64) -> bool, gone: &mut Vec<i64>) {
        let Some((number, _)) = self.extremes.range(from..).next().map(|(number, extreme)| (*number, *extreme)) else {
            return;
        };
        let before = self.extremes.range(..number).next_back().map_or(i64::MIN, |(number, _)| *number);
        if !is_needed(before, number) {
            self.extremes.remove(&number);
            gone.push(number);
        }
    }

    /// Forgets what only storms that are over needed.
    pub(super) fn release(&mut self, fences: &[i64], gone: &mut Vec<i64>) {
        if self.kept.keys().all(|fence| fences.contains(fence)) {
            return;
        }
        let kept = std::mem::take(&mut self.kept).into_values().flatten();
        for (number, (extreme, by)) in kept {
            // A later storm may have seen it as well.
            match fences.iter().filter(|fence| (number..by).contains(*fence)).min() {
                Some(fence) => drop(self.kept.entry(*fence).or_default().insert(number, (extreme, by))),
                None => gone.push(number),
            }
        }
    }

    /// Forgets every extreme, but not how far the numbers have come.
    pub(super) fn clear(&mut self, gone: &mut Vec<i64>) {
        gone.extend(std::mem::take(&mut self.extremes).into_keys());
        self.release(&[], gone);
    }

    /// Numbers and heights, kept ones too.
    pub(super) fn entries(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let kept = self.kept.values().flatten().map(|(number, (extreme, _))| (*number, *extreme));
        self.extremes.iter().map(|(number, extreme)| (*number, *extreme)).chain(kept)
    }

    pub(super) fn contains(&self, number: i64) -> bool {
        self.extremes.contains_key(&number) || self.kept.values().any(|kept| kept.contains_key(&number))
    }

    /// Takes the extremes of another, for a comparison.
    pub(super) fn clone_from_entries(&mut self, other: &Self) {
        self.extremes.clone_from(&other.extremes);
        self.pushed = other.pushed;
    }

    /// What is wrong with it.
    pub(super) fn inconsistencies(&self) -> Vec<String> {
        let kept = |extremes: &BTreeMap<i64, (i64, i64)>| extremes.values().is_sorted_by(|(a, _), (b, _)| a > b);
        let sound = self.extremes.values().is_sorted_by(|a, b| a > b) && self.kept.values().all(kept);
        let counted = self.extremes.last_key_value().is_none_or(|(number, _)| *number <= self.pushed);
        if sound && counted { Vec::new() } else { vec![format!("trails: extremes do not fall: {self:?}")] }
    }

    pub(super) fn len(&self) -> usize {
        self.extremes.len() + self.kept.values().map(BTreeMap::len).sum::<usize>()
    }
}
