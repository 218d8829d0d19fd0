//! Trailing stops: who follows the best price of which symbol, and since when.
//!
//! A stop needs no touch when the price makes a new best: all that share a best price stand in one group
//! ([`groups`]), and what came since each moment is known once per symbol ([`extremes`]). Both sides are kept as gains,
//! for which higher is better, see [`Side::gain`].

pub(super) mod extremes;
pub(super) mod groups;
mod stored;

pub use stored::{TrailWrite, best_said};

use super::storms::Storm;
use super::{Book, Slot};
use crate::decimal::Price;
use crate::key::StrategyKey;
use crate::strategy::{Side, Trailing};
use extremes::Extremes;
use groups::Groups;
use rustc_hash::FxHashMap;

/// In place of a gain that there is not.
pub(super) const NONE: i64 = i64::MIN;

/// What is known of one who follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) trailing: Trailing,
    /// Whether its stop may fire; one whose exit is in flight goes on following.
    pub(super) armed: bool,
}

/// One side of a symbol.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) extremes: Extremes,
    pub(super) groups: Groups,
}

impl Trail {
    fn best(&self, trailing: &Trailing) -> i64 {
        trailing.best(self.extremes.since(trailing.from))
    }

    pub(super) fn insert(&mut self, trailing: &Trailing, slot: Slot) {
        self.groups.insert(self.best(trailing), trailing.offset, slot);
    }

    pub(super) fn remove(&mut self, trailing: &Trailing, slot: Slot) -> bool {
        self.groups.remove(self.best(trailing), trailing.offset, slot)
    }
}

/// Both sides of a symbol.
#[derive(Debug, Default)]
pub(super) struct Trails {
    pub(super) long: Trail,
    pub(super) short: Trail,
    /// Whether the durable key does not say all of it yet.
    is_unwritten: bool,
}

impl Trails {
    pub(super) const fn side(&self, side: Side) -> &Trail {
        match side {
            Side::Long => &self.long,
            Side::Short => &self.short,
        }
    }

    pub(super) const fn side_mut(&mut self, side: Side) -> &mut Trail {
        match side {
            Side::Long => &mut self.long,
            Side::Short => &mut self.short,
        }
    }

    /// The durable key of the symbol does not say all of it any more.
    fn await_write(&mut self, symbol: &str, unwritten: &mut Vec<Box<str>>) {
        if !std::mem::replace(&mut self.is_unwritten, true) {
            unwritten.push(symbol.into());
        }
    }

    /// Nobody follows, and nothing is remembered.
    fn is_empty(&self) -> bool {
        self.long.extremes.is_empty() && self.short.extremes.is_empty()
    }

    pub(super) fn is_raised_by(&self, price: Price) -> bool {
        Side::ALL.iter().any(|side| self.side(*side).extremes.is_raised_by(side.gain(price.units())))
    }

    pub(super) fn is_crossed(&self, price: Price) -> bool {
        Side::ALL.iter().any(|side| self.side(*side).groups.is_crossed(side.gain(price.units())))
    }

    pub(super) fn crossed(&self, price: Price) -> impl Iterator<Item = Slot> + '_ {
        Side::ALL.iter().flat_map(move |side| self.side(*side).groups.crossed(side.gain(price.units())))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let sides = [&self.long, &self.short];
        sides.into_iter().map(|side| side.extremes.heap_bytes() + side.groups.heap_bytes()).sum()
    }
}

/// What is kept of trailing stops in one database.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) followers: FxHashMap<Slot, Follower>,
    /// By symbol with the tag's prefix. Apart from the symbol's other books: a symbol's last strategy may leave for a
    /// moment, and what came since its entry must not be forgotten by that.
    pub(super) trails: FxHashMap<Box<str>, Trails>,
    /// Symbols of which the durable key does not say all yet.
    pub(super) unwritten: Vec<Box<str>>,
    /// There may be moments that nobody follows from.
    pub(super) idle: bool,
    /// Strategies of which nobody said yet from when on prices count.
    pub(super) beginners: std::collections::BTreeSet<Slot>,
}

impl Following {
    pub(super) fn heap_bytes(&self) -> usize {
        let names: usize = self.trails.iter().map(|(name, trails)| name.len() + trails.heap_bytes()).sum();
        names
            + self.trails.capacity() * size_of::<(Box<str>, Trails)>()
            + self.unwritten.capacity() * size_of::<Box<str>>()
            + self.followers.capacity() * size_of::<(Slot, Follower)>()
            + self.beginners.len() * size_of::<Slot>() * 3 / 2
    }
}

impl Book {
    /// Whether there are trailing stops at all.
    #[must_use]
    pub fn is_following(&self) -> bool {
        !self.following.trails.is_empty()
    }

    /// A price came: trailing stops follow it where it is a new best. Answers whether the durable key is to say so, see
    /// [`Book::take_trail_write`].
    pub fn raise(&mut self, symbol: &str, price: Price) -> bool {
        let Following { trails, unwritten, .. } = &mut self.following;
        let Some(trails) = trails.get_mut(symbol).filter(|trails| trails.is_raised_by(price)) else { return false };
        for side in Side::ALL {
            let (trail, gain) = (trails.side_mut(*side), side.gain(price.units()));
            if trail.extremes.is_raised_by(gain) {
                trail.extremes.raise(gain);
                trail.groups.raise(gain);
            }
        }
        trails.await_write(symbol, unwritten);
        true
    }

    /// Whether [`Book::take_trail_write`] has anything.
    #[must_use]
    pub const fn has_unwritten_trails(&self) -> bool {
        !self.following.unwritten.is_empty()
    }

    /// From which moment on prices count for a strategy that begins to follow now.
    #[must_use]
    pub fn next_moment(&self, symbol: &str, side: Side, now_ms: i64) -> i64 {
        self.following.trails.get(symbol).map_or(now_ms, |trails| trails.side(side).extremes.next_moment(now_ms))
    }

    /// The best price that came since a strategy began to follow; `None` where none came.
    #[must_use]
    pub fn best_since(&self, symbol: &str, trailing: &Trailing) -> Option<Price> {
        let since = self.following.trails.get(symbol)?.side(trailing.side).extremes.since(trailing.from);
        (since != NONE).then(|| Price::from_units(trailing.side.gain(since)))
    }

    /// Whether any symbol has moments that nobody follows from, see [`Book::release_trail`].
    #[must_use]
    pub const fn has_idle_trails(&self) -> bool {
        self.following.idle
    }

    /// A strategy that has a position and a trail, and of which nobody said yet from when on prices count.
    #[must_use]
    pub fn beginner(&self) -> Option<String> {
        let slot = self.following.beginners.first()?;
        self.slab.get(*slot).map(|entry| self.key_of(entry).hash())
    }

    /// Forgets that a strategy has to begin to follow: it cannot be written.
    pub fn pass_over(&mut self, key: &StrategyKey<'_>) {
        if let Some(slot) = self.slot_of(key) {
            self.note_beginner(slot, false);
        }
    }

    /// Puts a strategy's trailing stop where it belongs by the prices that came, whatever storm had caught it.
    pub fn rearm(&mut self, key: &StrategyKey<'_>) {
        let Some(slot) = self.slot_of(key) else { return };
        let follower = self.following.followers.get(&slot).copied();
        self.follow(slot, None);
        self.follow(slot, follower);
    }

    pub(super) fn trails_of(&self, symbol: &str) -> Option<&Trails> {
        // Most books have none, and need no look-up to know it.
        if self.is_following() { self.following.trails.get(symbol) } else { None }
    }

    /// Whether a strategy begins to follow is for the module to say: it keeps the durable key.
    pub(super) fn note_beginner(&mut self, slot: Slot, begins: bool) {
        if begins {
            self.following.beginners.insert(slot);
        } else if !self.following.beginners.is_empty() {
            self.following.beginners.remove(&slot);
        }
    }

    /// Takes over how a strategy follows.
    pub(super) fn follow(&mut self, slot: Slot, follower: Option<Follower>) {
        let known = self.following.followers.get(&slot).copied();
        if known == follower {
            return;
        }
        if let Some(follower) = follower {
            self.following.followers.insert(slot, follower);
        } else {
            self.following.followers.remove(&slot);
        }
        if self.deferred {
            return;
        }
        let Some(entry) = self.slab.get(slot) else { return };
        let symbol = self.symbols.name(entry.symbol);
        let storms = self.storms.get_mut(symbol).map(Vec::as_mut_slice).unwrap_or_default();
        if !self.following.trails.contains_key(symbol) {
            self.following.trails.insert(symbol.into(), Trails::default());
        }
        let Some(trails) = self.following.trails.get_mut(symbol) else { return };
        if let Some(Follower { trailing, .. }) = known.filter(|known| known.armed) {
            let trail = trails.side_mut(trailing.side);
            let _ = trail.remove(&trailing, slot) || storms.iter_mut().any(|storm| storm.remove(&trailing, slot));
        }
        if let Some(Follower { trailing, armed }) = follower {
            let trail = trails.side_mut(trailing.side);
            let is_news = trail.extremes.enter(trailing.from);
            if armed {
                trail.insert(&trailing, slot);
            }
            if is_news {
                trails.await_write(symbol, &mut self.following.unwritten);
            }
        }
        if let Some(Follower { trailing, .. }) = known {
            trails.side_mut(trailing.side).extremes.leave(trailing.from);
            self.following.idle = true;
        }
    }

    /// Everyone who follows, by symbol, from what the keys said while nothing was kept.
    pub(super) fn settle_trails(&mut self) {
        let Self { slab, symbols, following, .. } = self;
        let mut all: Vec<(u32, i64, Slot)> = following
            .followers
            .iter()
            .filter_map(|(slot, follower)| {
                let entry = slab.get(*slot)?;
                Some((entry.symbol, follower.trailing.offset.units(), *slot))
            })
            .collect();
        // Stops that come in order stand at the end of their group.
        all.sort_unstable();
        // The keys may hold moments that nobody follows from.
        following.idle = !following.trails.is_empty();
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let trails = following.trails.entry(symbols.name(group[0].0).into()).or_default();
            // First everyone's moment: the best price of each is known only then.
            let followers = || group.iter().filter_map(|(.., slot)| Some((*slot, following.followers.get(slot)?)));
            followers().for_each(|(_, known)| {
                let _ = trails.side_mut(known.trailing.side).extremes.enter(known.trailing.from);
            });
            for (slot, known) in followers().filter(|(_, known)| known.armed) {
                trails.side_mut(known.trailing.side).insert(&known.trailing, slot);
            }
        }
    }

    /// Followers of one side of a symbol.
    pub(super) fn followers_of(&self, symbol: &str, side: Side) -> Vec<(Slot, Follower)> {
        let index = self.symbols.find(symbol);
        let of_symbol = |slot: Slot| self.slab.get(slot).is_some_and(|entry| Some(entry.symbol) == index);
        let followers = self.following.followers.iter().filter(|(_, follower)| follower.trailing.side == side);
        followers.map(|(slot, follower)| (*slot, *follower)).filter(|(slot, _)| of_symbol(*slot)).collect()
    }

    /// Which trailing stops stand where they do not belong, for the audit.
    pub(super) fn misplaced_trails(&self) -> usize {
        let armed = self.following.followers.values().filter(|follower| follower.armed).count();
        let trails = || self.following.trails.values().flat_map(|trails| [&trails.long, &trails.short]);
        let standing: usize = trails().map(|trail| trail.groups.len()).sum();
        let caught: usize = self.storms.values().flatten().map(Storm::caught).sum();
        let unsound = trails().filter(|trail| !trail.extremes.is_sound() || !trail.groups.is_sound()).count();
        let users: usize = trails().map(|trail| trail.extremes.users()).sum();
        armed.abs_diff(standing + caught) + users.abs_diff(self.following.followers.len()) + unsound
    }
}
