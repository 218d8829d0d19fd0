//! The right to trade, where two engines could double an order.
//!
//! Where the broker dedupes client order ids every engine trades: whoever sends an order, it is the same. Where it does
//! not, an engine that is cut off from Redis, and sends a stop by itself, could meet another that fires the same stop
//! from the queue. So with such a broker one engine trades: the one whose name stands in the row `trade` of table
//! `leases`, which it renews every second. The others stand by.
//!
//! The row lives for `LIFE` by Postgres' clock from when it was renewed, which is after the renewal was sent; the holder
//! counts `KEPT` from when it sent it, by its own. So it stops before anybody else can begin, whatever becomes of
//! connections. The price: after the holder was killed, nobody trades until the row has run out and what it sent last must
//! show at the broker. One that is stopped in order lets it go at once.

use crate::store::{Claim, Store};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// The row that stands for the right to trade.
const TRADE: &str = "trade";
/// Time between two renewals, or two looks whether it is free.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for Postgres. Three renewals may fail before the holder has to stop.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long the row keeps others out after a renewal.
const LIFE: Duration = Duration::from_secs(10);
/// How long the holder acts after it sent one. The rest is for clocks that do not run alike.
const KEPT: Duration = Duration::from_secs(8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Every engine trades.
    NotNeeded,
    /// This engine's since then, as far as Postgres last said.
    Mine {
        since: Instant,
        /// Before this nobody else can have it.
        until: Instant,
        /// Whether Postgres answered when it was asked last.
        reached: bool,
    },
    /// Not asked for yet.
    Unasked,
    /// Another engine's.
    Others,
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

    /// This engine may trade once [`Lease::hold`] has got the row, and what another one sent before must show at the
    /// broker: after `settle`.
    #[must_use]
    pub fn needed(settle: Duration) -> Self {
        Self { standing: Arc::new(watch::Sender::new(Standing::Unasked)), settle }
    }

    /// Since when it has been this engine's, without a gap.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        match *self.standing.borrow() {
            Standing::Mine { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whether this engine may send without Redis now.
    #[must_use]
    pub fn may_act(&self) -> bool {
        match *self.standing.borrow() {
            Standing::NotNeeded => true,
            Standing::Mine { until, .. } => Instant::now() < until,
            Standing::Unasked | Standing::Others => false,
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
            // It ran out, and not because Postgres is away: this process stood still, and another may trade by now.
            // The renewal that is under way tells.
            Standing::Mine { until, reached: true, .. } if Instant::now() >= until => None,
            Standing::Mine { since, .. } => Some(since + self.settle),
            Standing::Unasked | Standing::Others => None,
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
        self.told(Claim::Taken, Instant::now());
    }

    /// Takes the row as soon as it is free and keeps it until `cancel`, then lets it go: cancel it when nothing trades any
    /// more. `engine` is for people who look at the row.
    pub async fn hold(&self, store: &Store, engine: &str, cancel: &CancellationToken) {
        if *self.standing.borrow() == Standing::NotNeeded {
            return cancel.cancelled().await;
        }
        let owner = owner(engine);
        let mut answers = true;
        loop {
            let asked = Instant::now();
            let outcome = tokio::select! {
                () = cancel.cancelled() => break,
                outcome = in_time(store.claim_lease(TRADE, &owner, LIFE)) => outcome,
            };
            match &outcome {
                Ok(claim) => self.told(*claim, asked),
                Err(error) => {
                    self.unreached();
                    if answers {
                        tracing::warn!(%error, held = self.may_act(), "Postgres does not answer for the right to trade, trying again");
                    }
                }
            }
            answers = outcome.is_ok();
            tokio::select! {
                () = cancel.cancelled() => break,
                () = sleep_until(asked + RENEW_EVERY) => {}
            }
        }
        self.standing.send_replace(Standing::Others);
        if let Err(error) = in_time(store.release_lease(TRADE, &owner)).await {
            tracing::warn!(%error, seconds = LIFE.as_secs(), "the right to trade could not be let go, it runs out by itself");
        }
    }

    /// Postgres' answer to what was asked then.
    fn told(&self, claim: Claim, asked: Instant) {
        let before = *self.standing.borrow();
        let now = Instant::now();
        let mine = |since| Standing::Mine { since, until: asked + KEPT, reached: true };
        let next = match (claim, before) {
            (Claim::Kept, Standing::Mine { since, .. }) => mine(since),
            (Claim::Kept | Claim::Taken, _) => mine(now),
            (Claim::Others, _) => Standing::Others,
        };
        match (before, next) {
            (_, Standing::Mine { since, .. }) if since == now => tracing::info!("this engine trades"),
            (Standing::Mine { .. }, Standing::Others) => tracing::warn!("another engine trades now; standing by"),
            (Standing::Unasked, Standing::Others) => tracing::info!("another engine trades; standing by"),
            _ => {}
        }
        self.standing.send_replace(next);
    }

    /// Postgres gave no answer.
    fn unreached(&self) {
        self.standing.send_modify(|standing| {
            if let Standing::Mine { reached, .. } = standing {
                *reached = false;
            }
        });
    }
}

/// Names this start of this engine: no other has it, not even one of the same name.
fn owner(engine: &str) -> String {
    let mut random = RandomState::new().build_hasher();
    random.write_u32(std::process::id());
    format!("{engine} {} {:016x}", std::process::id(), random.finish())
}

/// An answer, or the error of one that is of no more use.
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
        let never = Lease::needed(Duration::ZERO);
        never.unreached();
        assert!(!never.may_act() && !never.may_trade());
        let lease = Lease::needed(Duration::ZERO);
        lease.grant();
        lease.unreached();
        assert!(lease.may_act() && lease.may_trade());
        lease.told(Claim::Kept, Instant::now() - KEPT);
        lease.unreached();
        assert!(!lease.may_act() && lease.may_trade());
    }

    #[tokio::test]
    async fn the_right_counts_from_when_the_renewal_was_sent_and_one_who_stood_still_asks_first() {
        let lease = Lease::needed(Duration::ZERO);
        lease.told(Claim::Taken, Instant::now() - KEPT);
        assert!(!lease.may_act() && !lease.may_trade());
        assert!(timeout(Duration::from_millis(20), lease.trading()).await.is_err());
        lease.told(Claim::Kept, Instant::now());
        assert!(lease.may_act() && lease.may_trade());
    }

    #[test]
    fn what_was_never_out_of_our_hands_needs_no_settling() {
        let lease = Lease::needed(Duration::from_secs(3_600));
        let since = |lease: &Lease| match *lease.standing.borrow() {
            Standing::Mine { since, .. } => since,
            other => panic!("{other:?}"),
        };
        lease.grant();
        let first = since(&lease);
        lease.told(Claim::Kept, Instant::now());
        lease.unreached();
        lease.told(Claim::Kept, Instant::now());
        assert_eq!(since(&lease), first);
        lease.told(Claim::Others, Instant::now());
        assert!(!lease.may_act());
        lease.told(Claim::Taken, Instant::now());
        assert!(since(&lease) > first && !lease.may_trade());
    }

    #[test]
    fn every_start_is_an_owner_of_its_own() {
        assert!(owner("e1").starts_with("e1 "));
        assert_ne!(owner("e1"), owner("e1"));
    }
}
