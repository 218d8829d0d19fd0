//! Trailing stops: the extremes that they follow are kept in `trail:{symbol}`, written in the command that brought them.

use crate::effects::{self, Write};
use crate::server::{self, Found, KeyKind};
use crate::state;
use crate::trigger::{self, Tick};
use redis_module::Context;
use strat_core::book::{Extreme, Sweep};
use strat_core::strategy::{Change, TrailStart};
use strat_core::{Strategy, StrategyKey, key};

/// Fields deleted in the command that wrote a new extreme: more than one extreme can overtake on average.
const STALE_PER_TICK: usize = 4;
/// Fields deleted in one slice between commands.
const SLICE: usize = 256;
/// Trailing stops written by hand that one tick gives a beginning.
const ANCHORS_PER_TICK: usize = 1_000;

/// Takes a price over as the new extreme of those to whom it is news, durably. Before anything fires: whoever fires is
/// judged by the extremes with this price.
pub(crate) fn follow(ctx: &Context, db: i32, tick: &Tick<'_>, argument: &[u8]) {
    let raised = state::with(|state| state.book(db).raise(tick.name, tick.price));
    for extreme in raised.extremes.iter().flatten() {
        write(ctx, tick, extreme, argument);
    }
    if raised.stale {
        let stale = state::with(|state| state.book(db).take_stale_extremes(tick.name, STALE_PER_TICK));
        delete(ctx, &key::trail(tick.prefix, tick.symbol), &stale);
    }
    if !raised.anchorless {
        return;
    }
    for name in state::with(|state| state.book(db).anchorless(tick.name, ANCHORS_PER_TICK)) {
        trigger::apart(ctx, db, &name, || begin(ctx, db, &name, tick));
    }
}

fn write(ctx: &Context, tick: &Tick<'_>, extreme: &Extreme, argument: &[u8]) {
    // Both in one allocation.
    let mut text = String::with_capacity(tick.name.len() + 32);
    key::write_trail(&mut text, tick.prefix, tick.symbol);
    let split = text.len();
    Extreme::write_field(&mut text, extreme.side, extreme.number);
    let (name, field) = text.split_at(split);
    if !server::store_field(ctx, name, field, argument) {
        state::with(|state| state.counters.write_errors += 1);
        server::log_warning(ctx, &format!("{name} holds another type than strat keeps there: rename or delete it"));
    }
}

fn delete(ctx: &Context, name: &str, fields: &[String]) {
    if fields.is_empty() {
        return;
    }
    let args = std::iter::once(name.as_bytes()).chain(fields.iter().map(String::as_bytes)).collect::<Vec<_>>();
    as_ours(|| effects::best_effort(effects::call(ctx, "HDEL", &args)));
}

/// Writes `trail:{symbol}`: its key event says nothing that the book does not know.
fn as_ours(body: impl FnOnce()) {
    state::with(|state| state.writing_trails = true);
    body();
    state::with(|state| state.writing_trails = false);
}

/// Gives a trailing stop its beginning that was written by hand.
fn begin(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let Found::Strategy(strategy) = server::find_strategy(ctx, name.as_bytes()) else { return false };
    let from = state::with(|state| state.book(db).trail_start(tick.name, strategy.side, server::wall_clock_ms()));
    let Some(change) = strategy.begin_trail(&TrailStart { from, last: Some(tick.price) }) else { return false };
    let (version, side, now_ms) = (strategy.next_version(), strategy.side, tick.ts_ms);
    effects::apply(ctx, Write { key: &key, change, version, side, now_ms, replaced: None }).is_ok()
}

/// Lets a change say where a trailing stop begins, if it begins with it. `after` is the strategy with the change,
/// `was_open` whether a position was open before.
pub(crate) fn anchor(ctx: &Context, key: &StrategyKey<'_>, change: &mut Change, was_open: bool, after: &Strategy) {
    if after.trail.is_none() && after.trail_from.is_none() && after.trail_ref.is_none() {
        return;
    }
    let name = format!("{}{}", key.prefix, after.symbol);
    let db = server::selected_db(ctx);
    let from = state::with(|state| state.book(db).trail_start(&name, after.side, server::wall_clock_ms()));
    let price = key::price(key.prefix, &after.symbol);
    let last = match server::key_kind(ctx, &price) {
        KeyKind::String => server::read(ctx, "GET", &[price.as_bytes()]).ok().and_then(server::Reply::into_bytes),
        _ => None,
    };
    let last = last.and_then(|text| strat_core::Price::parse(&text).ok());
    after.anchor_trail(change, was_open, &TrailStart { from, last });
}

/// `trail:{symbol}` changed in some way.
pub(crate) fn on_key(ctx: &Context, db: i32, prefix: &str, symbol: &str, by_itself: bool) {
    let name = format!("{prefix}{symbol}");
    let foreign = state::with(|state| {
        let foreign = by_itself || !state.writing_trails;
        if foreign {
            state.book(db).soil_trail(&name);
        }
        foreign && !state.loading
    });
    // A replica reads it when it is asked or promoted: its primary writes there with every new extreme.
    if foreign && server::is_primary(ctx) {
        reload_database(ctx, db);
    }
}

/// Reads every `trail:{symbol}` that somebody else wrote.
pub(crate) fn reload(ctx: &Context) {
    for db in state::with(|state| state.books.keys().copied().collect::<Vec<_>>()) {
        server::in_database(ctx, db, || reload_database(ctx, db));
    }
}

fn reload_database(ctx: &Context, db: i32) {
    for name in state::with(|state| state.book(db).take_soiled_trails()) {
        let extremes = read(ctx, &name);
        state::with(|state| state.book(db).load_trail(&name, extremes));
    }
    sweep_soon(ctx, db);
}

/// The extremes in `trail:{symbol}`; what is no extreme is passed over.
pub(crate) fn read(ctx: &Context, name: &str) -> Vec<Extreme> {
    let Some((prefix, symbol)) = key::split_tag(name) else { return Vec::new() };
    let trail = key::trail(prefix, symbol);
    let fields = match server::key_kind(ctx, &trail) {
        KeyKind::Hash => server::all_fields(ctx, &trail),
        _ => Vec::new(),
    };
    fields.iter().filter_map(|(field, value)| Extreme::parse(field, value)).collect()
}

/// Deletes what nobody needs any more in the next turn of the event loop.
pub(crate) fn sweep_soon(ctx: &Context, db: i32) {
    let wanted = state::with(|state| !state.loading && state.book(db).needs_trail_sweep());
    if wanted && server::is_primary(ctx) {
        server::start_timer(ctx, 0);
    }
}

/// Deletes a slice of what nobody needs any more. Answers whether there was anything.
pub(crate) fn sweep_some(ctx: &Context) -> bool {
    let next = state::with(|state| {
        let mut books = state.books.iter_mut();
        books.find_map(|(db, book)| book.next_trail_sweep(SLICE).map(|(name, sweep)| (*db, name, sweep)))
    });
    let Some((db, name, sweep)) = next else { return false };
    let Some((prefix, symbol)) = key::split_tag(&name) else { return true };
    let name = key::trail(prefix, symbol);
    server::in_database(ctx, db, || match sweep {
        _ if server::key_kind(ctx, &name) != KeyKind::Hash => {}
        Sweep::Key => as_ours(|| effects::best_effort(effects::call(ctx, "UNLINK", &[name.as_bytes()]))),
        Sweep::Fields(fields) => delete(ctx, &name, &fields),
    });
    true
}

/// Compares what the book follows of a symbol with its key; answers the differences.
pub(crate) fn differences(ctx: &Context, db: i32, name: &str) -> Vec<String> {
    let found = read(ctx, name);
    let (held, leaving) = state::with(|state| state.book(db).extremes(name));
    let missing = held.iter().filter(|extreme| !found.contains(extreme));
    let missing = missing.map(|extreme| format!("trail of {name}: the key does not hold {extreme:?}"));
    let surplus = found.iter().filter(|extreme| !held.contains(extreme));
    let surplus = surplus.filter(|extreme| !leaving.contains(&Extreme::field(extreme.side, extreme.number)));
    missing
        .chain(surplus.map(|extreme| format!("trail of {name}: the key holds {extreme:?}, needed by nobody")))
        .collect()
}
