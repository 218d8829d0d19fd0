//! A store of strategies with the cache in front of it: reads go through, writes drop what they outdate.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --example cache
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use strat_client::cache::{Cache, CacheError, CacheOptions, CacheSettings, ReadThrough, WriteError};
use strat_client::{Config, Connection};

/// What the application asks for; whether it is cached is not its business.
trait Strategies {
    async fn quantity(&self, user: &str, id: &str) -> Result<Option<String>, CacheError>;
    async fn set_quantity(&self, user: &str, id: &str, quantity: &str) -> Result<(), WriteError<(), Infallible>>;
    async fn remove_all_of(&self, user: &str) -> Result<(), WriteError<(), Infallible>>;
}

/// Stands for a database, and says when it is asked.
#[derive(Default)]
struct Database(Mutex<BTreeMap<String, String>>);

impl Database {
    async fn load(&self, key: &str) -> Result<Option<String>, Infallible> {
        println!("         (the database is asked for {key})");
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn save(&self, key: &str, quantity: &str) -> Result<(), Infallible> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), quantity.to_owned());
        Ok(())
    }

    async fn remove(&self, prefix: &str) -> Result<(), Infallible> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
}

impl Strategies for ReadThrough<Database, Connection, String> {
    async fn quantity(&self, user: &str, id: &str) -> Result<Option<String>, CacheError> {
        let key = format!("{user}/{id}");
        let quantity = self.read(&key, &[user], |database| database.load(&key)).await?;
        Ok(quantity.map(|quantity| quantity.to_string()))
    }

    async fn set_quantity(&self, user: &str, id: &str, quantity: &str) -> Result<(), WriteError<(), Infallible>> {
        let key = format!("{user}/{id}");
        self.write(&[&key], &[], |database| database.save(&key, quantity)).await
    }

    async fn remove_all_of(&self, user: &str) -> Result<(), WriteError<(), Infallible>> {
        let prefix = format!("{user}/");
        self.write(&[], &[user], |database| database.remove(&prefix)).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env()?;
    let cache = Cache::new(Connection::open(&config).await?, "example", CacheSettings::default())?;
    // Without it, what another process writes shows here when the values of this one run out.
    let _follower = cache.follow(&config).await?;
    let strategies = ReadThrough::new(Database::default(), cache, CacheOptions::new(Duration::from_secs(60)));

    strategies.set_quantity("alice", "s1", "10").await?;
    for read in ["first", "second"] {
        println!("{read:<8} {:?}", strategies.quantity("alice", "s1").await?);
    }
    strategies.set_quantity("alice", "s1", "20").await?;
    println!("changed  {:?}", strategies.quantity("alice", "s1").await?);
    strategies.remove_all_of("alice").await?;
    println!("removed  {:?}", strategies.quantity("alice", "s1").await?);
    println!("again    {:?}, which is remembered too", strategies.quantity("alice", "s1").await?);

    for (name, count) in strategies.cache().stats().named() {
        println!("{name} {count}");
    }
    Ok(())
}
