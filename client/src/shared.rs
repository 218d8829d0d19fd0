//! What families of keys share: what may stand before a key, and a limit on waiting.

use crate::connection;
use crate::error::{Error, Result};
use redis::{Cmd, RedisResult};
use std::time::Duration;
use strat_core::key::split_tag;
use strat_core::refusal::shown;

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 128;

/// A tenant, a `{hash tag}`, or both. Braces elsewhere would make another part of the key its hash tag.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let rest = split_tag(prefix).map(|(_, rest)| rest);
    let fits = |rest: &str| rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}'));
    if prefix.len() <= PREFIX_BYTES_MAX && rest.is_some_and(fits) {
        return Ok(());
    }
    let rule = "must be at most 128 printable ASCII bytes without blanks, with braces only around a leading {tag}";
    Err(Error::Config(format!("prefix {} {rule}", shown(prefix.as_bytes()))))
}

/// The reply, within `limit`; `None` leaves it to the connection: [`crate::Connection`] has a limit of its own, and so have
/// those of the `redis` crate unless somebody took it away. A second timer would cost a call a tenth.
pub(crate) async fn in_time<T>(limit: Option<Duration>, reply: impl Future<Output = RedisResult<T>>) -> Result<T> {
    match limit {
        Some(limit) => connection::in_time(limit, reply).await,
        None => Ok(reply.await?),
    }
}

/// Room for the longest number.
pub(crate) const NUMBER_BYTES: usize = 20;

/// A command on a key with room for `bytes` more in `args` more arguments: growing argument by argument costs a short call a tenth.
pub(crate) fn keyed(name: &str, key: impl AsRef<[u8]>, (args, bytes): (usize, usize)) -> Cmd {
    let key = key.as_ref();
    let mut command = Cmd::with_capacity(2 + args, name.len() + key.len() + bytes);
    command.arg(name).arg(key);
    command
}

#[cfg(test)]
mod tests {
    use super::check_prefix;

    #[test]
    fn a_prefix_is_a_tag_or_a_name_or_both_or_nothing() {
        for prefix in ["", "{t1}", "tenant:", "{t1}tenant:", "a*"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix:?}");
        }
        for prefix in ["a b", "a\n", "{", "{}", "a{b}", "{a}{b}", "\u{e9}", &"x".repeat(129)] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
    }
}
