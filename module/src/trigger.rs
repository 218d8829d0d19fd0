//! A tick fires what it crosses; what one call may not finish goes on in slices.

use crate::effects::{self, Write};
use crate::server::{self, Found};
use crate::state::Storm;
use crate::{keyspace, state};
use redis_module::Context;
use strat_core::{Price, Strategy, StrategyKey, key};

/// Triggers fired in one slice of a drain, between two looks at the clock.
const SLICE: usize = 16;
/// Storms of one symbol kept apart; more are merged, which may fire more than was crossed, never less.
const STORMS_MAX: usize = 16;

/// A price of a symbol, as a tick gave it.
pub(crate) struct Tick<'a> {
    /// Symbol with the tag's prefix.
    pub(crate) name: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) symbol: &'a str,
    pub(crate) price: Price,
    pub(crate) text: &'a str,
    pub(crate) ts_ms: i64,
}

/// Fires what the tick crosses, at most `budget` triggers; the rest stays fired in principle: the extremes go into a
/// durable key and the background jobs go on with them.
pub(crate) fn fire(ctx: &Context, db: i32, tick: &Tick<'_>, budget: usize) -> usize {
    let mut keys = Vec::new();
    let seq = state::with(|state| {
        let book = state.book(db);
        book.crossed(tick.name, tick.price, budget.saturating_add(1), &mut keys);
        book.seq()
    });
    if keys.is_empty() {
        return 0;
    }
    let fired = keys.iter().take(budget).filter(|key| fire_one(ctx, db, key, tick)).count();
    if keys.len() > budget {
        remember_storm(ctx, db, tick, seq);
    }
    fired
}

/// Fires one strategy or does what its time asks. Where that panics, it keeps no other from it.
pub(crate) fn apart(ctx: &Context, db: i32, name: &str, fire: impl FnOnce() -> bool) -> bool {
    let fired = server::attempt(ctx, name, || {
        server::reach(server::Point::Fire);
        fire()
    });
    if fired.is_none() {
        state::with(|state| state.strike(db, name));
    }
    fired.unwrap_or(false)
}

fn fire_one(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>) -> bool {
    apart(ctx, db, name, || fire_if_crossed(ctx, db, name, tick))
}

/// Fires one strategy if its hash agrees; puts the book right if it does not.
fn fire_if_crossed(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let strategy = match server::find_strategy(ctx, name.as_bytes()) {
        Found::Strategy(strategy) => Some(strategy),
        _ => None,
    };
    let change = strategy.as_ref().and_then(|strategy| strategy.fire(tick.price, tick.text, tick.ts_ms));
    let (Some(strategy), Some(change)) = (&strategy, change) else {
        check_stale(ctx, db, &key, strategy.as_deref());
        return false;
    };
    let written = effects::apply(ctx, Write::of(&key, strategy, change, tick.ts_ms));
    state::with(|state| state.counters.fired += u64::from(written.is_ok()));
    written.is_ok()
}

/// A hit that the hash does not confirm. Both levels of one strategy may be crossed by one price: the first has fired
/// it then, and the book knows.
pub(crate) fn check_stale(ctx: &Context, db: i32, key: &StrategyKey<'_>, strategy: Option<&Strategy>) {
    let known = state::with(|state| state.book(db).arming_of(&key.hash()).map(|(arming, ..)| arming));
    if known == strategy.map(Strategy::arming) {
        return;
    }
    state::with(|state| state.counters.stale += 1);
    server::log_warning(ctx, &format!("the book was stale for {}: derived again", key.hash()));
    keyspace::follow_strategy(ctx, db, key);
}

/// Adds a tick to the symbol's storms: to the last one where nothing was armed since, else as one of its own.
fn remember_storm(ctx: &Context, db: i32, tick: &Tick<'_>, seq: u64) {
    let at = (db, tick.name.to_owned());
    let mut storms = state::with(|state| {
        state.counters.drains += 1;
        state.storms.get(&at).cloned().unwrap_or_default()
    });
    let full = storms.len() >= STORMS_MAX;
    match storms.last_mut().filter(|last| full || last.seq == seq) {
        Some(last) => {
            let (low, high) = (last.low.min(tick.price), last.high.max(tick.price));
            *last = Storm { low, high, ts_ms: last.ts_ms.max(tick.ts_ms), seq };
        }
        None => storms.push(Storm { low: tick.price, high: tick.price, ts_ms: tick.ts_ms, seq }),
    }
    // Known before the key's own event comes, which keeps the places in the order of arming.
    state::with(|state| state.storms.insert(at, storms.clone()));
    effects::write_storms(ctx, tick.prefix, tick.symbol, &storms);
}

/// Goes on with one symbol's storms. Answers whether that got on: it does not where there are none, or where nothing
/// of them can be fired now.
pub(crate) fn drain_slice(ctx: &Context) -> bool {
    let first = state::with(|state| state.storms.first_key_value().map(|(at, storms)| (at.clone(), storms.clone())));
    let Some(((db, name), storms)) = first else { return false };
    server::in_database(ctx, db, || drain_some(ctx, db, &name, &storms)).unwrap_or(false)
}

/// Fires a slice of the oldest storm at its extremes. A storm is over when nothing that it crossed is armed any more,
/// not when a slice fired nothing: the queue may refuse the order, or the book may just have been put right.
fn drain_some(ctx: &Context, db: i32, name: &str, storms: &[Storm]) -> bool {
    let (Some((prefix, symbol)), Some((storm, rest))) = (key::split_tag(name), storms.split_first()) else {
        return false;
    };
    for price in [storm.low, storm.high] {
        let text = price.to_string();
        let tick = Tick { name, prefix, symbol, price, text: &text, ts_ms: storm.ts_ms };
        let mut keys = Vec::new();
        state::with(|state| state.book(db).crossed_until(name, price, storm.seq, SLICE, &mut keys));
        if !keys.is_empty() {
            return keys.iter().filter(|key| fire_one(ctx, db, key, &tick)).count() > 0;
        }
    }
    effects::write_storms(ctx, prefix, symbol, rest);
    true
}
