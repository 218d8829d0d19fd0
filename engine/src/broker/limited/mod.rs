//! Keeps to the broker's limits of calls, per account, so that it has no reason to refuse an exit.
//!
//! - **An exit is never refused here, and never waits behind entries.** A part of each limit is for exits alone. Where even that is
//!   used up an exit waits for room that comes within [`EXIT_WAIT_MAX`], and then goes all the same: whether it is taken is the
//!   broker's decision.
//! - **An entry that there is no room for is put off before it is claimed**, by [`Broker::puts_off`]: nothing has been written or
//!   sent for it then. Entries go in the order in which they came; one that comes too late in the end expires by the usual rule.
//! - Look-ups and cancellations count. Those of an entry that was let through have their room; all others go the way of exits,
//!   for they are what exits wait for, and what ends a doubt.
//! - A call counts whatever is answered to it. Lists of all accounts (`orders`, `positions`) and the bridge's polls are no
//!   account's and do not count.
//!
//! It counts in this process, not in Redis: an exit must not wait for a round trip before it is sent, and must go while Redis is
//! away. Where the broker does not dedupe ids one engine trades at a time anyway. Where several engines trade, each needs its part
//! of the limits; and an engine that starts knows nothing of the calls before.

mod account;
mod window;

use super::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Complaint, Idempotency, OrderRef, OrderRequest, OrderState,
    ReportQueue,
};
use crate::metrics;
use account::{Account, CALLS_PER_ENTRY, Turn};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strat_core::Leg;
use tokio::time::{Instant, sleep};
use window::Window;

/// Longest wait of an exit for room.
pub const EXIT_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// Longest wait of an entry whose room was taken by an exit at the last moment; then it is put off.
const ENTRY_WAIT_MAX: Duration = Duration::from_millis(500);
/// A call that was held up for so much longer than it was to wait is not sent: its lock may be somebody else's by now.
const SLACK: Duration = Duration::from_millis(400);
/// Longest time that an entry is put off by, so that one that comes too late is told soon.
const PUT_OFF_MAX: Duration = Duration::from_secs(30);
/// Accounts that are remembered; beyond, those that nothing counts for are forgotten.
const ACCOUNTS_MAX: usize = 10_000;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// How many calls an account may make; 0 for as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// In any second.
    pub per_second: u32,
    /// In any minute.
    pub per_minute: u32,
    /// In any 24 hours.
    pub per_day: u32,
    /// Percent of each limit that is for exits alone, rounded up; something is always left for entries.
    pub exit_share: u32,
}

impl LimitSettings {
    /// Whether there is any.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.per_second == 0 && self.per_minute == 0 && self.per_day == 0
    }

    /// Whether an entry ever passes: most are looked up before they are sent.
    #[must_use]
    pub fn let_entries_pass(&self) -> bool {
        self.windows().iter().all(|window| window.for_entries() >= CALLS_PER_ENTRY)
    }

    fn windows(&self) -> Vec<Window> {
        let limits = [(self.per_second, 1_000), (self.per_minute, MINUTE_MS), (self.per_day, DAY_MS)];
        let reserved = |limit: u32| u64::from(limit).saturating_mul(u64::from(self.exit_share)).div_ceil(100);
        limits
            .into_iter()
            .filter(|(limit, _)| *limit > 0)
            .map(|(limit, ms)| Window::new(limit, u32::try_from(reserved(limit)).unwrap_or(limit), ms))
            .collect()
    }
}

/// A broker that is not called more often than it likes.
pub struct Limited {
    inner: Arc<dyn Broker>,
    settings: LimitSettings,
    accounts: Mutex<HashMap<String, Account>>,
    started: Instant,
}

impl Limited {
    /// Keeps `inner` to these limits.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, settings: LimitSettings) -> Self {
        Self { inner, settings, accounts: Mutex::default(), started: Instant::now() }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Works on an account at this moment.
    fn with<T>(&self, account: &str, work: impl FnOnce(&mut Account, i64) -> T) -> T {
        let now_ms = self.now_ms();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(account) {
            accounts.retain(|_, known| !known.is_idle(now_ms));
        }
        if let Some(known) = accounts.get_mut(account) {
            return work(known, now_ms);
        }
        work(accounts.entry(account.to_owned()).or_insert_with(|| Account::new(&self.settings)), now_ms)
    }

    /// Room for an exit, or for what serves one; after a while without.
    async fn exit_may_go(&self, account: &str) -> Result<(), BrokerError> {
        let began = Instant::now();
        while let Err(wait_ms) = self.with(account, Account::exit) {
            let wait = Duration::from_millis(wait_ms.unsigned_abs());
            if began.elapsed() + wait > EXIT_WAIT_MAX {
                // Room that comes later is no reason to wait.
                metrics::over_limit();
                self.with(account, Account::count);
                break;
            }
            sleep(wait).await;
        }
        not_held_up(began, EXIT_WAIT_MAX)
    }

    async fn entry_may_go(&self, OrderRequest { user, client_order_id, .. }: &OrderRequest) -> Result<(), BrokerError> {
        let began = Instant::now();
        while let Err(wait_ms) = self.with(user, |account, now_ms| account.entry(client_order_id, now_ms)) {
            let wait = Duration::from_millis(wait_ms.unsigned_abs());
            if began.elapsed() + wait > ENTRY_WAIT_MAX {
                return Err(BrokerError::RateLimited { retry_after: wait.min(PUT_OFF_MAX) });
            }
            sleep(wait).await;
        }
        not_held_up(began, ENTRY_WAIT_MAX)
    }

    /// Entries keep away from a broker that says it is called too often.
    fn heed<T>(&self, account: &str, answer: Result<T, BrokerError>) -> Result<T, BrokerError> {
        if let Err(BrokerError::RateLimited { retry_after }) = &answer {
            let ms = i64::try_from(retry_after.min(&PUT_OFF_MAX).as_millis()).unwrap_or(i64::MAX);
            self.with(account, |account, now_ms| account.close(now_ms.saturating_add(ms)));
        }
        answer
    }
}

/// A process that was stopped meanwhile sends nothing.
fn not_held_up(began: Instant, longest: Duration) -> Result<(), BrokerError> {
    if began.elapsed() <= longest + SLACK {
        return Ok(());
    }
    Err(BrokerError::Unavailable("the call was held up in this engine and is looked at again".to_owned()))
}

#[async_trait]
impl Broker for Limited {
    fn idempotency(&self) -> Idempotency {
        self.inner.idempotency()
    }

    fn clock_skew(&self) -> Duration {
        self.inner.clock_skew()
    }

    /// A request that was sent may have waited here first.
    fn settles_within(&self) -> Duration {
        self.inner.settles_within() + EXIT_WAIT_MAX + SLACK
    }

    fn complaint(&self) -> Option<Complaint> {
        self.inner.complaint()
    }

    fn puts_off(&self, entry: OrderRef<'_>) -> bool {
        let id = entry.client_order_id;
        let turn = self.with(entry.user, |account, now_ms| account.turn(id, now_ms));
        if turn == (Turn::Later { first: true }) {
            metrics::put_off();
        }
        matches!(turn, Turn::Later { .. })
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        match order.leg {
            Leg::Exit => self.exit_may_go(&order.user).await?,
            Leg::Entry => self.entry_may_go(order).await?,
        }
        self.heed(&order.user, self.inner.submit(order).await)
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        let id = order.client_order_id;
        if !self.with(order.user, |account, now_ms| account.look_up_kept(id, now_ms)) {
            self.exit_may_go(order.user).await?;
        }
        self.heed(order.user, self.inner.lookup(order).await)
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        self.exit_may_go(order.user).await?;
        self.heed(order.user, self.inner.cancel(order).await)
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.inner.orders().await
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.inner.positions().await
    }

    fn reports(&self) -> &ReportQueue {
        self.inner.reports()
    }
}

#[cfg(test)]
mod tests;
