//! Trailing stops, beside the levels that stand still.
//!
//! The extremes are durable in `trail:{symbol}`, one field each; what is here follows that key and the hashes. Whoever
//! takes a price over here writes the extreme there, in the same command.

mod group;
mod stack;
mod track;

use super::Slot;
use crate::decimal::Price;
use crate::strategy::{Side, Trailing};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use track::{Follower, Track, Until};

/// A running extreme of a symbol: a field of `trail:{symbol}` and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extreme {
    /// Whose best price it is.
    pub side: Side,
    /// Stops that begin at this number or below count it.
    pub number: i64,
    /// The price.
    pub price: Price,
}

impl Extreme {
    /// `high:{number}` for longs, `low:{number}` for shorts.
    #[must_use]
    pub fn field(side: Side, number: i64) -> String {
        let mut field = String::new();
        Self::write_field(&mut field, side, number);
        field
    }

    /// As [`Extreme::field`], behind what the text holds.
    pub fn write_field(text: &mut String, side: Side, number: i64) {
        text.push_str(match side {
            Side::Long => "high:",
            Side::Short => "low:",
        });
        // Digit by digit: this runs with every tick of a rising market.
        let mut digits = [0_u8; 20];
        let (mut place, mut left) = (digits.len(), number.unsigned_abs());
        while place == digits.len() || left > 0 {
            place -= 1;
            digits[place] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        text.extend(digits[place..].iter().map(|digit| char::from(*digit)));
    }

    /// Reads a field and its value; `None` where it is none.
    #[must_use]
    pub fn parse(field: &[u8], value: &[u8]) -> Option<Self> {
        let (name, number) = std::str::from_utf8(field).ok()?.split_once(':')?;
        let side = match name {
            "high" => Side::Long,
            "low" => Side::Short,
            _ => return None,
        };
        let number = crate::field::parse_count(number.as_bytes())?;
        // Another spelling of the number is another field.
        let found = Self { side, number, price: Price::parse(value).ok()? };
        (Self::field(side, number).as_bytes() == field).then_some(found)
    }
}

/// What a price is to the trailing stops of its symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raised {
    /// The new extreme of longs and that of shorts.
    pub extremes: [Option<Extreme>; 2],
    /// There are stops that begin nowhere yet, see [`super::Book::anchorless`].
    pub anchorless: bool,
    /// There are extremes that nobody needs any more, see [`super::Book::take_stale_extremes`].
    pub stale: bool,
}

/// Fields of `trail:{symbol}` that are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sweep {
    /// No trailing stop of the symbol is left: the key goes.
    Key,
    /// Extremes that nobody needs any more.
    Fields(Vec<String>),
}

/// The trailing stops of a `{tag}symbol`.
#[derive(Debug, Default)]
struct Trails {
    long: Track,
    short: Track,
}

impl Trails {
    const fn track(&self, side: Side) -> &Track {
        match side {
            Side::Long => &self.long,
            Side::Short => &self.short,
        }
    }

    const fn track_mut(&mut self, side: Side) -> &mut Track {
        match side {
            Side::Long => &mut self.long,
            Side::Short => &mut self.short,
        }
    }
}

/// Where a trailing stop is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) symbol: Box<str>,
    pub(super) side: Side,
    pub(super) slot: Slot,
}

/// The trailing stops of a database.
#[derive(Debug, Default)]
pub(super) struct TrailBook {
    symbols: FxHashMap<Box<str>, Trails>,
    /// Numbers at which storms came that are not drained yet.
    fences: FxHashMap<Box<str>, Vec<i64>>,
    /// What is to go from the keys.
    stale: BTreeMap<Box<str>, Vec<(Side, i64)>>,
    /// Keys that somebody else wrote.
    dirty: FxHashSet<Box<str>>,
}

impl TrailBook {
    /// Where the strategy of a slot is followed.
    pub(super) fn place(&self, symbol: &str, slot: Slot) -> Option<Place> {
        let trails = self.symbols.get(symbol)?;
        let follows = |side: &&Side| {
            let track = trails.track(**side);
            track.get(slot).is_some() || track.anchorless().contains(&slot)
        };
        let side = *Side::ALL.iter().find(follows)?;
        Some(Place { symbol: symbol.into(), side, slot })
    }

    /// Takes a change over; answers whether the stop is armed otherwise than before. `seq` is the book's number for that.
    pub(super) fn put(&mut self, was: Option<Place>, now: Option<(Place, &Trailing)>, seq: u64) -> bool {
        let old = was.as_ref().and_then(|place| self.follower(place)).copied();
        let mut changed = false;
        let place = now.map(|(place, trailing)| {
            let track = self.symbols.entry(place.symbol.clone()).or_default().track_mut(place.side);
            match follower_of(trailing) {
                None => track.put_anchorless(place.slot),
                Some(follower) => {
                    let same = old.filter(|old| Follower { seq: old.seq, ..follower } == *old);
                    let same = same.filter(|_| {
                        was.as_ref().is_some_and(|was| was.symbol == place.symbol && was.side == place.side)
                    });
                    changed = same.is_none();
                    track.put(place.slot, Follower { seq: same.map_or(seq, |old| old.seq), ..follower });
                }
            }
            place
        });
        if let Some(was) = was.filter(|was| place.as_ref() != Some(was)) {
            if let Some(trails) = self.symbols.get_mut(&was.symbol) {
                trails.track_mut(was.side).remove(was.slot);
            }
            self.settle(&was);
        }
        if let Some(place) = place {
            self.settle(&place);
        }
        changed
    }

    fn settle(&mut self, place: &Place) {
        let Some(trails) = self.symbols.get_mut(&place.symbol) else { return };
        let mut gone = Vec::new();
        trails.track_mut(place.side).settle(&mut gone);
        let empty = trails.long.is_empty() && trails.short.is_empty();
        self.note_gone(&place.symbol, place.side, gone);
        if empty {
            self.symbols.remove(&place.symbol);
        }
    }

    fn note_gone(&mut self, symbol: &str, side: Side, gone: Vec<i64>) {
        if !gone.is_empty() {
            self.stale.entry(symbol.into()).or_default().extend(gone.into_iter().map(|number| (side, number)));
        }
    }

    fn follower(&self, place: &Place) -> Option<&Follower> {
        self.symbols.get(&place.symbol)?.track(place.side).get(place.slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Whether a price crosses a level.
    pub(super) fn is_crossed(&self, symbol: &str, price: Price) -> bool {
        !self.symbols.is_empty()
            && self
                .symbols
                .get(symbol)
                .is_some_and(|trails| Side::ALL.iter().any(|side| trails.track(*side).is_crossed(side.height(price))))
    }

    /// Whether a price is a new extreme for anybody.
    pub(super) fn is_news(&self, symbol: &str, price: Price) -> bool {
        !self.symbols.is_empty()
            && self
                .symbols
                .get(symbol)
                .is_some_and(|trails| Side::ALL.iter().any(|side| trails.track(*side).is_news(side.height(price))))
    }

    /// Takes a price over. Answers the new extremes, to be written.
    pub(super) fn raise(&mut self, symbol: &str, price: Price) -> Raised {
        let Some(trails) = self.symbols.get_mut(symbol) else { return Raised::default() };
        if !trails.long.is_news(Side::Long.height(price)) && !trails.short.is_news(Side::Short.height(price)) {
            return Raised::default();
        }
        let fences = match self.fences.is_empty() {
            true => &[][..],
            false => self.fences.get(symbol).map_or(&[][..], Vec::as_slice),
        };
        let mut gone = [const { Vec::new() }; 2];
        let mut raise = |side: Side, gone: &mut Vec<i64>| {
            let height = side.height(price);
            let track = trails.track_mut(side);
            let number = if track.is_news(height) { track.raise(height, fences, gone) } else { None };
            number.map(|number| Extreme { side, number, price })
        };
        let extremes = [raise(Side::Long, &mut gone[0]), raise(Side::Short, &mut gone[1])];
        let anchorless = !trails.long.anchorless().is_empty() || !trails.short.anchorless().is_empty();
        let [long, short] = gone;
        self.note_gone(symbol, Side::Long, long);
        self.note_gone(symbol, Side::Short, short);
        Raised { extremes, anchorless, stale: !self.stale.is_empty() }
    }

    /// Slots whose stop begins nowhere yet.
    pub(super) fn anchorless(&self, symbol: &str) -> impl Iterator<Item = Slot> + '_ {
        let trails = self.symbols.get(symbol).into_iter();
        trails.flat_map(|trails| trails.long.anchorless().iter().chain(trails.short.anchorless())).copied()
    }

    /// Slots that a price crosses, first to fire first; with `until`, only what a storm crossed.
    pub(super) fn crossed(
        &self,
        symbol: &str,
        price: Price,
        until: Option<(u64, i64)>,
    ) -> impl Iterator<Item = Slot> + '_ {
        let until = until.map(|(seq, fence)| Until { seq, fence });
        self.symbols.get(symbol).into_iter().flat_map(move |trails| {
            let long = trails.long.crossed(Side::Long.height(price), until);
            long.chain(trails.short.crossed(Side::Short.height(price), until))
        })
    }

    /// The best price of a stop; with `fence`, when a storm came.
    pub(super) fn best(&self, symbol: &str, trailing: &Trailing, fence: Option<i64>) -> Option<Price> {
        let anchor = trailing.anchor?;
        let reference = trailing.side.height(anchor.reference);
        let height = match (self.symbols.get(symbol), fence) {
            (None, _) => reference,
            (Some(trails), None) => trails.track(trailing.side).best(reference, anchor.from),
            (Some(trails), Some(fence)) => trails.track(trailing.side).best_until(reference, anchor.from, fence)?,
        };
        Some(trailing.side.height_of(height))
    }

    /// The number at which a stop begins now.
    pub(super) fn start(&self, symbol: &str, side: Side, now_ms: i64) -> i64 {
        let fences = self.fences.get(symbol).map_or(&[][..], Vec::as_slice);
        match self.symbols.get(symbol) {
            Some(trails) => trails.track(side).start(now_ms, fences),
            None => Track::default().start(now_ms, fences),
        }
    }

    /// The number that a storm of the symbol remembers.
    pub(super) fn fence(&self, symbol: &str) -> i64 {
        let trails = self.symbols.get(symbol).map_or(0, |trails| trails.long.fence().max(trails.short.fence()));
        let fences = self.fences.get(symbol).into_iter().flatten().copied().max();
        trails.max(fences.unwrap_or(0))
    }

    /// The storms of a symbol that are not drained yet.
    pub(super) fn set_fences(&mut self, symbol: &str, fences: Vec<i64>) {
        if let Some(trails) = self.symbols.get_mut(symbol) {
            let mut gone = [const { Vec::new() }; 2];
            trails.long.release(&fences, &mut gone[0]);
            trails.short.release(&fences, &mut gone[1]);
            let [long, short] = gone;
            self.note_gone(symbol, Side::Long, long);
            self.note_gone(symbol, Side::Short, short);
        }
        if fences.is_empty() {
            self.fences.remove(symbol);
        } else {
            self.fences.insert(symbol.into(), fences);
        }
    }

    /// Somebody else wrote a symbol's key.
    pub(super) fn soil(&mut self, symbol: &str) {
        self.dirty.insert(symbol.into());
    }

    pub(super) fn take_dirty(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    /// Takes a symbol's extremes for what its key says.
    pub(super) fn load(&mut self, symbol: &str, mut extremes: Vec<Extreme>) {
        extremes.sort_unstable();
        self.stale.remove(symbol);
        let fences = self.fences.get(symbol).map_or(&[][..], Vec::as_slice);
        let mut gone = [const { Vec::new() }; 2];
        let of = |side: Side| extremes.iter().filter(move |extreme| extreme.side == side);
        for (side, gone) in Side::ALL.iter().zip(&mut gone) {
            match self.symbols.get_mut(symbol) {
                Some(trails) => {
                    let entries = of(*side).map(|extreme| (extreme.number, side.height(extreme.price)));
                    trails.track_mut(*side).load(&entries.collect::<Vec<_>>(), fences, gone);
                }
                None => gone.extend(of(*side).map(|extreme| extreme.number)),
            }
        }
        for (side, gone) in Side::ALL.iter().zip(gone) {
            self.note_gone(symbol, *side, gone);
        }
    }

    /// Extremes of a symbol that nobody needs any more, at most `limit`: their fields are to be deleted.
    pub(super) fn take_stale(&mut self, symbol: &str, limit: usize) -> Vec<String> {
        let Some(stale) = self.stale.get_mut(symbol) else { return Vec::new() };
        let some = stale.split_off(stale.len().saturating_sub(limit));
        if stale.is_empty() {
            self.stale.remove(symbol);
        }
        let trails = self.symbols.get(symbol);
        // The number may have been used again.
        let unused =
            |(side, number): &(Side, i64)| trails.is_none_or(|trails| !trails.track(*side).has_extreme(*number));
        some.into_iter().filter(unused).map(|(side, number)| Extreme::field(side, number)).collect()
    }

    /// The next key with something to be deleted, of at most `limit` fields.
    pub(super) fn next_sweep(&mut self, limit: usize) -> Option<(Box<str>, Sweep)> {
        loop {
            let symbol = self.stale.first_key_value()?.0.clone();
            if !self.symbols.contains_key(&symbol) {
                self.stale.remove(&symbol);
                return Some((symbol, Sweep::Key));
            }
            let fields = self.take_stale(&symbol, limit);
            if !fields.is_empty() {
                return Some((symbol, Sweep::Fields(fields)));
            }
        }
    }

    pub(super) fn needs_sweep(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Forgets what is to be deleted: a primary does it.
    pub(super) fn forget_stale(&mut self) {
        self.stale.clear();
    }

    /// The extremes of a symbol, in order, and the numbers that are still to be deleted from its key.
    pub(super) fn extremes(&self, symbol: &str) -> (Vec<Extreme>, Vec<(Side, i64)>) {
        let trails = self.symbols.get(symbol);
        let of = |side: Side| {
            let extremes = trails.into_iter().flat_map(move |trails| trails.track(side).extremes());
            extremes.map(move |(number, height)| Extreme { side, number, price: side.height_of(height) })
        };
        let mut extremes = of(Side::Long).chain(of(Side::Short)).collect::<Vec<_>>();
        extremes.sort_unstable();
        (extremes, self.stale.get(symbol).cloned().unwrap_or_default())
    }

    /// Symbols with a trailing stop.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &str> {
        self.symbols.keys().map(AsRef::as_ref)
    }

    /// Whether a stop is followed where and as it is to be.
    pub(super) fn is_followed(&self, place: Option<&Place>, trailing: Option<&Trailing>) -> bool {
        let (Some(place), Some(trailing)) = (place, trailing) else { return place.is_none() && trailing.is_none() };
        let found = self.follower(place).map(|found| Follower { seq: 0, ..*found });
        place.side == trailing.side && found == follower_of(trailing)
    }

    /// Trailing stops that are followed.
    pub(super) fn len(&self) -> usize {
        self.symbols.values().map(|trails| trails.long.len() + trails.short.len()).sum()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let trails = self.symbols.values().map(|trails| trails.long.heap_bytes() + trails.short.heap_bytes());
        trails.sum::<usize>() + self.symbols.capacity() * size_of::<(Box<str>, Trails)>()
    }

    pub(super) fn inconsistencies(&self) -> Vec<String> {
        let both = |trails: &Trails| [trails.long.inconsistencies(), trails.short.inconsistencies()].concat();
        self.symbols
            .iter()
            .flat_map(|(symbol, trails)| both(trails).into_iter().map(move |line| format!("{symbol}: {line}")))
            .collect()
    }
}

fn follower_of(trailing: &Trailing) -> Option<Follower> {
    let anchor = trailing.anchor?;
    let reference = trailing.side.height(anchor.reference);
    let Trailing { distance, armed, .. } = *trailing;
    Some(Follower { distance, armed, reference, from: anchor.from, seq: 0 })
}

#[cfg(test)]
mod tests;
