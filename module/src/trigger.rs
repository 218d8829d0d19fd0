//! A tick fires what it crosses; what one call may not finish goes on in slices.

use crate::effects::{self, Write};
use crate::server::{self, Found};
use crate::state::Storm;
use crate::{keyspace, settings, state};
use redis_module::Context;
use strat_core::{Price, StrategyKey, key};

/// Triggers fired in one slice of a drain, between two looks at the clock.
const SLICE: usize = 16;

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

/// Fires what the tick crosses, at most `max-fired-per-call` triggers; the rest stays fired in principle: the
/// extremes go into a durable key and the background jobs go on with them.
pub(crate) fn fire(ctx: &Context, db: i32, tick: &Tick<'_>) -> usize {
    let limit = usize::try_from(settings::MAX_FIRED_PER_CALL.get()).unwrap_or(usize::MAX);
    let mut keys = Vec::new();
    state::with(|state| {
        state.counters.ticks += 1;
        state.book(db).crossed(tick.name, tick.price, limit + 1, &mut keys);
    });
    if keys.is_empty() {
        return 0;
    }
    let more = keys.len() > limit;
    let fired = keys.iter().take(limit).filter(|key| fire_one(ctx, db, key, tick, None)).count();
    if more {
        remember_storm(ctx, db, tick);
    }
    fired
}

/// Fires one strategy if its hash agrees; puts the book right if it does not.
fn fire_one(ctx: &Context, db: i32, name: &str, tick: &Tick<'_>, armed_until_ms: Option<i64>) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let Found::Strategy(strategy) = server::find_strategy(ctx, name.as_bytes()) else {
        stale(ctx, db, &key);
        return false;
    };
    if armed_until_ms.is_some_and(|until| strategy.updated_at > until) {
        return false;
    }
    let Some(change) = strategy.fire(tick.price, tick.text, tick.ts_ms) else {
        stale(ctx, db, &key);
        return false;
    };
    let write = Write {
        key: &key,
        change,
        version: strategy.next_version(),
        side: strategy.side,
        now_ms: tick.ts_ms,
        replaced: None,
    };
    effects::apply(ctx, write);
    state::with(|state| state.counters.fired += 1);
    true
}

fn stale(ctx: &Context, db: i32, key: &StrategyKey<'_>) {
    state::with(|state| state.counters.stale += 1);
    ctx.log_warning(&format!("the book was stale for {}: derived again", key.hash()));
    keyspace::follow_strategy(ctx, db, key);
}

fn remember_storm(ctx: &Context, db: i32, tick: &Tick<'_>) {
    let known = state::with(|state| state.storms.get(&(db, tick.name.to_owned())).copied());
    let storm = known.unwrap_or(Storm { low: tick.price, high: tick.price, ts_ms: tick.ts_ms });
    let (low, high) = (storm.low.min(tick.price), storm.high.max(tick.price));
    let ts_ms = storm.ts_ms.max(tick.ts_ms);
    state::with(|state| state.counters.drains += 1);
    effects::write_drain(ctx, &key::drain(tick.prefix, tick.symbol), &format!("{low} {high} {ts_ms}"));
    server::start_timer(ctx, 1);
}

/// Goes on with one storm. Answers whether there is more to do.
pub(crate) fn drain_slice(ctx: &Context) -> bool {
    let first = state::with(|state| state.storms.iter().next().map(|(at, storm)| (at.clone(), *storm)));
    let Some(((db, name), storm)) = first else { return false };
    let over = server::in_database(ctx, db, || drain_some(ctx, db, &name, storm));
    if over != Some(false) {
        state::with(|state| state.storms.remove(&(db, name)));
    }
    state::with(|state| !state.storms.is_empty())
}

/// Fires a slice of a storm at its extremes. Answers whether the storm is over.
fn drain_some(ctx: &Context, db: i32, name: &str, storm: Storm) -> bool {
    let Some((prefix, symbol)) = key::split_tag(name) else { return true };
    for price in [storm.low, storm.high] {
        let text = price.to_string();
        let tick = Tick { name, prefix, symbol, price, text: &text, ts_ms: storm.ts_ms };
        if !drain_price(ctx, db, &tick) {
            return false;
        }
    }
    effects::delete_drain(ctx, &key::drain(prefix, symbol));
    true
}

/// Fires at most a slice at one extreme. Answers whether nothing is left there. What was armed after the storm stays
/// in the book and is passed over, so the look goes deeper while it finds nothing else.
fn drain_price(ctx: &Context, db: i32, tick: &Tick<'_>) -> bool {
    let mut depth = 4 * SLICE;
    loop {
        let mut keys = Vec::new();
        state::with(|state| state.book(db).crossed(tick.name, tick.price, depth, &mut keys));
        let fired = keys.iter().filter(|key| fire_one(ctx, db, key, tick, Some(tick.ts_ms))).take(SLICE).count();
        if fired > 0 {
            return false;
        }
        if keys.len() < depth {
            return true;
        }
        depth *= 4;
    }
}
