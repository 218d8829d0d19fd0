//! Alpaca, Trading API v2: market orders for the regular session, in one account.
//!
//! - **A client order id is unique for ever**, so an order may be sent again: [`Idempotency::Dedupes`].
//! - Orders are `type: market`, `time_in_force: day`, without `extended_hours`, which Alpaca allows for limit orders
//!   only. Outside 09:30–16:00 New York such an order is taken and waits for the next regular session.
//! - Quantities may have fractions where the asset allows it; whether it does, and that nobody sells fractions short, is
//!   Alpaca's word.
//!
//! The road is our own: the crate `apca` is under GPL-3.0, which `deny.toml` refuses, and Alpaca has none of its own for Rust.

mod config;
mod execution;
mod rest;
mod stream;

pub(crate) use config::credentials;
pub use config::{AlpacaError, AlpacaSettings};

use super::wire::http::Http;
use super::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Idempotency, OrderRef, OrderRequest, OrderState, ReportQueue,
};
use crate::clock::Clock;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Largest answer about one order.
const ORDER_BYTES_MAX: usize = 1 << 20;
/// Largest page.
const LIST_BYTES_MAX: usize = 16 << 20;
/// Orders of a page: the most that Alpaca gives.
const PAGE: usize = 500;
/// Pages of a list: a day of fifty thousand orders.
const PAGES_MAX: usize = 100;

/// An account at Alpaca.
pub struct AlpacaBroker {
    settings: AlpacaSettings,
    checked: config::Checked,
    http: Http,
    clock: Arc<dyn Clock>,
    reports: ReportQueue,
}

impl AlpacaBroker {
    /// A road to the account; nothing is sent yet. Reports arrive while [`AlpacaBroker::run`] does.
    ///
    /// # Errors
    /// [`AlpacaError`] for settings that cannot be used.
    pub fn new(settings: AlpacaSettings, clock: Arc<dyn Clock>) -> Result<Self, AlpacaError> {
        let checked = settings.checked()?;
        let http = Http::new(&checked.rest, settings.timeout, settings.in_flight_max);
        Ok(Self { settings, checked, http, clock, reports: ReportQueue::default() })
    }

    /// Whether an order can go this way.
    fn check(&self, order: &OrderRequest) -> Result<(), BrokerError> {
        if order.user != self.settings.user {
            let (theirs, ours) = (&order.user, &self.settings.user);
            return Err(BrokerError::Rejected(format!("the account is {ours}'s, the order is {theirs}'s")));
        }
        if order.symbol.contains('/') {
            let why = "trades around the clock, and orders for the day are not taken for it: only stocks and funds go this way";
            return Err(BrokerError::Rejected(format!("{} {why}", order.symbol)));
        }
        Ok(())
    }
}

#[async_trait]
impl Broker for AlpacaBroker {
    fn idempotency(&self) -> Idempotency {
        Idempotency::Dedupes
    }

    fn settles_within(&self) -> Duration {
        self.settings.settle
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        self.check(order)?;
        Ok(self.place(order).await?.state)
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        // Whoever's it is: the account may have been another user's when the order was sent.
        Ok(self.find(order).await?.map(|(_, found)| found.state))
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        let Some((id, found)) = self.find(order).await? else { return Ok(()) };
        if !found.state.status.is_terminal() {
            return self.end(&id).await;
        }
        self.reports.push(found.state);
        Ok(())
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.list_orders().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        execution::positions(&self.list_positions().await?.body, &self.settings.user).map_err(BrokerError::Unknown)
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
