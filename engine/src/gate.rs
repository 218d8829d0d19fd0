//! The gate before the executor: no order is sent before Redis was reconciled with Postgres.

use std::sync::Arc;
use tokio::sync::watch;

/// Holds the epoch to work with, once reconciliation has finished for it. Clones share the state.
#[derive(Debug, Clone)]
pub struct EpochGate {
    epoch: Arc<watch::Sender<Option<Arc<str>>>>,
}

impl Default for EpochGate {
    fn default() -> Self {
        Self { epoch: Arc::new(watch::Sender::new(None)) }
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
        let mut watch = self.epoch.subscribe();
        loop {
            if let Some(epoch) = watch.borrow_and_update().clone() {
                return epoch;
            }
            // The sender lives as long as `self`, so this cannot fail.
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The epoch, if the gate is open.
    #[must_use]
    pub fn peek(&self) -> Option<Arc<str>> {
        self.epoch.borrow().clone()
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
                *current = Some(epoch.into());
            }
            news
        });
    }

    /// Waits until the gate is closed.
    pub async fn closed(&self) {
        let mut watch = self.epoch.subscribe();
        while watch.borrow_and_update().is_some() {
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
