//! Requests to Alpaca, and what its answers prove.
//!
//! | answer | what is made of it |
//! |---|---|
//! | 200, 204 | done |
//! | 401; 403 with a code of 401xxxxx or without one | the key is not taken: nothing was looked at |
//! | 422 about `client_order_id` | the id is in use: the order exists, a look-up finds it |
//! | 400, 403, 404, 422 with a code and a message | refused for good |
//! | 404 with code 40410000 to a look-up | there is no such order |
//! | 429 | not looked at; `X-RateLimit-Reset` (epoch seconds) says until when |
//! | everything else | nobody knows |
//!
//! Sources: "Placing Orders", "Usage Limits" and "How to fix common Trading API errors" at alpaca.markets.

use super::execution::{self, Page};
use super::{AlpacaBroker, LIST_BYTES_MAX, ORDER_BYTES_MAX, PAGE, PAGES_MAX};
use crate::broker::wire::http::{Answer, Ask, Body, Bounds, escaped, within_range};
use crate::broker::wire::read::{excerpt, json, printable};
use crate::broker::{BrokerError, BrokerOrder, OrderRef, OrderRequest, OrderSide};
use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use strat_core::Price;
use strat_core::decimal::SCALE;
use strat_core::protection::outward;

/// Ended orders of so long are "of the current day", wherever its midnight is.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The code of an order, or an asset, that does not exist.
const ABSENT: u64 = 40_410_000;

/// Body of a placement: a market order for the regular session, or a limit order at the worst price of its protection.
#[derive(Serialize)]
struct Placement<'a> {
    symbol: &'a str,
    qty: String,
    side: &'static str,
    r#type: &'static str,
    time_in_force: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
    client_order_id: &'a str,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    code: Option<u64>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// The worst price of an order's protection, in the steps that Alpaca takes: cents, and hundredths of a cent below a dollar.
/// Rounded so that it takes no less than the protection does.
fn limit_price(order: &OrderRequest) -> Option<Price> {
    let limit = order.limit()?;
    let step = if limit.units() >= SCALE { SCALE / 100 } else { SCALE / 10_000 };
    Some(outward(limit, step, order.side == OrderSide::Buy)).filter(|price| *price > Price::ZERO)
}

impl AlpacaBroker {
    async fn ask(&self, method: Method, path: &str, body: Body, body_bytes: usize) -> Result<Answer, BrokerError> {
        let bounds = Bounds { time: self.settings.timeout, body_bytes };
        Ok(self.http.send(Ask { method, path, headers: &self.checked.headers, body }, bounds).await?)
    }

    pub(super) async fn place(&self, order: &OrderRequest) -> Result<BrokerOrder, BrokerError> {
        let limit_price = limit_price(order);
        let placement = Placement {
            symbol: &order.symbol,
            qty: order.quantity.to_string(),
            side: if order.side == OrderSide::Buy { "buy" } else { "sell" },
            r#type: if limit_price.is_some() { "limit" } else { "market" },
            time_in_force: "day",
            limit_price: limit_price.map(|price| price.to_string()),
            client_order_id: &order.client_order_id,
        };
        let body = serde_json::to_string(&placement).map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let answer = self.ask(Method::POST, "/v2/orders", Body::Json(body), ORDER_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(&answer));
        }
        let name = OrderRef { client_order_id: &order.client_order_id, user: &order.user, symbol: &order.symbol };
        let (_, placed) = execution::order(&answer.body, &self.settings.user, name).map_err(BrokerError::Unknown)?;
        if placed.side != order.side {
            return Err(BrokerError::Unknown(format!("the broker has {:?} under this id", placed.side)));
        }
        Ok(placed)
    }

    /// Alpaca's own id of an order and how it stands; `None` is proof that it does not exist.
    pub(super) async fn find(&self, order: OrderRef<'_>) -> Result<Option<(String, BrokerOrder)>, BrokerError> {
        let path = format!("/v2/orders:by_client_order_id?client_order_id={}", escaped(order.client_order_id));
        let answer = self.ask(Method::GET, &path, Body::Empty, ORDER_BYTES_MAX).await?;
        match answer.status {
            StatusCode::OK => {
                execution::order(&answer.body, &self.settings.user, order).map(Some).map_err(BrokerError::Unknown)
            }
            // Any other 404 may come from something in between, or from a wrong path.
            StatusCode::NOT_FOUND if code_of(&answer) == Some(ABSENT) => Ok(None),
            _ => Err(no_proof(self.refused(&answer))),
        }
    }

    /// Asks for the end of an order by Alpaca's own id. One that has ended already, or is ending, is no error.
    pub(super) async fn end(&self, id: &str) -> Result<(), BrokerError> {
        let path = format!("/v2/orders/{}", escaped(id));
        let answer = self.ask(Method::DELETE, &path, Body::Empty, ORDER_BYTES_MAX).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::UNPROCESSABLE_ENTITY if code_of(&answer).is_some() => Ok(()),
            StatusCode::NOT_FOUND if code_of(&answer) == Some(ABSENT) => Ok(()),
            _ => Err(no_proof(self.refused(&answer))),
        }
    }

    pub(super) async fn list_positions(&self) -> Result<Answer, BrokerError> {
        self.list("/v2/positions").await
    }

    async fn list(&self, path: &str) -> Result<Answer, BrokerError> {
        let answer = self.ask(Method::GET, path, Body::Empty, LIST_BYTES_MAX).await?;
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(no_proof(self.refused(&answer))) }
    }

    /// Every open order, and all of the last day. What ends between the two lists is taken from the second.
    pub(super) async fn list_orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        let now = Timestamp::from_millisecond(self.clock.now_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut all = HashMap::new();
        self.pages("open", Timestamp::UNIX_EPOCH, &mut all).await?;
        self.pages("all", now.checked_sub(DAY).unwrap_or(Timestamp::UNIX_EPOCH), &mut all).await?;
        let mut orders: Vec<_> = all.into_values().flatten().collect();
        orders.sort_by(|a, b| a.state.client_order_id.cmp(&b.state.client_order_id));
        Ok(orders)
    }

    /// Pages go by the time of submission, which orders may share: each begins a little before the last one's end, and
    /// what comes twice counts once.
    async fn pages(
        &self,
        status: &str,
        mut after: Timestamp,
        all: &mut HashMap<String, Option<BrokerOrder>>,
    ) -> Result<(), BrokerError> {
        let mut seen = HashMap::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(status, after).await?;
            let (length, before) = (page.orders.len(), seen.len());
            seen.extend(page.orders);
            if length < PAGE {
                all.extend(seen);
                return Ok(());
            }
            let Some(last) = page.last.filter(|_| seen.len() > before) else { break };
            after = last.checked_sub(SignedDuration::from_millis(1)).unwrap_or(last);
        }
        Err(BrokerError::Unknown(format!("the list of {status} orders does not come to an end")))
    }

    async fn page(&self, status: &str, after: Timestamp) -> Result<Page, BrokerError> {
        let after = escaped(&after.to_string());
        let path = format!("/v2/orders?status={status}&limit={PAGE}&direction=asc&nested=false&after={after}");
        let answer = self.list(&path).await?;
        execution::page(&answer.body, &self.settings.user).map_err(BrokerError::Unknown)
    }

    /// What an answer proves that is not the one hoped for.
    fn refused(&self, answer: &Answer) -> BrokerError {
        let refusal = json::<Refusal<'_>>(&answer.body).ok();
        let code = refusal.as_ref().and_then(|refusal| refusal.code);
        let words = refusal.map_or_else(|| excerpt(&answer.body), |refusal| printable(&refusal.message));
        match (answer.status.as_u16(), code) {
            (429, _) => BrokerError::RateLimited { retry_after: self.wait(answer) },
            (401, _) | (403, None | Some(40_100_000..=40_199_999)) => BrokerError::Unavailable(format!(
                "Alpaca does not take the key ({words}): check key id and secret key, and that they are of this environment"
            )),
            // Of an order that exists; only a look-up tells.
            (400 | 422, Some(_)) if words.contains("client_order_id") => BrokerError::Unknown(words),
            (400 | 403 | 404 | 422, Some(code)) => BrokerError::Rejected(format!("{words} ({code})")),
            (status, _) => BrokerError::Unknown(format!("HTTP {status}: '{words}'")),
        }
    }

    /// Until when a limit lasts: a time of day, so that both clocks count.
    fn wait(&self, answer: &Answer) -> Duration {
        let reset = answer.header("x-ratelimit-reset").and_then(|value| value.parse::<i64>().ok());
        let Some(reset) = reset else { return answer.retry_after() };
        let ms = reset.saturating_mul(1_000).saturating_sub(self.clock.now_ms());
        within_range(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    }
}

fn code_of(answer: &Answer) -> Option<u64> {
    json::<Refusal<'_>>(&answer.body).ok()?.code
}

/// A refusal to answer a question says nothing about the order.
fn no_proof(error: BrokerError) -> BrokerError {
    match error {
        BrokerError::Rejected(words) => BrokerError::Unknown(words),
        other => other,
    }
}
