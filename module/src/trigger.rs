//! A tick fires what it crosses; what one call may not finish goes on in slices.

use crate::effects::{self, Write};
use crate::server::{self, Found};
use crate::{keyspace, state, trail};
use redis_module::Context;
use strat_core::strategy::Trailing;
use strat_core::{AlertKey, Price, Strategy, StrategyKey, key};

/// Triggers fired in one slice of a drain, between two looks at the clock.
const SLICE: usize = 16;

/// When a price crossed what it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crossed {
    Now,
    /// When the oldest storm of the symbol came.
    InStorm,
}

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

/// How much one call may still fire. Alerts do not use up what stops may need.
pub(crate) struct Budget {
    pub(crate) stops: usize,
    pub(crate) alerts: usize,
}

/// Fires what the tick crosses, at most what the budget allows; the rest stays fired in principle: the extremes go into a
/// durable key and the background jobs go on with them. Answers how many fired.
pub(crate) fn fire(ctx: &Context, db: i32, tick: &Tick<'_>, budget: &mut Budget) -> usize {
    trail::raise(db, tick.name, tick.price);
    let mut stops = Vec::new();
    let alerts = state::with(|state| {
        let book = state.book(db);
        book.crossed(tick.name, tick.price, budget.stops.saturating_add(1), &mut stops);
        book.alerts_crossed(tick.name, tick.price, budget.alerts.saturating_add(1))
    });
    let fire = |keys: &[Box<str>], left: &mut usize| {
        let fired = keys.iter().take(*left).filter(|key| fire_one(ctx, db, key, tick, Crossed::Now)).count();
        *left -= fired;
        fired
    };
    let is_storm = stops.len() > budget.stops || alerts.len() > budget.alerts;
    let fired = fire(&stops, &mut budget.stops) + fire(&alerts, &mut budget.alerts);
    if is_storm {
        remember_storm(ctx, db, tick);
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

fn fire_one(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>, crossed: Crossed) -> bool {
    apart(ctx, db, name, || match AlertKey::parse(name) {
        Some(key) => fire_alert(ctx, db, &key, tick),
        None => fire_if_crossed(ctx, db, name, tick, crossed),
    })
}

/// Fires one alert if its hash agrees; puts the book right if it does not.
fn fire_alert(ctx: &Context, db: i32, key: &AlertKey<'_>, tick: &Tick<'_>) -> bool {
    let alert = server::find_alert(ctx, key).and_then(Result::ok).filter(|alert| alert.symbol == tick.symbol);
    let Some(fired) = alert.and_then(|alert| alert.fire(key, tick.price, tick.text, tick.ts_ms)) else {
        state::with(|state| state.counters.stale += 1);
        keyspace::follow_alert(ctx, db, key);
        return false;
    };
    let written = effects::fire_alert(ctx, key, &fired);
    state::with(|state| state.counters.alerts_fired += u64::from(written.is_ok()));
    written.is_ok()
}

/// Fires one strategy if its hash agrees; puts the book right if it does not.
fn fire_if_crossed(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>, crossed: Crossed) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let strategy = match server::find_strategy(ctx, name.as_bytes()) {
        Found::Strategy(strategy) => Some(strategy),
        _ => None,
    };
    let change = strategy.as_ref().and_then(|strategy| {
        let best = strategy.trailing().and_then(|trailing| best(db, tick.name, &trailing, crossed));
        strategy.fire(tick.price, best, tick.text, tick.ts_ms)
    });
    let (Some(strategy), Some(change)) = (&strategy, change) else {
        check_stale(ctx, db, &key, strategy.as_deref());
        return false;
    };
    let written = effects::apply(ctx, Write::of(&key, strategy, change, tick.ts_ms));
    state::with(|state| state.counters.fired += u64::from(written.is_ok()));
    written.is_ok()
}

/// The best price that a strategy followed when the price crossed.
fn best(db: i32, symbol: &str, trailing: &Trailing, crossed: Crossed) -> Option<Price> {
    state::with(|state| match crossed {
        Crossed::Now => state.book(db).best_since(symbol, trailing),
        Crossed::InStorm => state.book(db).best_in_storm(symbol, trailing),
    })
}

/// A hit that the hash does not confirm. Both levels of one strategy may be crossed by one price: the first has fired
/// it then, and the book knows.
pub(crate) fn check_stale(ctx: &Context, db: i32, key: &StrategyKey<'_>, strategy: Option<&Strategy>) {
    let known = state::with(|state| state.book(db).arming_of(&key.hash()).map(|(arming, ..)| arming));
    if known == strategy.map(Strategy::arming) {
        // A storm that holds it and cannot fire it would come round for ever.
        state::with(|state| state.book(db).rearm(key));
        return;
    }
    state::with(|state| state.counters.stale += 1);
    server::log_warning(ctx, &format!("the book was stale for {}: derived again", key.hash()));
    keyspace::follow_strategy(ctx, db, key);
}

/// What the call may not fire any more stays fired in principle.
fn remember_storm(ctx: &Context, db: i32, tick: &Tick<'_>) {
    let text = state::with(|state| {
        state.counters.drains += 1;
        let book = state.book(db);
        book.add_storm(tick.name, tick.price, tick.ts_ms);
        book.storms_text(tick.name)
    });
    effects::write_storms(ctx, tick.prefix, tick.symbol, text.as_deref());
}

/// Goes on with one symbol's storms. Answers whether that got on: it does not where there are none, or where nothing
/// of them can be fired now.
pub(crate) fn drain_slice(ctx: &Context) -> bool {
    let first =
        state::with(|state| state.books.iter_mut().find_map(|(db, book)| book.next_stormy().map(|name| (*db, name))));
    let Some((db, name)) = first else { return false };
    server::in_database(ctx, db, || drain_some(ctx, db, &name)).unwrap_or(false)
}

/// Fires a slice of the oldest storm at its extremes. A storm is over when nothing that it crossed is armed any more,
/// not when a slice fired nothing: the queue may refuse the order, or the book may just have been put right.
fn drain_some(ctx: &Context, db: i32, name: &str) -> bool {
    let slice = state::with(|state| state.book(db).storm_slice(name, SLICE));
    let (Some((prefix, symbol)), Some(slice)) = (key::split_tag(name), slice) else { return false };
    if slice.keys.is_empty() {
        let text = state::with(|state| {
            let book = state.book(db);
            book.end_storm(name);
            book.storms_text(name)
        });
        effects::write_storms(ctx, prefix, symbol, text.as_deref());
        return true;
    }
    let text = slice.price.to_string();
    let tick = Tick { name, prefix, symbol, price: slice.price, text: &text, ts_ms: slice.ts_ms };
    slice.keys.iter().filter(|key| fire_one(ctx, db, key, &tick, Crossed::InStorm)).count() > 0
}
