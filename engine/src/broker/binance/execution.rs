//! Orders: what the engine asks of a broker.

use super::codes::Meaning;
use super::gate::Purpose;
use super::rest::Failure;
use super::sign::Query;
use super::{BinanceBroker, PROCESSING_MAX, wire};
use crate::broker::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Idempotency, OrderRef, OrderRequest, OrderSide, OrderState,
    ReportQueue,
};
use async_trait::async_trait;
use hyper::Method;
use hyper::body::Bytes;
use std::time::Duration;
use strat_core::Leg;

const ORDER: &str = "/api/v3/order";
/// Longest client order id that Binance takes.
const ID_BYTES_MAX: usize = 36;
/// How far Binance's clock may be from where it was measured.
const SKEW: Duration = Duration::from_secs(1);

/// The alphabet of client order ids, as the error of one that is not within it says: `^[\.A-Z\:/a-z0-9_-]{1,36}$`.
fn is_client_order_id(id: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(known)
}

impl BinanceBroker {
    /// Refuses what could only be somebody else's order, or never one of Binance's.
    fn is_ours(&self, order: &OrderRequest) -> Result<(), BrokerError> {
        let refuse = |why: String| Err(BrokerError::Rejected(format!("not sent: {why}")));
        if order.user != self.settings.user {
            return refuse(format!("the account at Binance is {}'s", self.settings.user));
        }
        if !self.settings.symbols.contains(&order.symbol) {
            return refuse(format!("{} is not among the symbols that are traded at Binance", order.symbol));
        }
        if !is_client_order_id(&order.client_order_id) {
            return refuse(format!("'{}' cannot be a client order id at Binance", order.client_order_id));
        }
        Ok(())
    }

    /// Of an id that was sent before, what became of it; `None` where it is proven absent.
    async fn sent_before(&self, order: &OrderRequest, ago: Duration) -> Result<Option<OrderState>, BrokerError> {
        let name = OrderRef { client_order_id: &order.client_order_id, user: &order.user, symbol: &order.symbol };
        match self.find(name).await? {
            Some(known) if known.side != order.side => Err(of_other_side(&known)),
            Some(known) => Ok(Some(known.state)),
            None if ago < self.settles_within() => {
                Err(BrokerError::Unknown("this order was sent a moment ago and may still arrive".to_owned()))
            }
            None => Ok(None),
        }
    }

    async fn place(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        let purpose = if order.leg == Leg::Exit { Purpose::Vital } else { Purpose::Patient };
        let side = if order.side == OrderSide::Buy { "BUY" } else { "SELL" };
        let query = Query::default()
            .with("symbol", &order.symbol)
            .with("side", side)
            .with("quantity", &order.quantity.to_string())
            .with("newClientOrderId", &order.client_order_id)
            .with("newOrderRespType", "RESULT");
        let query = match self.rules.limit_of(order) {
            Some(price) => query.with("type", "LIMIT").with("timeInForce", "GTC").with("price", &price.to_string()),
            None => query.with("type", "MARKET"),
        };
        let body = self.rest.signed(Method::POST, ORDER, &query, purpose).await.inspect_err(|failure| {
            if matches!(failure, Failure::Coded(coded) if coded.code == -1013) {
                self.rules.doubt();
            }
        })?;
        let name = OrderRef { client_order_id: &order.client_order_id, user: &order.user, symbol: &order.symbol };
        let placed = wire::order(&body, name).map_err(BrokerError::Unknown)?;
        if placed.side == order.side { Ok(placed.state) } else { Err(of_other_side(&placed)) }
    }

    async fn find(&self, order: OrderRef<'_>) -> Result<Option<BrokerOrder>, BrokerError> {
        match absent(self.about(Method::GET, order).await)? {
            Some(body) => wire::order(&body, order).map(Some).map_err(BrokerError::Unknown),
            None => Ok(None),
        }
    }

    async fn about(&self, method: Method, order: OrderRef<'_>) -> Result<Bytes, Failure> {
        let query = Query::default().with("symbol", order.symbol).with("origClientOrderId", order.client_order_id);
        self.rest.signed(method, ORDER, &query, Purpose::Vital).await
    }
}

/// `None` where the answer is that there is no such order.
fn absent(answer: Result<Bytes, Failure>) -> Result<Option<Bytes>, BrokerError> {
    match answer {
        Ok(body) => Ok(Some(body)),
        Err(Failure::Coded(coded)) if coded.meaning() == Meaning::NoOrder => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn of_other_side(known: &BrokerOrder) -> BrokerError {
    BrokerError::Unknown(format!("Binance has {:?} under this id", known.side))
}

#[async_trait]
impl Broker for BinanceBroker {
    fn idempotency(&self) -> Idempotency {
        Idempotency::Queryable
    }

    /// Orders bear Binance's time.
    fn clock_skew(&self) -> Duration {
        SKEW + Duration::from_millis(self.rest.clock.offset_ms().unsigned_abs())
    }

    /// A request that is later than its window is refused, wherever it was held up; one that came in time is worked on for so
    /// long at the most.
    fn settles_within(&self) -> Duration {
        self.settings.recv_window + self.settings.settle.max(PROCESSING_MAX)
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        self.is_ours(order)?;
        let before = self.sent.last(&order.client_order_id);
        if let Some(at) = before
            && let Some(known) = self.sent_before(order, at.elapsed()).await?
        {
            return Ok(known);
        }
        self.rules.check(&self.rest, &self.settings.symbols, order).await?;
        self.sent.note(&order.client_order_id);
        let placed = self.place(order).await;
        // What was certainly not carried out leaves no trace.
        if matches!(
            placed,
            Err(BrokerError::Rejected(_) | BrokerError::RateLimited { .. } | BrokerError::Unavailable(_))
        ) {
            self.sent.take_back(&order.client_order_id, before);
        }
        placed
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        Ok(self.find(order).await?.map(|known| known.state))
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        let Some(body) = absent(self.about(Method::DELETE, order).await)? else { return Ok(()) };
        let known = wire::order(&body, order).map_err(BrokerError::Unknown)?;
        self.reports.push(known.state);
        Ok(())
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.list_orders().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.list_positions().await
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}
