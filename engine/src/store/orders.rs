//! Lists of orders and fills, and what they earned.

use super::Store;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Which orders or fills to list. Empty means all.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only this strategy's.
    pub strategy: Option<String>,
    /// Only of this symbol.
    pub symbol: Option<String>,
}

/// An order, as it is listed. Decimals are texts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the columns of `orders`")]
pub struct ListedOrder {
    pub client_order_id: String,
    pub user: String,
    pub strategy: String,
    pub symbol: String,
    pub cycle: i64,
    pub leg: String,
    pub attempt: i64,
    pub action: String,
    pub status: String,
    pub quantity: String,
    pub cum_qty: String,
    pub avg_px: Option<String>,
    pub text: String,
    pub submitted_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A fill: what an execution report added to those before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the columns of `order_events`")]
pub struct ListedFill {
    pub seq: i64,
    pub client_order_id: String,
    pub user: String,
    pub strategy: String,
    pub symbol: String,
    pub leg: String,
    pub action: String,
    /// Of this fill.
    pub quantity: String,
    /// Of this fill; rounded to 8 decimals where the averages do not tell it exactly.
    pub price: Option<String>,
    pub cum_qty: String,
    pub avg_px: Option<String>,
    pub ts_ms: i64,
}

/// What a strategy's fills earned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earned {
    /// Whose.
    pub user: String,
    /// Which.
    pub strategy: String,
    /// Of its orders.
    pub symbol: String,
    /// LONG or SHORT.
    pub side: String,
    /// Cycles with a fill of an exit.
    pub cycles: i64,
    /// Exits' worth less what their part of the entries cost, before costs.
    pub realised: String,
}

/// What each cycle's exits earned against its entry, by strategy. Numbers of Postgres are exact; only the division, where a part
/// was sold, is rounded. A cycle without an entry among the fills (a position that came without an order) counts for nothing.
macro_rules! earned {
    ($columns:literal, $rest:literal) => {
        concat!(
            "WITH legs AS (
                SELECT user_id, strategy_id, cycle, max(symbol) AS symbol,
                       CASE WHEN bool_or(action = 'SELL') FILTER (WHERE leg = 'ENTRY') THEN 'SHORT' ELSE 'LONG' END AS side,
                       sum(cum_qty) FILTER (WHERE leg = 'ENTRY') AS bought, sum(cum_qty * avg_px) FILTER (WHERE leg = 'ENTRY') AS paid,
                       sum(cum_qty) FILTER (WHERE leg = 'EXIT') AS sold, sum(cum_qty * avg_px) FILTER (WHERE leg = 'EXIT') AS got
                FROM orders WHERE cum_qty > 0 AND ($1::TEXT IS NULL OR user_id = $1) GROUP BY user_id, strategy_id, cycle),
             cycles AS (
                SELECT user_id, strategy_id, symbol, side,
                       CASE WHEN sold = bought THEN got - paid ELSE round(got - paid * sold / bought, 8) END
                           * CASE WHEN side = 'SHORT' THEN -1 ELSE 1 END AS realised
                FROM legs WHERE sold > 0 AND bought > 0)
             SELECT ",
            $columns,
            " FROM cycles ",
            $rest
        )
    };
}

impl Store {
    /// A page of orders, newest first, after the order `after` (its time and id).
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<(i64, &str)>,
        limit: i64,
    ) -> sqlx::Result<Vec<ListedOrder>> {
        let rows = sqlx::query(
            "SELECT client_order_id, user_id, strategy_id, symbol, cycle, leg, attempt, action, status,
                    trim_scale(quantity)::TEXT AS quantity, trim_scale(cum_qty)::TEXT AS cum_qty,
                    trim_scale(avg_px)::TEXT AS avg_px, text, submitted_at_ms, updated_at_ms
             FROM orders
             WHERE ($1::TEXT IS NULL OR user_id = $1) AND ($2::TEXT IS NULL OR strategy_id = $2)
               AND ($3::TEXT IS NULL OR symbol = $3) AND ($4::BIGINT IS NULL OR (submitted_at_ms, client_order_id) < ($4, $5))
             ORDER BY submitted_at_ms DESC, client_order_id DESC LIMIT $6",
        )
        .bind(&filter.user)
        .bind(&filter.strategy)
        .bind(&filter.symbol)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(order).collect()
    }

    /// A page of fills, newest first, before the number `before`. A report that added nothing is no fill.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn fills(&self, filter: &OrderFilter, before: Option<i64>, limit: i64) -> sqlx::Result<Vec<ListedFill>> {
        let rows = sqlx::query(
            "SELECT e.seq, e.client_order_id, e.user_id, e.strategy_id, o.symbol, o.leg, e.action, e.ts_ms,
                    trim_scale(e.cum_qty - b.cum_qty)::TEXT AS quantity,
                    trim_scale(CASE WHEN b.cum_qty = 0 THEN e.avg_px
                         ELSE round((e.cum_qty * e.avg_px - b.cum_qty * b.avg_px) / (e.cum_qty - b.cum_qty), 8) END)::TEXT AS price,
                    trim_scale(e.cum_qty)::TEXT AS cum_qty, trim_scale(e.avg_px)::TEXT AS avg_px
             FROM order_events e JOIN orders o USING (client_order_id)
             CROSS JOIN LATERAL (
                SELECT COALESCE((array_agg(p.cum_qty ORDER BY p.cum_qty DESC))[1], 0) AS cum_qty,
                       COALESCE((array_agg(p.avg_px ORDER BY p.cum_qty DESC))[1], 0) AS avg_px
                FROM order_events p WHERE p.client_order_id = e.client_order_id AND p.seq < e.seq) b
             WHERE e.cum_qty > b.cum_qty AND ($1::TEXT IS NULL OR e.user_id = $1)
               AND ($2::TEXT IS NULL OR e.strategy_id = $2) AND ($3::TEXT IS NULL OR o.symbol = $3)
               AND ($4::BIGINT IS NULL OR e.seq < $4)
             ORDER BY e.seq DESC LIMIT $5",
        )
        .bind(&filter.user)
        .bind(&filter.strategy)
        .bind(&filter.symbol)
        .bind(before)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(fill).collect()
    }

    /// What strategies earned, by key, after the strategy `after`.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn earned(
        &self,
        user: Option<&str>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> sqlx::Result<Vec<Earned>> {
        let (after_user, after_strategy) = after.unwrap_or_default();
        let rows = sqlx::query(earned!(
            "user_id, strategy_id, max(symbol) AS symbol, max(side) AS side, count(*) AS cycles,
             trim_scale(sum(realised))::TEXT AS realised",
            "WHERE (user_id, strategy_id) > ($2, $3) GROUP BY user_id, strategy_id ORDER BY user_id, strategy_id LIMIT $4"
        ))
        .bind(user)
        .bind(after_user)
        .bind(after_strategy)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(earned_by).collect()
    }

    /// What all strategies of a user, or of all users, earned.
    ///
    /// # Errors
    /// Of Postgres.
    pub async fn earned_in_all(&self, user: Option<&str>) -> sqlx::Result<String> {
        sqlx::query_scalar(earned!("COALESCE(trim_scale(sum(realised)), 0)::TEXT", ""))
            .bind(user)
            .fetch_one(self.pool())
            .await
    }
}

fn order(row: &PgRow) -> sqlx::Result<ListedOrder> {
    Ok(ListedOrder {
        client_order_id: row.try_get("client_order_id")?,
        user: row.try_get("user_id")?,
        strategy: row.try_get("strategy_id")?,
        symbol: row.try_get("symbol")?,
        cycle: row.try_get("cycle")?,
        leg: row.try_get("leg")?,
        attempt: row.try_get("attempt")?,
        action: row.try_get("action")?,
        status: row.try_get("status")?,
        quantity: row.try_get("quantity")?,
        cum_qty: row.try_get("cum_qty")?,
        avg_px: row.try_get("avg_px")?,
        text: row.try_get("text")?,
        submitted_at_ms: row.try_get("submitted_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
    })
}

fn fill(row: &PgRow) -> sqlx::Result<ListedFill> {
    Ok(ListedFill {
        seq: row.try_get("seq")?,
        client_order_id: row.try_get("client_order_id")?,
        user: row.try_get("user_id")?,
        strategy: row.try_get("strategy_id")?,
        symbol: row.try_get("symbol")?,
        leg: row.try_get("leg")?,
        action: row.try_get("action")?,
        quantity: row.try_get("quantity")?,
        price: row.try_get("price")?,
        cum_qty: row.try_get("cum_qty")?,
        avg_px: row.try_get("avg_px")?,
        ts_ms: row.try_get("ts_ms")?,
    })
}

fn earned_by(row: &PgRow) -> sqlx::Result<Earned> {
    Ok(Earned {
        user: row.try_get("user_id")?,
        strategy: row.try_get("strategy_id")?,
        symbol: row.try_get("symbol")?,
        side: row.try_get("side")?,
        cycles: row.try_get("cycles")?,
        realised: row.try_get("realised")?,
    })
}
