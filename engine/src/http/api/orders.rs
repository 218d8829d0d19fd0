//! Orders, fills and what they earned, as Postgres has them.

use super::Api;
use crate::http::answer::{Keep, Problem, answer};
use crate::http::auth::Caller;
use crate::http::extract::{Params, bad_cursor, id_pair, next_cursor, no_nul, number, page_size, pair};
use crate::store::{Earned, ListedFill, ListedOrder, OrderFilter};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use strat_core::key::is_id;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Whose; an admin who says nothing lists everybody's.
    user_id: Option<String>,
    strategy_id: Option<String>,
    symbol: Option<String>,
    cursor: Option<String>,
    /// 1 to 500.
    limit: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Paged {
    /// Whose; an admin who says nothing lists everybody's.
    user_id: Option<String>,
    cursor: Option<String>,
    /// 1 to 500.
    limit: Option<i64>,
}

/// An order at the broker.
#[derive(Debug, Serialize, ToSchema)]
struct Order {
    client_order_id: String,
    user_id: String,
    strategy_id: String,
    symbol: String,
    cycle: i64,
    /// ENTRY or EXIT.
    leg: String,
    attempt: i64,
    /// BUY, SELL, STOPLOSS, TAKEPROFIT or SQUAREOFF.
    action: String,
    /// NEW, PARTIAL_FILL, FILL, CANCELED, REJECTED or EXPIRED.
    status: String,
    quantity: String,
    filled: String,
    average_price: Option<String>,
    text: String,
    submitted_at: i64,
    updated_at: i64,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Orders {
    orders: Vec<Order>,
    cursor: Option<String>,
}

/// What one execution report added.
#[derive(Debug, Serialize, ToSchema)]
struct Fill {
    client_order_id: String,
    user_id: String,
    strategy_id: String,
    symbol: String,
    leg: String,
    action: String,
    /// Of this fill.
    quantity: String,
    /// Of this fill.
    price: Option<String>,
    /// Of the order by then.
    filled: String,
    /// Of the order by then.
    average_price: Option<String>,
    at: i64,
}

/// A page of fills.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fills {
    fills: Vec<Fill>,
    cursor: Option<String>,
}

/// What a strategy earned, before costs.
#[derive(Debug, Serialize, ToSchema)]
struct Earning {
    user_id: String,
    strategy_id: String,
    symbol: String,
    side: String,
    /// Cycles with an exit.
    cycles: i64,
    realised: String,
}

/// A page of what strategies earned, and the sum of all of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pnl {
    realised: String,
    strategies: Vec<Earning>,
    cursor: Option<String>,
}

/// Orders, newest first.
#[utoipa::path(get, path = "/orders", tag = "orders", params(Listed), responses((status = 200, body = Orders)))]
pub(super) async fn orders(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(asked): Params<Listed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = page_size(asked.limit)?;
    let after = match pair(asked.cursor.as_deref())? {
        None => None,
        Some((at, id)) => {
            Some((at.parse().map_err(|_| bad_cursor())?, Some(id).filter(|id| is_id(id)).ok_or_else(bad_cursor)?))
        }
    };
    let filter = filter(&caller, &asked)?;
    let rows = api.store.orders(&filter, after, limit).await?;
    let cursor = next_cursor(&rows, limit, |row| format!("{}:{}", row.submitted_at_ms, row.client_order_id));
    let body = Orders { orders: rows.into_iter().map(order).collect(), cursor };
    Ok(answer(&headers, Keep::Nobody, &json!(body)))
}

/// Fills, newest first.
#[utoipa::path(get, path = "/fills", tag = "orders", params(Listed), responses((status = 200, body = Fills)))]
pub(super) async fn fills(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(asked): Params<Listed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = page_size(asked.limit)?;
    let before = number(asked.cursor.as_deref())?;
    let rows = api.store.fills(&filter(&caller, &asked)?, before, limit).await?;
    let cursor = next_cursor(&rows, limit, |row| row.seq.to_string());
    let body = Fills { fills: rows.into_iter().map(fill).collect(), cursor };
    Ok(answer(&headers, Keep::Nobody, &json!(body)))
}

/// What strategies earned by the fills of all their cycles.
#[utoipa::path(get, path = "/pnl", tag = "orders", params(Paged), responses((status = 200, body = Pnl)))]
pub(super) async fn pnl(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(asked): Params<Paged>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = caller.tenants(asked.user_id.as_deref())?;
    let limit = page_size(asked.limit)?;
    let after = id_pair(asked.cursor.as_deref())?;
    let rows = api.store.earned(user.as_deref(), after, limit).await?;
    let realised = api.store.earned_in_all(user.as_deref()).await?;
    let cursor = next_cursor(&rows, limit, |row| format!("{}:{}", row.user, row.strategy));
    let body = Pnl { realised, strategies: rows.into_iter().map(earning).collect(), cursor };
    Ok(answer(&headers, Keep::Nobody, &json!(body)))
}

fn filter(caller: &Caller, asked: &Listed) -> Result<OrderFilter, Problem> {
    let user = caller.tenants(asked.user_id.as_deref())?;
    no_nul(asked.strategy_id.as_deref()).and(no_nul(asked.symbol.as_deref()))?;
    Ok(OrderFilter { user, strategy: asked.strategy_id.clone(), symbol: asked.symbol.clone() })
}

fn order(row: ListedOrder) -> Order {
    Order {
        client_order_id: row.client_order_id,
        user_id: row.user,
        strategy_id: row.strategy,
        symbol: row.symbol,
        cycle: row.cycle,
        leg: row.leg,
        attempt: row.attempt,
        action: row.action,
        status: row.status,
        quantity: row.quantity,
        filled: row.cum_qty,
        average_price: row.avg_px,
        text: row.text,
        submitted_at: row.submitted_at_ms,
        updated_at: row.updated_at_ms,
    }
}

fn fill(row: ListedFill) -> Fill {
    Fill {
        client_order_id: row.client_order_id,
        user_id: row.user,
        strategy_id: row.strategy,
        symbol: row.symbol,
        leg: row.leg,
        action: row.action,
        quantity: row.quantity,
        price: row.price,
        filled: row.cum_qty,
        average_price: row.avg_px,
        at: row.ts_ms,
    }
}

fn earning(row: Earned) -> Earning {
    Earning {
        user_id: row.user,
        strategy_id: row.strategy,
        symbol: row.symbol,
        side: row.side,
        cycles: row.cycles,
        realised: row.realised,
    }
}
