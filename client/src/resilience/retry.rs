//! Repeats what may be repeated, within bounds.

use super::is_read;
use crate::error::{Error, Result};
use backon::{BackoffBuilder, ExponentialBuilder};
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisError};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Longer waits than this are taken for it; the sum of a time and the longest `Duration` would not be a time.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// How often and how long to repeat. What is repeated depends on the method:
///
/// | method | no connection, or a refusal that passes | unknown outcome | other refusals |
/// |---|---|---|---|
/// | [`Retry::read`] | again | again | no |
/// | [`Retry::idempotent`] | again | again | no |
/// | [`Retry::write`] | again | **no**: it may have been carried out | no |
///
/// A [`Connection`](crate::Connection) that is lost is waited for by each attempt already. Behind a
/// [`Guarded`](super::Guarded) one, an open breaker makes the attempts short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included. 3 unless set; 0 counts as 1.
    pub attempts: usize,
    /// First pause, doubled each time; up to as much again is added by chance, so that many clients do not come back
    /// in step. 50 ms unless set.
    pub pause: Duration,
    /// Longest pause before that is added. 1 s unless set.
    pub pause_max: Duration,
    /// Everything together, pauses included. What is under way then is given up with [`Error::Timeout`]. 10 s unless set,
    /// at most an hour. `None`: each attempt has the limit that its connection has, and no other; a timer less per call.
    pub total: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        let (pause, pause_max) = (Duration::from_millis(50), Duration::from_secs(1));
        Self { attempts: 3, pause, pause_max, total: Some(Duration::from_secs(10)) }
    }
}

impl Retry {
    /// Sends one command that only reads, and again where it failed.
    ///
    /// # Errors
    /// [`Error::Config`], with nothing sent, for a command that is not known to only read ([`is_read`]); else that of the
    /// last attempt.
    pub async fn read<T: FromRedisValue>(
        &self,
        connection: &(impl ConnectionLike + Clone + Send + Sync),
        cmd: &Cmd,
    ) -> Result<T> {
        if !is_read(cmd) {
            let why = "Retry::read takes commands that only read; for others take Retry::idempotent or Retry::write";
            return Err(Error::Config(why.to_owned()));
        }
        self.idempotent(async || Ok(cmd.query_async(&mut connection.clone()).await?)).await
    }

    /// Does something that may be done twice: by taking this method its caller says so. `SET` of a fixed value is
    /// idempotent; `INCR`, `LPUSH`, `XADD` and whatever sends an order are not.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn idempotent<T, F: Future<Output = Result<T>>>(&self, call: impl FnMut() -> F) -> Result<T> {
        self.run(call, |error| error.is_retryable() || matches!(error, Error::Lost { .. } | Error::Timeout { .. }))
            .await
    }

    /// Makes **one** request that writes, and again only where it was certainly not carried out. Several requests in one
    /// `call` would be repeated from the first.
    ///
    /// # Errors
    /// That of the last attempt. Where [`Error::outcome_unknown`], look before doing it again.
    pub async fn write<T, F: Future<Output = Result<T>>>(&self, call: impl FnMut() -> F) -> Result<T> {
        self.run(call, Error::is_retryable).await
    }

    async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut call: impl FnMut() -> F,
        may_repeat: impl Fn(&Error) -> bool,
    ) -> Result<T> {
        let until = self.total.map(|total| Instant::now() + total.min(WAIT_MAX));
        let mut pauses = None;
        loop {
            let error = match before(until, call()).await {
                Ok(value) => return Ok(value),
                Err(error) if !may_repeat(&error) => return Err(error),
                Err(error) => error,
            };
            match pauses.get_or_insert_with(|| self.pauses()).next() {
                Some(pause) if until.is_none_or(|until| Instant::now() + pause < until) => sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    /// As many as there are repetitions.
    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let pauses = ExponentialBuilder::default().with_min_delay(self.pause.min(WAIT_MAX));
        let pauses = pauses.with_max_delay(self.pause_max.min(WAIT_MAX));
        pauses.with_max_times(self.attempts.saturating_sub(1)).with_jitter().build()
    }
}

/// An attempt, given up when the time is over.
async fn before<T>(until: Option<Instant>, attempt: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(until) = until else { return attempt.await };
    let late = || Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut)).into());
    timeout_at(until, attempt).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests;
