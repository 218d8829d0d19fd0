//! What came since each moment, as the durable hash `trail:{symbol}` holds it: `long:<moment>` or `short:<moment>` →
//! `<best price> <last moment of the same best>`.

use super::extremes::{Extreme, Extremes, Rewrite};
use super::{Book, NONE, Trails, groups::Groups};
use crate::decimal::Price;
use crate::strategy::Side;

/// Changes of the durable hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrailWrite {
    /// Fields and their values.
    pub written: Vec<(String, String)>,
    /// Fields that go.
    pub gone: Vec<String>,
}

impl TrailWrite {
    pub(super) fn add(&mut self, side: Side, rewrite: Rewrite) {
        self.written.extend(rewrite.written.map(|extreme| (name(side, extreme.from), value(side, &extreme))));
        self.gone.extend(rewrite.gone.into_iter().map(|moment| name(side, moment)));
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

impl Book {
    /// Takes over what the durable hash of a symbol says: on a replica, after a load, or where somebody wrote it.
    pub fn follow_trail(&mut self, symbol: &str, fields: &[(&str, &str)]) {
        for side in Side::ALL {
            let mut said: Vec<Extreme> = fields.iter().filter_map(|field| parse(*side, *field)).collect();
            said.sort_unstable_by_key(|extreme| extreme.from);
            if self.deferred {
                let trails = self.following.trails.entry(symbol.into()).or_default();
                trails.side_mut(*side).extremes = Extremes::of_stored(said);
            } else if !self.agrees(symbol, *side, &said) {
                self.raise_as(symbol, *side, &said);
                if !self.agrees(symbol, *side, &said) {
                    self.replace_extremes(symbol, *side, said);
                }
            }
        }
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
    }

    fn replace_extremes(&mut self, symbol: &str, side: Side, said: Vec<Extreme>) {
        let followers = self.followers_of(symbol, side);
        let storms = self.storms.get(symbol).map(Vec::as_slice).unwrap_or_default();
        let trail = self.following.trails.entry(symbol.into()).or_default().side_mut(side);
        trail.extremes = Extremes::of_stored(said);
        trail.groups = Groups::default();
        followers.iter().for_each(|(_, known)| trail.extremes.enter(known.trailing.from));
        for (slot, known) in followers.iter().filter(|(_, known)| known.armed) {
            // What a storm has caught stays there.
            if !storms.iter().any(|storm| storm.holds(&known.trailing, *slot)) {
                trail.insert(&known.trailing, *slot);
            }
        }
    }

    /// What the durable hash of each symbol must say, for the audit.
    pub fn stored_trails(&self) -> impl Iterator<Item = (&str, Vec<(String, String)>)> {
        self.following.trails.iter().map(|(symbol, trails)| {
            let fields = Side::ALL.iter().flat_map(|side| {
                let stored = trails.side(*side).extremes.stored();
                stored.map(|extreme| (name(*side, extreme.from), value(*side, &extreme)))
            });
            (symbol.as_ref(), fields.collect())
        })
    }

    /// Forgets, for one symbol, the moments that nobody follows from. Answers the symbol and what the durable hash must
    /// say then; `None` where there is nothing to forget.
    pub fn release_trail(&mut self) -> Option<(String, TrailWrite)> {
        if !self.following.idle {
            return None;
        }
        let idle = |trails: &Trails| trails.long.extremes.has_idle() || trails.short.extremes.has_idle();
        let bare = |trails: &Trails| trails.long.extremes.users() + trails.short.extremes.users() == 0;
        let found = self.following.trails.iter_mut().find(|(_, trails)| idle(trails) || bare(trails));
        let Some((name, trails)) = found.map(|(name, trails)| (name.clone(), trails)) else {
            self.following.idle = false;
            return None;
        };
        let mut write = TrailWrite::default();
        for side in Side::ALL {
            write.add(*side, trails.side_mut(*side).extremes.release());
        }
        if bare(trails) {
            self.following.trails.remove(&name);
        }
        Some((name.into(), write))
    }
}
