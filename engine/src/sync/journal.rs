//! What the stream `journal` tells about itself, and its trimming.

use redis::RedisResult;
use redis::aio::ConnectionLike;
use redis::streams::{
    StreamInfoGroup, StreamInfoGroupsReply, StreamInfoStreamReply, StreamPendingCountReply, StreamRangeReply,
};
use strat_client::{Result, SYNC_GROUP};

/// Most calls of one trim: a million entries or so, the next trim takes the rest.
const TRIM_ROUNDS: usize = 100;

/// Deletes what every group has read and acknowledged; answers how many entries went.
pub(super) async fn trim<C: ConnectionLike + Send>(connection: &mut C) -> Result<u64> {
    let name = strat_core::key::journal("");
    let groups: StreamInfoGroupsReply = redis::cmd("XINFO").arg("GROUPS").arg(&name).query_async(connection).await?;
    let mut keep: Option<(u64, u64)> = None;
    for group in &groups.groups {
        let pending = if group.pending > 0 { oldest_pending(connection, &name, &group.name, "+").await? } else { None };
        let oldest = pending.as_deref().map_or_else(|| continue_after(&group.last_delivered_id), parse_id);
        // An id that does not parse: better keep everything.
        let Some(oldest) = oldest else { return Ok(0) };
        keep = Some(keep.map_or(oldest, |known| known.min(oldest)));
    }
    let Some((ms, sequence)) = keep.filter(|id| *id > (0, 1)) else { return Ok(0) };
    let min_id = format!("{ms}-{sequence}");
    let mut gone = 0;
    // One call deletes no more than a hundred nodes of the stream.
    for _ in 0..TRIM_ROUNDS {
        let round: u64 =
            redis::cmd("XTRIM").arg(&name).arg("MINID").arg("~").arg(&min_id).query_async(connection).await?;
        gone += round;
        if round == 0 {
            break;
        }
    }
    Ok(gone)
}

/// An entry word for word, for the record.
pub(super) async fn raw_entry<C: ConnectionLike + Send>(connection: &mut C, id: &str) -> Result<serde_json::Value> {
    let name = strat_core::key::journal("");
    let range: StreamRangeReply = redis::cmd("XRANGE").arg(name).arg(id).arg(id).query_async(connection).await?;
    let text = |value: redis::Value| match value {
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}"),
        other => format!("{other:?}"),
    };
    let fields = range.ids.into_iter().flat_map(|entry| entry.map);
    Ok(fields.map(|(field, value)| (field.replace('\0', "\u{fffd}"), serde_json::Value::String(text(value)))).collect())
}

/// What is not in Postgres yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Entries not read yet; `None` where Redis cannot tell.
    pub unread: Option<u64>,
    /// Entries read and not acknowledged.
    pub pending: u64,
    /// When the oldest of both was written, epoch ms.
    pub oldest_ms: Option<i64>,
}

/// How far Postgres is behind the journal.
///
/// # Errors
/// Of Redis.
pub async fn backlog<C: ConnectionLike + Send>(connection: &mut C) -> Result<Backlog> {
    let name = strat_core::key::journal("");
    let Some(group) = sync_group(connection, &name).await? else { return Ok(Backlog::default()) };
    let last = last_id(connection).await?;
    let unread = if group.last_delivered_id == last { Some(0) } else { group.lag.map(|lag| lag as u64) };
    let oldest = match (group.pending, unread) {
        (0, Some(0)) => None,
        (0, _) => first_after(connection, &name, &group.last_delivered_id).await?,
        _ => oldest_pending(connection, &name, SYNC_GROUP, "+").await?,
    };
    let oldest_ms = oldest.as_deref().and_then(parse_id).and_then(|(ms, _)| i64::try_from(ms).ok());
    Ok(Backlog { unread, pending: group.pending as u64, oldest_ms })
}

/// Id of the journal's newest entry, also where that has been trimmed since.
///
/// # Errors
/// Of Redis.
pub async fn last_id<C: ConnectionLike + Send>(connection: &mut C) -> Result<String> {
    let info: RedisResult<StreamInfoStreamReply> =
        redis::cmd("XINFO").arg("STREAM").arg(strat_core::key::journal("")).query_async(connection).await;
    match info {
        Ok(info) => Ok(info.last_generated_id),
        Err(error) if is_no_key(&error) => Ok("0-0".to_owned()),
        Err(error) => Err(error.into()),
    }
}

/// Whether every entry up to `id` was read and acknowledged.
///
/// # Errors
/// Of Redis.
pub async fn drained_to<C: ConnectionLike + Send>(connection: &mut C, id: &str) -> Result<bool> {
    let name = strat_core::key::journal("");
    let Some(target) = parse_id(id) else { return Ok(false) };
    if target == (0, 0) {
        return Ok(true);
    }
    let Some(group) = sync_group(connection, &name).await? else { return Ok(false) };
    if parse_id(&group.last_delivered_id).is_none_or(|read| read < target) {
        return Ok(false);
    }
    Ok(group.pending == 0 || oldest_pending(connection, &name, SYNC_GROUP, id).await?.is_none())
}

async fn sync_group<C: ConnectionLike + Send>(connection: &mut C, name: &str) -> Result<Option<StreamInfoGroup>> {
    let groups: RedisResult<StreamInfoGroupsReply> =
        redis::cmd("XINFO").arg("GROUPS").arg(name).query_async(connection).await;
    match groups {
        Ok(reply) => Ok(reply.groups.into_iter().find(|group| group.name == SYNC_GROUP)),
        Err(error) if is_no_key(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn oldest_pending<C: ConnectionLike + Send>(
    connection: &mut C,
    name: &str,
    group: &str,
    up_to: &str,
) -> Result<Option<String>> {
    let pending: StreamPendingCountReply =
        redis::cmd("XPENDING").arg(name).arg(group).arg("-").arg(up_to).arg(1).query_async(connection).await?;
    Ok(pending.ids.into_iter().next().map(|entry| entry.id))
}

async fn first_after<C: ConnectionLike + Send>(connection: &mut C, name: &str, id: &str) -> Result<Option<String>> {
    let mut range = redis::cmd("XRANGE");
    range.arg(name).arg(format!("({id}")).arg("+").arg("COUNT").arg(1);
    let found: StreamRangeReply = range.query_async(connection).await?;
    Ok(found.ids.into_iter().next().map(|entry| entry.id))
}

/// Redis' answer where the stream does not exist.
fn is_no_key(error: &redis::RedisError) -> bool {
    error.to_string().contains("no such key")
}

fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (ms, sequence) = id.split_once('-')?;
    Some((ms.parse().ok()?, sequence.parse().ok()?))
}

/// The first id after `id`.
fn continue_after(id: &str) -> Option<(u64, u64)> {
    let (ms, sequence) = parse_id(id)?;
    Some(sequence.checked_add(1).map_or((ms.saturating_add(1), 0), |next| (ms, next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_not_texts() {
        assert!(parse_id("10-0") > parse_id("9-5"));
        assert_eq!(continue_after("5-9"), Some((5, 10)));
        assert_eq!(continue_after(&format!("5-{}", u64::MAX)), Some((6, 0)));
        assert_eq!(parse_id("5"), None);
    }
}
