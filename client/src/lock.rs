//! An order lock that keeps itself alive while it is held.
//!
//! A lock with a time to live does not make the broker call safe by itself: a worker may be stopped for longer than the lock
//! lives. What makes it safe is that the module checks the token in every `STRAT.REPORT`, and that the broker sees the same
//! client order id from everybody who tries. The guard saves work and tells early.

use crate::commands::StratCommands;
use crate::error::{Error, Result};
use crate::request::{LockToken, ReportRequest};
use redis::aio::ConnectionLike;
use std::time::Duration;
use strat_core::Action;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What the holder wants of its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Extend it.
    Hold,
    /// Do not touch it for the moment: a report that may release it is under way.
    Rest,
    /// Give it back.
    Release,
    /// Leave it: the server has released it, or the holder wants it to run out.
    Disarm,
}

/// A held order lock. A background task extends it every third of its life.
///
/// Dropping it gives the lock back, in that task and without waiting. After a terminal report the lock is gone at the server;
/// [`OrderLock::report`] knows that, whoever reports by other means calls [`OrderLock::disarm`].
#[derive(Debug)]
pub struct OrderLock<C> {
    connection: C,
    key: String,
    action: Action,
    token: LockToken,
    wish: watch::Sender<Wish>,
    lost: watch::Receiver<bool>,
    keeper: Option<JoinHandle<Result<bool>>>,
}

impl<C: ConnectionLike + Clone + Send + 'static> OrderLock<C> {
    /// Claims the strategy for one order. `None`: somebody else holds it.
    ///
    /// # Errors
    /// `BUSY` and `NOSTRAT`: the order is not wanted any more. `UNSYNCED`: `epoch` is not the server's, reconcile first.
    /// Where the outcome is unknown, the lock may be held by nobody until it runs out.
    pub async fn acquire(
        mut connection: C,
        key: &str,
        action: Action,
        owner: &str,
        ttl: Duration,
        epoch: Option<&str>,
    ) -> Result<Option<Self>> {
        // The lock lives from when the server granted it, which is not before we asked.
        let valid_until = Instant::now() + ttl;
        let Some(token) = connection.strat_lock(key, action, owner, ttl, epoch).await? else {
            return Ok(None);
        };
        let (wish, wishes) = watch::channel(Wish::Hold);
        let (tell_lost, lost) = watch::channel(false);
        let keeper = Keeper {
            connection: connection.clone(),
            key: key.to_owned(),
            token: token.clone(),
            ttl,
            valid_until,
            wishes,
            tell_lost,
        };
        let keeper = Some(tokio::spawn(keeper.run()));
        Ok(Some(Self { connection, key: key.to_owned(), action, token, wish, lost, keeper }))
    }

    /// The token to report with.
    #[must_use]
    pub fn token(&self) -> &LockToken {
        &self.token
    }

    /// The action that the lock was taken for.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Key of the strategy.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether the lock ran out or went to somebody else, as far as is known.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Completes when the lock ran out or went to somebody else; never, if it is given back before. Cancel-safe, and
    /// independent of the guard, so that it may be awaited next to the work.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut lost = self.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends an execution report with this lock's token and answers with the version. After a terminal report of the
    /// lock's own action the lock is gone, and the guard knows.
    ///
    /// # Errors
    /// `BADTOKEN`: the lock was lost, nothing changed. Where the outcome is unknown, send the same report again: quantities
    /// are cumulative, and if the first one had ended the order, the second is answered `BADTOKEN`.
    pub async fn report(&mut self, report: &ReportRequest) -> Result<u64> {
        let rest = report.ends(self.action).then(|| {
            self.wish.send_replace(Wish::Rest);
            Rest { wish: &self.wish, then: Wish::Hold }
        });
        let outcome = self.connection.strat_report(&self.key, &self.token, report).await;
        if let (Some(mut rest), Ok(_)) = (rest, &outcome) {
            rest.then = Wish::Disarm;
        }
        outcome
    }

    /// The server has released the lock, or it is to run out by itself: neither extended nor given back from now on.
    pub fn disarm(self) {
        self.wish.send_replace(Wish::Disarm);
    }

    /// Gives the lock back and waits for the answer. `false`: it was not ours any more.
    ///
    /// # Errors
    /// Whatever the server or the connection says; the lock then runs out by itself.
    pub async fn release(mut self) -> Result<bool> {
        self.finish(Wish::Release).await
    }

    async fn finish(&mut self, wish: Wish) -> Result<bool> {
        if *self.wish.borrow() != Wish::Disarm {
            self.wish.send_replace(wish);
        }
        match self.keeper.take() {
            Some(keeper) => {
                keeper.await.unwrap_or_else(|ended| Err(Error::BadReply(format!("the lock's keeper ended: {ended}"))))
            }
            None => Ok(false),
        }
    }
}

impl<C> Drop for OrderLock<C> {
    fn drop(&mut self) {
        // The keeper does the rest; nothing can be awaited here.
        self.wish.send_if_modified(|wish| {
            let held = *wish != Wish::Disarm;
            *wish = if held { Wish::Release } else { Wish::Disarm };
            held
        });
    }
}

/// Ends a [`Wish::Rest`], also where the report's future is dropped half-way.
struct Rest<'a> {
    wish: &'a watch::Sender<Wish>,
    then: Wish,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.wish.send_replace(self.then);
    }
}

struct Keeper<C> {
    connection: C,
    key: String,
    token: LockToken,
    ttl: Duration,
    /// The server lets nobody else in before this.
    valid_until: Instant,
    wishes: watch::Receiver<Wish>,
    tell_lost: watch::Sender<bool>,
}

impl<C: ConnectionLike + Clone + Send + 'static> Keeper<C> {
    /// Until the lock is given back, disarmed or lost. Answers whether it was given back.
    async fn run(mut self) -> Result<bool> {
        let mut next = self.valid_until - self.ttl + self.ttl / 3;
        loop {
            let wish = *self.wishes.borrow_and_update();
            match wish {
                Wish::Disarm => return Ok(false),
                Wish::Release => return self.release().await,
                Wish::Hold | Wish::Rest => {}
            }
            let until = if wish == Wish::Hold { next.min(self.valid_until) } else { self.valid_until };
            tokio::select! {
                // The guard is gone without a wish only if its runtime is.
                changed = self.wishes.changed() => if changed.is_err() { return Ok(false) },
                () = sleep_until(until) => {
                    if Instant::now() >= self.valid_until {
                        return self.lose("it was not extended in time");
                    }
                    next = match self.extend().await {
                        Some(true) => self.valid_until - self.ttl + self.ttl / 3,
                        Some(false) => return self.lose("the server has given it to somebody else or let it run out"),
                        None => Instant::now() + self.ttl / 10,
                    };
                }
            }
        }
    }

    /// `None`: not known, because of a failure or because the holder wants something else now.
    async fn extend(&mut self) -> Option<bool> {
        let asked = Instant::now();
        let extend = self.connection.strat_extend(&self.key, &self.token, self.ttl);
        let answer = tokio::select! {
            answer = timeout_at(self.valid_until, extend) => answer.ok()?,
            _ = self.wishes.changed() => {
                self.wishes.mark_changed();
                return None;
            }
        };
        match answer {
            Ok(true) => {
                self.valid_until = asked + self.ttl;
                Some(true)
            }
            Ok(false) => Some(false),
            Err(error) => {
                tracing::warn!(key = self.key, %error, "cannot extend the order lock, trying again while it lives");
                None
            }
        }
    }

    fn lose(&self, why: &str) -> Result<bool> {
        tracing::warn!(key = self.key, token = %self.token, why, "order lock lost");
        self.tell_lost.send_replace(true);
        Ok(false)
    }

    async fn release(&mut self) -> Result<bool> {
        // Past its life there is nothing to give back; before, waiting longer than its life is of no use.
        let unlock = self.connection.strat_unlock(&self.key, &self.token);
        match timeout_at(self.valid_until, unlock).await {
            Ok(answer) => {
                answer.inspect_err(|error| tracing::warn!(key = self.key, %error, "cannot give the order lock back"))
            }
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
