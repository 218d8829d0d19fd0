//! What came since each moment, as the durable hash `trail:{symbol}` holds it: `long:<moment>` or `short:<moment>` →
//! `<best price> <last moment of the same best>`.

use super::extremes::{Extreme, Extremes, Rewrite};
use super::{Book, NONE, Trails, groups::Groups};
use crate::decimal::Price;
use crate::strategy::{Side, Trailing};
use std::collections::BTreeMap;

/// Changes of the durable hash. What is written covers what goes, and is written first: in between, the hash says the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrailWrite {
    /// Fields and their values.
    pub written: Vec<(String, String)>,
    /// Fields that go.
    pub gone: Vec<String>,
}

impl TrailWrite {
    pub(super) fn add(&mut self, side: Side, rewrite: Rewrite) {
        let written = rewrite.written.iter().map(|extreme| (name(side, extreme.from), value(side, extreme)));
        self.written.extend(written);
        self.gone.extend(rewrite.gone.into_iter().map(|moment| name(side, moment)));
    }

    /// What a durable hash must be told to know as much as `known` does besides what it says; `None` where it does.
    #[must_use]
    pub fn joining(known: &[(&str, &str)], fields: &[(&str, &str)]) -> Option<Self> {
        let mut write = Self::default();
        for side in Side::ALL {
            let (known, said) = (said(*side, known), said(*side, fields));
            let merged = known.merged(&said);
            let texts: BTreeMap<_, _> =
                merged.iter().map(|each| (name(*side, each.from), value(*side, each))).collect();
            let of_side = said.all().map(|extreme| name(*side, extreme.from));
            write.gone.extend(of_side.filter(|name| !texts.contains_key(name)));
            let is_news = |(name, value): &(String, String)| !fields.contains(&(name.as_str(), value.as_str()));
            write.written.extend(texts.into_iter().filter(is_news));
        }
        (write != Self::default()).then_some(write)
    }
}

const fn word(side: Side) -> &'static str {
    match side {
        Side::Long => "long:",
        Side::Short => "short:",
    }
}

fn name(side: Side, moment: i64) -> String {
    format!("{}{moment}", word(side))
}

fn value(side: Side, extreme: &Extreme) -> String {
    format!("{} {}", Price::from_units(side.gain(extreme.best)), extreme.upto)
}

/// A field of the hash; `None` where it is none of ours.
fn parse(side: Side, (name, value): (&str, &str)) -> Option<Extreme> {
    let from = name.strip_prefix(word(side))?.parse().ok()?;
    let (price, upto) = value.split_once(' ')?;
    let best = side.gain(price.parse::<Price>().ok()?.units());
    Some(Extreme { from, upto: upto.parse().ok()?, best })
}

/// What the fields say of a side. What somebody else wrote among them, and cannot be, says nothing.
fn said(side: Side, fields: &[(&str, &str)]) -> Extremes {
    Extremes::of_stored(fields.iter().filter_map(|field| parse(side, *field)).collect())
}

/// The best price that came since a strategy began to follow, as the durable hash of its symbol says; `None` where it says
/// none, or is not of its moment.
#[must_use]
pub fn best_said(fields: &[(&str, &str)], trailing: &Trailing) -> Option<Price> {
    let best = said(trailing.side, fields).since(trailing.from);
    (best != NONE).then(|| Price::from_units(trailing.side.gain(best)))
}

impl Book {
    /// Takes over what the durable hash of a symbol says: on a replica, after a load, or where somebody wrote it.
    pub fn follow_trail(&mut self, symbol: &str, fields: &[(&str, &str)]) {
        for side in Side::ALL {
            let said = said(*side, fields);
            if self.deferred {
                let trails = self.following.trails.entry(symbol.into()).or_default();
                trails.side_mut(*side).extremes = said;
                continue;
            }
            let all: Vec<Extreme> = said.all().collect();
            if self.agrees(symbol, *side, &all) {
                continue;
            }
            if self.following.trails.get(symbol).is_some_and(|trails| trails.is_unwritten) {
                self.join_extremes(symbol, *side, &said);
                continue;
            }
            self.raise_as(symbol, *side, &all);
            if !self.agrees(symbol, *side, &all) {
                self.replace_extremes(symbol, *side, said);
            }
        }
    }

    /// Somebody wrote the hash before it said what is known here: neither may be forgotten.
    fn join_extremes(&mut self, symbol: &str, side: Side, said: &Extremes) {
        let Some(trails) = self.following.trails.get(symbol) else { return };
        let mut joined = Extremes::of_stored(trails.side(side).extremes.merged(said));
        joined.write_anew(said);
        self.replace_extremes(symbol, side, joined);
    }

    fn agrees(&self, symbol: &str, side: Side, said: &[Extreme]) -> bool {
        match self.following.trails.get(symbol) {
            Some(trails) => trails.side(side).extremes.stored().eq(said.iter().copied()),
            None => said.is_empty(),
        }
    }

    /// What is said is mostly that a new best came.
    fn raise_as(&mut self, symbol: &str, side: Side, said: &[Extreme]) {
        let best = said.last().map_or(NONE, |last| last.best);
        let Some(trails) = self.following.trails.get_mut(symbol) else { return };
        let trail = trails.side_mut(side);
        if trail.extremes.is_raised_by(best) {
            trail.extremes.raise(best);
            trail.groups.raise(best);
        }
        // Or that nobody follows from some moment any more.
        trail.extremes.release_where(|from| said.binary_search_by_key(&from, |extreme| extreme.from).is_err());
        // It says so already.
        drop(trail.extremes.take_rewrite());
    }

    fn replace_extremes(&mut self, symbol: &str, side: Side, said: Extremes) {
        let followers = self.followers_of(symbol, side);
        let storms = self.storms.get(symbol).map(Vec::as_slice).unwrap_or_default();
        let trail = self.following.trails.entry(symbol.into()).or_default().side_mut(side);
        trail.extremes = said;
        trail.groups = Groups::default();
        // What is said may hold moments that nobody follows from.
        self.following.idle = true;
        for (_, known) in &followers {
            let _ = trail.extremes.enter(known.trailing.from);
        }
        for (slot, known) in followers.iter().filter(|(_, known)| known.armed) {
            // What a storm has caught stays there.
            if !storms.iter().any(|storm| storm.holds(&known.trailing, *slot)) {
                trail.insert(&known.trailing, *slot);
            }
        }
    }

    /// Symbols that prices are followed of, or were.
    pub fn trail_symbols(&self) -> impl Iterator<Item = &str> {
        self.following.trails.keys().map(AsRef::as_ref)
    }

    /// Whether the durable hash of a symbol says what is followed, for the audit; one that is about to be written need not.
    #[must_use]
    pub fn agrees_with_trail(&self, symbol: &str, fields: &[(&str, &str)]) -> bool {
        let is_unwritten = self.following.trails.get(symbol).is_some_and(|trails| trails.is_unwritten);
        is_unwritten
            || Side::ALL.iter().all(|side| self.agrees(symbol, *side, &said(*side, fields).all().collect::<Vec<_>>()))
    }

    /// What is known of a symbol, as fields of the durable hash; whether it has them or not.
    #[must_use]
    pub fn trail_fields(&self, symbol: &str) -> BTreeMap<String, String> {
        let Some(trails) = self.following.trails.get(symbol) else { return BTreeMap::new() };
        let of_side = |side: &Side| {
            let known = trails.side(*side).extremes.priced();
            known.map(|extreme| (name(*side, extreme.from), value(*side, &extreme))).collect::<Vec<_>>()
        };
        Side::ALL.iter().flat_map(of_side).collect()
    }

    /// Takes in what a durable hash of a symbol says beyond what is known. For a copy of the book that did not see every
    /// price itself.
    pub fn adopt_trail(&mut self, symbol: &str, fields: &[(&str, &str)]) {
        for side in Side::ALL {
            let Some(trails) = self.following.trails.get(symbol) else { return };
            let known = &trails.side(*side).extremes;
            let merged = known.merged(&said(*side, fields));
            if !known.priced().eq(merged.iter().copied()) {
                self.replace_extremes(symbol, *side, Extremes::of_stored(merged));
            }
        }
    }

    /// Forgets, for one symbol, the moments that nobody follows from; the durable hash is to say so, see
    /// [`Book::take_trail_write`]. Answers whether there was anything to forget.
    pub fn release_trail(&mut self) -> bool {
        if !self.following.idle {
            return false;
        }
        let idle = |trails: &Trails| trails.long.extremes.has_idle() || trails.short.extremes.has_idle();
        let Some((name, trails)) = self.following.trails.iter_mut().find(|(_, trails)| idle(trails)) else {
            self.following.idle = false;
            self.following.trails.retain(|_, trails| trails.is_unwritten || !trails.is_empty());
            return false;
        };
        for side in Side::ALL {
            trails.side_mut(*side).extremes.release();
        }
        trails.await_write(name, &mut self.following.unwritten);
        true
    }

    /// What the durable hash of a symbol does not say yet: the symbol, and what is to be written; `None` where all say
    /// what is known. It is taken for said from now on.
    pub fn take_trail_write(&mut self) -> Option<(String, TrailWrite)> {
        let mut write = TrailWrite::default();
        let name = self.take_rewrites(|side, rewrite| write.add(side, rewrite))?;
        Some((name.into(), write))
    }

    /// Takes everything for said: in a copy of the book, of which no durable hash is kept.
    pub fn skip_trail_writes(&mut self) {
        while self.take_rewrites(|_, _| {}).is_some() {}
    }

    /// Takes everything of one symbol for said: on a replica, where its primary says it.
    pub fn skip_trail_write(&mut self, symbol: &str) {
        let unwritten = &mut self.following.unwritten;
        if let Some(at) = unwritten.iter().position(|name| **name == *symbol) {
            let last = unwritten.len() - 1;
            unwritten.swap(at, last);
            let _ = self.take_rewrites(|_, _| {});
        }
    }

    fn take_rewrites(&mut self, mut take: impl FnMut(Side, Rewrite)) -> Option<Box<str>> {
        let name = self.following.unwritten.pop()?;
        if let Some(trails) = self.following.trails.get_mut(&name) {
            trails.is_unwritten = false;
            for side in Side::ALL {
                take(*side, trails.side_mut(*side).extremes.take_rewrite());
            }
            if trails.is_empty() {
                self.following.trails.remove(&name);
            }
        }
        Some(name)
    }
}
