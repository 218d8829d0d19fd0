//! Rows of `leases`.

use super::Store;
use std::time::Duration;

/// What became of asking for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It was the asker's, nobody had it in between, and it lives on.
    Kept,
    /// It was nobody's, or had run out, and is the asker's now.
    Taken,
    /// Somebody else has it.
    Others,
}

impl Store {
    /// Prolongs the lease of `owner`, or takes one that nobody has, for `life` from now.
    ///
    /// # Errors
    /// Of Postgres. The lease may have been taken or prolonged nevertheless.
    pub async fn claim_lease(&self, name: &str, owner: &str, life: Duration) -> sqlx::Result<Claim> {
        // One that ran out and that nobody took is kept too: with an owner of its own for each start, a row that still
        // bears the name was never anybody else's.
        let kept = sqlx::query(
            "UPDATE leases SET expires_at = now() + make_interval(secs => $3) WHERE name = $1 AND owner = $2",
        )
        .bind(name)
        .bind(owner)
        .bind(life.as_secs_f64())
        .execute(self.pool())
        .await?;
        if kept.rows_affected() > 0 {
            return Ok(Claim::Kept);
        }
        let taken = sqlx::query(
            "INSERT INTO leases (name, owner, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))
             ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, expires_at = EXCLUDED.expires_at
             WHERE leases.expires_at < now()",
        )
        .bind(name)
        .bind(owner)
        .bind(life.as_secs_f64())
        .execute(self.pool())
        .await?;
        Ok(if taken.rows_affected() > 0 { Claim::Taken } else { Claim::Others })
    }

    /// Lets the lease of `owner` run out now. Somebody else's is left alone.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn release_lease(&self, name: &str, owner: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE leases SET expires_at = now() WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(owner)
            .execute(self.pool())
            .await
            .map(drop)
    }
}
