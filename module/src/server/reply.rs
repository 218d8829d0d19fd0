//! Replies that keep the order of their members.

use redis_module::{Context, RedisValue, raw};

/// Replies a map in RESP3, a flat array in RESP2, members in the order given.
pub(crate) fn reply_map(ctx: &Context, members: Vec<(RedisValue, RedisValue)>) -> RedisValue {
    let length = i64::try_from(members.len()).unwrap_or(0);
    raw::reply_with_map(ctx.ctx, length);
    for (name, value) in members {
        ctx.reply(Ok(name));
        ctx.reply(Ok(value));
    }
    RedisValue::NoReply
}
