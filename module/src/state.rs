//! What the module holds in memory. All of it can be rebuilt from the keyspace.
//!
//! Redis runs module code on its main thread, one call at a time. The state is never borrowed across a call
//! into Redis: key events of our own writes come back into the module.

use crate::server::wall_clock_ms;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;
use strat_core::book::{Book, Membership, Slot};
use strat_core::lock::Token;

/// A strategy whose membership of the sets is to be brought up to its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mend {
    pub(crate) db: i32,
    pub(crate) prefix: String,
    pub(crate) member: String,
    pub(crate) before: Membership,
    pub(crate) after: Membership,
}

/// A set that somebody wrote by another road than ours: it is compared with the book as a whole, in slices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SetRepair {
    pub(crate) db: i32,
    pub(crate) prefix: String,
    /// `None` for `active_strategies`.
    pub(crate) symbol: Option<String>,
}

impl SetRepair {
    /// The key of the set.
    pub(crate) fn key(&self) -> String {
        match &self.symbol {
            Some(symbol) => strat_core::key::symbol_set(&self.prefix, symbol),
            None => strat_core::key::active(&self.prefix),
        }
    }
}

/// How far the repair in hand has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Removing members that do not belong, from this SSCAN cursor on.
    Stale(Vec<u8>),
    /// Adding members that are missing, from this slot on.
    Missing(Slot),
}

/// Panics of one strategy after which the others go on without it.
const STRIKES_MAX: u32 = 3;

/// Totals since the start, for `INFO`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) ticks: u64,
    pub(crate) fired: u64,
    /// Price alerts fired.
    pub(crate) alerts_fired: u64,
    pub(crate) stale: u64,
    pub(crate) mended: u64,
    pub(crate) drains: u64,
    pub(crate) panics: u64,
    pub(crate) write_errors: u64,
    pub(crate) last_mismatches: u64,
    pub(crate) rebuild_us: u64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) books: BTreeMap<i32, Book>,
    pub(crate) mends: VecDeque<Mend>,
    pub(crate) repairs: BTreeSet<SetRepair>,
    pub(crate) repair_in_hand: Option<(SetRepair, Pass)>,
    /// The derived sets that exist, ours or not: what a promotion must check.
    pub(crate) known_sets: BTreeSet<SetRepair>,
    pub(crate) counters: Counters,
    pub(crate) epoch: String,
    /// The last lock's token, so that tokens rise.
    pub(crate) last_token: Token,
    pub(crate) loading: bool,
    pub(crate) loading_since_ms: i64,
    /// The module itself is writing the sets: their key events are its own.
    pub(crate) writing_sets: bool,
    /// A panic may have left the books wrong: everything is refused until they are rebuilt.
    pub(crate) poisoned: bool,
    /// When the last panic poisoned the books, and how many did so in a row before it.
    pub(crate) last_panic: Option<Instant>,
    pub(crate) panic_streak: u32,
    /// Panics while a strategy was fired, by database and key, since its hash last changed.
    pub(crate) strikes: BTreeMap<(i32, String), u32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State { epoch: fresh_epoch(), ..State::default() });
}

/// Looks at or changes the state. `body` must not call into Redis.
pub(crate) fn with<T>(body: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|state| body(&mut state.borrow_mut()))
}

/// Forgets everything: the module is loaded or unloaded.
pub(crate) fn reset() {
    with(|state| *state = State { epoch: fresh_epoch(), ..State::default() });
}

impl State {
    /// The book of a database.
    pub(crate) fn book(&mut self, db: i32) -> &mut Book {
        let loading = self.loading;
        self.books.entry(db).or_insert_with(|| {
            let mut book = Book::default();
            if loading {
                book.defer();
            }
            book
        })
    }

    /// Memory may have lost writes: whoever works with the old epoch must reconcile first.
    pub(crate) fn new_epoch(&mut self) {
        self.epoch = fresh_epoch();
    }

    /// The next lock token; rises even where the clock steps back.
    pub(crate) fn next_token(&mut self, now_ms: i64) -> Token {
        self.last_token = self.last_token.next(now_ms);
        self.last_token
    }

    /// Counts a panic while the strategy at a key was fired.
    pub(crate) fn strike(&mut self, db: i32, key: &str) {
        *self.strikes.entry((db, key.to_owned())).or_default() += 1;
    }

    /// Whether what stands at a key panics whenever it is fired: it must not take all others with it.
    pub(crate) fn is_struck_out(&self, db: i32, key: impl FnOnce() -> String) -> bool {
        !self.strikes.is_empty() && self.strikes.get(&(db, key())).is_some_and(|n| *n >= STRIKES_MAX)
    }

    /// The key changed: it may be tried again.
    pub(crate) fn forgive(&mut self, db: i32, key: impl FnOnce() -> String) {
        if !self.strikes.is_empty() {
            self.strikes.remove(&(db, key()));
        }
    }

    /// Forgets what follows the keys of any database.
    pub(crate) fn forget_all(&mut self) {
        self.books.clear();
        self.mends.clear();
        self.repairs.clear();
        self.repair_in_hand = None;
        self.known_sets.clear();
    }

    /// Forgets what follows a database's keys.
    pub(crate) fn forget_database(&mut self, db: i32) {
        self.books.remove(&db);
        self.mends.retain(|mend| mend.db != db);
        self.repairs.retain(|repair| repair.db != db);
        self.known_sets.retain(|set| set.db != db);
        if self.repair_in_hand.as_ref().is_some_and(|(repair, _)| repair.db == db) {
            self.repair_in_hand = None;
        }
    }
}

/// An epoch that no other start has: when it began, epoch ms, and 16 hex digits, because the standard library seeds
/// `RandomState` from the system.
fn fresh_epoch() -> String {
    let now_ms = wall_clock_ms();
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_i64(now_ms);
    hasher.write_u32(std::process::id());
    format!("{now_ms}-{:016x}", hasher.finish())
}
