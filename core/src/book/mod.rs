//! The derived books of one Redis database: every strategy by key, its armed levels by price, its times
//! by time. Hashes are the truth; [`Book::put`] and [`Book::remove`] follow them, whatever changed them.

mod audit;
mod levels;
mod list;

pub use audit::Stats;
pub use list::{ListFilter, ListPage};

use crate::decimal::Price;
use crate::key::StrategyKey;
use crate::strategy::{Arming, Status, Strategy};
use hashbrown::HashTable;
use levels::{Levels, Rise};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

/// Index of a strategy in the book's slab. Stable while the strategy exists, so it serves as a cursor.
pub type Slot = u32;

/// What the sets must say of a strategy: the symbol under which it is a member, if it is RUNNING.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership(pub Option<String>);

/// The membership before and after a change of the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Before.
    pub before: Membership,
    /// After.
    pub after: Membership,
}

impl Moved {
    /// Whether the sets must change.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.before != self.after
    }
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    symbol: u32,
    status: Status,
    arming: Arming,
    /// The book's sequence number when the levels were armed as they are.
    armed_seq: u64,
}

/// What is kept per `{tag}symbol`.
#[derive(Debug, Default)]
struct SymbolBook {
    /// Name with the tag's prefix: the argument of `SLCHECK`.
    name: Box<str>,
    falls: Levels<levels::Fall>,
    rises: Levels<Rise>,
    /// Every strategy of the symbol, whatever its status.
    slots: BTreeSet<Slot>,
    running: usize,
}

/// What is kept per tag.
#[derive(Debug, Default)]
struct Partition {
    due: BTreeSet<(i64, Slot)>,
    /// Every strategy of the tag.
    slots: BTreeSet<Slot>,
    /// Every symbol with a strategy.
    symbols: BTreeSet<u32>,
}

/// The books of one database.
#[derive(Debug, Default)]
pub struct Book {
    entries: Vec<Option<Entry>>,
    free: Vec<Slot>,
    by_key: HashTable<Slot>,
    symbols: Vec<SymbolBook>,
    /// Places in `symbols` without a strategy.
    free_symbols: Vec<u32>,
    by_symbol: FxHashMap<Box<str>, u32>,
    by_user: FxHashMap<Box<str>, BTreeSet<Slot>>,
    partitions: FxHashMap<Box<str>, Partition>,
    /// Hashes that do not parse, with the reason.
    invalid: BTreeMap<Box<str>, String>,
    running: usize,
    triggers: usize,
    key_bytes: usize,
    /// Rises whenever a level is armed.
    seq: u64,
}

fn hash(key: &str) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl Book {
    /// Takes the hash at `key` into the books, or takes its change over.
    pub fn put(&mut self, key: &StrategyKey<'_>, strategy: &Strategy) -> Moved {
        let name = key.hash();
        self.invalid.remove(name.as_str());
        let old = self.take(&name);
        let before = old.as_ref().map_or_else(Membership::default, |(_, membership)| membership.clone());
        let symbol = self.symbol_index(key.prefix, &strategy.symbol);
        let arming = strategy.arming();
        let armed_seq = self.armed_seq(old.map(|(entry, _)| entry), symbol, &arming);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            Slot::try_from(self.entries.len() - 1).unwrap_or(Slot::MAX)
        });
        let entry = Entry { key: name.into(), symbol, status: strategy.status, arming, armed_seq };
        self.link(slot, key, &entry);
        let after = self.membership(&entry);
        self.by_key.insert_unique(hash(&entry.key), slot, |slot| hash(key_at(&self.entries, *slot)));
        self.entries[slot as usize] = Some(entry);
        Moved { before, after }
    }

    /// Levels that stay as they are were armed when they were; others are armed now.
    fn armed_seq(&mut self, old: Option<Entry>, symbol: u32, arming: &Arming) -> u64 {
        let levels = |arming: &Arming| (arming.fall, arming.rise);
        if let Some(old) = old.filter(|old| old.symbol == symbol && levels(&old.arming) == levels(arming)) {
            return old.armed_seq;
        }
        self.seq += u64::from(arming.triggers() > 0);
        self.seq
    }

    /// Rises whenever a level is armed: what was armed later than a moment has a higher number than the book had then.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Forgets the hash at `key`: it is gone or is no strategy any more.
    pub fn remove(&mut self, key: &StrategyKey<'_>) -> Moved {
        let name = key.hash();
        self.invalid.remove(name.as_str());
        let before = self.take(&name).map_or_else(Membership::default, |(_, membership)| membership);
        Moved { before, after: Membership::default() }
    }

    /// Forgets the hash at `key` because it does not parse, and remembers why.
    pub fn put_invalid(&mut self, key: &StrategyKey<'_>, reason: String) -> Moved {
        let moved = self.remove(key);
        self.invalid.insert(key.hash().into(), reason);
        moved
    }

    /// Keys of the strategies that `price` may fire, closest level first, at most `limit`, appended to `fired`.
    /// `symbol` carries the tag's prefix. Costs two comparisons where nothing is crossed.
    pub fn crossed(&self, symbol: &str, price: Price, limit: usize, fired: &mut Vec<Box<str>>) {
        self.crossed_until(symbol, price, u64::MAX, limit, fired);
    }

    /// As [`Book::crossed`], passing over what was armed after the book's sequence number was `seq`.
    pub fn crossed_until(&self, symbol: &str, price: Price, seq: u64, limit: usize, fired: &mut Vec<Box<str>>) {
        let Some(book) = self.by_symbol.get(symbol).map(|index| &self.symbols[*index as usize]) else {
            return;
        };
        let entry = |slot: Slot| self.entries.get(slot as usize).and_then(Option::as_ref);
        let crossed = book.falls.crossed(price).chain(book.rises.crossed(price)).filter_map(entry);
        let in_time = crossed.filter(|entry| entry.armed_seq <= seq);
        fired.extend(in_time.take(limit).map(|entry| entry.key.clone()));
    }

    /// Keys of the strategies of a partition whose time has come, earliest first, at most `limit`.
    #[must_use]
    pub fn due(&self, prefix: &str, now_ms: i64, limit: usize) -> Vec<Box<str>> {
        let Some(partition) = self.partitions.get(prefix) else {
            return Vec::new();
        };
        let come = partition.due.range(..=(now_ms, Slot::MAX)).take(limit);
        come.map(|(_, slot)| key_at(&self.entries, *slot).into()).collect()
    }

    /// The earliest time that a partition waits for, epoch ms.
    #[must_use]
    pub fn next_due(&self, prefix: &str) -> Option<i64> {
        self.partitions.get(prefix)?.due.first().map(|(at, _)| *at)
    }

    /// The symbols of a partition with RUNNING strategies, and how many, in name order.
    #[must_use]
    pub fn symbols(&self, prefix: &str) -> BTreeMap<&str, usize> {
        let indices = self.partitions.get(prefix).into_iter().flat_map(|partition| &partition.symbols);
        let running = indices.map(|index| &self.symbols[*index as usize]).filter(|book| book.running > 0);
        running.filter_map(|book| strip(&book.name, prefix).map(|symbol| (symbol, book.running))).collect()
    }

    /// Every partition that has been seen, as prefixes.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.partitions.keys().map(AsRef::as_ref)
    }

    /// What the sets must say of `key`.
    #[must_use]
    pub fn membership_of(&self, key: &str) -> Membership {
        self.slot_of(key)
            .and_then(|slot| self.entries[slot as usize].as_ref())
            .map_or_else(Membership::default, |entry| self.membership(entry))
    }

    /// RUNNING strategies of a partition from a slot on, at most `limit` slots looked at; of one symbol if given.
    /// Answers the keys and where to go on.
    #[must_use]
    pub fn running_from(
        &self,
        prefix: &str,
        symbol: Option<&str>,
        from: Slot,
        limit: usize,
    ) -> (Vec<Box<str>>, Option<Slot>) {
        let filter = ListFilter { prefix, symbol, user: None, status: Status::Running };
        let page = self.list(&filter, from, limit);
        (page.keys.into_iter().map(Into::into).collect(), page.next)
    }

    /// The arming that the book holds for `key`, to compare with the hash.
    #[must_use]
    pub fn arming_of(&self, key: &str) -> Option<(Arming, Status, &str)> {
        let entry = self.entries[self.slot_of(key)? as usize].as_ref()?;
        Some((entry.arming, entry.status, self.symbol_of(entry)))
    }

    /// Every key in the book.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flatten().map(|entry| entry.key.as_ref())
    }

    fn slot_of(&self, key: &str) -> Option<Slot> {
        self.by_key.find(hash(key), |slot| key_at(&self.entries, *slot) == key).copied()
    }

    /// Unlinks the entry of `key`, if there is one; answers it with its membership.
    fn take(&mut self, key: &str) -> Option<(Entry, Membership)> {
        let found = self.by_key.find_entry(hash(key), |slot| key_at(&self.entries, *slot) == key);
        let slot = found.ok()?.remove().0;
        let entry = self.entries[slot as usize].take()?;
        let before = self.membership(&entry);
        if let Some(key) = StrategyKey::parse(&entry.key) {
            self.unlink(slot, &key, &entry);
        }
        self.free.push(slot);
        Some((entry, before))
    }

    fn link(&mut self, slot: Slot, key: &StrategyKey<'_>, entry: &Entry) {
        let running = usize::from(entry.status == Status::Running);
        let book = &mut self.symbols[entry.symbol as usize];
        book.slots.insert(slot);
        book.running += running;
        book.falls.insert(entry.arming.fall, slot);
        book.rises.insert(entry.arming.rise, slot);
        self.running += running;
        self.triggers += entry.arming.triggers();
        self.by_user.entry(user_index(key).into()).or_default().insert(slot);
        let partition = self.partitions.entry(key.prefix.into()).or_default();
        partition.due.extend(times(entry).map(|at| (at, slot)));
        partition.slots.insert(slot);
        partition.symbols.insert(entry.symbol);
        self.key_bytes += entry.key.len();
    }

    fn unlink(&mut self, slot: Slot, key: &StrategyKey<'_>, entry: &Entry) {
        let running = usize::from(entry.status == Status::Running);
        let book = &mut self.symbols[entry.symbol as usize];
        book.slots.remove(&slot);
        book.running -= running;
        book.falls.remove(entry.arming.fall, slot);
        book.rises.remove(entry.arming.rise, slot);
        let last_of_symbol = book.slots.is_empty();
        if last_of_symbol {
            // Dated symbols of options come and go for ever: their places are used again.
            self.by_symbol.remove(&book.name);
            *book = SymbolBook::default();
            self.free_symbols.push(entry.symbol);
        }
        self.running -= running;
        self.triggers -= entry.arming.triggers();
        self.key_bytes -= entry.key.len();
        let user = user_index(key);
        if let Some(slots) = self.by_user.get_mut(user.as_str()) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_user.remove(user.as_str());
            }
        }
        if let Some(partition) = self.partitions.get_mut(key.prefix) {
            for at in times(entry) {
                partition.due.remove(&(at, slot));
            }
            partition.slots.remove(&slot);
            if last_of_symbol {
                partition.symbols.remove(&entry.symbol);
            }
            if partition.slots.is_empty() {
                self.partitions.remove(key.prefix);
            }
        }
    }

    fn symbol_index(&mut self, prefix: &str, symbol: &str) -> u32 {
        let name: Box<str> = format!("{prefix}{symbol}").into();
        if let Some(index) = self.by_symbol.get(&name) {
            return *index;
        }
        let index = self.free_symbols.pop().unwrap_or_else(|| {
            self.symbols.push(SymbolBook::default());
            u32::try_from(self.symbols.len() - 1).unwrap_or(u32::MAX)
        });
        self.symbols[index as usize].name.clone_from(&name);
        self.by_symbol.insert(name, index);
        index
    }

    fn symbol_of(&self, entry: &Entry) -> &str {
        let name = &self.symbols[entry.symbol as usize].name;
        name.rsplit_once('}').map_or(name, |(_, symbol)| symbol)
    }

    fn membership(&self, entry: &Entry) -> Membership {
        Membership((entry.status == Status::Running).then(|| self.symbol_of(entry).to_owned()))
    }
}

fn key_at(entries: &[Option<Entry>], slot: Slot) -> &str {
    entries.get(slot as usize).and_then(Option::as_ref).map_or("", |entry| &entry.key)
}

fn times(entry: &Entry) -> impl Iterator<Item = i64> {
    // Two equal times of one strategy are one place in the time book.
    let exit = entry.arming.exit_due.filter(|at| Some(*at) != entry.arming.entry_due);
    entry.arming.entry_due.into_iter().chain(exit)
}

fn user_index(key: &StrategyKey<'_>) -> String {
    format!("{}{}", key.prefix, key.user)
}

/// The rest of `name` where its tag is exactly `prefix`.
fn strip<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|rest| !rest.starts_with('{'))
}

#[cfg(test)]
mod tests;
