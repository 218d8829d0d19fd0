//! Rows of `strategy_events`, in the order in which they were written.

use super::Store;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

/// A change of a strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its number: higher than those of all that were written before.
    pub seq: i64,
    /// Whose.
    pub user: String,
    /// Which.
    pub strategy: String,
    /// Version that it led to.
    pub version: i64,
    /// Type of the event.
    pub kind: String,
    /// Epoch ms.
    pub ts_ms: i64,
    /// Changed fields.
    pub data: Value,
}

impl Store {
    /// Number of the last event; 0 where there is none.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn last_event(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT COALESCE(max(seq), 0) FROM strategy_events").fetch_one(self.pool()).await
    }

    /// Events of a user, or of all, behind one number and up to another, in order.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn events(&self, user: Option<&str>, behind: i64, up_to: i64, limit: i64) -> sqlx::Result<Vec<EventRow>> {
        // Two statements, so that each has the index that it needs.
        let query = match user {
            Some(user) => sqlx::query(
                "SELECT seq, user_id, strategy_id, version, type, ts_ms, data FROM strategy_events
                 WHERE seq > $1 AND seq <= $2 AND user_id = $4 ORDER BY seq LIMIT $3",
            )
            .bind(behind)
            .bind(up_to)
            .bind(limit)
            .bind(user),
            None => sqlx::query(
                "SELECT seq, user_id, strategy_id, version, type, ts_ms, data FROM strategy_events
                 WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
            )
            .bind(behind)
            .bind(up_to)
            .bind(limit),
        };
        query.fetch_all(self.pool()).await?.iter().map(read).collect()
    }
}

fn read(row: &PgRow) -> sqlx::Result<EventRow> {
    let Json(data) = row.try_get("data")?;
    Ok(EventRow {
        seq: row.try_get("seq")?,
        user: row.try_get("user_id")?,
        strategy: row.try_get("strategy_id")?,
        version: row.try_get("version")?,
        kind: row.try_get("type")?,
        ts_ms: row.try_get("ts_ms")?,
        data,
    })
}
