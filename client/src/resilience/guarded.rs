//! A connection with a bound on what is under way, a limit on each call's time, and a breaker in front.

use super::pool::{Counted, GuardSettings, Place, PoolStatus};
use super::{Breaker, BreakerOpen, BreakerStatus, Class, Permit};
use crate::connection::Connection;
use crate::error::{Error, NotSent, Result};
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// An answer for `/health`.
#[derive(Debug)]
pub struct LinkHealth {
    /// Round trip of a `PING`, or why there was none. With an open breaker it is not tried.
    pub ping: Result<Duration>,
    /// The breaker, after that.
    pub breaker: BreakerStatus,
    /// The places, after that.
    pub pool: PoolStatus,
}

/// A connection behind a breaker and a bound. Clones share both.
///
/// Calls that were not made, for want of a place or because the breaker is open, answer [`Error::Unavailable`]. A call
/// that takes longer than its limit answers [`Error::Timeout`]: its outcome is unknown.
#[derive(Clone)]
pub struct Guarded<C> {
    connection: C,
    class: Class,
    shared: Arc<Shared>,
}

struct Shared {
    settings: GuardSettings,
    breaker: Breaker,
    places: Semaphore,
    waiting: AtomicUsize,
    exits: AtomicUsize,
    refused: AtomicU64,
    timeouts: AtomicU64,
}

impl<C> Guarded<C> {
    /// Around any connection.
    ///
    /// # Errors
    /// [`Error::Config`] for bounds that let nothing through.
    pub fn new(connection: C, settings: GuardSettings, breaker: Breaker) -> Result<Self> {
        if !(1..=Semaphore::MAX_PERMITS).contains(&settings.in_flight_max) || settings.timeout == Some(Duration::ZERO) {
            return Err(Error::Config("in_flight_max and timeout of a guarded connection must be above 0".to_owned()));
        }
        let shared = Shared {
            places: Semaphore::new(settings.in_flight_max),
            settings,
            breaker,
            waiting: AtomicUsize::new(0),
            exits: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        };
        Ok(Self { connection, class: Class::Normal, shared: Arc::new(shared) })
    }

    /// The same connection, for what ends positions: no breaker refuses it, and no place is needed, since a bound would
    /// be a way to block an exit. How many exits are under way is up to who sends them.
    #[must_use]
    pub fn for_exits(&self) -> Self
    where
        C: Clone,
    {
        Self { class: Class::Exit, ..self.clone() }
    }

    /// For `/health`.
    #[must_use]
    pub fn pool(&self) -> PoolStatus {
        let Shared { settings, places, waiting, exits, refused, timeouts, .. } = &*self.shared;
        let taken = settings.in_flight_max.saturating_sub(places.available_permits());
        PoolStatus {
            limit: settings.in_flight_max,
            in_flight: taken + exits.load(Ordering::Relaxed),
            waiting: waiting.load(Ordering::Relaxed),
            refused_total: refused.load(Ordering::Relaxed),
            timeouts_total: timeouts.load(Ordering::Relaxed),
        }
    }

    /// The breaker in front.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.shared.breaker
    }
}

impl Guarded<Connection> {
    /// Around a [`Connection`], whose own limits strike: when one does, it leaves the mute socket.
    ///
    /// # Errors
    /// As [`Guarded::new`].
    pub fn around(connection: Connection, breaker: Breaker) -> Result<Self> {
        let address = connection.config().address();
        Self::new(connection, GuardSettings { address, timeout: None, ..GuardSettings::default() }, breaker)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Guarded<C> {
    /// Asks the server for a sign of life, as any other call would.
    pub async fn health(&self) -> LinkHealth {
        let started = Instant::now();
        let pong: RedisResult<()> = redis::cmd("PING").exec_async(&mut self.clone()).await;
        let ping = pong.map(|()| started.elapsed()).map_err(Error::from);
        LinkHealth { ping, breaker: self.shared.breaker.status(), pool: self.pool() }
    }
}

type Entered<'a> = (Place<'a>, Permit<'a>);

impl Shared {
    async fn call<T>(&self, class: Class, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let (_place, permit) = match self.enter(class)? {
            Some(entered) => entered,
            // Boxed, for it is rare, and every call would be as large as its wait.
            None => Box::pin(self.wait(class)).await?,
        };
        let outcome = match self.settings.timeout {
            Some(limit) => timeout(limit, work).await.unwrap_or_else(|_| Err(late())),
            None => work.await,
        };
        match &outcome {
            Err(error) if error.kind() == ErrorKind::Io => {
                self.timeouts.fetch_add(error.is_timeout().into(), Ordering::Relaxed);
                permit.failed();
            }
            _ => permit.answered(),
        }
        outcome
    }

    /// `None` where there is no place. The permit is not kept while waiting for one: a probe would keep others out, and
    /// the breaker may open meanwhile.
    fn enter(&self, class: Class) -> RedisResult<Option<Entered<'_>>> {
        let permit = self.admit(class)?;
        let place = match class {
            Class::Exit => Place::Exit { _counted: Counted::one_more(&self.exits) },
            Class::Normal => match self.places.try_acquire() {
                Ok(place) => Place::Taken { _place: place },
                Err(_) => return Ok(None),
            },
        };
        Ok(Some((place, permit)))
    }

    async fn wait(&self, class: Class) -> RedisResult<Entered<'_>> {
        let (wait, limit) = (self.settings.wait, self.settings.in_flight_max);
        let in_line = Counted::one_more(&self.waiting);
        if in_line.before < self.settings.waiting_max
            && let Ok(Ok(place)) = timeout(wait, self.places.acquire()).await
        {
            return Ok((Place::Taken { _place: place }, self.admit(class)?));
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let others = in_line.before;
        Err(self
            .not_sent(format!("none of {limit} places for calls became free within {wait:?}, {others} others wait")))
    }

    fn admit(&self, class: Class) -> RedisResult<Permit<'_>> {
        self.breaker.admit(class).map_err(|open: BreakerOpen| self.not_sent(open.to_string()))
    }

    fn not_sent(&self, reason: String) -> RedisError {
        NotSent { address: self.settings.address.clone(), reason }.into()
    }
}

fn late() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

impl<C: ConnectionLike + Send + Sync> ConnectionLike for Guarded<C> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let Self { connection, class, shared } = self;
        Box::pin(shared.call(*class, connection.req_packed_command(cmd)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let Self { connection, class, shared } = self;
        Box::pin(shared.call(*class, connection.req_packed_commands(cmd, offset, count)))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

impl<C> fmt::Debug for Guarded<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.pool();
        f.debug_struct("Guarded").field("class", &self.class).field("pool", &pool).finish_non_exhaustive()
    }
}
