//! The symbols' filters, kept for a while, and the prices that they value market orders at.

use super::filters::{self, Asked, Rules};
use super::gate::Purpose;
use super::rest::{Failure, Rest};
use super::sign::Query;
use super::wire;
use crate::broker::{BrokerError, OrderRequest, OrderSide};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_core::{Leg, Price};
use tokio::time::Instant;

/// Filters change seldom; what is older is read again before the next entry.
const RULES_LIFE: Duration = Duration::from_secs(3_600);
/// The average is one of some minutes.
const AVERAGE_LIFE: Duration = Duration::from_secs(20);

type BySymbol = HashMap<String, Rules>;

/// What is known of the symbols.
#[derive(Default)]
pub(super) struct RuleBook {
    /// With when they were read; `None` where they are known to have changed.
    rules: Mutex<Option<(Arc<BySymbol>, Option<Instant>)>>,
    averages: Mutex<HashMap<String, (Price, Instant)>>,
    /// One reads them at a time.
    reading: tokio::sync::Mutex<()>,
}

impl RuleBook {
    /// Refuses what Binance would refuse. An exit is never held up for it: it is judged by what is known already, and not
    /// by what it is worth.
    pub(super) async fn check(&self, rest: &Rest, symbols: &[String], order: &OrderRequest) -> Result<(), BrokerError> {
        let rules = match (order.leg, self.kept()) {
            (Leg::Exit, Some((rules, _))) => rules,
            (Leg::Exit, None) => return Ok(()),
            (Leg::Entry, _) => self.read(rest, symbols).await?,
        };
        let Some(rules) = rules.get(&order.symbol) else {
            return Err(BrokerError::Rejected(format!("Binance does not know the symbol {}", order.symbol)));
        };
        let average = match order.leg {
            Leg::Entry if rules.wants_average() => self.average(rest, &order.symbol).await,
            _ => None,
        };
        let asked = Asked { quantity: order.quantity, price: None, average };
        rules.check(&asked).map_err(|refusal| BrokerError::Rejected(format!("not sent: {refusal}")))
    }

    /// The price of the limit order that a protected exit is. `None` where there is none that the filters as they are known
    /// let pass: it is sent at any price then.
    pub(super) fn limit_of(&self, order: &OrderRequest) -> Option<Price> {
        let limit = order.limit()?;
        let (rules, _) = self.kept()?;
        let rules = rules.get(&order.symbol)?;
        let price = rules.price_within(limit, order.side == OrderSide::Buy);
        let asked = Asked { quantity: order.quantity, price: Some(price), average: None };
        (price > Price::ZERO && rules.check(&asked).is_ok()).then_some(price)
    }

    /// The rules of all symbols, read anew where they are old.
    pub(super) async fn read(&self, rest: &Rest, symbols: &[String]) -> Result<Arc<BySymbol>, BrokerError> {
        if let Some(rules) = self.fresh() {
            return Ok(rules);
        }
        let _turn = self.reading.lock().await;
        if let Some(rules) = self.fresh() {
            return Ok(rules);
        }
        match (fetch(rest, symbols).await, self.kept()) {
            (Ok(rules), _) => {
                let rules = Arc::new(rules);
                *lock(&self.rules) = Some((Arc::clone(&rules), Some(Instant::now())));
                Ok(rules)
            }
            (Err(error), Some((old, _))) => {
                tracing::warn!(%error, "Binance's filters cannot be read; those known before are applied");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What a symbol trades, where that is known already.
    pub(super) fn base_asset(&self, symbol: &str) -> Option<String> {
        self.kept()?.0.get(symbol).map(|rules| rules.base_asset.clone())
    }

    /// A filter refused what had passed here: they have changed.
    pub(super) fn doubt(&self) {
        if let Some((_, read)) = &mut *lock(&self.rules) {
            *read = None;
        }
    }

    fn kept(&self) -> Option<(Arc<BySymbol>, Option<Instant>)> {
        lock(&self.rules).clone()
    }

    fn fresh(&self) -> Option<Arc<BySymbol>> {
        let young = |read: &Option<Instant>| read.is_some_and(|read| read.elapsed() < RULES_LIFE);
        self.kept().filter(|(_, read)| young(read)).map(|(rules, _)| rules)
    }

    /// `None` where it cannot be had: then Binance looks at the order's worth itself.
    async fn average(&self, rest: &Rest, symbol: &str) -> Option<Price> {
        let known = lock(&self.averages).get(symbol).copied();
        if let Some((price, _)) = known.filter(|(_, read)| read.elapsed() < AVERAGE_LIFE) {
            return Some(price);
        }
        let query = Query::default().with("symbol", symbol);
        let body = rest.public("/api/v3/avgPrice", &query, Purpose::Patient).await.ok()?;
        let price = wire::average(&body).ok()?;
        // At most as many as there are symbols: others are refused before.
        lock(&self.averages).insert(symbol.to_owned(), (price, Instant::now()));
        Some(price)
    }
}

async fn fetch(rest: &Rest, symbols: &[String]) -> Result<BySymbol, BrokerError> {
    let list = format!("[{}]", symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect::<Vec<_>>().join(","));
    let query = Query::default().with("symbols", &list);
    // No order was sent yet, whatever became of this request.
    let unread = |why: String| BrokerError::Unavailable(format!("Binance's filters cannot be read: {why}"));
    let body =
        rest.public("/api/v3/exchangeInfo", &query, Purpose::Patient).await.map_err(|failure| match failure {
            Failure::Coded(coded) => unread(coded.words()),
            Failure::Broker(BrokerError::Unknown(why)) => unread(why),
            Failure::Broker(error) => error,
        })?;
    let info = filters::read(&body).map_err(unread)?;
    if let Some(weight) = info.weight_per_minute {
        rest.gate.allow(weight);
    }
    Ok(info.rules.into_iter().collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
