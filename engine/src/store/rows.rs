//! Rows of `strategies`.

use super::Store;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use std::collections::BTreeMap;
use strat_core::field::parse_count;
use strat_core::{Quantity, Refusal, Strategy, StrategyKey};

/// A strategy's hash: every text as it was given. Empty texts are left out: they mean none.
pub type Fields = BTreeMap<String, String>;

/// A row of `strategies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Whose.
    pub user: String,
    /// Which.
    pub strategy: String,
    /// The hash.
    pub fields: Fields,
    /// Whether it was removed; the row stays because its cycle must go on counting.
    pub removed: bool,
    /// Redis has lost newer changes than its journal goes on from: it must be brought up to this row.
    pub forked: bool,
}

/// Which rows to list. Empty means all that are not removed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only this symbol's.
    pub symbol: Option<String>,
    /// Only of this status.
    pub status: Option<String>,
    /// Removed ones as well.
    pub removed: bool,
}

impl Row {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let Json(fields) = row.try_get("fields")?;
        Ok(Self {
            user: row.try_get("user_id")?,
            strategy: row.try_get("strategy_id")?,
            fields,
            removed: row.try_get("removed")?,
            forked: row.try_get("forked")?,
        })
    }

    /// Its key in Redis.
    #[must_use]
    pub fn key(&self) -> String {
        StrategyKey { prefix: "", user: &self.user, strategy: &self.strategy }.hash()
    }

    /// A field's text; empty if absent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Version of the last change applied.
    #[must_use]
    pub fn version(&self) -> i64 {
        count(&self.fields, "version")
    }

    /// Entries so far.
    #[must_use]
    pub fn cycle(&self) -> i64 {
        count(&self.fields, "cycle")
    }

    /// The state, by the rules.
    ///
    /// # Errors
    /// The first field that does not parse.
    pub fn state(&self) -> Result<Strategy, Refusal> {
        state(&self.fields)
    }
}

/// The state of a hash, by the rules.
///
/// # Errors
/// The first field that does not parse.
pub(crate) fn state(fields: &Fields) -> Result<Strategy, Refusal> {
    Strategy::read(|name| fields.get(name).map(String::as_bytes))
}

/// A whole number in a hash; 0 if absent or malformed.
pub(crate) fn count(fields: &Fields, name: &str) -> i64 {
    fields.get(name).and_then(|text| parse_count(text.as_bytes())).unwrap_or(0)
}

/// An order as the journal told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownOrder {
    /// Key of its strategy's hash.
    pub key: String,
    /// Filled, as reported.
    pub cum_qty: Quantity,
    /// Whether its end was reported.
    pub ended: bool,
}

impl Store {
    /// What was reported of these orders, by client order id; those never heard of are left out.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn known_orders(&self, ids: &[String]) -> sqlx::Result<BTreeMap<String, KnownOrder>> {
        let rows = sqlx::query(
            "SELECT client_order_id, user_id, strategy_id, cum_qty::TEXT AS cum_qty,
                    status IN ('FILL', 'CANCELED', 'REJECTED', 'EXPIRED') AS ended
             FROM orders WHERE client_order_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(self.pool())
        .await?;
        let known = |row: &PgRow| {
            let (user, strategy): (String, String) = (row.try_get("user_id")?, row.try_get("strategy_id")?);
            let key = StrategyKey { prefix: "", user: &user, strategy: &strategy }.hash();
            let cum_qty: String = row.try_get("cum_qty")?;
            let cum_qty =
                cum_qty.parse().map_err(|why| sqlx::Error::Decode(format!("cum_qty {cum_qty} {why}").into()))?;
            Ok((row.try_get("client_order_id")?, KnownOrder { key, cum_qty, ended: row.try_get("ended")? }))
        };
        rows.iter().map(known).collect()
    }

    /// Every strategy of a user that is not removed.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn of_user(&self, user: &str) -> sqlx::Result<Vec<Row>> {
        let rows = sqlx::query(
            "SELECT user_id, strategy_id, fields, false AS removed, forked FROM strategies WHERE user_id = $1 AND removed_at IS NULL",
        )
        .bind(user)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(Row::read).collect()
    }

    /// One strategy, removed or not.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn get(&self, user: &str, strategy: &str) -> sqlx::Result<Option<Row>> {
        let row = sqlx::query(
            "SELECT user_id, strategy_id, fields, removed_at IS NOT NULL AS removed, forked FROM strategies WHERE user_id = $1 AND strategy_id = $2",
        )
        .bind(user)
        .bind(strategy)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(Row::read).transpose()
    }

    /// A page of strategies by key, after `after`.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn page(&self, filter: &Filter, after: Option<(&str, &str)>, limit: i64) -> sqlx::Result<Vec<Row>> {
        let (user, strategy) = after.unwrap_or_default();
        let rows = sqlx::query(
            "SELECT user_id, strategy_id, fields, removed_at IS NOT NULL AS removed, forked FROM strategies
             WHERE (removed_at IS NULL OR $1) AND ($2::TEXT IS NULL OR user_id = $2) AND ($3::TEXT IS NULL OR symbol = $3)
               AND ($4::TEXT IS NULL OR status = $4) AND (user_id, strategy_id) > ($5, $6)
             ORDER BY user_id, strategy_id LIMIT $7",
        )
        .bind(filter.removed)
        .bind(&filter.user)
        .bind(&filter.symbol)
        .bind(&filter.status)
        .bind(user)
        .bind(strategy)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(Row::read).collect()
    }

    /// A new strategy, or one that comes back after it was removed. A row that is there is left alone.
    ///
    /// Answers whether it was written.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn insert(&self, row: &Row) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "INSERT INTO strategies (user_id, strategy_id, fields) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, strategy_id) DO UPDATE SET fields = EXCLUDED.fields, removed_at = NULL, forked = FALSE
             WHERE strategies.removed_at IS NOT NULL",
        )
        .bind(&row.user)
        .bind(&row.strategy)
        .bind(Json(&row.fields))
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes the whole row, but only over the version it was judged by (`None`: over no row), and over a forked one only
    /// if `row` is marked so; the mark goes away.
    ///
    /// Answers whether it was written.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn overwrite(&self, row: &Row, judged: Option<i64>) -> sqlx::Result<bool> {
        let Some(version) = judged else { return self.insert(row).await };
        let done = sqlx::query(
            "UPDATE strategies SET fields = $3, removed_at = NULL, forked = FALSE WHERE user_id = $1 AND strategy_id = $2
               AND version = $4 AND forked = $5",
        )
        .bind(&row.user)
        .bind(&row.strategy)
        .bind(Json(&row.fields))
        .bind(version)
        .bind(row.forked)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Marks a strategy as removed; answers whether it was there.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn remove(&self, user: &str, strategy: &str) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE strategies SET removed_at = now() WHERE user_id = $1 AND strategy_id = $2 AND removed_at IS NULL",
        )
        .bind(user)
        .bind(strategy)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
