//! What Postgres has heard of.

use super::Store;
use crate::executor::Records;
use async_trait::async_trait;
use std::time::Duration;
use strat_core::StrategyKey;
use tokio::time::timeout;

/// Longest wait for the answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Store {
    /// Entries of a strategy so far; `None` where it is not there, or was removed.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn cycle_of(&self, user: &str, strategy: &str) -> sqlx::Result<Option<i64>> {
        sqlx::query_scalar(
            "SELECT cycle FROM strategies WHERE user_id = $1 AND strategy_id = $2 AND removed_at IS NULL",
        )
        .bind(user)
        .bind(strategy)
        .fetch_optional(self.pool())
        .await
    }
}

#[async_trait]
impl Records for Store {
    async fn knows(&self, key: &str, cycle: u64) -> bool {
        // Partitions with a tag have no Postgres behind them yet.
        let Some(id) = StrategyKey::parse(key).filter(|id| id.prefix.is_empty()) else { return true };
        match timeout(ANSWER_MAX, self.cycle_of(id.user, id.strategy)).await {
            Ok(Ok(known)) => known.is_some_and(|known| known.cast_unsigned() >= cycle),
            Ok(Err(error)) => {
                tracing::warn!(key, %error, "Postgres does not say whether it knows of an entry");
                false
            }
            Err(_) => false,
        }
    }
}
