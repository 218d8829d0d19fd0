//! Many keys at once: pipelines of bounded length, and an outcome for each key.

use crate::connection::in_time;
use crate::error::{Error, NotSent, Result};
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, RedisError, RedisResult};
use std::time::Duration;

/// What came of each key, in the order in which the keys were given.
pub type EachKey<T> = Vec<Result<T>>;

/// Reads and writes many keys, in pipelines.
///
/// Nothing is atomic: some keys may be written and others not, and each says so. Where a connection breaks, the keys of
/// the pipeline under way are [`Error::Lost`] or [`Error::Timeout`], with an unknown outcome; those behind it are not sent
/// and are [`Error::Unavailable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Commands in one pipeline. 500 unless set; 0 counts as 1.
    pub chunk: usize,
    /// Longest wait for the replies to one pipeline. 5 s unless set.
    pub timeout: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self { chunk: 500, timeout: Duration::from_secs(5) }
    }
}

impl Batch {
    /// Sets each key to its value, to live for `ttl`.
    ///
    /// # Errors
    /// [`Error::Config`], with nothing sent, for a `ttl` below 1 ms.
    pub async fn set(
        &self,
        connection: &(impl ConnectionLike + Clone + Send + Sync),
        entries: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)],
        ttl: Duration,
    ) -> Result<EachKey<()>> {
        let ttl = whole_ms(ttl)?;
        let set = |pipeline: &mut Pipeline, (key, value): &(_, _)| {
            let (key, value): (&[u8], &[u8]) = (AsRef::as_ref(key), AsRef::as_ref(value));
            pipeline.cmd("SET").arg(key).arg(value).arg("PX").arg(ttl);
        };
        Ok(self.run(connection, entries, set).await)
    }

    /// The value of each key, `None` where there is none. A key that holds something other than a string is its own error.
    pub async fn get(
        &self,
        connection: &(impl ConnectionLike + Clone + Send + Sync),
        keys: &[impl AsRef<[u8]>],
    ) -> EachKey<Option<Vec<u8>>> {
        self.run(connection, keys, |pipeline, key| {
            pipeline.cmd("GET").arg(key.as_ref());
        })
        .await
    }

    /// Lets each key live for `ttl` from now. `false` where there is no such key.
    ///
    /// # Errors
    /// [`Error::Config`], with nothing sent, for a `ttl` below 1 ms: it would delete the keys.
    pub async fn expire(
        &self,
        connection: &(impl ConnectionLike + Clone + Send + Sync),
        keys: &[impl AsRef<[u8]>],
        ttl: Duration,
    ) -> Result<EachKey<bool>> {
        let ttl = whole_ms(ttl)?;
        let expire = |pipeline: &mut Pipeline, key: &_| {
            pipeline.cmd("PEXPIRE").arg(AsRef::<[u8]>::as_ref(key)).arg(ttl);
        };
        Ok(self.run(connection, keys, expire).await)
    }

    async fn run<I, T: FromRedisValue>(
        &self,
        connection: &(impl ConnectionLike + Clone + Send + Sync),
        items: &[I],
        add: impl Fn(&mut Pipeline, &I),
    ) -> EachKey<T> {
        let mut connection = connection.clone();
        let mut outcomes = Vec::with_capacity(items.len());
        for chunk in items.chunks(self.chunk.max(1)) {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            chunk.iter().for_each(|item| add(&mut pipeline, item));
            let replies = pipeline.ignore_errors().query_async(&mut connection);
            let replies: Result<Vec<RedisResult<T>>> = in_time(self.timeout, replies).await;
            match replies {
                Ok(replies) => outcomes.extend(replies.into_iter().map(|reply| reply.map_err(Error::from))),
                Err(error) => {
                    outcomes.extend(chunk.iter().map(|_| Err(error.clone())));
                    break;
                }
            }
        }
        outcomes.resize_with(items.len(), || Err(not_sent()));
        outcomes
    }
}

fn not_sent() -> Error {
    let reason = "the keys before these in the same batch got no answer, so these were not sent".to_owned();
    RedisError::from(NotSent { address: "the connection of the batch".to_owned(), reason }).into()
}

fn whole_ms(ttl: Duration) -> Result<u64> {
    let ms = u64::try_from(ttl.as_millis()).ok().filter(|&ms| ms > 0);
    ms.ok_or_else(|| Error::Config("the time to live of a batch must be at least 1 ms".to_owned()))
}
