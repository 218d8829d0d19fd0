//! The bridge: orders go over HTTP and JSON to a program that speaks to the broker. Anybody can write one.
//!
//! What is certain is told apart from what is not: a request that could not be sent is `Unavailable`; once it may
//! have left, everything but a clear answer is `Unknown`, whatever the status line says.

mod poll;
mod wire;

use super::wire::http::{Answer, Ask, Body, Bounds, Http, escaped};
use super::wire::read::excerpt;
use super::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Idempotency, OrderRef, OrderRequest, OrderState, ReportQueue,
};
use async_trait::async_trait;
use hyper::{Method, StatusCode, Uri};
use std::time::Duration;

/// Largest answer about one order.
const ORDER_BYTES_MAX: usize = 1 << 20;
/// Largest list: a day of fifty thousand orders.
const LIST_BYTES_MAX: usize = 16 << 20;

/// How to reach a bridge, and what the broker behind it is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    /// `http://host:port[/path]`. No TLS: a bridge runs next to the engine, or behind a proxy that speaks it.
    pub url: String,
    /// What the broker does with an id that it has seen.
    pub class: Idempotency,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How long after it got an order the broker may still deny that it has it: see [`Broker::settles_within`].
    pub settle: Duration,
    /// Requests at the same time.
    pub in_flight_max: usize,
}

/// Why an address cannot be that of a bridge; completes "the address …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BridgeError(&'static str);

/// A broker behind HTTP.
pub struct Bridge {
    settings: BridgeSettings,
    http: Http,
    reports: ReportQueue,
}

impl Bridge {
    /// A bridge; nothing is sent yet. Reports arrive while [`Bridge::poll_reports`] runs.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(settings: BridgeSettings) -> Result<Self, BridgeError> {
        let base = check_url(&settings.url)?;
        let http = Http::new(&base, settings.timeout, settings.in_flight_max.max(1));
        Ok(Self { settings, http, reports: ReportQueue::default() })
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Answer, BrokerError> {
        let bounds = Bounds { time: self.settings.timeout, body_bytes: ORDER_BYTES_MAX };
        Ok(self.http.send(Ask { method, path, headers: &[], body }, bounds).await?)
    }

    async fn list(&self, path: &str) -> Result<Answer, BrokerError> {
        let bounds = Bounds { time: self.settings.timeout, body_bytes: LIST_BYTES_MAX };
        let answer = self.http.send(get(path), bounds).await?;
        if answer.status == StatusCode::OK { Ok(answer) } else { Err(unclear(&answer)) }
    }

    /// An order that is asked for, or the proof that there is none.
    async fn about(&self, method: Method, order: OrderRef<'_>) -> Result<Option<BrokerOrder>, BrokerError> {
        let (id, user, symbol) = (escaped(order.client_order_id), escaped(order.user), escaped(order.symbol));
        let answer = self.ask(method, &format!("/v1/orders/{id}?user={user}&symbol={symbol}"), Body::Empty).await?;
        match answer.status {
            StatusCode::OK => wire::order(&answer.body, order).map(Some).map_err(BrokerError::Unknown),
            // Any other 404 may come from something in between, or from a wrong path.
            StatusCode::NOT_FOUND if wire::refusal(&answer.body).is_ok_and(|text| text == wire::ABSENT) => Ok(None),
            _ => Err(unclear(&answer)),
        }
    }
}

/// `http://host[:port][/path]`; answers it without a slash at its end.
pub(crate) fn check_url(url: &str) -> Result<String, BridgeError> {
    let uri: Uri = url.parse().map_err(|_| BridgeError("is not an address such as http://127.0.0.1:8720"))?;
    if uri.scheme_str() != Some("http") {
        return Err(BridgeError("does not start with http://"));
    }
    // Anywhere: the password of a login that is not written as it should be would be taken for a part of the path.
    if url.contains('@') {
        return Err(BridgeError("carries a login, which is not sent"));
    }
    match uri.authority() {
        Some(authority) if !authority.host().is_empty() && uri.query().is_none() && !url.contains('#') => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(BridgeError("is not of the form http://host:port/path")),
    }
}

/// Everything that is neither yes nor no.
fn unclear(answer: &Answer) -> BrokerError {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return BrokerError::RateLimited { retry_after: answer.retry_after() };
    }
    BrokerError::Unknown(format!("HTTP {}: '{}'", answer.status.as_u16(), excerpt(&answer.body)))
}

fn get(path: &str) -> Ask<'_> {
    Ask { method: Method::GET, path, headers: &[], body: Body::Empty }
}

#[async_trait]
impl Broker for Bridge {
    fn idempotency(&self) -> Idempotency {
        self.settings.class
    }

    fn settles_within(&self) -> Duration {
        self.settings.settle
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        let body = serde_json::to_string(&wire::Submission::from(order))
            .map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let answer = self.ask(Method::POST, "/v1/orders", Body::Json(body)).await?;
        match answer.status {
            StatusCode::OK => {
                let name =
                    OrderRef { client_order_id: &order.client_order_id, user: &order.user, symbol: &order.symbol };
                let known = wire::order(&answer.body, name).map_err(BrokerError::Unknown)?;
                // The quantity may differ: the answer to a repeat is the first order of the id.
                if known.side != order.side {
                    return Err(BrokerError::Unknown(format!("the broker has {:?} under this id", known.side)));
                }
                Ok(known.state)
            }
            StatusCode::UNPROCESSABLE_ENTITY => Err(match wire::refusal(&answer.body) {
                Ok(reason) if reason == wire::DUPLICATE => {
                    BrokerError::Unknown("the broker has an order of this id already".to_owned())
                }
                Ok(reason) => BrokerError::Rejected(reason),
                Err(garbage) => BrokerError::Unknown(garbage),
            }),
            _ => Err(unclear(&answer)),
        }
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        Ok(self.about(Method::GET, order).await?.map(|known| known.state))
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        if let Some(known) = self.about(Method::DELETE, order).await? {
            self.reports.push(known.state);
        }
        Ok(())
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        wire::orders(&self.list("/v1/orders").await?.body).map_err(BrokerError::Unknown)
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        wire::positions(&self.list("/v1/positions").await?.body).map_err(BrokerError::Unknown)
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
