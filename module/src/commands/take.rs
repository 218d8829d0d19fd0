//! `STRAT.TAKE queue owner ttl-ms [COUNT n] [EPOCH e]`

use super::get::members;
use super::lock;
use crate::args::Args;
use crate::effects;
use crate::server::{self, Reply, reply_map};
use redis_module::{Context, RedisString, RedisValue, raw};
use strat_core::lock::{TTL_MS_MAX, check_owner};
use strat_core::order::{ENGINE_GROUP, queue_field};
use strat_core::refusal::shown;
use strat_core::{Action, Code, Refusal, StrategyKey, key};

/// Most entries handed out in one call.
const COUNT_MAX: i64 = 1_000;

/// A new entry of the queue.
struct Entry {
    id: Vec<u8>,
    fields: Vec<Vec<u8>>,
    /// The lock's token and the strategy's fields, where it could be claimed.
    claimed: Option<(String, Vec<(RedisValue, RedisValue)>)>,
}

/// Hands new entries of an order queue to `owner`, as `XREADGROUP GROUP engine` does, and claims their strategies in the
/// same step: one write to disk, where a lock of its own would be a second. Replies the entries, each with its id, its
/// fields, the token (nil where the strategy could not be claimed: `STRAT.LOCK` says why) and the strategy's fields.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.TAKE", args);
    let queue = args.text()?;
    let prefix = prefix_of(queue)?;
    let owner = args.text()?;
    check_owner(owner)?;
    let ttl_ms = args.count("ttl-ms", 1, TTL_MS_MAX)?;
    let (mut count, mut epoch) = (1, None);
    while !args.is_empty() {
        if args.option("COUNT") {
            count = args.count("COUNT", 1, COUNT_MAX)?;
        } else if args.option("EPOCH") {
            epoch = Some(args.text()?);
        } else {
            args.end()?;
        }
    }
    effects::check_partition(ctx, prefix)?;
    lock::check_epoch(epoch)?;
    let mut entries = read_new(ctx, queue, owner, count)?;
    for entry in &mut entries {
        entry.claimed = claim(ctx, prefix, &entry.fields, owner, ttl_ms);
    }
    reply(ctx, entries);
    Ok(RedisValue::NoReply)
}

/// The partition of an order queue.
fn prefix_of(queue: &str) -> Result<&str, Refusal> {
    let prefix = key::split_tag(queue).map(|(prefix, _)| prefix);
    prefix.filter(|prefix| queue == key::queue_exits(prefix) || queue == key::queue_orders(prefix)).ok_or_else(|| {
        let name = shown(queue.as_bytes());
        Refusal::new(Code::BadField, format!("{name} is no order queue: [{{tag}}]queue:exits or [{{tag}}]queue:orders"))
    })
}

fn read_new(ctx: &Context, queue: &str, owner: &str, count: i64) -> Result<Vec<Entry>, Refusal> {
    let count = count.to_string();
    let words = ["GROUP", ENGINE_GROUP, owner, "COUNT", &count, "STREAMS", queue, ">"].map(str::as_bytes);
    let read = server::write(ctx, "XREADGROUP", &words).map_err(|error| refused(queue, &error))?;
    // One stream was asked for: its name and its entries.
    let entries = read.into_array().into_iter().next().map(Reply::into_array).unwrap_or_default().into_iter().nth(1);
    let entry = |entry: Reply| {
        let mut parts = entry.into_array().into_iter();
        let id = parts.next()?.into_bytes()?;
        let fields = parts.next()?.into_array().into_iter().filter_map(Reply::into_bytes).collect();
        Some(Entry { id, fields, claimed: None })
    };
    Ok(entries.map(Reply::into_array).unwrap_or_default().into_iter().filter_map(entry).collect())
}

fn refused(queue: &str, error: &str) -> Refusal {
    if error.starts_with(Code::NoGroup.as_str()) {
        let how = format!("XGROUP CREATE {queue} {ENGINE_GROUP} 0 MKSTREAM");
        return Refusal::new(Code::NoGroup, format!("{queue} has no consumer group: {how}"));
    }
    if error.starts_with(Code::WrongType.as_str()) {
        return Refusal::new(Code::WrongType, format!("{queue} holds another type than a stream: rename or delete it"));
    }
    Refusal::new(Code::Err, error)
}

/// Claims the strategy of an entry. An entry that is no order of this partition is handed out without: its reader says so.
fn claim(
    ctx: &Context,
    prefix: &str,
    fields: &[Vec<u8>],
    owner: &str,
    ttl_ms: i64,
) -> Option<(String, Vec<(RedisValue, RedisValue)>)> {
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == name.as_bytes());
        pair.and_then(|pair| std::str::from_utf8(&pair[1]).ok())
    };
    let key = StrategyKey::parse(field(queue_field::KEY)?).filter(|key| key.prefix == prefix)?;
    let action: Action = field(queue_field::ACTION)?.parse().ok()?;
    let token = lock::claim(ctx, &key, action, owner, ttl_ms).ok()??;
    Some((token, members(ctx, &key.hash())))
}

/// Everything is at hand before the reply begins: there is no taking back half of one.
fn reply(ctx: &Context, entries: Vec<Entry>) {
    raw::reply_with_array(ctx.ctx, i64::try_from(entries.len()).unwrap_or(0));
    for Entry { id, fields, claimed } in entries {
        raw::reply_with_array(ctx.ctx, 4);
        ctx.reply(Ok(RedisValue::StringBuffer(id)));
        ctx.reply(Ok(RedisValue::Array(fields.into_iter().map(RedisValue::StringBuffer).collect())));
        let Some((token, strategy)) = claimed else {
            ctx.reply(Ok(RedisValue::Null));
            ctx.reply(Ok(RedisValue::Null));
            continue;
        };
        ctx.reply(Ok(RedisValue::BulkString(token)));
        reply_map(ctx, strategy);
    }
}
