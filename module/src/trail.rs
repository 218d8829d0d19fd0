//! Trailing stops: when they begin to follow, and what the durable key says of the prices that they follow.

use crate::server::{self, Found};
use crate::{effects, keyspace, state};
use redis_module::Context;
use std::collections::HashMap;
use strat_core::book::Book;
use strat_core::strategy::{Change, Fields};
use strat_core::{Price, Strategy, StrategyKey, key};

/// How many begin to follow in one call.
const BEGIN_MAX: usize = 128;

/// A change that opens a position with a trail says from when on prices count.
pub(crate) fn begin_with(ctx: &Context, key: &StrategyKey<'_>, before: Option<&Strategy>, change: &mut Change) {
    let after = match before {
        // Most changes have nothing to do with it.
        Some(before) if before.trail.is_none() && !change.fields.iter().any(|(name, _)| name == "trail") => return,
        Some(before) => before.after(&change.fields).or_else(|| merged(ctx, key, &change.fields)),
        None => Strategy::of_fields(&change.fields).ok(),
    };
    if let Some(after) = after.filter(Strategy::begins_trailing) {
        let begun = after.begin_trailing(moment(server::selected_db(ctx), key, &after));
        change.fields.retain(|(name, _)| begun.iter().all(|(other, _)| name != other));
        change.fields.extend(begun);
    }
}

/// A strategy once these fields are written, where its hash must be looked at for that.
fn merged(ctx: &Context, key: &StrategyKey<'_>, fields: &Fields) -> Option<Strategy> {
    let known = server::all_fields(ctx, &key.hash()).into_iter();
    let mut all: HashMap<Vec<u8>, Vec<u8>> = known.collect();
    all.extend(fields.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())));
    Strategy::read(|name| all.get(name.as_bytes()).map(Vec::as_slice)).ok()
}

fn moment(db: i32, key: &StrategyKey<'_>, strategy: &Strategy) -> i64 {
    let symbol = format!("{}{}", key.prefix, strategy.symbol);
    state::with(|state| state.book(db).next_moment(&symbol, strategy.side, server::wall_clock_ms()))
}

/// Lets those begin that wait for it, where they are few: commands do this before they answer, ticks before they fire.
/// What a bulk of plain writes left beyond that begins in the background, slice by slice.
pub(crate) fn begin_waiting(ctx: &Context) {
    for _ in 0..BEGIN_MAX {
        if !begin_some(ctx) {
            return;
        }
    }
}

/// Lets a strategy begin whose hash was written by another road than the commands. Answers whether there was one.
pub(crate) fn begin_some(ctx: &Context) -> bool {
    let found = state::with(|state| state.books.iter().find_map(|(db, book)| book.beginner().map(|name| (*db, name))));
    let Some((db, name)) = found.filter(|_| server::is_primary(ctx)) else { return false };
    let begin = || StrategyKey::parse(&name).is_some_and(|key| begin_one(ctx, db, &key));
    if !server::in_database(ctx, db, begin).unwrap_or(false) {
        // It waits for its next change: nothing may come round for ever.
        state::with(|state| StrategyKey::parse(&name).map(|key| state.book(db).pass_over(&key)));
    }
    true
}

fn begin_one(ctx: &Context, db: i32, key: &StrategyKey<'_>) -> bool {
    let begins = match server::find_strategy(ctx, key.hash().as_bytes()) {
        Found::Strategy(strategy) => Some(strategy).filter(|strategy| strategy.begins_trailing()),
        _ => None,
    };
    let Some(strategy) = begins else {
        keyspace::follow_strategy(ctx, db, key);
        return true;
    };
    let fields = strategy.begin_trailing(moment(db, key, &strategy));
    effects::begin_trailing(ctx, key, &fields).is_ok()
}

/// Forgets what nobody follows any more, of one symbol. Answers whether there was anything.
pub(crate) fn release_some() -> bool {
    let released = state::with(|state| state.books.values_mut().any(Book::release_trail));
    if released {
        server::write_trails_soon();
    }
    released
}

/// A price came: where it is a new best, trailing stops follow it, and the durable key is to say so.
pub(crate) fn raise(db: i32, name: &str, price: Price) {
    if state::with(|state| state.book(db).raise(name, price)) {
        server::write_trails_soon();
    }
}

/// Writes what the durable keys do not say yet: once a turn of the event loop, however many prices came in it. Answers
/// whether that is done: not while writes are paused.
pub(crate) fn write_all(ctx: &Context) -> bool {
    if server::writes_are_paused() {
        return false;
    }
    if !server::is_primary(ctx) {
        // It gets the keys from its primary; what they do not say then, it says once it is promoted.
        return true;
    }
    let next = || {
        state::with(|state| {
            let mut books = state.books.iter_mut();
            books.find_map(|(db, book)| book.take_trail_write().map(|(symbol, write)| (*db, symbol, write)))
        })
    };
    while let Some((db, symbol, write)) = next() {
        if let Some((prefix, symbol)) = key::split_tag(&symbol) {
            server::in_database(ctx, db, || effects::write_trail(ctx, prefix, symbol, &write));
        }
    }
    true
}
