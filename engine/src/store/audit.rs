//! Rows of `api_audit`.

use super::Store;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// What was asked for over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request's id.
    pub request_id: String,
    /// `user`, `admin`, `operator` or `address`.
    pub caller_kind: &'static str,
    /// User id or address; empty for the operator.
    pub caller: String,
    /// HTTP's method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body, as text.
    pub body: String,
    /// The engine that was asked.
    pub engine: String,
}

/// A row, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number.
    pub seq: i64,
    /// Epoch ms.
    pub at_ms: i64,
    /// The request's id.
    pub request_id: String,
    /// ASKED or DONE.
    pub phase: String,
    /// As in [`Asked`].
    pub caller_kind: String,
    /// As in [`Asked`].
    pub caller: String,
    /// HTTP's method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body, as text.
    pub body: String,
    /// The engine that was asked.
    pub engine: String,
    /// HTTP's status, where it is done.
    pub status: Option<i32>,
    /// Code of the problem, where there was one.
    pub code: Option<String>,
}

impl Store {
    /// Notes what is asked for, or, with an outcome, what came of it.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn audit(&self, asked: &Asked, outcome: Option<(u16, Option<&str>)>) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO api_audit (request_id, phase, caller_kind, caller, method, path, body, engine, status, code)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(&asked.request_id)
        .bind(if outcome.is_some() { "DONE" } else { "ASKED" })
        .bind(asked.caller_kind)
        .bind(&asked.caller)
        .bind(&asked.method)
        .bind(&asked.path)
        .bind(&asked.body)
        .bind(&asked.engine)
        .bind(outcome.map(|(status, _)| i32::from(status)))
        .bind(outcome.and_then(|(_, code)| code))
        .execute(self.pool())
        .await
        .map(drop)
    }

    /// A page of the audit, newest first, before `before`.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn audit_page(&self, before: Option<i64>, limit: i64) -> sqlx::Result<Vec<AuditRow>> {
        let rows = sqlx::query(
            "SELECT seq, (extract(epoch FROM at) * 1000)::BIGINT AS at_ms, request_id, phase, caller_kind, caller, method, path, body,
                    engine, status, code
             FROM api_audit WHERE $1::BIGINT IS NULL OR seq < $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &PgRow) -> sqlx::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.try_get("seq")?,
        at_ms: row.try_get("at_ms")?,
        request_id: row.try_get("request_id")?,
        phase: row.try_get("phase")?,
        caller_kind: row.try_get("caller_kind")?,
        caller: row.try_get("caller")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        body: row.try_get("body")?,
        engine: row.try_get("engine")?,
        status: row.try_get("status")?,
        code: row.try_get("code")?,
    })
}
