//! `STRAT.DEL key`

use crate::args::Args;
use crate::effects;
use crate::server::{self, Found, KeyKind, wall_clock_ms};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::Refusal;

/// Deletes the hash, its places in the sets and its lock. Replies 1, or 0 where there was nothing.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.DEL", args);
    let key = args.strategy_key()?;
    args.end()?;
    match server::key_kind(ctx, &key.hash()) {
        KeyKind::Empty => return Ok(RedisValue::Integer(0)),
        KeyKind::Hash => {}
        _ => return Err(super::wrong_type(&key)),
    }
    effects::preflight(ctx, key.prefix)?;
    // A hash that does not parse can be deleted all the same.
    let (change, version) = match server::find_strategy(ctx, key.hash().as_bytes()) {
        Found::Strategy(strategy) => (strategy.remove(), strategy.next_version()),
        _ => {
            let salvaged = super::salvage(ctx, &key);
            (salvaged.remove(), salvaged.next_version())
        }
    };
    effects::remove(ctx, &key, &change, version, wall_clock_ms())?;
    Ok(RedisValue::Integer(1))
}
