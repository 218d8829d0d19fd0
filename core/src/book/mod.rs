//! The derived books of one Redis database: every strategy by key, its armed levels by price, its times
//! by time. Hashes are the truth; [`Book::put`] and [`Book::remove`] follow them, whatever changed them.
//!
//! A strategy is one `Entry` in a slab. Everything else holds its slot, four bytes: the sides of a symbol and the
//! times of a tag, with the level or time beside it, and the members of a user, a symbol and a tag.

mod alerts;
mod audit;
mod entry;
mod follow;
mod interned;
mod list;
mod ranked;
mod slab;
mod storms;
mod symbol;
mod trails;

pub use alerts::AlertPage;
pub use audit::Stats;
pub use list::{ListFilter, ListPage};
pub use storms::StormSlice;
pub use trails::{TrailWrite, best_said};

use crate::decimal::Price;
use crate::key::StrategyKey;
use crate::strategy::{Arming, Status, Strategy};
use entry::Entry;
use hashbrown::HashTable;
use interned::Interned;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use storms::Storm;
use symbol::{Partition, SymbolBook, User};
use trails::{Follower, Following};

/// Index of a strategy in the book's slab. Stable while the strategy exists, so it serves as a cursor.
pub type Slot = u32;

/// What the sets must say of a strategy: the symbol under which it is a member, if it is RUNNING.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership(pub Option<String>);

/// The membership before and after a change of the hash: they differ, and the sets must change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Before.
    pub before: Membership,
    /// After.
    pub after: Membership,
}

impl Moved {
    fn between(before: Membership, after: Membership) -> Option<Self> {
        (before != after).then_some(Self { before, after })
    }
}

/// The books of one database.
#[derive(Debug, Default)]
pub struct Book {
    slab: Slab,
    by_key: HashTable<Slot>,
    /// By name with the tag's prefix.
    symbols: Interned<SymbolBook>,
    /// By name with the tag's prefix.
    users: Interned<User>,
    /// By prefix.
    partitions: Interned<Partition>,
    following: Following,
    alerts: alerts::Alerts,
    /// By symbol with the tag's prefix, the oldest first.
    storms: BTreeMap<Box<str>, Vec<Storm>>,
    /// Hashes that do not parse, with the reason.
    invalid: BTreeMap<Box<str>, String>,
    running: usize,
    triggers: usize,
    /// Bytes that the members of the users hold: there may be as many users as strategies.
    user_bytes: usize,
    /// Rises whenever a level is armed.
    seq: u64,
    /// Levels and times are not kept, see [`Book::defer`].
    deferred: bool,
}

/// A user's strategies hash apart from each other, and from another user's of the same name.
fn hash(user: u32, id: &str) -> u64 {
    FxBuildHasher.hash_one((user, id))
}

/// A name within a tag.
fn tagged<'a>(prefix: &str, name: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{prefix}{name}")) }
}

/// A symbol that a book knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolId {
    index: u32,
    serial: u64,
}

impl SymbolId {
    /// A number that no other symbol, of this book or another, has or ever had.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.serial
    }
}

/// What a tick asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// It crosses an armed level: see [`Book::crossed`].
    pub crosses: bool,
    /// It is a new best price for a trailing stop: see [`Book::raise`].
    pub raises: bool,
    /// The time to live of the stored price is to be renewed.
    pub renews: bool,
}

impl Book {
    /// Takes the hash at `key` into the books, or takes its change over.
    pub fn put(&mut self, key: &StrategyKey<'_>, strategy: &Strategy) -> Option<Moved> {
        self.forget_invalid(key);
        let arming = strategy.arming();
        let known = self.slot_of(key);
        let stays = known.and_then(|slot| self.slab.get(slot)).filter(|entry| self.symbol_of(entry) == strategy.symbol);
        if let (Some(slot), Some(entry)) = (known, stays) {
            let before = (entry.status() != strategy.status).then(|| self.membership(entry));
            self.change(slot, strategy.status, &arming);
            self.put_trail(slot, strategy, &arming);
            return before.and_then(|before| Moved::between(before, self.membership_at(slot)));
        }
        let before = known.map_or_else(Membership::default, |slot| self.take(slot));
        let slot = self.create(key, &strategy.symbol);
        self.change(slot, strategy.status, &arming);
        self.put_trail(slot, strategy, &arming);
        if self.deferred { None } else { Moved::between(before, self.membership_at(slot)) }
    }

    fn put_trail(&mut self, slot: Slot, strategy: &Strategy, arming: &Arming) {
        let armed = arming.trail.is_some();
        self.follow(slot, strategy.trailing().map(|trailing| Follower { trailing, armed }));
        self.note_beginner(slot, strategy.begins_trailing());
    }

    /// Forgets the hash at `key`: it is gone or is no strategy any more.
    pub fn remove(&mut self, key: &StrategyKey<'_>) -> Option<Moved> {
        self.forget_invalid(key);
        let before = self.slot_of(key).map_or_else(Membership::default, |slot| self.take(slot));
        Moved::between(before, Membership::default())
    }

    /// Forgets the hash at `key` because it does not parse, and remembers why.
    pub fn put_invalid(&mut self, key: &StrategyKey<'_>, reason: String) -> Option<Moved> {
        let moved = self.remove(key);
        self.invalid.insert(key.hash().into(), reason);
        moved
    }

    /// A symbol, named with the tag's prefix, that strategies of the book are on: good until the book changes.
    #[must_use]
    pub fn find_symbol(&self, name: &[u8]) -> Option<SymbolId> {
        let index = self.symbols.find_bytes(name)?;
        Some(SymbolId { index, serial: self.symbols.at(index).serial.0 })
    }

    /// What a tick of a symbol asks for; `known` is what [`Book::find_symbol`] says of its name. The time to live of its
    /// stored price is renewed no more often than every `pause_ms`.
    pub fn touch(&mut self, name: &[u8], known: Option<SymbolId>, price: Price, now_ms: i64, pause_ms: i64) -> Touch {
        let name = if self.is_following() { str::from_utf8(name).unwrap_or_default() } else { "" };
        let (trail_crossed, raises) = self
            .trails_of(name)
            .map_or((false, false), |trails| (trails.is_crossed(price), trails.is_raised_by(price)));
        let book = known.map(|known| self.symbols.at_mut(known.index));
        let (crossed, renews) =
            book.map_or((false, true), |book| (book.is_crossed(price), book.renews(now_ms, pause_ms)));
        Touch { crosses: crossed || trail_crossed, raises, renews }
    }

    /// The price of the last [`Book::touch`] was not stored after all. Nothing where the symbol is not the same any more.
    pub fn forget_renewal(&mut self, known: SymbolId) {
        if let Some(book) = self.symbols.get_index_mut(known.index).filter(|book| book.serial.0 == known.serial) {
            book.forget_renewal();
        }
    }

    /// Keys of the strategies that `price` may fire, closest level first, at most `limit`, appended to `fired`.
    /// `symbol` carries the tag's prefix. Costs two comparisons where nothing is crossed.
    pub fn crossed(&self, symbol: &str, price: Price, limit: usize, fired: &mut Vec<Box<str>>) {
        let Some(book) = self.symbols.get(symbol) else { return };
        let trailing = self.trails_of(symbol).into_iter().flat_map(|trails| trails.crossed(price));
        let crossed = book.levels.crossed(price).chain(trailing).filter_map(|slot| self.slab.get(slot));
        fired.extend(crossed.take(limit).map(|entry| self.key_of(entry).hash().into()));
    }

    /// Keys of the strategies of a partition whose time has come, earliest first, at most `limit`.
    #[must_use]
    pub fn due(&self, prefix: &str, now_ms: i64, limit: usize) -> Vec<Box<str>> {
        let come = self.partitions.get(prefix).map(|partition| partition.come(now_ms, limit));
        let entries = come.into_iter().flatten().filter_map(|slot| self.slab.get(slot));
        entries.map(|entry| self.key_of(entry).hash().into()).collect()
    }

    /// The earliest time that a partition waits for, epoch ms.
    #[must_use]
    pub fn next_due(&self, prefix: &str) -> Option<i64> {
        self.partitions.get(prefix)?.next()
    }

    /// The symbols of a partition with RUNNING strategies, and how many, in name order.
    #[must_use]
    pub fn symbols(&self, prefix: &str) -> BTreeMap<&str, usize> {
        let indices = self.partitions.get(prefix).into_iter().flat_map(|partition| &partition.symbols);
        let running = indices.map(|index| (self.symbols.name(*index), self.symbols.at(*index).running));
        running.filter(|(_, count)| *count > 0).map(|(name, count)| (&name[prefix.len()..], count)).collect()
    }

    /// Every partition that has been seen, as prefixes.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.partitions.iter().map(|(prefix, _)| prefix)
    }

    /// What the sets must say of `key`.
    #[must_use]
    pub fn membership_of(&self, key: &str) -> Membership {
        self.slot_of_name(key).map_or_else(Membership::default, |slot| self.membership_at(slot))
    }

    /// The arming that the book holds for `key`, to compare with the hash.
    #[must_use]
    pub fn arming_of(&self, key: &str) -> Option<(Arming, Status, &str)> {
        let slot = self.slot_of_name(key)?;
        let entry = self.slab.get(slot)?;
        Some((self.arming_at(slot, entry), entry.status(), self.symbol_of(entry)))
    }

    fn arming_at(&self, slot: Slot, entry: &Entry) -> Arming {
        let follower = self.following.followers.get(&slot).filter(|follower| follower.armed);
        Arming { trail: follower.map(|follower| follower.trailing), ..entry.arming() }
    }

    /// Every key in the book.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.slab.iter().map(|(_, entry)| self.key_of(entry).hash())
    }

    fn key_of<'a>(&'a self, entry: &'a Entry) -> StrategyKey<'a> {
        let prefix = self.partitions.name(self.users.at(entry.user).partition);
        StrategyKey { prefix, user: &self.users.name(entry.user)[prefix.len()..], strategy: entry.id() }
    }

    fn symbol_of(&self, entry: &Entry) -> &str {
        let prefix = self.partitions.name(self.users.at(entry.user).partition);
        &self.symbols.name(entry.symbol)[prefix.len()..]
    }

    fn membership(&self, entry: &Entry) -> Membership {
        Membership(entry.running().then(|| self.symbol_of(entry).to_owned()))
    }

    fn membership_at(&self, slot: Slot) -> Membership {
        self.slab.get(slot).map_or_else(Membership::default, |entry| self.membership(entry))
    }

    fn slot_of(&self, key: &StrategyKey<'_>) -> Option<Slot> {
        let user = self.users.find(&tagged(key.prefix, key.user))?;
        let is_it = |slot: &Slot| self.slab.get(*slot).is_some_and(|e| e.user == user && e.id() == key.strategy);
        self.by_key.find(hash(user, key.strategy), is_it).copied()
    }

    fn slot_of_name(&self, key: &str) -> Option<Slot> {
        self.slot_of(&StrategyKey::parse(key)?)
    }

    fn forget_invalid(&mut self, key: &StrategyKey<'_>) {
        if !self.invalid.is_empty() {
            self.invalid.remove(key.hash().as_str());
        }
    }
}

#[cfg(test)]
mod tests;
