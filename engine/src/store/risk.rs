//! What risk is judged by, as Postgres has it: limits of users, approvals, the day's profit and loss.
//!
//! A position is open where its row says so, a moment behind Redis: an exit that was filled just now may still count, an entry
//! never fails to. Sums are exact: numbers of Postgres, and nothing is divided.

use super::Store;
use sqlx::Row as _;
use std::collections::BTreeMap;

/// Longest that an approval is kept: much longer than any entry is on its way.
const APPROVALS_KEPT: &str = "30 days";

/// What is held: quantity filled less what was exited. A position that is given without its fills counts whole.
macro_rules! held {
    () => {
        "(COALESCE(NULLIF(fields ->> 'filled_quantity', '')::NUMERIC, quantity) - exit_quantity)"
    };
}

/// Whether a strategy's row is of an open position.
macro_rules! is_open {
    () => {
        concat!("(position IN ('BOUGHT', 'SHORTED') AND ", held!(), " > 0)")
    };
}

/// Whether its entry was approved and is on its way. The first line is what the index is made of.
macro_rules! in_market {
    () => {
        concat!(
            "removed_at IS NULL AND (position IN ('BOUGHT', 'SHORTED') OR pending IS NOT NULL OR working IS NOT NULL)
             AND (",
            is_open!(),
            " OR (CASE WHEN side = 'SHORT' THEN 'SELL' ELSE 'BUY' END IN (pending, working) AND EXISTS
                (SELECT 1 FROM risk_approvals a WHERE (a.user_id, a.strategy_id, a.cycle)
                    = (strategies.user_id, strategies.strategy_id, strategies.cycle))))"
        )
    };
}

/// An entry that asks for approval.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Whose.
    pub user: &'a str,
    /// Of which strategy.
    pub strategy: &'a str,
    /// Which entry of it.
    pub cycle: u64,
    /// Its id.
    pub client_order_id: &'a str,
}

/// What of a user, or of all, counts at a moment, besides an entry that asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open positions, and approved entries on their way.
    pub open_positions: u64,
    /// Entries approved within a minute.
    pub orders_last_minute: u64,
}

/// What a user holds of a symbol, over all strategies. Decimals are texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub user: String,
    /// Of what.
    pub symbol: String,
    /// How much: below zero short.
    pub quantity: String,
    /// What that cost at the entries' average prices; below zero for what selling it short brought.
    pub cost: String,
}

/// Whose limits were changed, and to what.
pub type Changes = BTreeMap<String, String>;

impl Store {
    /// What is said of users' limits, in their order; nothing where nobody ever said anything.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn risk_changes(&self, users: &[String]) -> sqlx::Result<Vec<Changes>> {
        let rows: Vec<(String, sqlx::types::Json<Changes>)> = sqlx::query_as(
            "SELECT DISTINCT ON (user_id) user_id, limits FROM risk_limits WHERE user_id = ANY($1) ORDER BY user_id, seq DESC",
        )
        .bind(users)
        .fetch_all(self.pool())
        .await?;
        let said: BTreeMap<_, _> = rows.into_iter().map(|(user, json)| (user, json.0)).collect();
        Ok(users.iter().map(|user| said.get(user).cloned().unwrap_or_default()).collect())
    }

    /// The same of every user of whom something was said.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn all_risk_changes(&self) -> sqlx::Result<BTreeMap<String, Changes>> {
        let rows: Vec<(String, sqlx::types::Json<Changes>)> =
            sqlx::query_as("SELECT DISTINCT ON (user_id) user_id, limits FROM risk_limits ORDER BY user_id, seq DESC")
                .fetch_all(self.pool())
                .await?;
        Ok(rows.into_iter().map(|(user, json)| (user, json.0)).collect())
    }

    /// Sets a user's limits over everybody's.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn say_risk(&self, user: &str, changes: &Changes, caller: &str) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO risk_limits (user_id, limits, caller) VALUES ($1, $2, $3)")
            .bind(user)
            .bind(sqlx::types::Json(changes))
            .bind(caller)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Judges an entry while no other entry of the user is judged, nor of the account if that has limits, by any engine. What
    /// `judge` approves is noted before anybody else is judged.
    ///
    /// # Errors
    /// Of Postgres; then nothing is approved.
    pub async fn approve_entry<T, E>(
        &self,
        asking: Asking<'_>,
        account: bool,
        judge: impl FnOnce(Counts, Counts) -> Result<T, E>,
    ) -> sqlx::Result<Result<T, E>> {
        let mut tx = self.pool().begin().await?;
        // Always in this order, so that nobody waits for whoever waits for him.
        for lock in [account.then_some("strat account"), Some(asking.user)].into_iter().flatten() {
            sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 5))").bind(lock).execute(&mut *tx).await?;
        }
        let own = count(&mut tx, Some(asking.user), asking).await?;
        let all = if account { count(&mut tx, None, asking).await? } else { Counts::default() };
        let judged = judge(own, all);
        if judged.is_ok() {
            sqlx::query(
                "INSERT INTO risk_approvals (client_order_id, user_id, strategy_id, cycle) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (client_order_id) DO NOTHING",
            )
            .bind(asking.client_order_id)
            .bind(asking.user)
            .bind(asking.strategy)
            .bind(asking.cycle.cast_signed())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
        Ok(judged)
    }

    /// How many positions are open and how many entries were approved within a minute; of all where no user is named.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn risk_counts(&self, user: Option<&str>) -> sqlx::Result<Counts> {
        let nobody = Asking { user: "", strategy: "", cycle: 0, client_order_id: "" };
        count(&mut *self.pool().acquire().await?, user, nobody).await
    }

    /// What exits filled since `since_ms` earned against their entries' average prices, by user. A cycle without an entry among
    /// the fills (a position that came without an order) counts for nothing.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn earned_since(&self, since_ms: i64, user: Option<&str>) -> sqlx::Result<BTreeMap<String, String>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT x.user_id, trim_scale(sum(
                ((x.cum_qty * x.avg_px - COALESCE(b.cum_qty * b.avg_px, 0)) - (x.cum_qty - COALESCE(b.cum_qty, 0)) * e.avg_px)
                * CASE WHEN e.action = 'SELL' THEN -1 ELSE 1 END))::TEXT
             FROM orders x
             JOIN orders e ON (e.user_id, e.strategy_id, e.cycle, e.leg, e.attempt)
                = (x.user_id, x.strategy_id, x.cycle, 'ENTRY', 0) AND e.cum_qty > 0
             LEFT JOIN LATERAL (
                SELECT p.cum_qty, p.avg_px FROM order_events p
                WHERE p.client_order_id = x.client_order_id AND p.ts_ms < $1 AND p.cum_qty > 0
                ORDER BY p.cum_qty DESC, p.seq DESC LIMIT 1) b ON TRUE
             WHERE x.leg = 'EXIT' AND x.cum_qty > 0 AND x.updated_at_ms >= $1 AND ($2::TEXT IS NULL OR x.user_id = $2)
             GROUP BY x.user_id",
        )
        .bind(since_ms)
        .bind(user)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// What is held, by user and symbol. A position without an entry price has cost nobody knows what, and counts for nothing.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn held(&self, user: Option<&str>) -> sqlx::Result<Vec<Held>> {
        let rows = sqlx::query(concat!(
            "SELECT user_id, symbol, trim_scale(sum(sign * held))::TEXT AS quantity,
                    trim_scale(sum(sign * held * entry_price))::TEXT AS cost
             FROM (SELECT user_id, symbol, entry_price, CASE WHEN side = 'SHORT' THEN -1 ELSE 1 END AS sign, ",
            held!(),
            " AS held FROM strategies WHERE removed_at IS NULL
                 AND (position IN ('BOUGHT', 'SHORTED') OR pending IS NOT NULL OR working IS NOT NULL) AND ",
            is_open!(),
            " AND entry_price IS NOT NULL AND ($1::TEXT IS NULL OR user_id = $1)) s GROUP BY user_id, symbol"
        ))
        .bind(user)
        .fetch_all(self.pool())
        .await?;
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(Held {
                user: row.try_get("user_id")?,
                symbol: row.try_get("symbol")?,
                quantity: row.try_get("quantity")?,
                cost: row.try_get("cost")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Notes how a day stands; answers the worst that it was. The account is the user without a name.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn worst_of_day(&self, user: &str, day: &str, gain: &str) -> sqlx::Result<String> {
        sqlx::query_scalar(
            "INSERT INTO risk_days (user_id, day, worst) VALUES ($1, $2::DATE, $3::NUMERIC)
             ON CONFLICT (user_id, day) DO UPDATE SET worst = LEAST(risk_days.worst, EXCLUDED.worst)
             RETURNING trim_scale(worst)::TEXT",
        )
        .bind(user)
        .bind(day)
        .bind(gain)
        .fetch_one(self.pool())
        .await
    }

    /// The worst that is noted of a day, if anything is.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn worst_noted(&self, user: &str, day: &str) -> sqlx::Result<Option<String>> {
        sqlx::query_scalar("SELECT trim_scale(worst)::TEXT FROM risk_days WHERE user_id = $1 AND day = $2::DATE")
            .bind(user)
            .bind(day)
            .fetch_optional(self.pool())
            .await
    }

    /// Strategies that run and are in the market, of a user or of all: what squaring off is about.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn in_market(&self, user: Option<&str>, limit: i64) -> sqlx::Result<Vec<(String, String)>> {
        sqlx::query_as(concat!(
            "SELECT user_id, strategy_id FROM strategies WHERE status = 'RUNNING' AND ($1::TEXT IS NULL OR user_id = $1) AND ",
            in_market!(),
            " ORDER BY user_id, strategy_id LIMIT $2"
        ))
        .bind(user)
        .bind(limit)
        .fetch_all(self.pool())
        .await
    }

    /// Forgets approvals that count for nothing any more.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn forget_approvals(&self) -> sqlx::Result<u64> {
        let done = sqlx::query("DELETE FROM risk_approvals WHERE at < now() - $1::INTERVAL")
            .bind(APPROVALS_KEPT)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected())
    }
}

async fn count(db: &mut sqlx::PgConnection, user: Option<&str>, asking: Asking<'_>) -> sqlx::Result<Counts> {
    let (open, recent): (i64, i64) = sqlx::query_as(concat!(
        "SELECT (SELECT count(*) FROM strategies WHERE ($1::TEXT IS NULL OR user_id = $1)
                    AND (user_id, strategy_id) <> ($2, $3) AND ",
        in_market!(),
        "), (SELECT count(*) FROM risk_approvals WHERE at > clock_timestamp() - INTERVAL '1 minute'
                    AND ($1::TEXT IS NULL OR user_id = $1) AND client_order_id <> $4)"
    ))
    .bind(user)
    .bind(asking.user)
    .bind(asking.strategy)
    .bind(asking.client_order_id)
    .fetch_one(db)
    .await?;
    Ok(Counts { open_positions: open.unsigned_abs(), orders_last_minute: recent.unsigned_abs() })
}
