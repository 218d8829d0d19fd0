//! Cache-aside over Redis with a layer in the process in front of it.
//!
//! [`Cache::get_or_compute`] looks in the process, then in Redis, and computes what neither has: once, however many tasks
//! and processes ask at the same time. [`Cache::invalidate`] drops keys and tags everywhere, and what was being computed
//! meanwhile is not stored. [`ReadThrough`] does both for a repository. `docs/client/cache.md` has the keys and what
//! happens without Redis.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use strat_client::cache::{Cache, CacheOptions, CacheSettings};
//! use strat_client::{Config, Connection};
//!
//! let config = Config::from_env()?;
//! let cache = Cache::<_, String>::new(Connection::open(&config).await?, "lots", CacheSettings::default())?;
//! let _follower = cache.follow(&config).await?;
//! let options = CacheOptions::new(Duration::from_secs(60)).tags(["NFO"]);
//! let lot = cache.get_or_compute("NIFTY", &options, || async { Ok::<_, std::io::Error>(Some("75".to_owned())) }).await?;
//! cache.invalidate(&["NIFTY"], &[]).await?;
//! # Ok(()) }
//! ```

mod compute;
mod envelope;
mod error;
mod flight;
mod follow;
mod lease;
mod local;
mod names;
mod remote;
mod repository;
mod settings;
mod stats;

pub use error::CacheError;
pub use follow::Follower;
pub use names::NAME_BYTES_MAX;
pub use repository::{ReadThrough, WriteError};
pub use settings::{CacheOptions, CacheSettings, Random, TAGS_MAX};
pub use stats::CacheStats;

use crate::error::{Error, Result};
use flight::Flights;
use local::{Local, Marks};
use names::Names;
use redis::aio::ConnectionLike;
use remote::Remote;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most keys and tags of one invalidation.
pub const INVALIDATED_MAX: usize = 1_000;

/// Values of one type, in one namespace. Clones share everything.
///
/// A `T` is stored as JSON. A price or a quantity in it is a text or an exact type such as `strat_core::Price`, never a
/// float. What Redis holds and `T` does not read, as after a change of the type, counts as missing and is computed anew.
pub struct Cache<C, T> {
    inner: Arc<Inner<C, T>>,
}

struct Inner<C, T> {
    settings: CacheSettings,
    remote: Arc<Remote<C>>,
    local: Local<T>,
    marks: Arc<Marks>,
    flights: Flights<T>,
    computing: Semaphore,
    stats: stats::Counters,
}

impl<C, T> Clone for Cache<C, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<C, T> fmt::Debug for Cache<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl<C, T> Cache<C, T>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// A cache of `namespace`: 1 to 128 of `A-Z a-z 0-9 _ . @ -`, and none of `lock`, `tag`, `invalidate`. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Refused`] for a namespace or prefix with forbidden bytes, [`Error::Config`] for settings of no use.
    pub fn new(connection: C, namespace: &str, settings: CacheSettings) -> Result<Self> {
        settings.check()?;
        let names = Names::new(&settings.prefix, namespace)?;
        let inner = Inner {
            remote: Arc::new(Remote::new(connection, names, &settings)),
            local: Local::new(&settings),
            marks: Arc::new(Marks::new()),
            flights: Flights::new(),
            computing: Semaphore::new(settings.computes_max.min(Semaphore::MAX_PERMITS)),
            stats: stats::Counters::default(),
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the cache has done so far, in this process.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.inner.stats.now()
    }

    /// Drops keys, and all values with one of the tags, in Redis and in every process that [follows](Cache::follow); this
    /// one drops them in any case, and before it returns. What is being computed for them meanwhile is handed to those who
    /// asked before, and not stored. Write to the source first, then invalidate.
    ///
    /// # Errors
    /// [`Error::Refused`] for a key or tag that cannot be one, [`Error::Config`] for more than [`INVALIDATED_MAX`]. If
    /// Redis fails, the old values may stand until their time to live ends; it is safe to invalidate again.
    pub async fn invalidate(&self, keys: &[&str], tags: &[&str]) -> Result<()> {
        check_named(keys, tags)?;
        if keys.len() + tags.len() == 0 {
            return Ok(());
        }
        self.inner.stats.invalidations.add_one();
        let message = follow::message(keys, tags);
        let done = self.inner.remote.invalidate(keys, tags, &message).await;
        // After Redis: what was read there before is of the old generation then.
        self.inner.marks.invalidate(keys, tags);
        done.inspect_err(|_| self.inner.stats.redis_failures.add_one())
    }

    /// As [`Cache::invalidate`], but says nothing to Redis where nobody holds anything with `tag`, which is for a tag that every
    /// value of the cache carries: it costs a look then, and no write. Answers whether anything was dropped.
    ///
    /// A tag stands in Redis from before its first value is computed until its last has run out. So where it does not stand,
    /// whoever computes a value begins after this look and finds what was written before it. Only a value that another process
    /// computed without Redis has no tag: it ends with [`CacheSettings::local_ttl`], or with the subscription.
    ///
    /// # Errors
    /// As [`Cache::invalidate`].
    pub async fn invalidate_if_tagged(&self, tag: &str, keys: &[&str], tags: &[&str]) -> Result<bool> {
        check_named(keys, tags)?;
        names::check("tag", tag)?;
        match self.inner.remote.is_tagged(tag).await {
            Ok(true) => self.invalidate(keys, tags).await.map(|()| true),
            Ok(false) => {
                // After the look, as in `invalidate`.
                self.inner.marks.invalidate(keys, tags);
                Ok(false)
            }
            Err(error) => {
                self.inner.marks.invalidate(keys, tags);
                self.inner.stats.redis_failures.add_one();
                Err(error)
            }
        }
    }

    /// Drops everything that this process holds. Redis and other processes keep theirs.
    pub fn clear_local(&self) {
        self.inner.marks.invalidate_all();
    }
}

/// Checks what an invalidation names.
fn check_named(keys: &[&str], tags: &[&str]) -> Result<()> {
    let many = keys.len() + tags.len();
    if many > INVALIDATED_MAX {
        return Err(Error::Config(format!("cache: at most {INVALIDATED_MAX} keys and tags at once, not {many}")));
    }
    keys.iter().try_for_each(|key| names::check("key", key))?;
    tags.iter().try_for_each(|tag| names::check("tag", tag))
}
