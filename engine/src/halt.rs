//! Entries halted by an operator, one user's or all: in Postgres, so that every engine and every restart knows of it. Exits never wait for it.

use crate::gate::EpochGate;
use crate::store::{HaltState, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
    /// What was said last, by whose entries.
    known: Arc<Mutex<BTreeMap<Option<String>, HaltState>>>,
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

    /// What was said last of a user's entries; of everybody's where none is named.
    #[must_use]
    pub fn state(&self, user: Option<&str>) -> Option<HaltState> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&user.map(str::to_owned)).cloned()
    }

    /// Halts entries of a user, or all, or lets them go on: here at once, in other engines within about a second.
    ///
    /// # Errors
    /// Of Postgres; then nothing may have changed.
    pub async fn say(&self, user: Option<&str>, halted: bool, caller: &str, reason: &str) -> sqlx::Result<HaltState> {
        let said = self.store.say_halt(user, halted, caller, reason).await?;
        self.learn(said.clone());
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
        self.store.halt_states().await?.into_iter().for_each(|state| self.learn(state));
        Ok(())
    }

    fn learn(&self, state: HaltState) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // An older answer that comes late does not take back what was said since.
        if known.get(&state.user).is_some_and(|known| known.seq >= state.seq) {
            return;
        }
        let HaltState { user, halted, caller, reason, .. } = &state;
        self.gate.halt_entries(user.as_deref(), *halted);
        let whose = user.as_deref().unwrap_or("all");
        tracing::warn!(
            halted,
            whose,
            by = caller,
            reason,
            "entries are {}",
            if *halted { "halted" } else { "going on" }
        );
        known.insert(state.user.clone(), state);
    }
}
