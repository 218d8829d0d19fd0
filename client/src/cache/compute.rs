//! Looking, and computing what is not there.

use super::error::CacheError;
use super::flight::Outcome;
use super::lease::Lease;
use super::remote::{Claim, Found};
use super::settings::{CacheOptions, millis};
use super::{Cache, Inner, envelope, names};
use crate::backoff::Backoff;
use crate::error::Error;
use redis::aio::ConnectionLike;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// First and longest pause between two looks at what another process computes.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What is asked for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    key: &'a str,
    options: &'a CacheOptions,
    /// Of the layer in the process, before Redis was looked at.
    generation: u64,
}

/// What a look at Redis gave.
enum Looked<T> {
    Value(Option<Arc<T>>),
    /// Nothing, or this, which is of no use.
    Nothing(Vec<u8>),
    Failed,
}

/// What a claim came to.
enum Obtained<C: ConnectionLike + Clone + Send + Sync + 'static, T> {
    Value(Option<Arc<T>>),
    Lease(Lease<C>),
    /// To be computed without a lock, and not stored in Redis.
    Nothing,
}

impl<C, T> Cache<C, T>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The value of `key`, from the process, from Redis, or computed. `Ok(None)` from the computation says that there is
    /// no value, and is remembered for the options' `negative_ttl`.
    ///
    /// One computation per key is under way at a time, over all tasks and processes; the others wait for it. Who has
    /// waited for another process for [`super::CacheSettings::wait_max`], or for a task of this one for that and
    /// `lock_ttl`, computes for itself, and that value is not stored in Redis. The computation is not cut off: it brings
    /// its own timeouts. If the caller goes away half-way, the next one begins anew.
    ///
    /// Without Redis the value is computed directly, once per process, and kept in the process for `local_ttl` at most.
    ///
    /// # Errors
    /// [`CacheError::Refused`] for a key or options of no use: a key is 1 to 200 printable ASCII bytes without space,
    /// colon or braces (`alice/s1`). [`CacheError::Compute`] and [`CacheError::Overloaded`] as they say.
    pub async fn get_or_compute<F, Fut, E>(&self, key: &str, options: &CacheOptions, compute: F) -> Outcome<T>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Option<T>, E>> + Send,
        E: StdError + Send + Sync + 'static,
    {
        names::check("key", key)?;
        options.check()?;
        let inner = &*self.inner;
        let mut wanted = Wanted { key, options, generation: 0 };
        if inner.local.is_on() {
            wanted.generation = inner.marks.generation(key, &options.tags);
            if let Some(value) = inner.local.get(key, wanted.generation).await {
                inner.stats.local_hits.add_one();
                return Ok(value);
            }
            inner.stats.local_misses.add_one();
        }
        match inner.look(wanted).await {
            Looked::Value(value) => Ok(value),
            // In a box, so that a hit does not carry the room for what a miss needs.
            looked => Box::pin(inner.fly(wanted, looked, compute)).await,
        }
    }
}

impl<C, T> Inner<C, T>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn look(&self, wanted: Wanted<'_>) -> Looked<T> {
        match self.remote.read(wanted.key, &wanted.options.tags).await {
            Ok(found) => {
                let looked = self.judge(wanted, found).await;
                if matches!(looked, Looked::Nothing(_)) {
                    self.stats.redis_misses.add_one();
                }
                looked
            }
            Err(error) => self.failed("read", wanted.key, &error),
        }
    }

    async fn judge(&self, wanted: Wanted<'_>, found: Found) -> Looked<T> {
        let text = found.text.unwrap_or_default();
        let Some(stored) = envelope::read::<T>(&text, &found.generations) else {
            return Looked::Nothing(text);
        };
        self.stats.redis_hits.add_one();
        self.local.put(wanted.key, wanted.generation, stored.value.clone(), stored.until, text.len()).await;
        Looked::Value(stored.value)
    }

    fn failed(&self, what: &str, key: &str, error: &Error) -> Looked<T> {
        self.stats.redis_failures.add_one();
        // One line per call would drown the log of an outage; the connection warns, and the counts tell.
        tracing::debug!(key, %error, "cannot {what} a cached value in Redis, going on without");
        Looked::Failed
    }

    /// Goes, or waits for who does.
    async fn fly<F, Fut, E>(&self, wanted: Wanted<'_>, looked: Looked<T>, compute: F) -> Outcome<T>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Option<T>, E>> + Send,
        E: StdError + Send + Sync + 'static,
    {
        let seat = self.flights.join(wanted.key, self.marks.generation(wanted.key, &wanted.options.tags));
        let flight = &seat.flight;
        // Who goes may wait for another process and compute then. It may also be a future that nobody polls any more.
        let patience = self.settings.wait_max.saturating_add(self.settings.lock_ttl);
        let Ok(_turn) = timeout(patience, flight.turn.lock()).await else {
            return self.compute(wanted, None, compute).await;
        };
        if let Some(outcome) = flight.outcome.get() {
            self.stats.joins.add_one();
            return outcome.clone();
        }
        let obtained = match looked {
            Looked::Nothing(useless) => self.obtain(wanted, useless).await,
            Looked::Value(value) => Obtained::Value(value),
            Looked::Failed => Obtained::Nothing,
        };
        let outcome = match obtained {
            Obtained::Value(value) => Ok(value),
            Obtained::Lease(lease) => self.compute(wanted, Some(lease), compute).await,
            Obtained::Nothing => self.compute(wanted, None, compute).await,
        };
        flight.outcome.get_or_init(|| outcome).clone()
    }

    /// Takes the lock, or waits for the value of who has it.
    async fn obtain(&self, wanted: Wanted<'_>, mut useless: Vec<u8>) -> Obtained<C, T> {
        let deadline = Instant::now() + self.settings.wait_max;
        let mut looks = Backoff::new(LOOKS);
        // From the first attempt on, because one that is given up or gets no reply may have taken the lock.
        let Some(mut lease) = Lease::new(&self.remote, wanted.key) else { return Obtained::Nothing };
        let mut waits = false;
        loop {
            match lease.claim(&wanted.options.tags, wanted.options.ttl, &useless).await {
                Ok(Claim::Mine) => return Obtained::Lease(lease),
                Ok(Claim::Found(found)) => match self.judge(wanted, found).await {
                    Looked::Nothing(text) => useless = text,
                    Looked::Value(value) => return Obtained::Value(value),
                    Looked::Failed => return Obtained::Nothing,
                },
                Ok(Claim::Taken) if !waits => {
                    self.stats.waits.add_one();
                    waits = true;
                }
                Ok(Claim::Taken) => {}
                Err(error) => {
                    self.failed("claim", wanted.key, &error);
                    return Obtained::Nothing;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Obtained::Nothing;
            }
            sleep(looks.next_pause().min(left)).await;
        }
    }

    async fn compute<F, Fut, E>(&self, wanted: Wanted<'_>, lease: Option<Lease<C>>, compute: F) -> Outcome<T>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Option<T>, E>> + Send,
        E: StdError + Send + Sync + 'static,
    {
        let Ok(Ok(permit)) = timeout(self.settings.wait_max, self.computing.acquire()).await else {
            self.stats.overloads.add_one();
            return Err(CacheError::Overloaded { limit: self.settings.computes_max });
        };
        self.stats.computes.add_one();
        if lease.is_none() {
            self.stats.computes_alone.add_one();
        }
        let computed = compute().await;
        drop(permit);
        match computed {
            Ok(value) => {
                let value = value.map(Arc::new);
                self.keep(wanted, lease, value.as_ref()).await;
                Ok(value)
            }
            Err(error) => {
                self.stats.compute_failures.add_one();
                Err(CacheError::Compute(Arc::new(error)))
            }
        }
    }

    /// Stores what was computed, in Redis under a lease, and in the process.
    async fn keep(&self, wanted: Wanted<'_>, lease: Option<Lease<C>>, value: Option<&Arc<T>>) {
        let options = wanted.options;
        let ttl = if value.is_some() { options.ttl } else { options.negative_ttl };
        if millis(ttl) == 0 {
            return;
        }
        let ttl = self.settings.spread(ttl);
        let until = self.settings.clock.now_ms().saturating_add(i64::try_from(millis(ttl)).unwrap_or(i64::MAX));
        let generations = lease.as_ref().map_or(&[][..], Lease::generations);
        let text = match envelope::write(until, generations, value.map(|value| &**value)) {
            Ok(text) => text,
            Err(error) => {
                self.stats.unstored.add_one();
                tracing::warn!(key = wanted.key, %error, "a computed value cannot be written as JSON");
                return;
            }
        };
        if let Some(lease) = lease {
            let stored = lease.store(&options.tags, &text, ttl).await;
            if !matches!(stored, Ok(true)) {
                self.stats.unstored.add_one();
            }
            match stored {
                // It may have been invalidated, of which this process has perhaps not heard yet.
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => {
                    self.failed("store", wanted.key, &error);
                }
            }
        }
        self.local.put(wanted.key, wanted.generation, value.cloned(), until, text.len()).await;
    }
}
