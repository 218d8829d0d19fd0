//! A slice of the keys, with what is to be known of each.

use super::settings::UpkeepSettings;
use crate::error::{Error, Result};
use crate::shared::{in_time, keyed};
use redis::aio::ConnectionLike;
use redis::{RedisError, RedisResult};
use std::time::Duration;

/// The words of `MEMORY USAGE … SAMPLES n`.
const USAGE_BYTES: usize = 24;

/// A key as it was a moment ago.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) key: Vec<u8>,
    /// `None`: it has none.
    pub(super) ttl: Option<Duration>,
    /// As `TYPE` says.
    pub(super) kind: String,
    /// Estimated, with all that belongs to it.
    pub(super) bytes: u64,
    /// Bytes of a string, members or entries of anything else; `None` for a type of a module.
    pub(super) length: Option<u64>,
}

/// The keys of one step of `SCAN`, and the cursor of the next; 0 where that was the last.
pub(super) async fn slice<C: ConnectionLike>(
    connection: &mut C,
    cursor: u64,
    settings: &UpkeepSettings,
) -> Result<(u64, Vec<Found>)> {
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor);
    if !settings.prefix.is_empty() {
        scan.arg("MATCH").arg(glob(&settings.prefix));
    }
    scan.arg("COUNT").arg(settings.slice);
    let (next, mut keys): (u64, Vec<Vec<u8>>) = in_time(settings.timeout, scan.query_async(connection)).await?;
    let mut found = Vec::with_capacity(keys.len());
    // A step may give more than it was asked for: a few, which are no two round trips worth, or very many.
    let most = settings.slice.saturating_mul(2);
    while !keys.is_empty() {
        let later = keys.split_off(keys.len().min(most));
        let mut there = kinds(connection, keys, settings).await?;
        measure(connection, &mut there, settings).await?;
        found.append(&mut there);
        keys = later;
    }
    Ok((next, found))
}

/// Everything that begins with `prefix`.
fn glob(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

/// Those that are still there, with type and time to live.
async fn kinds<C: ConnectionLike>(
    connection: &mut C,
    keys: Vec<Vec<u8>>,
    settings: &UpkeepSettings,
) -> Result<Vec<Found>> {
    let mut pipeline = redis::Pipeline::with_capacity(2 * keys.len());
    for key in &keys {
        pipeline.add_command(keyed("PTTL", key, (0, 0))).add_command(keyed("TYPE", key, (0, 0)));
    }
    let replies: Vec<redis::Value> = in_time(settings.timeout, pipeline.query_async(connection)).await?;
    let mut replies = replies.into_iter();
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let (Some(ttl), Some(kind)) = (replies.next(), replies.next()) else { break };
        let (ttl, kind) = (crate::reply::integer(ttl, "PTTL")?, crate::reply::text(kind, "TYPE")?);
        // -1: it has no time to live; -2: it is gone.
        let ttl = match u64::try_from(ttl) {
            Ok(ms) => Some(Duration::from_millis(ms)),
            Err(_) if ttl == -1 => None,
            Err(_) => continue,
        };
        if kind != "none" {
            found.push(Found { key, ttl, kind, bytes: 0, length: None });
        }
    }
    Ok(found)
}

/// Fills in size and length.
async fn measure<C: ConnectionLike>(connection: &mut C, found: &mut [Found], settings: &UpkeepSettings) -> Result<()> {
    let mut pipeline = redis::Pipeline::with_capacity(2 * found.len());
    for Found { key, kind, .. } in &*found {
        let mut usage = redis::Cmd::with_capacity(5, USAGE_BYTES + key.len());
        usage.arg("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(settings.samples);
        pipeline.add_command(usage);
        if let Some(command) = length_command(kind) {
            pipeline.add_command(keyed(command, key, (0, 0)));
        }
    }
    let replies = pipeline.ignore_errors().query_async(connection);
    let replies: Vec<RedisResult<Option<u64>>> = in_time(settings.timeout, replies).await?;
    let mut replies = replies.into_iter();
    for Found { kind, bytes, length, .. } in found {
        *bytes = number(replies.next())?;
        if length_command(kind).is_some() {
            *length = Some(number(replies.next())?);
        }
    }
    Ok(())
}

/// 0 for a key that is gone, or is of another type, since it was looked at.
fn number(reply: Option<RedisResult<Option<u64>>>) -> Result<u64> {
    let since = |error: &RedisError| error.code() == Some("WRONGTYPE");
    match reply {
        Some(Ok(number)) => Ok(number.unwrap_or(0)),
        Some(Err(error)) if since(&error) => Ok(0),
        Some(Err(error)) => Err(error.into()),
        None => Err(Error::BadReply("a pipeline has fewer replies than commands".to_owned())),
    }
}

fn length_command(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "STRLEN",
        "list" => "LLEN",
        "set" => "SCARD",
        "zset" => "ZCARD",
        "hash" => "HLEN",
        "stream" => "XLEN",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(glob("{t}"), "{t}*");
        assert_eq!(glob("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\*");
    }
}
