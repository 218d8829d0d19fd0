//! The books follow the hashes. Whatever the event is called, the key is reopened and its place in the
//! books derived again: a plain HSET, RENAME, RESTORE or a replica's stream all end here.

use crate::server::{self, Found, KeyKind};
use crate::state::{self, Mend, SetRepair};
use crate::{effects, settings, trail};
use redis_module::Context;
use std::time::Instant;
use strat_core::book::{Book, Moved};
use strat_core::key::{self, DerivedKey};
use strat_core::{AlertKey, Strategy, StrategyKey};

/// Phases of loading a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    Started,
    Ended,
    Failed,
}

/// A key changed in some way; `by_itself` where the server took it away, perhaps under a write of ours.
pub(crate) fn on_key(ctx: &Context, name: &str, by_itself: bool) {
    if state::with(|state| state.poisoned) {
        // The books are rebuilt from all keys.
        return;
    }
    if let Some(key) = StrategyKey::parse(name) {
        let (db, found) = server::find_strategy_and_db(ctx, name.as_bytes());
        state::with(|state| state.forgive(db, || name.to_owned()));
        follow_found(ctx, db, &key, found);
    } else if is_followed(name) {
        let db = server::selected_db(ctx);
        state::with(|state| state.forgive(db, || name.to_owned()));
        follow_other(ctx, db, name, by_itself);
    }
}

/// Whether the books follow the key besides the strategies' hashes.
fn is_followed(name: &str) -> bool {
    AlertKey::parse(name).is_some() || key::parse_derived(name).is_some()
}

/// A strategy's hash was written by the module itself; `after`: what it is now, where that is known.
pub(crate) fn on_own_write(ctx: &Context, key: &StrategyKey<'_>, after: Option<Strategy>) {
    if state::with(|state| state.poisoned) {
        return;
    }
    let db = server::selected_db(ctx);
    state::with(|state| state.forgive(db, || key.hash()));
    match after {
        Some(strategy) => follow_found(ctx, db, key, Found::Strategy(Box::new(strategy))),
        None => follow_strategy(ctx, db, key),
    }
}

fn follow_other(ctx: &Context, db: i32, name: &str, by_itself: bool) {
    if let Some(key) = AlertKey::parse(name) {
        follow_alert(ctx, db, &key);
        return;
    }
    match key::parse_derived(name) {
        Some((prefix, DerivedKey::Active)) => set_changed(ctx, db, prefix, None, by_itself),
        Some((prefix, DerivedKey::SymbolSet(symbol))) => set_changed(ctx, db, prefix, Some(symbol), by_itself),
        Some((prefix, DerivedKey::Drain(symbol))) => follow_drain(ctx, db, prefix, symbol),
        Some((_, DerivedKey::Trail(_))) => follow_trail(ctx, db, name),
        None => {}
    }
}

const STRUCK_OUT: &str = "it panics whenever it fires, see the log; tried again when the hash changes";

/// Derives an alert's place in the book from its hash.
pub(crate) fn follow_alert(ctx: &Context, db: i32, key: &AlertKey<'_>) {
    let found = server::find_alert(ctx, key);
    let complaint = state::with(|state| {
        let struck_out = state.is_struck_out(db, || key.hash());
        let book = state.book(db);
        match found {
            Some(Ok(_)) if struck_out => Some(STRUCK_OUT.to_owned()),
            Some(Ok(alert)) => {
                book.put_alert(key, &alert);
                None
            }
            Some(Err(reason)) => Some(reason),
            None => {
                book.remove_alert(key);
                None
            }
        }
        .inspect(|reason| book.put_invalid_alert(key, reason.clone()))
    });
    if let Some(reason) = complaint {
        server::log_warning(ctx, &format!("{} (db {db}) is not watched: {reason}", key.hash()));
    }
}

/// Derives a strategy's place in the books from its hash.
pub(crate) fn follow_strategy(ctx: &Context, db: i32, key: &StrategyKey<'_>) {
    let found = server::find_strategy(ctx, key.hash().as_bytes());
    follow_found(ctx, db, key, found);
}

fn follow_found(ctx: &Context, db: i32, key: &StrategyKey<'_>, found: Found) {
    let mut complaint = None;
    let (moved, waits, unwritten) = state::with(|state| {
        let found = match state.is_struck_out(db, || key.hash()) {
            true => Found::Invalid(STRUCK_OUT.to_owned()),
            false => found,
        };
        let book = state.book(db);
        let moved = match found {
            Found::Strategy(strategy) => book.put(key, &strategy),
            Found::Nothing | Found::WrongType => book.remove(key),
            Found::Invalid(reason) => {
                complaint = Some(reason.clone());
                book.put_invalid(key, reason)
            }
        };
        (moved, book.has_idle_trails() || book.beginner().is_some(), book.has_unwritten_trails())
    });
    if waits && server::is_primary(ctx) {
        server::start_timer(ctx, 0);
    }
    if unwritten {
        server::write_trails_soon();
    }
    if let Some(reason) = complaint {
        server::log_warning(ctx, &format!("{} (db {db}) is not guarded: {reason}", key.hash()));
    }
    if let Some(moved) = moved {
        queue_mend(ctx, db, key, moved);
    }
}

/// The sets follow: commands mend them before they answer, other roads in the next turn of the event loop.
fn queue_mend(ctx: &Context, db: i32, key: &StrategyKey<'_>, moved: Moved) {
    let loading = state::with(|state| state.loading);
    // While loading, the sets come with the data; a replica gets them from its primary.
    if loading || !server::is_primary(ctx) || !effects::is_local(ctx, key.prefix) {
        return;
    }
    let mend =
        Mend { db, prefix: key.prefix.to_owned(), member: key.member(), before: moved.before, after: moved.after };
    state::with(|state| state.mends.push_back(mend));
    server::start_timer(ctx, 0);
}

fn set_changed(ctx: &Context, db: i32, prefix: &str, symbol: Option<&str>, by_itself: bool) {
    let repair = SetRepair { db, prefix: prefix.to_owned(), symbol: symbol.map(ToOwned::to_owned) };
    let exists = server::key_kind(ctx, &repair.key()) != KeyKind::Empty;
    let foreign = state::with(|state| {
        if exists {
            state.known_sets.insert(repair.clone());
        } else {
            state.known_sets.remove(&repair);
        }
        // A set whose time is over goes when our own SADD looks at it, with all its members.
        (by_itself || !state.writing_sets) && !state.loading
    });
    if !foreign || !server::is_primary(ctx) {
        return;
    }
    state::with(|state| {
        // A repair in hand may have passed the tampered place: it starts again.
        if state.repair_in_hand.as_ref().is_some_and(|(in_hand, _)| *in_hand == repair) {
            state.repair_in_hand = None;
        }
        state.repairs.insert(repair);
    });
    server::start_timer(ctx, 0);
}

fn follow_drain(ctx: &Context, db: i32, prefix: &str, symbol: &str) {
    let name = key::drain(prefix, symbol);
    let text = match server::key_kind(ctx, &name) {
        KeyKind::String => server::read(ctx, "GET", &[name.as_bytes()]).ok().and_then(server::Reply::into_bytes),
        _ => None,
    };
    let text = text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
    let draining = state::with(|state| state.book(db).follow_storms(&format!("{prefix}{symbol}"), text));
    if draining {
        server::start_timer(ctx, 1);
    }
}

fn follow_trail(ctx: &Context, db: i32, name: &str) {
    // A replica adds nothing to what its primary says.
    let is_all = !server::is_primary(ctx);
    with_trail(ctx, name, |symbol, fields| {
        state::with(|state| {
            let book = state.book(db);
            if is_all {
                book.skip_trail_write(symbol);
            }
            book.follow_trail(symbol, fields);
        });
    });
}

/// Reads the durable key of what trailing stops of a symbol follow; `None` for the name of another key.
pub(crate) fn with_trail<T>(ctx: &Context, name: &str, take: impl FnOnce(&str, &[(&str, &str)]) -> T) -> Option<T> {
    let Some((prefix, DerivedKey::Trail(symbol))) = key::parse_derived(name) else { return None };
    let fields = match server::key_kind(ctx, name) {
        KeyKind::Hash => server::all_fields(ctx, name),
        _ => Vec::new(),
    };
    let texts =
        fields.iter().filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?)));
    Some(take(&format!("{prefix}{symbol}"), &texts.collect::<Vec<_>>()))
}

/// A database was flushed; -1 for all.
pub(crate) fn on_flush(ctx: &Context, db: i32) {
    state::with(|state| {
        if db < 0 {
            state.forget_all();
        } else {
            state.forget_database(db);
        }
        state.new_epoch();
    });
    server::log_notice(ctx, &format!("database {db} was flushed: new epoch"));
}

/// Two databases changed places.
pub(crate) fn on_swap(ctx: &Context, first: i32, second: i32) {
    let other = |db: i32| match db {
        _ if db == first => second,
        _ if db == second => first,
        _ => db,
    };
    state::with(|state| {
        state.books = std::mem::take(&mut state.books).into_iter().map(|(db, book)| (other(db), book)).collect();
        state.mends.iter_mut().for_each(|mend| mend.db = other(mend.db));
        let swapped = |repair: SetRepair| SetRepair { db: other(repair.db), ..repair };
        state.known_sets = std::mem::take(&mut state.known_sets).into_iter().map(swapped).collect();
        let in_hand = state.repair_in_hand.take().map(|(repair, _)| repair);
        let repairs = std::mem::take(&mut state.repairs).into_iter().chain(in_hand);
        state.repairs = repairs.map(swapped).collect();
        state.new_epoch();
    });
    server::log_notice(ctx, &format!("databases {first} and {second} were swapped: new epoch"));
}

/// A data set is loaded: at start, from the primary, or not after all.
pub(crate) fn on_loading(ctx: &Context, phase: Loading) {
    match phase {
        Loading::Started => state::with(|state| {
            state.loading = true;
            state.books.values_mut().for_each(Book::defer);
            state.loading_since_ms = server::wall_clock_ms();
            // Whatever was queued belongs to the data that is being replaced.
            state.mends.clear();
            state.repairs.clear();
            state.repair_in_hand = None;
        }),
        Loading::Ended | Loading::Failed => {
            state::with(|state| {
                state.loading = false;
                state.books.values_mut().for_each(Book::settle);
                if phase == Loading::Failed {
                    state.books.clear();
                    state.known_sets.clear();
                }
                let took = server::wall_clock_ms() - state.loading_since_ms;
                state.counters.rebuild_us = took.unsigned_abs() * 1_000;
                state.new_epoch();
            });
            take_over(ctx);
        }
    }
}

/// Promotion or demotion.
pub(crate) fn on_role(ctx: &Context) {
    state::with(|state| {
        state.new_epoch();
        state.mends.clear();
        state.repairs.clear();
        state.repair_in_hand = None;
    });
    take_over(ctx);
}

/// After loading or promotion the primary checks every set against the book, goes on with storms in hand, and writes what
/// trailing stops follow where the keys do not say it.
fn take_over(ctx: &Context) {
    if !server::is_primary(ctx) {
        return;
    }
    state::with(|state| {
        let mut repairs = Vec::new();
        for (db, book) in &state.books {
            for prefix in book.prefixes() {
                repairs.push(SetRepair { db: *db, prefix: prefix.to_owned(), symbol: None });
                let symbols = book.symbols(prefix).into_keys();
                repairs.extend(symbols.map(|symbol| SetRepair {
                    db: *db,
                    prefix: prefix.to_owned(),
                    symbol: Some(symbol.to_owned()),
                }));
            }
        }
        repairs.extend(state.known_sets.iter().cloned());
        state.repairs.extend(repairs);
    });
    server::write_trails_soon();
    server::start_timer(ctx, 0);
}

/// Builds the books from a scan of the keyspace: the module was loaded into a running server, or a panic may have
/// left the books wrong.
pub(crate) fn rebuild(ctx: &Context) {
    let started = Instant::now();
    // Prices were taken in this turn that no key has yet.
    server::survive(ctx, "what trailing stops follow", || trail::write_all(ctx));
    state::with(|state| {
        state.forget_all();
        state.writing_sets = false;
        state.loading = true;
    });
    let mut survived = true;
    for db in server::databases(ctx).collect::<Vec<i32>>() {
        survived &= server::in_database(ctx, db, || rebuild_database(ctx, db)).unwrap_or(true);
    }
    state::with(|state| state.books.values_mut().for_each(Book::settle));
    // A key that panicked may have left a book half changed.
    let wrong = match survived {
        true => Vec::new(),
        false => state::with(|state| state.books.values().flat_map(Book::inconsistencies).collect::<Vec<_>>()),
    };
    assert!(wrong.is_empty(), "the books do not agree with themselves: {}", wrong.join("; "));
    let stats = state::with(|state| {
        state.counters.rebuild_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        state.poisoned = false;
        state.loading = false;
        state.new_epoch();
        state.books.values().map(|book| book.stats().strategies).sum::<usize>()
    });
    take_over(ctx);
    server::log_notice(ctx, &format!("strat {} holds {stats} strategies", settings::VERSION));
}

/// Follows every key of the selected database. Answers whether none panicked: one that does stops no other.
fn rebuild_database(ctx: &Context, db: i32) -> bool {
    let (mut survived, mut others) = (true, Vec::new());
    let follow = |key: &StrategyKey<'_>, found: Found| {
        if server::survive(ctx, "building the books", || follow_found(ctx, db, key, found)).is_none() {
            survived = false;
            state::with(|state| state.book(db).put_invalid(key, "internal error, see the log".to_owned()));
        }
    };
    let other = |name: &str| others.extend(is_followed(name).then(|| name.to_owned()));
    server::each_strategy(ctx, follow, other);
    for name in others {
        survived &= server::survive(ctx, &name, || follow_other(ctx, db, &name, false)).is_some();
    }
    survived
}
