//! The right to trade, where two engines could double an order.
//!
//! Where the broker dedupes client order ids every engine trades: whoever sends an order, it is the same. Where it does
//! not, an engine that is cut off from Redis, and sends a stop by itself, could meet another that fires the same stop
//! from the queue. So with such a broker one engine trades: the one whose Postgres session holds an advisory lock. The
//! others stand by.

use crate::store::Store;
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Advisory lock of the one engine that trades: "guard" in ASCII.
const TRADE_LOCK: i64 = 0x0067_7561_7264;
/// Time between two looks whether the session still stands, or the lock is free.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A session that does not answer for so long is given up.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A session that says nothing for so long is ended by the server (from version 14 on), so that an engine that was stopped
/// in the middle does not keep the right for ever.
const IDLE_SESSION: &str = "SET idle_session_timeout = '10s'";
/// How long after Postgres last answered nobody else can have got the lock: less than the server waits.
const KEPT: Duration = Duration::from_secs(8);

#[derive(Debug, Clone, Copy)]
enum Standing {
    /// Every engine trades.
    NotNeeded,
    /// This engine's, since then.
    Mine { since: Instant },
    /// Another engine's, or not asked for yet.
    Others,
    /// Postgres does not answer. If it was this engine's last: since when, and until when nobody else can have it.
    Unreached { mine: Option<(Instant, Instant)> },
}

/// Whether this engine may trade. Clones share it.
#[derive(Debug, Clone)]
pub struct Lease {
    standing: Arc<watch::Sender<Standing>>,
    /// Before this time has passed, what another engine sent last may not show at the broker.
    settle: Duration,
}

impl Lease {
    /// Every engine may trade: the broker dedupes ids.
    #[must_use]
    pub fn not_needed() -> Self {
        Self { standing: Arc::new(watch::Sender::new(Standing::NotNeeded)), settle: Duration::ZERO }
    }

    /// This engine may trade once [`Lease::hold`] has got the lock, and what another one sent before must show at the
    /// broker: after `settle`.
    #[must_use]
    pub fn needed(settle: Duration) -> Self {
        Self { standing: Arc::new(watch::Sender::new(Standing::Others)), settle }
    }

    /// Whether this engine may send without Redis now.
    #[must_use]
    pub fn may_act(&self) -> bool {
        match *self.standing.borrow() {
            Standing::NotNeeded | Standing::Mine { .. } => true,
            Standing::Unreached { mine: Some((_, until)) } => Instant::now() < until,
            Standing::Others | Standing::Unreached { mine: None } => false,
        }
    }

    /// Whether this engine may carry out what is enqueued. While Postgres is away that stays as it was: the lock in
    /// Redis keeps engines apart, and exits must go on.
    #[must_use]
    pub fn may_trade(&self) -> bool {
        self.trades_from().is_some_and(|from| Instant::now() >= from)
    }

    fn trades_from(&self) -> Option<Instant> {
        match *self.standing.borrow() {
            Standing::NotNeeded => Some(Instant::now()),
            Standing::Mine { since } | Standing::Unreached { mine: Some((since, _)) } => Some(since + self.settle),
            Standing::Others | Standing::Unreached { mine: None } => None,
        }
    }

    /// Waits until this engine may carry out what is enqueued.
    pub async fn trading(&self) {
        let mut standing = self.standing.subscribe();
        loop {
            standing.mark_unchanged();
            match self.trades_from() {
                Some(from) if Instant::now() >= from => return,
                Some(from) => sleep_until(from).await,
                None => {
                    // The sender lives as long as `self`, so this cannot fail.
                    if standing.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn grant(&self) {
        self.got(Instant::now());
    }

    /// Takes the lock as soon as it is free and keeps it until `cancel`.
    pub async fn hold(&self, store: &Store, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            let mut answered = Instant::now();
            tokio::select! {
                () = cancel.cancelled() => return,
                outcome = self.session(store, &mut answered) => {
                    let Err(error) = outcome;
                    tracing::warn!(%error, held = self.may_act(), "Postgres does not answer for the right to trade, trying again");
                }
            }
            self.unreached(answered);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn got(&self, now: Instant) {
        self.standing.send_modify(|standing| {
            *standing = match *standing {
                Standing::Mine { since } => Standing::Mine { since },
                // Nobody else can have had it in between.
                Standing::Unreached { mine: Some((since, until)) } if now < until => Standing::Mine { since },
                _ => Standing::Mine { since: now },
            };
        });
    }

    fn unreached(&self, answered: Instant) {
        self.standing.send_modify(|standing| {
            *standing = match *standing {
                Standing::Mine { since } => Standing::Unreached { mine: Some((since, answered + KEPT)) },
                Standing::Unreached { mine } => Standing::Unreached { mine },
                Standing::NotNeeded => Standing::NotNeeded,
                Standing::Others => Standing::Unreached { mine: None },
            };
        });
    }

    /// One session; ends only by an error.
    async fn session(&self, store: &Store, answered: &mut Instant) -> sqlx::Result<std::convert::Infallible> {
        // Detached: the lock ends with this session, and the pool must not hand it to anybody else.
        let mut postgres = in_time(store.pool().acquire()).await?.detach();
        if let Err(error) = in_time(sqlx::query(IDLE_SESSION).execute(&mut postgres)).await {
            tracing::debug!(%error, "this Postgres does not end idle sessions");
        }
        let mut mine = false;
        loop {
            let asked = Instant::now();
            if mine {
                in_time(sqlx::query("SELECT 1").execute(&mut postgres)).await?;
            } else if is_free(&mut postgres).await? {
                tracing::info!("this engine trades");
                mine = true;
                self.got(asked);
            } else {
                self.standing.send_if_modified(|standing| {
                    let news = !matches!(standing, Standing::Others);
                    if news {
                        tracing::info!("another engine trades; standing by");
                        *standing = Standing::Others;
                    }
                    news
                });
            }
            *answered = asked;
            sleep(LOOK_EVERY).await;
        }
    }
}

async fn is_free(postgres: &mut PgConnection) -> sqlx::Result<bool> {
    let ask = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(TRADE_LOCK);
    in_time(ask.fetch_one(&mut *postgres)).await
}

/// An answer, or the error of a session that is of no more use.
async fn in_time<T>(request: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let silent = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(ANSWER_MAX, request).await.unwrap_or_else(|_| Err(silent()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_holder_trades_and_only_when_what_others_sent_must_show() {
        let lease = Lease::needed(Duration::from_millis(30));
        assert!(!lease.may_act() && !lease.may_trade());
        let waiting = tokio::spawn({
            let lease = lease.clone();
            async move {
                lease.trading().await;
                Instant::now()
            }
        });
        let granted = Instant::now();
        lease.grant();
        assert!(lease.may_act() && !lease.may_trade());
        assert!(waiting.await.unwrap() >= granted + Duration::from_millis(30));
        assert!(lease.may_trade());
        assert!(Lease::not_needed().may_act() && Lease::not_needed().may_trade());
    }

    #[tokio::test]
    async fn without_postgres_the_holder_trades_on_and_acts_alone_only_for_a_while() {
        let lease = Lease::needed(Duration::ZERO);
        lease.unreached(Instant::now());
        assert!(!lease.may_act() && !lease.may_trade(), "it never had it");
        lease.grant();
        lease.unreached(Instant::now());
        assert!(lease.may_act() && lease.may_trade());
        let lost = Lease::needed(Duration::ZERO);
        lost.grant();
        lost.unreached(Instant::now() - KEPT);
        assert!(!lost.may_act() && lost.may_trade());
    }
}
