//! `STRAT.GET key`

use crate::args::Args;
use crate::server::{self, KeyKind, all_fields, reply_map};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::Refusal;

/// Replies all fields as they were given; nil where there is no strategy.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.GET", args);
    let key = args.strategy_key()?;
    args.end()?;
    match server::key_kind(ctx, &key.hash()) {
        KeyKind::Empty => Ok(RedisValue::Null),
        KeyKind::Hash => Ok(reply_map(ctx, members(ctx, &key.hash()))),
        _ => Err(super::wrong_type(&key)),
    }
}

/// The fields of a hash as members of a map reply.
pub(super) fn members(ctx: &Context, key: &str) -> Vec<(RedisValue, RedisValue)> {
    let fields = all_fields(ctx, key).into_iter();
    fields.map(|(name, value)| (RedisValue::StringBuffer(name), RedisValue::StringBuffer(value))).collect()
}
