//! What Postgres has heard of.

use super::Store;
use super::together::Together;
use crate::executor::Records;
use async_trait::async_trait;
use std::collections::HashMap;
use std::time::Duration;
use strat_core::StrategyKey;
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

/// What this Postgres knows, asked for all who want to know at the same time at once.
#[derive(Debug)]
pub struct StoreRecords {
    store: Store,
    cycles: Together<(String, String), Option<i64>>,
}

impl StoreRecords {
    /// Of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, cycles: Together::default() }
    }
}

#[async_trait]
impl Records for StoreRecords {
    async fn knows(&self, key: &str, cycle: u64) -> bool {
        // Partitions with a tag have no Postgres behind them yet.
        let Some(id) = StrategyKey::parse(key).filter(|id| id.prefix.is_empty()) else { return true };
        let id = (id.user.to_owned(), id.strategy.to_owned());
        let known = timeout(ANSWER_MAX, self.cycles.ask(id, async |ids| self.store.cycles_of(&ids).await)).await;
        known.ok().flatten().flatten().is_some_and(|known| known.cast_unsigned() >= cycle)
    }
}
