//! Entries halted by an operator: in Postgres, so that every engine and every restart knows of it. Exits never wait for it.

use crate::gate::EpochGate;
use crate::store::{HaltState, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two looks: another engine may have been asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for Postgres.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whether entries are halted. Clones share it.
#[derive(Clone)]
pub struct Halt {
    store: Store,
    gate: EpochGate,
    known: Arc<watch::Sender<Option<HaltState>>>,
}

impl Halt {
    /// As Postgres knows it; nothing may trade before.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn load(store: Store, gate: EpochGate) -> sqlx::Result<Self> {
        let halt = Self { store, gate, known: Arc::default() };
        halt.look().await?;
        Ok(halt)
    }

    /// What was said last.
    #[must_use]
    pub fn state(&self) -> Option<HaltState> {
        self.known.borrow().clone()
    }

    /// Halts entries, or lets them go on: here at once, in other engines within about a second.
    ///
    /// # Errors
    /// Of Postgres; then nothing may have changed.
    pub async fn say(&self, halted: bool, caller: &str, reason: &str) -> sqlx::Result<HaltState> {
        let said = self.store.say_halt(halted, caller, reason).await?;
        self.learn(Some(said.clone()));
        Ok(said)
    }

    /// Looks for what other engines were told, until cancelled. While Postgres is away it stays as it was, and entries wait
    /// for other reasons.
    pub async fn follow(&self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            match timeout(ANSWER_MAX, self.look()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "Postgres does not say whether entries are halted"),
                Err(_) => tracing::debug!("Postgres does not say in time whether entries are halted"),
            }
        }
    }

    async fn look(&self) -> sqlx::Result<()> {
        self.learn(self.store.halt_state().await?);
        Ok(())
    }

    fn learn(&self, state: Option<HaltState>) {
        let halted = state.as_ref().is_some_and(|state| state.halted);
        let news = self.known.send_if_modified(|known| {
            // An older answer that comes late does not take back what was said since.
            let news = state.as_ref().map(|state| state.seq) > known.as_ref().map(|known| known.seq);
            if news {
                known.clone_from(&state);
            }
            news
        });
        if news && let Some(state) = &state {
            self.gate.halt_entries(halted);
            let HaltState { caller, reason, .. } = state;
            tracing::warn!(halted, by = caller, reason, "entries are {}", if halted { "halted" } else { "going on" });
        }
    }
}
