//! Orders: sent, looked for, cancelled, listed.

use super::config::instrument_of;
use super::matching::{Wanted, find};
use super::order::{Listed, TAG_BYTES_MAX, is_tag};
use super::wire;
use super::{KiteBroker, lock};
use crate::broker::wire::http::escaped;
use crate::broker::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Complaint, Idempotency, OrderRef, OrderRequest, OrderSide,
    OrderState, ReportQueue,
};
use async_trait::async_trait;
use hyper::Method;
use std::time::Duration;
use strat_core::decimal::SCALE;
use strat_core::{ExecType, Leg, Quantity};

/// Kite's times are whole seconds.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

impl KiteBroker {
    /// What Kite would refuse is not sent: refused orders count against the day's limit.
    fn check(&self, order: &OrderRequest) -> Result<(), BrokerError> {
        let refuse = |why: String| Err(BrokerError::Rejected(why));
        if order.user != self.settings.user {
            return refuse(format!("the account at Kite is of {}, not of {}", self.settings.user, order.user));
        }
        if !is_tag(&order.client_order_id) {
            return refuse(format!(
                "{} is no tag of at most {TAG_BYTES_MAX} capital letters and digits",
                order.client_order_id
            ));
        }
        if order.quantity.units() % SCALE != 0 || order.quantity <= Quantity::ZERO {
            return refuse(format!("Kite trades whole numbers, not {}", order.quantity));
        }
        // An exit is never held back by a list that may be wrong.
        let lot = lock(&self.instruments).as_ref().and_then(|list| list.of(&order.symbol).map(|found| found.lot_size));
        match lot.filter(|lot| *lot > Quantity::ZERO && order.leg == Leg::Entry) {
            Some(lot) if order.quantity.units() % lot.units() != 0 => {
                refuse(format!("{} trades in lots of {lot}, not {}", order.symbol, order.quantity))
            }
            _ => Ok(()),
        }
    }

    /// The order as the order book has it.
    async fn find(&self, order: OrderRef<'_>) -> Result<Option<Listed>, BrokerError> {
        let (exchange, tradingsymbol) = instrument_of(order.symbol, &self.settings.exchange);
        let wanted =
            Wanted { tag: order.client_order_id, exchange, tradingsymbol, sent: self.sent(order.client_order_id) };
        let book = self.order_book().await?;
        find(&book, wanted).map(|found| found.cloned()).map_err(BrokerError::Unknown)
    }
}

/// With the price of its fills, or not at all.
fn whole(order: Listed) -> Result<Listed, BrokerError> {
    if order.lacks_price() {
        return Err(BrokerError::Unknown(format!("order {} has fills without a price yet", order.order_id)));
    }
    Ok(order)
}

#[async_trait]
impl Broker for KiteBroker {
    fn idempotency(&self) -> Idempotency {
        Idempotency::None
    }

    fn clock_skew(&self) -> Duration {
        CLOCK_SKEW
    }

    fn settles_within(&self) -> Duration {
        self.settings.settle
    }

    fn complaint(&self) -> Option<Complaint> {
        self.standing().complaint()
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        self.check(order)?;
        let (exchange, tradingsymbol) = instrument_of(&order.symbol, &self.settings.exchange);
        let own = || self.settings.market_protection.to_string();
        let fields = [
            ("exchange", exchange),
            ("tradingsymbol", tradingsymbol),
            ("transaction_type", if order.side == OrderSide::Buy { "BUY" } else { "SELL" }),
            ("quantity", &order.quantity.to_string()),
            ("product", self.settings.product.as_str()),
            ("order_type", "MARKET"),
            ("validity", "DAY"),
            ("market_protection", &order.protection.map_or_else(own, |step| step.whole_percent().to_string())),
            ("tag", &order.client_order_id),
        ];
        self.remember(order);
        let answer = self.rest.order(Method::POST, "/orders/regular", &fields).await?;
        let number = wire::placed(&answer).map_err(BrokerError::Unknown)?;
        self.taken(&order.client_order_id, &number);
        tracing::info!(order = order.client_order_id, number, "Kite has taken the order");
        // That it was taken is no word of what becomes of it: checks and the exchange come after.
        self.look.notify_one();
        Ok(OrderState {
            client_order_id: order.client_order_id.clone(),
            status: ExecType::New,
            cum_qty: Quantity::ZERO,
            avg_px: None,
            text: String::new(),
            ts_ms: self.clock.now_ms(),
        })
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        let found = self.find(order).await?;
        Ok(found.map(whole).transpose()?.map(|listed| listed.state()))
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        let Some(listed) = self.find(order).await? else { return Ok(()) };
        // A tag is found once more after that, with what was filled meanwhile.
        self.look.notify_one();
        if listed.status.is_terminal() {
            return Ok(());
        }
        let path = format!("/orders/{}/{}", escaped(&listed.variety), escaped(&listed.order_id));
        match self.rest.order(Method::DELETE, &path, &[]).await {
            // It may have ended on the way; how it stands is what a look-up says.
            Ok(_) | Err(BrokerError::Rejected(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        let book = self.order_book().await?;
        let ours = book.iter().map(|listed| {
            // Fills of others that have no price are theirs to know.
            let listed = if is_tag(&listed.tag) { whole(listed.clone())? } else { listed.clone() };
            Ok(listed.order(&self.settings.user, &self.settings.exchange))
        });
        ours.collect()
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let body = self.rest.get("/portfolio/positions").await?;
        let super::KiteSettings { product, user, exchange, .. } = &self.settings;
        wire::positions(&body, *product, user, exchange).map_err(BrokerError::Unknown)
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}
