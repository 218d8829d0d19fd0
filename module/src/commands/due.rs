//! `STRAT.DUE now-ms [TAG t] [LIMIT n]`

use crate::args::Args;
use crate::effects::{self, Write};
use crate::server::{self, Found, selected_db};
use crate::{keyspace, state};
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
            return Err(args.syntax("now-ms [TAG t] [LIMIT n]"));
        }
    }
    let db = selected_db(ctx);
    effects::preflight(ctx, &prefix)?;
    let keys = state::with(|state| state.book(db).due(&prefix, now_ms, usize::try_from(limit).unwrap_or(1)));
    let enqueued = keys.iter().filter(|key| handle(ctx, db, key, now_ms)).count();
    let next = state::with(|state| state.book(db).next_due(&prefix)).unwrap_or(-1);
    Ok(RedisValue::Array(vec![
        RedisValue::Integer(i64::try_from(enqueued).unwrap_or(i64::MAX)),
        RedisValue::Integer(next),
    ]))
}

/// Does what the time asks of one strategy. Answers whether that was an order.
fn handle(ctx: &Context, db: i32, name: &str, now_ms: i64) -> bool {
    let Some(key) = StrategyKey::parse(name) else { return false };
    let change = match server::find_strategy(ctx, name.as_bytes()) {
        Found::Strategy(strategy) => strategy.due(now_ms).map(|change| (change, strategy)),
        _ => None,
    };
    let Some((change, strategy)) = change else {
        ctx.log_warning(&format!("the time book was stale for {name}: derived again"));
        keyspace::follow_strategy(ctx, db, &key);
        return false;
    };
    let order = change.enqueue.is_some();
    let (version, side) = (strategy.next_version(), strategy.side);
    let written = effects::apply(ctx, Write { key: &key, change, version, side, now_ms, replaced: None });
    order && written.is_ok()
}
