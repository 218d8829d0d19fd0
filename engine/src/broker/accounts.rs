//! Several accounts behind one broker: each user's orders go to his own account, those of everybody else to the main one.
//!
//! What differs between accounts is taken as the most careful of them has it: how repeated ids are treated, how long an order
//! may be denied, how far a clock may be off. Each account tells its own orders; a list of all is only believed where every one has told.

use super::{
    AccountOf, Broker, BrokerError, BrokerOrder, BrokerPosition, Complaint, Idempotency, Noted, OrderRef, OrderRequest,
    OrderState, ReportQueue,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The accounts of an engine.
pub struct Accounts {
    main: Arc<dyn Broker>,
    by_user: BTreeMap<String, Arc<Noted>>,
    reports: ReportQueue,
}

impl Accounts {
    /// Accounts of single users, and one of all others.
    #[must_use]
    pub fn new(main: Arc<dyn Broker>, by_user: BTreeMap<String, Arc<Noted>>) -> Self {
        Self { main, by_user, reports: ReportQueue::default() }
    }

    /// Passes the reports of one of the accounts on, for ever.
    pub async fn forward(&self, account: &dyn Broker) {
        loop {
            self.reports.push(account.reports().next().await);
        }
    }

    fn of(&self, user: &str) -> &dyn Broker {
        self.by_user.get(user).map_or(&*self.main, |account| &**account as &dyn Broker)
    }

    fn account(&self, account: &AccountOf) -> &dyn Broker {
        match account {
            AccountOf::Others => &*self.main,
            AccountOf::User(user) => self.of(user),
        }
    }

    fn all(&self) -> impl Iterator<Item = &dyn Broker> {
        let own = self.by_user.values().map(|account| &**account as &dyn Broker);
        std::iter::once(&*self.main).chain(own)
    }
}

/// How careful one has to be.
const fn care(idempotency: Idempotency) -> u8 {
    match idempotency {
        Idempotency::Dedupes => 0,
        Idempotency::Queryable => 1,
        Idempotency::None => 2,
    }
}

/// All lists, or the first reason why there is no whole one.
fn whole<T>(lists: Vec<Result<Vec<T>, BrokerError>>) -> Result<Vec<T>, BrokerError> {
    Ok(lists.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[async_trait]
impl Broker for Accounts {
    fn idempotency(&self) -> Idempotency {
        self.all().map(Broker::idempotency).max_by_key(|class| care(*class)).unwrap_or(Idempotency::None)
    }

    fn clock_skew(&self) -> Duration {
        self.all().map(Broker::clock_skew).max().unwrap_or_default()
    }

    fn settles_within(&self) -> Duration {
        self.all().map(Broker::settles_within).max().unwrap_or_default()
    }

    fn puts_off(&self, entry: OrderRef<'_>) -> bool {
        self.of(entry.user).puts_off(entry)
    }

    /// The first account in need, with its user. An account whose calls fail is in need too: others may go well meanwhile.
    fn complaint(&self) -> Option<Complaint> {
        let own = self.by_user.iter().filter_map(|(user, account)| {
            let status = account.status();
            let (text, urgent) = match (status.error(), status.notice()) {
                (Some(error), _) => (error, true),
                (None, notice) => (notice?, false),
            };
            Some(Complaint { text: format!("account of {user}: {text}"), urgent })
        });
        let (urgent, notices): (Vec<_>, Vec<_>) = self.main.complaint().into_iter().chain(own).partition(|c| c.urgent);
        urgent.into_iter().chain(notices).next()
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        self.of(&order.user).submit(order).await
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        self.of(order.user).lookup(order).await
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        self.of(order.user).cancel(order).await
    }

    fn accounts(&self) -> BTreeSet<AccountOf> {
        std::iter::once(AccountOf::Others).chain(self.by_user.keys().cloned().map(AccountOf::User)).collect()
    }

    fn account_of(&self, user: &str) -> AccountOf {
        if self.by_user.contains_key(user) { AccountOf::User(user.to_owned()) } else { AccountOf::Others }
    }

    async fn orders_of(&self, account: &AccountOf) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.account(account).orders().await
    }

    async fn positions_of(&self, account: &AccountOf) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.account(account).positions().await
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        whole(join_all(self.all().map(Broker::orders)).await)
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        whole(join_all(self.all().map(Broker::positions)).await)
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

#[cfg(test)]
mod tests;
