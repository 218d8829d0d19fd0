//! A batch of journal entries in one transaction.

use super::Store;
use super::entry::JournalEntry;
use super::fold::{Fold, Id, OrderRow, Slot};
use super::rows::Fields;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Acquire as _, PgConnection};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that were new; the others had been applied before.
    pub fresh: Vec<usize>,
    /// Strategies whose cycle must be raised, and to what.
    pub lowered: Vec<(String, i64)>,
    /// Strategies that need a look at the hash itself.
    pub doubtful: Vec<String>,
}

/// Applies entries in order, all or nothing. An entry that was applied before changes nothing.
///
/// # Errors
/// Of Postgres; then nothing was applied.
pub async fn apply(connection: &mut PgConnection, entries: &[Arc<JournalEntry>]) -> sqlx::Result<Applied> {
    let mut transaction = connection.begin().await?;
    let fresh = record(&mut transaction, entries).await?;
    let ids: Vec<Id> = fresh.iter().map(|at| (entries[*at].user.clone(), entries[*at].strategy.clone())).collect();
    let mut fold = Fold::new(lock_rows(&mut transaction, &ids).await?);
    for at in &fresh {
        fold.apply(&entries[*at]);
    }
    write_rows(&mut transaction, &fold).await?;
    write_orders(&mut transaction, &fold).await?;
    transaction.commit().await?;
    Ok(Applied { fresh, lowered: fold.lowered, doubtful: fold.doubtful })
}

/// Puts an entry aside that cannot be applied.
///
/// # Errors
/// Of Postgres.
pub async fn reject(connection: &mut PgConnection, id: &str, entry: &Value, reason: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO journal_rejects (journal_id, entry, reason) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(Json(entry))
        .bind(reason)
        .execute(connection)
        .await
        .map(drop)
}

/// Writes `strategy_events`; answers the positions of those that were not there yet.
async fn record(connection: &mut PgConnection, entries: &[Arc<JournalEntry>]) -> sqlx::Result<Vec<usize>> {
    let texts = |of: fn(&JournalEntry) -> &str| entries.iter().map(|entry| of(entry)).collect::<Vec<_>>();
    let numbers = |of: fn(&JournalEntry) -> i64| entries.iter().map(|entry| of(entry)).collect::<Vec<_>>();
    let new: Vec<(String, String, String, i64)> = sqlx::query_as(
        "INSERT INTO strategy_events (journal_id, user_id, strategy_id, version, type, replaced, ts_ms, data)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[], $6::BOOLEAN[], $7::BIGINT[],
                              $8::JSONB[])
         ON CONFLICT DO NOTHING
         RETURNING journal_id, user_id, strategy_id, version",
    )
    .bind(texts(|entry| &entry.id))
    .bind(texts(|entry| &entry.user))
    .bind(texts(|entry| &entry.strategy))
    .bind(numbers(|entry| entry.version))
    .bind(texts(|entry| &entry.kind))
    .bind(entries.iter().map(|entry| entry.replace).collect::<Vec<_>>())
    .bind(numbers(|entry| entry.ts_ms))
    .bind(entries.iter().map(|entry| Json(&entry.data)).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    let new: HashSet<_> = new.into_iter().collect();
    let is_new = |entry: &JournalEntry| {
        new.contains(&(entry.id.clone(), entry.user.clone(), entry.strategy.clone(), entry.version))
    };
    Ok((0..entries.len()).filter(|at| is_new(&entries[*at])).collect())
}

async fn lock_rows(connection: &mut PgConnection, ids: &[Id]) -> sqlx::Result<BTreeMap<Id, Slot>> {
    let (users, strategies): (Vec<_>, Vec<_>) = ids.iter().cloned().unzip();
    let rows: Vec<(String, String, Json<Fields>, bool, bool)> = sqlx::query_as(
        "SELECT user_id, strategy_id, fields, removed_at IS NOT NULL, forked FROM strategies
         WHERE (user_id, strategy_id) IN (SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[]))
         ORDER BY user_id, strategy_id FOR UPDATE",
    )
    .bind(users)
    .bind(strategies)
    .fetch_all(&mut *connection)
    .await?;
    let slot = |(user, strategy, Json(fields), removed, forked)| {
        ((user, strategy), Slot { fields, removed, forked, changed: false })
    };
    Ok(rows.into_iter().map(slot).collect())
}

/// A statement over rows of `strategies`, which come as one array for each column.
macro_rules! rows_statement {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "(SELECT user_id, strategy_id, fields, CASE WHEN removed THEN now() END AS removed_at, forked
              FROM UNNEST($1::TEXT[], $2::TEXT[], $3::JSONB[], $4::BOOLEAN[], $5::BOOLEAN[])
                   AS t(user_id, strategy_id, fields, removed, forked)) AS t",
            $after
        )
    };
}

async fn write_rows(connection: &mut PgConnection, fold: &Fold) -> sqlx::Result<()> {
    let (known, new): (Vec<_>, Vec<_>) =
        fold.rows.iter().filter(|(_, slot)| slot.changed).partition(|(id, _)| fold.stored.contains(id));
    // Not by the conflict of an insertion: that would generate and check each row's columns twice.
    execute_rows(
        connection,
        rows_statement!(
            "UPDATE strategies AS s SET fields = t.fields, removed_at = t.removed_at, forked = t.forked FROM ",
            " WHERE s.user_id = t.user_id AND s.strategy_id = t.strategy_id"
        ),
        &known,
    )
    .await?;
    execute_rows(
        connection,
        rows_statement!(
            "INSERT INTO strategies (user_id, strategy_id, fields, removed_at, forked) SELECT * FROM ",
            " ON CONFLICT (user_id, strategy_id) DO UPDATE
              SET fields = EXCLUDED.fields, removed_at = EXCLUDED.removed_at, forked = EXCLUDED.forked"
        ),
        &new,
    )
    .await
}

async fn execute_rows(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: &[(&Id, &Slot)],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(statement)
        .bind(rows.iter().map(|((user, _), _)| user.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|((_, strategy), _)| strategy.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, slot)| Json(&slot.fields)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, slot)| slot.removed).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, slot)| slot.forked).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

/// Rows of `orders` from a JSON array; what becomes of those that are there already follows.
macro_rules! insert_orders {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO orders AS o (client_order_id, user_id, strategy_id, symbol, cycle, leg, attempt, action, status, quantity,
                                      cum_qty, avg_px, reference, text, submitted_at_ms, updated_at_ms)
             SELECT client_order_id, user_id, strategy_id, symbol, cycle, leg, attempt, action, status, quantity,
                    cum_qty, avg_px, reference, text, submitted_at_ms, updated_at_ms
             FROM jsonb_to_recordset($1) AS t(client_order_id TEXT, user_id TEXT, strategy_id TEXT, symbol TEXT, cycle BIGINT, leg TEXT,
                  attempt BIGINT, action TEXT, status TEXT, quantity NUMERIC, cum_qty NUMERIC, avg_px NUMERIC, reference TEXT,
                  text TEXT, submitted_at_ms BIGINT, updated_at_ms BIGINT) ",
            $conflict
        )
    };
}

impl Store {
    /// Adds orders that are not there, and brings those up that are behind; answers the ids of both.
    ///
    /// # Errors
    /// Of Postgres.
    pub(crate) async fn mend_orders(&self, rows: &[OrderRow]) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(insert_orders!(
            "ON CONFLICT (client_order_id) DO UPDATE SET
                  status = EXCLUDED.status, cum_qty = EXCLUDED.cum_qty, avg_px = EXCLUDED.avg_px, text = EXCLUDED.text,
                  updated_at_ms = EXCLUDED.updated_at_ms
             WHERE o.cum_qty < EXCLUDED.cum_qty
                OR (o.cum_qty = EXCLUDED.cum_qty AND o.status IN ('NEW', 'PARTIAL_FILL'))
             RETURNING client_order_id"
        ))
        .bind(Json(rows))
        .fetch_all(self.pool())
        .await
    }
}

async fn write_orders(connection: &mut PgConnection, fold: &Fold) -> sqlx::Result<()> {
    if fold.orders.is_empty() {
        return Ok(());
    }
    sqlx::query(insert_orders!(
        "ON CONFLICT (client_order_id) DO UPDATE SET
              action = EXCLUDED.action, status = EXCLUDED.status, updated_at_ms = EXCLUDED.updated_at_ms,
              reference = EXCLUDED.reference, text = EXCLUDED.text,
              cum_qty = GREATEST(o.cum_qty, EXCLUDED.cum_qty),
              avg_px = CASE WHEN EXCLUDED.cum_qty >= o.cum_qty THEN COALESCE(EXCLUDED.avg_px, o.avg_px) ELSE o.avg_px END"
    ))
    .bind(Json(fold.orders.values().collect::<Vec<_>>()))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO order_events (journal_id, user_id, strategy_id, version, client_order_id, action, exec_type, cum_qty, avg_px, text, ts_ms)
         SELECT journal_id, user_id, strategy_id, version, client_order_id, action, exec_type, cum_qty, avg_px, text, ts_ms
         FROM jsonb_to_recordset($1) AS t(journal_id TEXT, user_id TEXT, strategy_id TEXT, version BIGINT, client_order_id TEXT,
              action TEXT, exec_type TEXT, cum_qty NUMERIC, avg_px NUMERIC, text TEXT, ts_ms BIGINT)
         ON CONFLICT DO NOTHING",
    )
    .bind(Json(&fold.order_events))
    .execute(connection)
    .await
    .map(drop)
}
