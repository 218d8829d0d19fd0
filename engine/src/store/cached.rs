//! Strategies' rows for answers: read through a cache, and dropped from it as soon as they were written.
//!
//! For pages and programs that ask again and again, not for decisions: whoever trades, compares or mends reads [`Store`].

use super::{JournalEntry, Row, Store};
use crate::link::Link;
use color_eyre::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use strat_client::Connection;
use strat_client::cache::{Cache, CacheError, CacheOptions, CacheSettings, CacheStats, Follower, ReadThrough};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a row may be answered from the cache: what an invalidation that Redis lost costs at most.
const LIFE: Duration = Duration::from_secs(60);
/// How long changes are gathered, so that a burst is a few invalidations and not one for each change.
const GATHER: Duration = Duration::from_millis(20);
/// Strategies of one invalidation: each has a key, and most a user of their own.
const NAMES_MAX: usize = 400;
/// Pause after Redis did not take an invalidation, or the subscription could not be made.
const PAUSE: Duration = Duration::from_millis(500);
/// A tag of every row: who has missed changes drops them all.
const ALL: &str = "all";

/// Reads rows of strategies through Redis. Clones share everything.
#[derive(Debug, Clone)]
pub struct Rows {
    reader: Arc<ReadThrough<Store, Connection, Vec<Row>>>,
}

impl Rows {
    /// Reads of `store`, cached over this connection.
    ///
    /// # Errors
    /// Where the cache's settings cannot be; they are constants.
    pub fn new(store: Store, connection: Connection) -> Result<Self> {
        let cache = Cache::new(connection, "strategies", CacheSettings::default())?;
        Ok(Self { reader: Arc::new(ReadThrough::new(store, cache, CacheOptions::new(LIFE).tags([ALL]))) })
    }

    /// A strategy that is not removed. The user and the strategy are ids.
    ///
    /// # Errors
    /// Of Postgres, where the cache has nothing; while Redis is away every call asks Postgres.
    pub async fn get(&self, user: &str, strategy: &str) -> Result<Option<Row>, CacheError> {
        let load = |store: &Store| {
            let store = store.clone();
            async move {
                let row = store.get(user, strategy).await?.filter(|row| !row.removed);
                Ok::<_, sqlx::Error>(row.map(|row| vec![row]))
            }
        };
        let found = self.reader.read(&name(user, strategy), &[], load).await?;
        Ok(found.and_then(|rows| rows.first().cloned()))
    }

    /// All strategies of a user that are not removed.
    ///
    /// # Errors
    /// As [`Rows::get`].
    pub async fn of_user(&self, user: &str) -> Result<Arc<Vec<Row>>, CacheError> {
        let load = |store: &Store| {
            let store = store.clone();
            async move { Ok::<_, sqlx::Error>(Some(store.of_user(user).await?)) }
        };
        Ok(self.reader.read(user, &[user_tag(user).as_str()], load).await?.unwrap_or_default())
    }

    /// Drops all of them, in every engine.
    ///
    /// # Errors
    /// Where Redis does not take it.
    pub async fn drop_all(&self) -> strat_client::Result<()> {
        self.reader.cache().invalidate(&[], &[ALL]).await
    }

    /// What the cache has done so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.reader.cache().stats()
    }

    /// Drops what was written, as it is told, until cancelled: `applied` are journal entries that are in Postgres now, `mended`
    /// keys of strategies whose rows were written without one.
    pub async fn run(
        self,
        link: Link,
        mut applied: Receiver<Arc<JournalEntry>>,
        mut mended: Receiver<Arc<str>>,
        cancel: CancellationToken,
    ) {
        let work = async {
            let _subscribed = self.subscribe(&link).await;
            let mut written = Written::default();
            loop {
                if written.is_empty() {
                    tokio::select! {
                        entry = applied.recv() => written.add(entry.map(|entry| entry.key.as_str().into())),
                        key = mended.recv() => written.add(key),
                    }
                    sleep(GATHER).await;
                }
                while let Some(entry) = received(applied.try_recv()) {
                    written.add(entry.map(|entry| entry.key.as_str().into()));
                }
                while let Some(key) = received(mended.try_recv()) {
                    written.add(key);
                }
                self.drop_some(&mut written).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    /// Hears what other engines drop.
    async fn subscribe(&self, link: &Link) -> Follower {
        loop {
            match self.reader.cache().follow(link.config()).await {
                Ok(follower) => return follower,
                // Until then a row in this process may be outdated for a few seconds.
                Err(error) => tracing::debug!(%error, "cannot follow what other engines write yet"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Drops a part of what was written. What Redis does not take stays to be dropped.
    async fn drop_some(&self, written: &mut Written) {
        let some: Vec<_> = written.names.iter().take(NAMES_MAX).cloned().collect();
        let keys: Vec<String> = some.iter().map(|(user, strategy)| name(user, strategy)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let tags: BTreeSet<String> = some.iter().map(|(user, _)| user_tag(user)).collect();
        let tags: Vec<&str> = if written.all { vec![ALL] } else { tags.iter().map(String::as_str).collect() };
        let keys = if written.all { &[] } else { keys.as_slice() };
        // While nobody has read a list for the life of one, this is a look.
        match self.reader.cache().invalidate_if_tagged(ALL, keys, &tags).await {
            Ok(_) if written.all => *written = Written::default(),
            Ok(_) => {
                for name in &some {
                    written.names.remove(name);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "rows that have changed are not dropped from the cache yet");
                sleep(PAUSE).await;
            }
        }
    }
}

/// A key of the cache: no id contains a slash.
fn name(user: &str, strategy: &str) -> String {
    [user, "/", strategy].concat()
}

/// A user may be called like the tag of all.
fn user_tag(user: &str) -> String {
    ["user/", user].concat()
}

/// Strategies whose rows were written and not dropped yet; more than [`WRITTEN_MAX`] are all.
#[derive(Debug, Default)]
struct Written {
    names: BTreeSet<(String, String)>,
    all: bool,
}

/// Strategies remembered one by one.
const WRITTEN_MAX: usize = 20_000;

impl Written {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.all
    }

    fn add(&mut self, key: Result<Arc<str>, RecvError>) {
        match key {
            Ok(key) => {
                // Rows are of the partition without a tag.
                if let Some(id) = strat_core::StrategyKey::parse(&key).filter(|id| id.prefix.is_empty()) {
                    self.names.insert((id.user.to_owned(), id.strategy.to_owned()));
                }
            }
            // What was missed may have been any of them.
            Err(RecvError::Lagged(_)) => self.all = true,
            // The engine ends.
            Err(RecvError::Closed) => {}
        }
        if self.all || self.names.len() > WRITTEN_MAX {
            (self.names, self.all) = (BTreeSet::new(), true);
        }
    }
}

/// What came, as by a receiver that waits; `None` where nothing has.
fn received<T>(tried: Result<T, tokio::sync::broadcast::error::TryRecvError>) -> Option<Result<T, RecvError>> {
    use tokio::sync::broadcast::error::TryRecvError;
    match tried {
        Ok(value) => Some(Ok(value)),
        Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_gathered_and_what_was_missed_is_everything() {
        let mut written = Written::default();
        for key in ["user:a:strategy:1", "user:a:strategy:1", "{t}user:a:strategy:2", "user:a:alert:1"] {
            written.add(Ok(key.into()));
        }
        assert_eq!(written.names.len(), 1);
        written.add(Err(RecvError::Lagged(3)));
        assert!(written.all && written.names.is_empty() && !written.is_empty());
        let mut many = Written::default();
        for number in 0..=WRITTEN_MAX {
            many.add(Ok(format!("user:a:strategy:{number}").into()));
        }
        assert!(many.all);
    }

    #[test]
    fn no_user_is_taken_for_all_or_for_a_strategy() {
        assert_ne!(user_tag("all"), ALL);
        assert_ne!(name("a", "b"), "a.b");
    }
}
