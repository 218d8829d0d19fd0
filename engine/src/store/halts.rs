//! Rows of `entry_halts`.

use super::Store;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Whether entries are halted, since when, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltState {
    /// Its number: what was said later has a higher one.
    pub seq: i64,
    /// Whether they are.
    pub halted: bool,
    /// Since when, epoch ms.
    pub at_ms: i64,
    /// Who said so.
    pub caller: String,
    /// Why.
    pub reason: String,
}

impl HaltState {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get("seq")?,
            halted: row.try_get("halted")?,
            at_ms: row.try_get("at_ms")?,
            caller: row.try_get("caller")?,
            reason: row.try_get("reason")?,
        })
    }
}

impl Store {
    /// What was said last; `None` where nobody ever said anything.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn halt_state(&self) -> sqlx::Result<Option<HaltState>> {
        let row = sqlx::query(
            "SELECT seq, halted, (extract(epoch FROM at) * 1000)::BIGINT AS at_ms, caller, reason FROM entry_halts ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(HaltState::read).transpose()
    }

    /// Halts entries, or lets them go on.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn say_halt(&self, halted: bool, caller: &str, reason: &str) -> sqlx::Result<HaltState> {
        let row = sqlx::query(
            "INSERT INTO entry_halts (halted, caller, reason) VALUES ($1, $2, $3)
             RETURNING seq, halted, (extract(epoch FROM at) * 1000)::BIGINT AS at_ms, caller, reason",
        )
        .bind(halted)
        .bind(caller)
        .bind(reason)
        .fetch_one(self.pool())
        .await?;
        HaltState::read(&row)
    }
}
