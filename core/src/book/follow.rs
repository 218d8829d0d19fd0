//! How the books change: a strategy comes, waits for something else, and goes.

use super::entry::{Entry, Wait, Waits};
use super::interned::Interned;
use super::ranked::{Place, Ranked};
use super::slab::Slab;
use super::symbol::{Partition, SymbolBook};
use super::{Book, Membership, Slot, hash, tagged};
use crate::key::StrategyKey;
use crate::strategy::{Arming, Status};

/// Members stand in the order of their slots.
const fn member(slot: Slot) -> Place<()> {
    ((), slot)
}

impl Book {
    /// Makes room for a strategy that waits for nothing yet and is not RUNNING.
    pub(super) fn create(&mut self, key: &StrategyKey<'_>, symbol: &str) -> Slot {
        let symbol = self.symbols.intern(&tagged(key.prefix, symbol));
        let user = self.users.intern(&tagged(key.prefix, key.user));
        let partition = self.partitions.intern(key.prefix);
        let slot = self.slab.insert(Entry::new(key.strategy, user, symbol));
        let rehash = |slot: &Slot| self.slab.get(*slot).map_or(0, |entry| hash(entry.user, entry.id()));
        self.by_key.insert_unique(hash(user, key.strategy), slot, rehash);
        self.users.at_mut(user).partition = partition;
        if !self.deferred {
            self.symbols.at_mut(symbol).members.insert(member(slot));
            self.partitions.at_mut(partition).members.insert(member(slot));
            self.partitions.at_mut(partition).symbols.insert(symbol);
            let user = self.users.at_mut(user);
            self.user_bytes -= user.members.heap_bytes();
            user.members.insert(member(slot));
            self.user_bytes += user.members.heap_bytes();
        }
        slot
    }

    /// Takes over what a strategy is and waits for.
    pub(super) fn change(&mut self, slot: Slot, status: Status, arming: &Arming) {
        let Some(entry) = self.slab.get(slot) else { return };
        let (old, was_running, symbol) = (self.arming_at(slot, entry), entry.running(), entry.symbol);
        let waits = Waits::of(arming);
        let changed = Wait::ALL.map(|wait| (wait, entry.waits.rank(wait) != waits.rank(wait)));
        let changed = || changed.into_iter().filter(|(_, changed)| *changed).map(|(wait, _)| wait);
        // Levels that stay as they are were armed when they were; others are armed now.
        let same = (old.fall, old.rise, old.trail) == (arming.fall, arming.rise, arming.trail);
        self.seq += u64::from(!same && arming.triggers() > 0);
        let seq = if same { entry.seq() } else { self.seq };
        changed().for_each(|wait| self.enrol(slot, wait, false));
        if let Some(entry) = self.slab.get_mut(slot) {
            entry.set(status, waits, seq);
        }
        changed().for_each(|wait| self.enrol(slot, wait, true));
        self.triggers = self.triggers + arming.triggers() - old.triggers();
        self.running = recount(self.running, was_running, status);
        let book = self.symbols.at_mut(symbol);
        book.running = recount(book.running, was_running, status);
    }

    /// Takes a strategy out of the books. Answers its membership.
    pub(super) fn take(&mut self, slot: Slot) -> Membership {
        let before = self.membership_at(slot);
        self.change(slot, Status::Stopped, &Arming::default());
        self.follow(slot, None);
        self.note_beginner(slot, false);
        let Some(entry) = self.slab.get(slot) else { return before };
        let (symbol, user) = (entry.symbol, entry.user);
        if let Ok(found) = self.by_key.find_entry(hash(user, entry.id()), |other| *other == slot) {
            found.remove();
        }
        self.slab.remove(slot);
        if self.deferred {
            return before;
        }
        let members = &mut self.symbols.at_mut(symbol).members;
        members.remove(member(slot));
        let last_of_symbol = members.is_empty();
        let owner = self.users.at_mut(user);
        let partition = owner.partition;
        self.user_bytes -= owner.members.heap_bytes();
        owner.members.remove(member(slot));
        if owner.members.is_empty() {
            self.users.remove(user);
        } else {
            self.user_bytes += owner.members.heap_bytes();
        }
        let home = self.partitions.at_mut(partition);
        home.members.remove(member(slot));
        if last_of_symbol {
            home.symbols.remove(&symbol);
            if self.symbols.at(symbol).is_unused() {
                self.symbols.remove(symbol);
            }
        }
        if home.members.is_empty() {
            self.partitions.remove(partition);
        }
        before
    }

    /// Puts a strategy into the order of what waits like that, or takes it out of there.
    fn enrol(&mut self, slot: Slot, wait: Wait, waits: bool) {
        let place =
            self.slab.get(slot).and_then(|entry| Some(((entry.waits.rank(wait)?, slot), self.owner(entry, wait))));
        let Some((place, owner)) = place.filter(|_| !self.deferred) else { return };
        let order = order_of(&mut self.symbols, &mut self.partitions, wait, owner);
        if waits {
            order.insert(place);
        } else {
            order.remove(place);
        }
    }

    /// Whose order it is: a symbol's or a tag's.
    fn owner(&self, entry: &Entry, wait: Wait) -> u32 {
        match wait {
            Wait::Fall | Wait::Rise => entry.symbol,
            Wait::EntryTime | Wait::ExitTime => self.users.at(entry.user).partition,
        }
    }

    /// From here on levels, times and members are not kept, until [`Book::settle`]: to sort them once is much faster than
    /// to find each one's place while a million strategies are loaded. Nothing is crossed, due or listed meanwhile, and
    /// that a strategy came is not told.
    pub fn defer(&mut self) {
        self.deferred = true;
        self.user_bytes = 0;
        self.following.trails.clear();
        self.following.unwritten.clear();
        self.storms.clear();
        self.symbols.iter_mut().for_each(SymbolBook::forget);
        self.partitions.iter_mut().for_each(Partition::forget);
        self.users.iter_mut().for_each(|user| user.members = Ranked::default());
    }

    /// Keeps levels, times and members again, see [`Book::defer`].
    pub fn settle(&mut self) {
        if !std::mem::take(&mut self.deferred) {
            return;
        }
        for wait in Wait::ALL {
            let place = |(slot, entry): (Slot, &Entry)| Some((self.owner(entry, wait), entry.waits.rank(wait)?, slot));
            let mut places: Vec<(u32, i64, Slot)> = self.slab.iter().filter_map(place).collect();
            places.sort_unstable();
            for group in places.chunk_by(|a, b| a.0 == b.0) {
                let sorted = Ranked::from_sorted(group.iter().map(|(_, rank, slot)| (*rank, *slot)));
                *order_of(&mut self.symbols, &mut self.partitions, wait, group[0].0) = sorted;
            }
        }
        self.settle_members();
        self.settle_trails();
        self.date_storms();
    }

    fn settle_members(&mut self) {
        let Self { slab, symbols, users, partitions, user_bytes, .. } = self;
        members_of(
            slab,
            |entry| entry.symbol,
            |symbol, first, members| {
                symbols.at_mut(symbol).members = members;
                partitions.at_mut(users.at(first.user).partition).symbols.insert(symbol);
            },
        );
        members_of(
            slab,
            |entry| users.at(entry.user).partition,
            |tag, _, members| partitions.at_mut(tag).members = members,
        );
        members_of(
            slab,
            |entry| entry.user,
            |user, _, members| {
                *user_bytes += members.heap_bytes();
                users.at_mut(user).members = members;
            },
        );
        // What lost its last strategy meanwhile.
        symbols.retain(|book| !book.is_unused());
        users.retain(|user| !user.members.is_empty());
        partitions.retain(|partition| !partition.members.is_empty());
    }
}

/// Hands out the members of each owner, with one of them.
fn members_of(slab: &Slab, owner: impl Fn(&Entry) -> u32, mut give: impl FnMut(u32, &Entry, Ranked<()>)) {
    let mut slots: Vec<(u32, Slot)> = slab.iter().map(|(slot, entry)| (owner(entry), slot)).collect();
    slots.sort_unstable();
    for group in slots.chunk_by(|a, b| a.0 == b.0) {
        let (owner, first) = group[0];
        if let Some(first) = slab.get(first) {
            give(owner, first, Ranked::from_sorted(group.iter().map(|(_, slot)| member(*slot))));
        }
    }
}

fn order_of<'a>(
    symbols: &'a mut Interned<SymbolBook>,
    partitions: &'a mut Interned<Partition>,
    wait: Wait,
    owner: u32,
) -> &'a mut Ranked<i64> {
    match wait {
        Wait::Fall => &mut symbols.at_mut(owner).levels.falls,
        Wait::Rise => &mut symbols.at_mut(owner).levels.rises,
        Wait::EntryTime => &mut partitions.at_mut(owner).entry_times,
        Wait::ExitTime => &mut partitions.at_mut(owner).exit_times,
    }
}

fn recount(count: usize, was_running: bool, status: Status) -> usize {
    count + usize::from(status == Status::Running) - usize::from(was_running)
}
