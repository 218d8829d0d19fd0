//! What calls to the broker have come to, for whoever asks how it is.

use super::{
    AccountOf, Broker, BrokerError, BrokerOrder, BrokerPosition, Complaint, Idempotency, OrderRef, OrderRequest,
    OrderState, ReportQueue,
};
use crate::clock::Clock;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is known of the broker from the calls that were made to it. Nothing is asked for its sake.
pub struct BrokerHealth {
    /// `broker.kind`.
    kind: String,
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
}

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Orders, look-ups, cancellations, lists.
    Orders,
    /// Execution reports.
    Reports,
}

#[derive(Debug, Default)]
struct Book {
    orders: Standing,
    reports: Standing,
    last: Option<Trouble>,
    calls: u64,
    failed: u64,
    limited: u64,
}

#[derive(Debug, Default)]
struct Standing {
    /// Since the last good answer.
    trouble: Option<Trouble>,
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it was.
    pub error: String,
    /// Epoch ms of the first in a row; of the last one where it is over.
    pub since_ms: i64,
}

/// How the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// `broker.kind`.
    pub kind: String,
    /// What is the matter now, if something is.
    pub trouble: Option<Trouble>,
    /// The last failure, which may be over.
    pub last: Option<Trouble>,
    /// Calls so far.
    pub calls: u64,
    /// Of them, those without a usable answer.
    pub failed: u64,
    /// Of them, those that were too many: for the broker, or for the limits that the engine keeps to.
    pub limited: u64,
    /// What a person has to see to.
    pub complaint: Option<Complaint>,
}

impl BrokerStatus {
    /// Why orders do not get through, where they do not.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        let urgent =
            self.complaint.as_ref().filter(|complaint| complaint.urgent).map(|complaint| complaint.text.as_str());
        urgent.or(self.trouble.as_ref().map(|trouble| trouble.error.as_str()))
    }

    /// What will be the matter unless somebody sees to it.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.complaint.as_ref().filter(|complaint| !complaint.urgent).map(|complaint| complaint.text.as_str())
    }
}

impl BrokerHealth {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(kind: String, clock: Arc<dyn Clock>) -> Self {
        Self { kind, clock, book: Mutex::default() }
    }

    /// Notes what became of a call. A refusal is an answer, and so is "too often".
    pub fn note<T>(&self, line: Line, outcome: &Result<T, BrokerError>) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.calls += 1;
        let failure = match outcome {
            Ok(_) | Err(BrokerError::Rejected(_)) => None,
            Err(BrokerError::RateLimited { .. }) => {
                book.limited += 1;
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let now_ms = self.clock.now_ms();
        let standing = match line {
            Line::Orders => &mut book.orders,
            Line::Reports => &mut book.reports,
        };
        let Some(error) = failure else {
            standing.trouble = None;
            return;
        };
        let since_ms = standing.trouble.as_ref().map_or(now_ms, |before| before.since_ms);
        standing.trouble = Some(Trouble { error: error.clone(), since_ms });
        book.failed += 1;
        book.last = Some(Trouble { error, since_ms: now_ms });
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> BrokerStatus {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        BrokerStatus {
            kind: self.kind.clone(),
            trouble: book.orders.trouble.clone().or_else(|| book.reports.trouble.clone()),
            last: book.last.clone(),
            calls: book.calls,
            failed: book.failed,
            limited: book.limited,
            complaint: None,
        }
    }

    /// A call that begins. One that is given up counts as one that was not answered.
    fn begin(&self) -> Begun<'_> {
        Begun { health: self, is_over: false }
    }
}

struct Begun<'a> {
    health: &'a BrokerHealth,
    is_over: bool,
}

impl Begun<'_> {
    fn end<T>(mut self, outcome: Result<T, BrokerError>) -> Result<T, BrokerError> {
        self.is_over = true;
        self.health.note(Line::Orders, &outcome);
        outcome
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.health.note::<()>(Line::Orders, &Err(BrokerError::Unknown("no answer in time".to_owned())));
        }
    }
}

/// A broker whose calls are noted.
pub struct Noted {
    inner: Arc<dyn Broker>,
    health: Arc<BrokerHealth>,
}

impl Noted {
    /// Notes the calls to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, health: Arc<BrokerHealth>) -> Self {
        Self { inner, health }
    }

    /// How the broker is, by its calls and by what it asks of a person.
    #[must_use]
    pub fn status(&self) -> BrokerStatus {
        BrokerStatus { complaint: self.inner.complaint(), ..self.health.status() }
    }

    /// Listings of a single user's account are noted by its own [`Noted`] alone: this one is of all that is done.
    async fn noted_of<T>(
        &self,
        account: &AccountOf,
        call: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        match account {
            AccountOf::Others => self.health.begin().end(call.await),
            AccountOf::User(_) => call.await,
        }
    }
}

#[async_trait]
impl Broker for Noted {
    fn idempotency(&self) -> Idempotency {
        self.inner.idempotency()
    }

    fn clock_skew(&self) -> Duration {
        self.inner.clock_skew()
    }

    fn settles_within(&self) -> Duration {
        self.inner.settles_within()
    }

    fn puts_off(&self, entry: OrderRef<'_>) -> bool {
        self.inner.puts_off(entry)
    }

    fn complaint(&self) -> Option<Complaint> {
        self.inner.complaint()
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        let begun = self.health.begin();
        begun.end(self.inner.submit(order).await)
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        let begun = self.health.begin();
        begun.end(self.inner.lookup(order).await)
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        let begun = self.health.begin();
        begun.end(self.inner.cancel(order).await)
    }

    fn accounts(&self) -> BTreeSet<AccountOf> {
        self.inner.accounts()
    }

    fn account_of(&self, user: &str) -> AccountOf {
        self.inner.account_of(user)
    }

    async fn orders_of(&self, account: &AccountOf) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.noted_of(account, self.inner.orders_of(account)).await
    }

    async fn positions_of(&self, account: &AccountOf) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.noted_of(account, self.inner.positions_of(account)).await
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        let begun = self.health.begin();
        begun.end(self.inner.orders().await)
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let begun = self.health.begin();
        begun.end(self.inner.positions().await)
    }

    fn reports(&self) -> &ReportQueue {
        self.inner.reports()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ReplayClock;

    fn health() -> (Arc<ReplayClock>, BrokerHealth) {
        let clock = Arc::new(ReplayClock::at(1_000));
        (clock.clone(), BrokerHealth::new("bridge".to_owned(), clock))
    }

    fn unknown(why: &str) -> Result<(), BrokerError> {
        Err(BrokerError::Unknown(why.to_owned()))
    }

    #[test]
    fn trouble_begins_with_the_first_failure_and_ends_with_an_answer() {
        let (clock, health) = health();
        assert_eq!((health.status().trouble, health.status().calls), (None, 0));
        health.note(Line::Orders, &unknown("lost"));
        clock.set(1_500);
        health.note(Line::Orders, &unknown("lost again"));
        let trouble = Trouble { error: "outcome unknown: lost again".to_owned(), since_ms: 1_000 };
        assert_eq!(health.status().trouble, Some(trouble));
        // Reports that come say nothing about orders.
        health.note(Line::Reports, &Ok(()));
        assert!(health.status().trouble.is_some());
        health.note(Line::Orders, &Err::<(), _>(BrokerError::Rejected("no money".to_owned())));
        let status = health.status();
        assert_eq!((status.trouble, status.calls, status.failed), (None, 4, 2), "a refusal is an answer");
        assert_eq!(status.last.map(|last| last.since_ms), Some(1_500));
        health.note(Line::Reports, &unknown("gone"));
        assert_eq!(health.status().trouble.map(|trouble| trouble.since_ms), Some(1_500));
    }

    #[test]
    fn calls_that_are_too_many_are_counted_and_no_failure() {
        let (_, health) = health();
        let limited = Err::<(), _>(BrokerError::RateLimited { retry_after: Duration::from_secs(1) });
        health.note(Line::Orders, &limited);
        let status = health.status();
        assert_eq!((status.trouble, status.limited, status.failed), (None, 1, 0));
    }

    #[test]
    fn a_call_that_is_given_up_was_not_answered() {
        let (_, health) = health();
        drop(health.begin());
        assert!(health.status().trouble.is_some_and(|trouble| trouble.error.contains("no answer in time")));
    }
}
