//! What Postgres has heard of.

use super::Store;
use crate::executor::Records;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use strat_core::StrategyKey;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for the answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Store {
    /// Entries of strategies so far, in the order of the ids; `None` where one is not there, or was removed.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn cycles_of(&self, ids: &[(String, String)]) -> sqlx::Result<Vec<Option<i64>>> {
        let (users, strategies): (Vec<&str>, Vec<&str>) =
            ids.iter().map(|(user, strategy)| (user.as_str(), strategy.as_str())).unzip();
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT user_id, strategy_id, cycle FROM strategies
             WHERE (user_id, strategy_id) IN (SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[])) AND removed_at IS NULL",
        )
        .bind(users)
        .bind(strategies)
        .fetch_all(self.pool())
        .await?;
        let known: HashMap<_, _> = rows.into_iter().map(|(user, strategy, cycle)| ((user, strategy), cycle)).collect();
        Ok(ids.iter().map(|id| known.get(id).copied()).collect())
    }
}

/// Asks Postgres for all who want to know at the same time at once: in a burst that is one query for dozens of entries.
#[derive(Debug)]
pub struct StoreRecords {
    store: Store,
    waiting: Mutex<Vec<Question>>,
    /// Held by who asks for all that wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Question {
    id: (String, String),
    answer: oneshot::Sender<Option<i64>>,
}

impl StoreRecords {
    /// What this Postgres knows.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Entries of a strategy so far; `None` where nobody says.
    async fn cycle_of(&self, id: (String, String)) -> Option<i64> {
        let (answer, mut heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Question { id, answer });
        tokio::select! {
            biased;
            heard = &mut heard => return heard.ok().flatten(),
            _turn = self.turn.lock() => self.ask().await,
        }
        heard.await.ok().flatten()
    }

    /// Asks for all that wait. Dropped in between, it leaves them without an answer.
    async fn ask(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (ids, answers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|Question { id, answer }| (id, answer)).unzip();
        match self.store.cycles_of(&ids).await {
            Ok(cycles) => {
                for (answer, cycle) in answers.into_iter().zip(cycles) {
                    // Who does not wait any more needs no answer.
                    let _ = answer.send(cycle);
                }
            }
            Err(error) => {
                tracing::warn!(strategies = ids.len(), %error, "Postgres does not say whether it knows of entries");
            }
        }
    }
}

#[async_trait]
impl Records for StoreRecords {
    async fn knows(&self, key: &str, cycle: u64) -> bool {
        // Partitions with a tag have no Postgres behind them yet.
        let Some(id) = StrategyKey::parse(key).filter(|id| id.prefix.is_empty()) else { return true };
        let known = timeout(ANSWER_MAX, self.cycle_of((id.user.to_owned(), id.strategy.to_owned()))).await;
        known.ok().flatten().is_some_and(|known| known.cast_unsigned() >= cycle)
    }
}
