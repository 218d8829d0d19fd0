//! What families of keys share: a connection that is cloned for each call, a prefix for every key, and a limit on waiting.

use crate::connection::in_time;
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline};
use redis::{FromRedisValue, RedisResult, ScriptInvocation};
use std::time::Duration;
use strat_core::key::split_tag;

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 128;

#[derive(Debug, Clone)]
pub(crate) struct Link<C> {
    connection: C,
    prefix: String,
    timeout: Option<Duration>,
}

impl<C: ConnectionLike + Clone + Send + Sync> Link<C> {
    /// # Errors
    /// [`Error::Config`] for a prefix that [`is_prefix`] does not take.
    pub(crate) fn new(connection: C, prefix: &str, timeout: Option<Duration>) -> Result<Self> {
        if !is_prefix(prefix) {
            return Err(Error::Config(format!(
                "the prefix {prefix:?} must be at most {PREFIX_BYTES_MAX} printable ASCII bytes without blanks, with braces \
                 only around a tag at its beginning"
            )));
        }
        Ok(Self { connection, prefix: prefix.to_owned(), timeout })
    }

    /// Without a prefix: who makes the keys puts one before them.
    pub(crate) const fn bare(connection: C, timeout: Option<Duration>) -> Self {
        Self { connection, prefix: String::new(), timeout }
    }

    /// The prefix and the parts, one after the other.
    pub(crate) fn key(&self, parts: &[&str]) -> String {
        let length = self.prefix.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = String::with_capacity(length);
        key.push_str(&self.prefix);
        key.extend(parts.iter().copied());
        key
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        limited(self.timeout, command.query_async(&mut connection)).await
    }

    pub(crate) async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let mut connection = self.connection.clone();
        limited(self.timeout, pipeline.query_async(&mut connection)).await
    }

    /// By its hash; a server that does not know the script is given it.
    pub(crate) async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection.clone();
        limited(self.timeout, script.invoke_async(&mut connection)).await
    }
}

/// Waits for an answer. Connections have limits of their own, [`crate::Connection`] and those of the `redis` crate, unless
/// somebody took them away; a second timer would cost a call a tenth.
async fn limited<T>(limit: Option<Duration>, answer: impl Future<Output = RedisResult<T>>) -> Result<T> {
    match limit {
        Some(limit) => in_time(limit, answer).await,
        None => Ok(answer.await?),
    }
}

/// Whether it may stand before a key. Braces elsewhere would make another part of the key its hash tag.
fn is_prefix(prefix: &str) -> bool {
    let rest = split_tag(prefix).map(|(_, rest)| rest);
    let fits = |rest: &str| rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}'));
    prefix.len() <= PREFIX_BYTES_MAX && rest.is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::is_prefix;

    #[test]
    fn a_prefix_is_a_tag_or_a_name_or_both_or_nothing() {
        for prefix in ["", "{t1}", "tenant:", "{t1}tenant:", "a*"] {
            assert!(is_prefix(prefix), "{prefix:?}");
        }
        for prefix in ["a b", "a\n", "{", "{}", "a{b}", "{a}{b}", "\u{e9}", &"x".repeat(129)] {
            assert!(!is_prefix(prefix), "{prefix:?}");
        }
    }
}
