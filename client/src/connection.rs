//! A connection that comes back by itself and never repeats a request.

mod live;

use crate::backoff::Backoff;
use crate::config::{Config, Place};
use crate::error::{NotSent, Result, is_read_only, is_settled, why_not};
use crate::observer::{self, Outcome};
use crate::server::{self, Health};
use live::Live;
use redis::aio::ConnectionLike;
use redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest pause between two searches for the primary: asking costs the sentinels next to nothing, and everything waits
/// for the answer.
const SEARCH_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A shared connection to one server. Clones use the same socket; requests of many tasks are pipelined.
///
/// What it does that a plain `ConnectionManager` does not:
/// - It tells a request that was never sent ([`crate::Error::Unavailable`]) from one whose outcome is unknown.
/// - It leaves a server that answers `READONLY` (a demoted primary) and resolves the address again.
/// - It leaves a connection on which a reply did not come in time: a socket can be connected and mute.
/// - Behind sentinels it goes where they say, if the server there agrees that it is the primary, and looks every half
///   second whether that still holds, also while nothing is asked: a primary that was paused or cut off does not tell.
///   What is under way on a primary that was replaced fails at once, with an unknown outcome.
///
/// A request that fails is never sent again by itself. While the server is away, requests wait for at most
/// [`Config::reconnect_wait`].
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// The socket in use, if any.
    live: RwLock<Option<Live>>,
    /// Held by the one task that connects.
    connecting: tokio::sync::Mutex<()>,
    pause: Mutex<Pause>,
}

struct Pause {
    backoff: Backoff,
    /// No attempt to connect before this.
    until: Option<Instant>,
    generations: u64,
    last_failure: String,
}

impl Connection {
    /// Connects, in one attempt.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] if that fails, [`crate::Error::Config`] for wrong credentials.
    pub async fn open(config: &Config) -> Result<Self> {
        let connection = Self::lazy(config)?;
        connection.shared.connect().await?;
        Ok(connection)
    }

    /// Connects with the first request.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an address that this build cannot connect to.
    pub fn lazy(config: &Config) -> Result<Self> {
        let (first, longest) = config.backoff();
        let longest = match config.place() {
            Place::Known(info) => {
                // Nothing is opened here, but what cannot be is found out.
                Client::open(info.clone())?;
                longest
            }
            Place::Asked(_) => longest.min(SEARCH_PAUSE_MAX),
        };
        let pause = Pause {
            backoff: Backoff::new((first, longest)),
            until: None,
            generations: 0,
            last_failure: "no answer yet".to_owned(),
        };
        let shared = Shared {
            config: config.clone(),
            live: RwLock::new(None),
            connecting: tokio::sync::Mutex::new(()),
            pause: Mutex::new(pause),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Where Redis is: behind sentinels the primary in use, if there is one, else what [`Config::address`] says.
    #[must_use]
    pub fn address(&self) -> String {
        let primary = self.shared.current().and_then(|live| live.primary().map(str::to_owned));
        primary.unwrap_or_else(|| self.shared.config.address())
    }

    /// Leaves the current socket; the next request connects anew, address resolution included. Requests under way on
    /// the old socket still get their replies.
    pub fn reset(&self) {
        *self.shared.live.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes sure that the server has the strat module in a version that this client can talk to.
    ///
    /// # Errors
    /// [`crate::Error::ModuleMissing`] or [`crate::Error::ModuleVersion`], each saying what to do. `NOPERM` where
    /// the ACL does not give `INFO`.
    pub async fn check_module(&mut self) -> Result<String> {
        server::check_module(self).await
    }

    /// Asks the server how it is.
    ///
    /// # Errors
    /// Any; each means that the server cannot be called healthy.
    pub async fn health(&mut self) -> Result<Health> {
        server::health(self).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shared {
    fn current(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket in use, or a new one within the time that a request may wait for it.
    async fn live(self: &Arc<Self>) -> RedisResult<Live> {
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let waited = timeout(self.config.reconnect_wait(), self.reconnect()).await;
        waited.unwrap_or_else(|_| {
            let reason = format!("gave up waiting; last attempt: {}", self.pause().last_failure);
            Err(NotSent { address: self.config.address(), reason }.into())
        })
    }

    /// Tries until it succeeds or finds that it cannot.
    async fn reconnect(self: &Arc<Self>) -> RedisResult<Live> {
        let _one_at_a_time = self.connecting.lock().await;
        loop {
            if let Some(live) = self.current() {
                return Ok(live);
            }
            let until = self.pause().until;
            if let Some(until) = until {
                sleep_until(until).await;
            }
            match self.connect().await {
                Err(error) if error.kind() == ErrorKind::Io => {}
                settled => return settled,
            }
        }
    }

    /// One attempt. Its failure is counted before it begins, so that callers who give up half-way count as well.
    async fn connect(self: &Arc<Self>) -> RedisResult<Live> {
        {
            let mut pause = self.pause();
            let wait = pause.backoff.next_pause();
            pause.until = Some(Instant::now() + wait);
        }
        let outcome = timeout(self.config.connect_timeout(), self.open())
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        let mut pause = self.pause();
        match outcome {
            Ok(live) => {
                pause.backoff.reset();
                pause.until = None;
                *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
                let address = live.primary().map_or_else(|| self.config.address(), str::to_owned);
                tracing::debug!(address, generation = live.generation, "connected to Redis");
                Ok(live)
            }
            Err(error) => {
                let mut reason = why_not(&error);
                if error.is_timeout() && self.config.is_encrypted() {
                    // A server that speaks plainly waits for the rest of what it takes for a command.
                    reason.push_str(" rediss:// wants its tls-port");
                }
                pause.last_failure.clone_from(&reason);
                tracing::warn!(address = self.config.address(), reason, "cannot connect to Redis");
                let settled = is_settled(&error);
                Err(if settled { error } else { NotSent { address: self.config.address(), reason }.into() })
            }
        }
    }

    fn leave(&self, generation: u64) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|live| live.generation == generation) {
            *live = None;
        }
    }

    /// Leaves the socket if the error says that it, or the server behind it, is of no more use.
    fn judge(&self, generation: u64, error: &RedisError) {
        let demoted = is_read_only(error);
        if demoted {
            // A replica that answers at once would otherwise be asked again as fast as it answers.
            self.pause().until = Some(Instant::now() + self.config.backoff().0);
        }
        if demoted || error.kind() == ErrorKind::Io || error.is_unrecoverable_error() {
            tracing::warn!(address = self.config.address(), %error, "leaving the connection to Redis");
            self.leave(generation);
        }
    }
}

impl Shared {
    async fn request(self: &Arc<Self>, command: &Cmd) -> RedisResult<Value> {
        let mut live = self.live().await?;
        let watch = live.watch.clone();
        let reply = live::unless_moved(watch.as_deref(), live.connection.send_packed_command(command)).await;
        let reply = reply.and_then(Value::extract_error);
        reply.inspect_err(|error| self.judge(live.generation, error))
    }

    async fn requests(self: &Arc<Self>, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let mut live = self.live().await?;
        let watch = live.watch.clone();
        let replies = live.connection.send_packed_commands(pipeline, offset, count);
        let replies = live::unless_moved(watch.as_deref(), replies).await;
        // A refusal of one command stands among the replies of the others.
        for error in replies.iter().flatten().filter_map(refusal) {
            self.judge(live.generation, &error);
        }
        replies.inspect_err(|error| self.judge(live.generation, error))
    }

    /// Does a request and tells whoever wants to know what became of it.
    async fn observed<T>(
        &self,
        name: &str,
        request: impl Future<Output = RedisResult<T>>,
        judge: impl FnOnce(&RedisResult<T>) -> Outcome,
    ) -> RedisResult<T> {
        let Some(observer) = self.config.observer() else { return request.await };
        let asked = Instant::now();
        let reply = request.await;
        observer.ended(name, asked.elapsed(), judge(&reply));
        reply
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let shared = &self.shared;
        Box::pin(shared.observed(observer::name_of(cmd), shared.request(cmd), Outcome::of))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let shared = &self.shared;
        let name = cmd.cmd_iter().next().map_or("", observer::name_of);
        Box::pin(shared.observed(name, shared.requests(cmd, offset, count), observer::of_replies))
    }

    fn get_db(&self) -> i64 {
        self.shared.config.redis_settings().db()
    }
}

fn refusal(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

/// `timeout`, with an error of the kind that a reply that never came has.
pub(crate) async fn in_time<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> Result<T> {
    let late = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    Ok(timeout(limit, work).await.unwrap_or_else(|_| Err(late()))?)
}

#[cfg(test)]
mod tests;
