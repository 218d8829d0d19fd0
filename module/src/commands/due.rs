//! `STRAT.DUE now-ms [TAG t] [LIMIT n]`

use crate::args::Args;
use crate::effects::{self, Write};
use crate::server::{self, Found, selected_db, wall_clock_ms};
use crate::{state, trigger};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::{Refusal, StrategyKey};

/// Most strategies handled in one call.
const LIMIT_MAX: i64 = 100_000;
/// Strategies handled where LIMIT is not given.
const LIMIT_DEFAULT: i64 = 1_000;

/// Enqueues every BUY and SELL whose time has come, earliest first. Replies how many were enqueued, and the earliest
/// time that is still waited for (epoch ms, -1 for none): at or before `now-ms` where LIMIT cut the work short.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.DUE", args);
    let now_ms = args.count("now-ms", 0, i64::MAX)?;
    let (mut prefix, mut limit) = (String::new(), LIMIT_DEFAULT);
    while !args.is_empty() {
        if args.option("TAG") {
            prefix = args.tag()?;
        } else if args.option("LIMIT") {
            limit = args.count("LIMIT", 1, LIMIT_MAX)?;
        } else {
            return Err(args.syntax());
        }
    }
    let db = selected_db(ctx);
    effects::preflight(ctx, &prefix)?;
    let keys = state::with(|state| state.book(db).due(&prefix, now_ms, usize::try_from(limit).unwrap_or(1)));
    let enqueued = keys.iter().filter(|key| trigger::apart(ctx, db, key, || handle(ctx, db, key, now_ms))).count();
    // After an internal error the rest may not have been done: the caller shall ask again.
    server::check_ready()?;
    let next = state::with(|state| state.book(db).next_due(&prefix)).unwrap_or(-1);
    Ok(RedisValue::Array(vec![
        RedisValue::Integer(i64::try_from(enqueued).unwrap_or(i64::MAX)),
        RedisValue::Integer(next),
    ]))
}

/// Does what the time asks of one strategy. Answers whether that was an order.
fn handle(ctx: &Context, db: i32, name: &str, now_ms: i64) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let strategy = match server::find_strategy(ctx, name.as_bytes()) {
        Found::Strategy(strategy) => Some(strategy),
        _ => None,
    };
    let change = strategy.as_ref().and_then(|strategy| strategy.due_by(now_ms, now_ms.min(wall_clock_ms())));
    let (Some(strategy), Some(change)) = (&strategy, change) else {
        // Both times of one strategy may have come: the first has done it then, and the book knows.
        trigger::check_stale(ctx, db, &key, strategy.as_deref());
        return false;
    };
    let order = change.enqueue.is_some();
    let written = effects::apply(ctx, Write::of(&key, strategy, change, now_ms));
    order && written.is_ok()
}
