//! `STRAT.UPDATE key [IFVERSION v] [TOKEN t] field value [field value ...]`

use super::{lock, strategy_at};
use crate::args::Args;
use crate::effects::{self, Write};
use crate::server::{self, wall_clock_ms};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::{Code, Refusal};

/// Changes some fields and keeps the others. Replies the version; nil where there is no strategy.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.UPDATE", args);
    let key = args.strategy_key()?;
    let if_version = if args.option("IFVERSION") { Some(args.count("IFVERSION", 0, i64::MAX)?) } else { None };
    let token = if args.option("TOKEN") { Some(args.text()?) } else { None };
    let fields = args.pairs()?;
    let Some(strategy) = strategy_at(ctx, &key)? else { return Ok(RedisValue::Null) };
    if let Some(expected) = if_version.filter(|expected| expected.unsigned_abs() != strategy.version) {
        return Err(Refusal::new(
            Code::BadVersion,
            format!("IFVERSION {expected} but the version is {}", strategy.version),
        ));
    }
    if let Some(token) = token {
        lock::check_token(ctx, &key, token)?;
    }
    let now_ms = wall_clock_ms();
    let current = server::Texts::of(ctx, key.hash(), fields.iter().map(|(name, _)| *name));
    let value_of = |name: &str| current.get(name);
    let Some(change) = strategy.update(&fields, value_of, now_ms)? else {
        return Ok(RedisValue::Integer(strategy.version.cast_signed()));
    };
    let decides_order = |name: &str| ["symbol", "side", "quantity", "cycle"].contains(&name);
    if token.is_none() && change.fields.iter().any(|(name, _)| decides_order(name)) && lock::is_held(ctx, &key) {
        return Err(Refusal::new(
            Code::Busy,
            "an order is being placed for the strategy: give its TOKEN or try again later",
        ));
    }
    effects::preflight(ctx, key.prefix)?;
    Ok(RedisValue::Integer(effects::apply(ctx, Write::of(&key, &strategy, change, now_ms))?.cast_signed()))
}
