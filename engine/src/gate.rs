//! The gate before the executor: no order is sent before Redis was reconciled with Postgres.

use crate::broker::AccountOf;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Holds the epoch to work with, once reconciliation has finished for it. Clones share the state.
#[derive(Debug, Clone)]
pub struct EpochGate {
    epoch: Arc<watch::Sender<Option<Arc<str>>>>,
    entries_wait: Arc<AtomicBool>,
    entries_halted: Arc<AtomicBool>,
    /// Users whose entries are halted.
    users_halted: Arc<Mutex<HashSet<String>>>,
    opened: Arc<Mutex<Option<Instant>>>,
    /// Accounts that have not told their orders: what Redis has lost of them is not known.
    silent: Arc<watch::Sender<BTreeSet<AccountOf>>>,
    redis_away: Arc<AtomicBool>,
}

impl Default for EpochGate {
    fn default() -> Self {
        Self {
            epoch: Arc::new(watch::Sender::new(None)),
            entries_wait: Arc::default(),
            entries_halted: Arc::default(),
            users_halted: Arc::default(),
            opened: Arc::default(),
            silent: Arc::default(),
            redis_away: Arc::default(),
        }
    }
}

impl EpochGate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The epoch to claim orders with; waits while the gate is closed.
    pub async fn current(&self) -> Arc<str> {
        match self.until(|epoch| epoch.is_some()).await {
            Some(epoch) => epoch,
            None => std::future::pending().await,
        }
    }

    /// The epoch, if the gate is open.
    #[must_use]
    pub fn peek(&self) -> Option<Arc<str>> {
        self.epoch.borrow().clone()
    }

    /// Epoch ms when the epoch began, where its name tells: what was enqueued before may have been handed out already.
    #[must_use]
    pub fn began_ms(&self) -> Option<i64> {
        self.peek()?.split('-').next()?.parse().ok()
    }

    /// Whether Redis does not watch, as far as this engine can tell.
    #[must_use]
    pub fn redis_away(&self) -> bool {
        self.redis_away.load(Ordering::SeqCst)
    }

    /// Notes whether Redis watches.
    pub fn set_redis_away(&self, away: bool) {
        self.redis_away.store(away, Ordering::SeqCst);
    }

    /// Waits until the gate is open for another epoch than `known`.
    pub async fn moved(&self, known: Option<&str>) {
        self.until(|epoch| epoch.is_some() && epoch != known).await;
    }

    /// When the gate last opened.
    #[must_use]
    pub fn opened(&self) -> Option<Instant> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether entries have to wait: what keeps them durable is away, or somebody halted them. Exits never wait for that.
    #[must_use]
    pub fn entries_wait(&self) -> bool {
        self.entries_wait.load(Ordering::Relaxed) || self.entries_halted.load(Ordering::Relaxed)
    }

    /// Whether a user's entries have to wait, for that or because somebody halted his alone.
    #[must_use]
    pub fn entries_of_wait(&self, user: &str) -> bool {
        self.entries_wait() || self.users_halted().contains(user)
    }

    /// Halts entries of a user, or all, by somebody's will, or lets them go on; whether they have to wait otherwise stays as it is.
    pub fn halt_entries(&self, user: Option<&str>, halted: bool) {
        match user {
            None => self.entries_halted.store(halted, Ordering::Relaxed),
            Some(user) if halted => drop(self.users_halted().insert(user.to_owned())),
            Some(user) => drop(self.users_halted().remove(user)),
        }
    }

    fn users_halted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.users_halted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds entries, or lets them go on.
    pub fn hold_entries(&self, wait: bool) {
        self.entries_wait.store(wait, Ordering::Relaxed);
    }

    /// Closes the gate if it still stands on `epoch`: the server answered `UNSYNCED` to it.
    pub fn invalidate(&self, epoch: &str) {
        self.epoch.send_if_modified(|current| {
            let stale = current.as_deref() == Some(epoch);
            if stale {
                *current = None;
            }
            stale
        });
    }

    /// Opens the gate: Redis of this epoch has been reconciled.
    pub fn open(&self, epoch: &str) {
        self.epoch.send_if_modified(|current| {
            let news = current.as_deref() != Some(epoch);
            if news {
                *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                *current = Some(epoch.into());
            }
            news
        });
    }

    /// Has the orders of these accounts wait, and no others'. For who then opens the gate.
    pub fn hold_accounts(&self, silent: BTreeSet<AccountOf>) {
        self.silent.send_replace(silent);
    }

    /// Lets an account's orders go on: it has told those that it has. Whether they had to wait.
    pub fn let_account_go(&self, account: &AccountOf) -> bool {
        self.silent.send_if_modified(|silent| silent.remove(account))
    }

    /// Accounts whose orders wait.
    #[must_use]
    pub fn silent_accounts(&self) -> BTreeSet<AccountOf> {
        self.silent.borrow().clone()
    }

    /// Whether an account's orders wait, exits as well.
    #[must_use]
    pub fn is_silent(&self, account: &AccountOf) -> bool {
        self.silent.borrow().contains(account)
    }

    /// Waits until an account's orders may go on.
    pub async fn account_told(&self, account: &AccountOf) {
        // The sender lives as long as `self`, so this is no error that happens.
        if self.silent.subscribe().wait_for(|silent| !silent.contains(account)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the gate is closed.
    pub async fn closed(&self) {
        self.until(|epoch| epoch.is_none()).await;
    }

    async fn until(&self, holds: impl Fn(Option<&str>) -> bool) -> Option<Arc<str>> {
        let mut watch = self.epoch.subscribe();
        let reached = watch.wait_for(|epoch| holds(epoch.as_deref())).await.map(|epoch| epoch.clone());
        // The sender lives as long as `self`, so this is no error that happens.
        match reached {
            Ok(epoch) => epoch,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_wait_for_postgres_and_for_whoever_halted_them() {
        let gate = EpochGate::new();
        gate.halt_entries(None, true);
        gate.hold_entries(true);
        gate.hold_entries(false);
        assert!(gate.entries_wait(), "Postgres that comes back ends no halt");
        gate.halt_entries(None, false);
        assert!(!gate.entries_wait());
        gate.halt_entries(Some("alice"), true);
        assert!(gate.entries_of_wait("alice") && !gate.entries_of_wait("bob") && !gate.entries_wait());
        gate.halt_entries(None, true);
        gate.halt_entries(Some("alice"), false);
        assert!(gate.entries_of_wait("alice"), "everybody's are halted");
    }

    #[tokio::test]
    async fn an_account_that_tells_nothing_waits_alone_until_it_does() {
        let (gate, alices) = (EpochGate::new(), AccountOf::User("alice".to_owned()));
        gate.account_told(&alices).await;
        gate.hold_accounts(BTreeSet::from([alices.clone()]));
        assert!(gate.is_silent(&alices) && !gate.is_silent(&AccountOf::Others));
        let waiting = tokio::spawn({
            let (gate, alices) = (gate.clone(), alices.clone());
            async move { gate.account_told(&alices).await }
        });
        assert!(gate.let_account_go(&alices) && !gate.let_account_go(&alices));
        waiting.await.unwrap();
        assert!(!gate.is_silent(&alices) && gate.silent_accounts().is_empty());
    }

    #[tokio::test]
    async fn the_gate_opens_once_reconciled_and_only_the_stale_epoch_closes_it() {
        let gate = EpochGate::new();
        assert_eq!(gate.peek(), None);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.current().await }
        });
        gate.open("e1");
        assert_eq!(&*waiting.await.unwrap(), "e1");
        gate.invalidate("e0");
        assert_eq!(gate.peek().as_deref(), Some("e1"));
        gate.invalidate("e1");
        gate.closed().await;
        assert_eq!(gate.peek(), None);
    }
}
