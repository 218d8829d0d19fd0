//! A store with a cache in front: reads go through it, writes drop what they outdate.

use super::error::CacheError;
use super::{Cache, CacheOptions};
use crate::error::Error;
use redis::aio::ConnectionLike;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A store `R` whose values of type `T` are cached. A trait of the application is implemented for it with one line per
/// method; `client/examples/cache.rs` has a store of strategies.
#[derive(Debug, Clone)]
pub struct ReadThrough<R, C, T> {
    store: R,
    cache: Cache<C, T>,
    options: CacheOptions,
}

/// Why a write through the cache did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<V: fmt::Debug, E> {
    /// A key or tag cannot be one. The store was not asked.
    #[error(transparent)]
    Refused(Error),
    /// The store did not take it, or does not say. What it would have outdated was dropped all the same, if Redis took
    /// that.
    #[error("the store failed: {0}")]
    Store(#[source] E),
    /// **The store has taken it**, but what it outdates could not be dropped: other processes may see the old value until
    /// its time to live ends. Invalidate again when Redis is back.
    #[error("written, but not invalidated in the cache, so that old values may be read until they run out: {source}")]
    NotInvalidated {
        /// What the store answered.
        written: V,
        /// Why Redis did not take the invalidation.
        source: Error,
    },
}

impl<R, C, T> ReadThrough<R, C, T>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Puts the cache in front of the store; values live as `options` say unless a read says otherwise.
    pub fn new(store: R, cache: Cache<C, T>, options: CacheOptions) -> Self {
        Self { store, cache, options }
    }

    /// The store itself, without the cache.
    pub fn store(&self) -> &R {
        &self.store
    }

    /// The cache itself.
    pub fn cache(&self) -> &Cache<C, T> {
        &self.cache
    }

    /// The value of `key`, or what `load` gets from the store. `tags` are what it is dropped with, besides those of the
    /// options.
    ///
    /// # Errors
    /// As [`Cache::get_or_compute`].
    pub async fn read<'a, F, Fut, E>(&'a self, key: &str, tags: &[&str], load: F) -> Result<Option<Arc<T>>, CacheError>
    where
        F: FnOnce(&'a R) -> Fut + Send,
        Fut: Future<Output = Result<Option<T>, E>> + Send,
        E: StdError + Send + Sync + 'static,
        R: Sync,
    {
        let mut options = self.options.clone();
        if !tags.is_empty() {
            let all = self.options.tags.iter().map(String::as_str).chain(tags.iter().copied());
            options = options.tags(all);
        }
        self.cache.get_or_compute(key, &options, || load(&self.store)).await
    }

    /// Changes the store, then drops `keys` and everything with one of `tags`; also when the store failed, since it may
    /// have taken the change and only failed to say so. Whoever gives this up half-way has perhaps written and not
    /// invalidated.
    ///
    /// # Errors
    /// As [`WriteError`] says.
    pub async fn write<'a, V, F, Fut, E>(
        &'a self,
        keys: &[&str],
        tags: &[&str],
        change: F,
    ) -> Result<V, WriteError<V, E>>
    where
        V: fmt::Debug,
        F: FnOnce(&'a R) -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        super::check_named(keys, tags).map_err(WriteError::Refused)?;
        let written = change(&self.store).await;
        let dropped = self.cache.invalidate(keys, tags).await;
        match (written, dropped) {
            (Err(error), _) => Err(WriteError::Store(error)),
            (Ok(written), Ok(())) => Ok(written),
            (Ok(written), Err(source)) => Err(WriteError::NotInvalidated { written, source }),
        }
    }
}
