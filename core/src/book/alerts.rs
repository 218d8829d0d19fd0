//! Price alerts in the trigger book. They stand beside the strategies' levels, apart from them: they belong to no set, have
//! no time and no version.

use super::interned::Interned;
use super::ranked::Ranked;
use super::symbol::{Levels, SymbolBook};
use super::{Book, Slot, entry::fall_rank, tagged};
use crate::alert::{Alert, Condition};
use crate::decimal::Price;
use crate::key::AlertKey;
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// An alert's hash, armed or not.
#[derive(Debug)]
pub(super) struct Known {
    key: Arc<str>,
    /// Index of the symbol.
    symbol: u32,
    armed: Option<(Condition, Price)>,
    /// The book's sequence number when it was armed as it is.
    seq: u64,
}

/// Every alert of a database.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    by_key: BTreeMap<Arc<str>, Slot>,
    slots: Vec<Option<Known>>,
    free: Vec<Slot>,
    armed: usize,
    /// How many each user has, armed or not, by what his keys begin with.
    of_user: HashMap<Box<str>, u32, FxBuildHasher>,
    /// Bytes of the keys.
    key_bytes: usize,
}

/// What the keys of all alerts of one user begin with.
fn user_of(key: &str) -> &str {
    key.rfind(':').map_or(key, |colon| &key[..=colon])
}

impl Alerts {
    fn get(&self, slot: Slot) -> Option<&Known> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn insert(&mut self, known: Known) -> Slot {
        let key = Arc::clone(&known.key);
        self.key_bytes += key.len();
        match self.of_user.get_mut(user_of(&key)) {
            Some(count) => *count += 1,
            None => drop(self.of_user.insert(user_of(&key).into(), 1)),
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(known);
                slot
            }
            None => {
                self.slots.push(Some(known));
                Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
            }
        };
        self.by_key.insert(key, slot);
        slot
    }

    fn remove(&mut self, key: &str) -> Option<(Slot, Known)> {
        let slot = self.by_key.remove(key)?;
        let known = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.key_bytes -= known.key.len();
        let user = user_of(&known.key);
        if let Some(count) = self.of_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.of_user.remove(user);
            }
        }
        Some((slot, known))
    }

    pub(super) const fn armed(&self) -> usize {
        self.armed
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // Each key has two counts beside it; a B-tree's node is about two thirds full.
        self.key_bytes
            + self.by_key.len() * 2 * size_of::<usize>()
            + self.by_key.len() * size_of::<(Arc<str>, Slot)>() * 3 / 2
            + self.slots.capacity() * size_of::<Option<Known>>()
            + self.free.capacity() * size_of::<Slot>()
            + self.of_user.capacity() * (size_of::<(Box<str>, u32)>() + 1)
            + self.of_user.keys().map(|user| user.len()).sum::<usize>()
    }
}

/// The armed alerts of a symbol.
#[derive(Debug, Default)]
pub(super) struct AlertLevels {
    pub(super) levels: Levels,
    /// Alerts of the symbol, armed or not: the symbol stays while there is one.
    known: usize,
}

impl AlertLevels {
    fn side(&mut self, condition: Condition, level: Price) -> (&mut Ranked<i64>, i64) {
        match condition {
            Condition::Below => (&mut self.levels.falls, fall_rank(level.units())),
            Condition::Above => (&mut self.levels.rises, level.units()),
        }
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.levels.heap_bytes()
    }
}

fn levels(symbols: &mut Interned<SymbolBook>, symbol: u32) -> &mut AlertLevels {
    symbols.at_mut(symbol).alerts.get_or_insert_default()
}

/// One page of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPage {
    /// Keys of the hashes, in their order.
    pub keys: Vec<String>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

impl Book {
    /// Takes the alert at `key` into the book, or takes its change over.
    pub fn put_alert(&mut self, key: &AlertKey<'_>, alert: &Alert) {
        let (name, armed) = (key.hash(), alert.armed());
        let symbol = tagged(key.prefix, &alert.symbol);
        let known = self.alerts.by_key.get(name.as_str()).and_then(|slot| self.alerts.get(*slot));
        if known.is_some_and(|known| known.armed == armed && self.symbols.name(known.symbol) == symbol) {
            return;
        }
        self.remove_alert(key);
        let symbol = self.symbols.intern(&symbol);
        self.seq += u64::from(armed.is_some());
        let slot = self.alerts.insert(Known { key: name.into(), symbol, armed, seq: self.seq });
        let levels = levels(&mut self.symbols, symbol);
        levels.known += 1;
        if let Some((condition, level)) = armed {
            let (side, rank) = levels.side(condition, level);
            side.insert((rank, slot));
            self.alerts.armed += 1;
        }
    }

    /// Forgets the alert at `key`: it is gone, or is none any more.
    pub fn remove_alert(&mut self, key: &AlertKey<'_>) {
        let name = key.hash();
        self.invalid.remove(name.as_str());
        let Some((slot, known)) = self.alerts.remove(&name) else { return };
        let levels = levels(&mut self.symbols, known.symbol);
        levels.known -= 1;
        let is_last = levels.known == 0;
        if let Some((condition, level)) = known.armed {
            let (side, rank) = levels.side(condition, level);
            side.remove((rank, slot));
            self.alerts.armed -= 1;
        }
        if is_last {
            let book = self.symbols.at_mut(known.symbol);
            book.alerts = None;
            // While members are not kept, whoever keeps them again looks who has none.
            if !self.deferred && book.is_unused() {
                self.symbols.remove(known.symbol);
            }
        }
    }

    /// Forgets the alert at `key` because its hash does not parse, and remembers why.
    pub fn put_invalid_alert(&mut self, key: &AlertKey<'_>, reason: String) {
        self.remove_alert(key);
        self.invalid.insert(key.hash().into(), reason);
    }

    /// As [`Book::crossed`], of the alerts.
    #[must_use]
    pub fn alerts_crossed(&self, symbol: &str, price: Price, limit: usize) -> Vec<Box<str>> {
        self.alerts_armed_by(self.seq, symbol, price, limit)
    }

    /// Of those only that were armed by a sequence number.
    pub(super) fn alerts_armed_by(&self, seq: u64, symbol: &str, price: Price, limit: usize) -> Vec<Box<str>> {
        let Some(alerts) = self.symbols.get(symbol).and_then(|book| book.alerts.as_deref()) else { return Vec::new() };
        let known =
            alerts.levels.crossed(price).filter_map(|slot| self.alerts.get(slot)).filter(|known| known.seq <= seq);
        known.take(limit).map(|known| known.key.as_ref().into()).collect()
    }

    /// What the book holds of the alert at `key`, to compare with the hash: its symbol, and what it waits for.
    #[must_use]
    pub fn alert_of(&self, key: &AlertKey<'_>) -> Option<(&str, Option<(Condition, Price)>)> {
        let known = self.alerts.get(*self.alerts.by_key.get(key.hash().as_str())?)?;
        Some((&self.symbols.name(known.symbol)[key.prefix.len()..], known.armed))
    }

    /// How many alerts a user has, waiting and fired; `start` is what their keys begin with. Whether one of them is at `key`.
    #[must_use]
    pub fn alerts_count(&self, start: &str, key: &str) -> (u32, bool) {
        (self.alerts.of_user.get(start).copied().unwrap_or(0), self.alerts.by_key.contains_key(key))
    }

    /// Keys of all alerts that begin with `start`, behind `after` where one is given; at most `count`.
    #[must_use]
    pub fn alerts(&self, start: &str, after: Option<&str>, count: usize) -> AlertPage {
        let from = after.map_or(Bound::Included(start), Bound::Excluded);
        let names = self.alerts.by_key.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| &**key);
        let mut names = names.take_while(|name| name.starts_with(start));
        let keys = names.by_ref().take(count).map(str::to_owned).collect();
        AlertPage { keys, more: names.next().is_some() }
    }

    /// What is wrong with the alerts, for the audit.
    pub(super) fn misplaced_alerts(&self) -> usize {
        let alerts = || self.symbols.iter().filter_map(|(_, book)| book.alerts.as_deref());
        let standing: usize = alerts().map(|alerts| alerts.levels.falls.len() + alerts.levels.rises.len()).sum();
        let known: usize = alerts().map(|alerts| alerts.known).sum();
        let armed = self.alerts.slots.iter().flatten().filter(|known| known.armed.is_some()).count();
        let of_users: u32 = self.alerts.of_user.values().sum();
        let unsound = alerts().filter(|alerts| !alerts.levels.is_sound()).count();
        let idle = alerts().filter(|alerts| alerts.known == 0).count();
        standing.abs_diff(armed)
            + self.alerts.armed.abs_diff(armed)
            + known.abs_diff(self.alerts.len())
            + (of_users as usize).abs_diff(self.alerts.len())
            + unsound
            + idle
    }
}
