//! Rows of `entry_halts`.

use super::Store;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Whether entries of a user, or all entries, are halted, since when, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltState {
    /// Its number: what was said later has a higher one.
    pub seq: i64,
    /// Whose; everybody's where it is nobody's in particular.
    pub user: Option<String>,
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
            user: row.try_get("user_id")?,
            halted: row.try_get("halted")?,
            at_ms: row.try_get("at_ms")?,
            caller: row.try_get("caller")?,
            reason: row.try_get("reason")?,
        })
    }
}

impl Store {
    /// What was said last of everybody and of each user of whom something was said.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn halt_states(&self) -> sqlx::Result<Vec<HaltState>> {
        let rows = sqlx::query(
            "SELECT DISTINCT ON (user_id) seq, user_id, halted, (extract(epoch FROM at) * 1000)::BIGINT AS at_ms, caller, reason
             FROM entry_halts ORDER BY user_id, seq DESC",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(HaltState::read).collect()
    }

    /// Halts entries of a user, or all, or lets them go on.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn say_halt(
        &self,
        user: Option<&str>,
        halted: bool,
        caller: &str,
        reason: &str,
    ) -> sqlx::Result<HaltState> {
        let row = sqlx::query(
            "INSERT INTO entry_halts (user_id, halted, caller, reason) VALUES ($1, $2, $3, $4)
             RETURNING seq, user_id, halted, (extract(epoch FROM at) * 1000)::BIGINT AS at_ms, caller, reason",
        )
        .bind(user)
        .bind(halted)
        .bind(caller)
        .bind(reason)
        .fetch_one(self.pool())
        .await?;
        HaltState::read(&row)
    }
}
