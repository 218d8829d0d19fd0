//! A store with the cache in front of it.

use super::{config, minute, server};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use strat_client::Connection;
use strat_client::cache::{Cache, CacheError, CacheSettings, ReadThrough, WriteError};

/// What an application has: strategies by user and id, in a database.
trait Strategies {
    async fn quantity(&self, user: &str, id: &str) -> Result<Option<String>, CacheError>;
    async fn set(&self, user: &str, id: &str, quantity: &str) -> Result<(), WriteError<(), NoDatabase>>;
    async fn remove_all(&self, user: &str) -> Result<usize, WriteError<usize, NoDatabase>>;
}

#[derive(Debug, thiserror::Error)]
#[error("no database")]
struct NoDatabase;

/// A store in memory that counts its reads and can fail after it has written.
#[derive(Default)]
struct Memory {
    rows: Mutex<BTreeMap<String, String>>,
    reads: AtomicU64,
    fails: bool,
}

impl Memory {
    async fn get(&self, key: &str) -> Result<Option<String>, NoDatabase> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.rows.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: &str, quantity: &str) -> Result<(), NoDatabase> {
        self.rows.lock().unwrap().insert(key.to_owned(), quantity.to_owned());
        if self.fails { Err(NoDatabase) } else { Ok(()) }
    }

    async fn remove(&self, prefix: &str) -> Result<usize, NoDatabase> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        rows.retain(|key, _| !key.starts_with(prefix));
        Ok(before - rows.len())
    }
}

impl Strategies for ReadThrough<Memory, Connection, String> {
    async fn quantity(&self, user: &str, id: &str) -> Result<Option<String>, CacheError> {
        let key = format!("{user}/{id}");
        let found = self.read(&key, &[user], |store| store.get(&key)).await?;
        Ok(found.map(|quantity| quantity.as_str().to_owned()))
    }

    async fn set(&self, user: &str, id: &str, quantity: &str) -> Result<(), WriteError<(), NoDatabase>> {
        let key = format!("{user}/{id}");
        self.write(&[&key], &[], |store| store.put(&key, quantity)).await
    }

    async fn remove_all(&self, user: &str) -> Result<usize, WriteError<usize, NoDatabase>> {
        let prefix = format!("{user}/");
        self.write(&[], &[user], |store| store.remove(&prefix)).await
    }
}

async fn repository(redis: &strat_harness::servers::Redis, store: Memory) -> ReadThrough<Memory, Connection, String> {
    let connection = Connection::open(&config(redis)).await.unwrap();
    ReadThrough::new(store, Cache::new(connection, "strategies", CacheSettings::default()).unwrap(), minute())
}

#[tokio::test]
async fn reads_go_through_the_cache_and_writes_show_at_once() {
    let redis = server();
    let strategies = repository(&redis, Memory::default()).await;
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap(), None);
    strategies.set("alice", "s1", "10").await.unwrap();
    strategies.set("bob", "s1", "7").await.unwrap();
    for _ in 0..3 {
        assert_eq!(strategies.quantity("alice", "s1").await.unwrap().as_deref(), Some("10"));
        assert_eq!(strategies.quantity("bob", "s1").await.unwrap().as_deref(), Some("7"));
    }
    strategies.set("alice", "s1", "20").await.unwrap();
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap().as_deref(), Some("20"));
    assert_eq!(strategies.remove_all("alice").await.unwrap(), 1);
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap(), None);
    assert_eq!(strategies.quantity("bob", "s1").await.unwrap().as_deref(), Some("7"));
    assert_eq!(strategies.store().reads.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_write_that_fails_may_have_been_made_and_drops_the_value_too() {
    let redis = server();
    let strategies = repository(&redis, Memory { fails: true, ..Memory::default() }).await;
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap(), None);
    assert!(matches!(strategies.set("alice", "s1", "10").await, Err(WriteError::Store(NoDatabase))));
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap().as_deref(), Some("10"));
}

#[tokio::test]
async fn without_redis_reads_go_to_the_store_and_a_write_says_what_it_could_not_drop() {
    let mut redis = server();
    let strategies = repository(&redis, Memory::default()).await;
    strategies.set("alice", "s1", "10").await.unwrap();
    redis.kill_9();
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap().as_deref(), Some("10"));
    let written = strategies.set("alice", "s1", "20").await;
    assert!(matches!(written, Err(WriteError::NotInvalidated { written: (), .. })), "{written:?}");
    assert_eq!(strategies.quantity("alice", "s1").await.unwrap().as_deref(), Some("20"), "dropped in this process");
    let refused = strategies.set("alice", "a:b", "1").await;
    assert!(matches!(refused, Err(WriteError::Refused(_))), "{refused:?}");
    assert_eq!(strategies.cache().stats().computes_alone, 2);
    assert_eq!(strategies.store().rows.lock().unwrap().len(), 1, "nothing was written under a name of no use");
}
