//! The paper broker: fills market orders at the next price of their symbol.
//!
//! A protected exit fills only within its protection, and rests until then.
//!
//! Without latency, partial fills, rejections and timeouts it is deterministic: an order accepted before a tick
//! fills whole at that tick's price.

mod books;

use super::ledger::{Ledger, LedgerError, LedgerEvent, LedgerLine};
use super::{
    Broker, BrokerError, BrokerOrder, BrokerPosition, Idempotency, OrderRef, OrderRequest, OrderState, ReportQueue,
};
use crate::clock::Clock;
use crate::random::SplitMix;
use async_trait::async_trait;
use books::{Books, Order, line};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_core::{ExecType, Price, Quantity};

/// Most orders open at once; a broker that takes more and more is a programming error somewhere.
const OPEN_MAX: usize = 1_000_000;

/// Orders that ended longer ago are not listed: that is a day's worth in every time zone.
const LISTED_MS: i64 = 24 * 3_600_000;

/// How the paper broker behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaperSettings {
    /// Time until a request is answered.
    pub latency: Duration,
    /// Orders in a hundred that fill in parts, half of the rest at each tick.
    pub partial_percent: u8,
    /// Orders in a hundred that are rejected.
    pub reject_percent: u8,
    /// Requests in a hundred whose answer never comes; half of those orders exist all the same.
    pub timeout_percent: u8,
    /// Seed of those draws.
    pub seed: u64,
}

/// The simulated broker.
pub struct PaperBroker {
    settings: PaperSettings,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
    reports: ReportQueue,
}

impl PaperBroker {
    /// A broker that goes on from what `lines` of its ledger say.
    #[must_use]
    pub fn new(settings: PaperSettings, clock: Arc<dyn Clock>, ledger: Ledger, lines: &[LedgerLine]) -> Self {
        let random = SplitMix::new(settings.seed);
        let mut books = Books {
            orders: HashMap::new(),
            open: HashMap::new(),
            open_count: 0,
            ended: VecDeque::new(),
            positions: BTreeMap::new(),
            ledger,
            random,
        };
        for line in lines {
            books.restore(line);
        }
        Self { settings, clock, books: Mutex::new(books), reports: ReportQueue::default() }
    }

    /// A price was traded: open orders of the symbol fill at it. Returns how many did.
    ///
    /// # Errors
    /// [`LedgerError`] where the fills cannot be written down; then nothing has been filled.
    pub fn on_tick(&self, symbol: &str, price: Price, ts_ms: i64) -> Result<usize, LedgerError> {
        let mut books = self.lock();
        // Nearly every tick: nothing is open.
        let Some(ids) = books.open.get(symbol).filter(|ids| !ids.is_empty()).cloned() else { return Ok(0) };
        let fills: Vec<(String, Quantity)> = ids.iter().filter_map(|id| books.fill_of(id, price)).collect();
        if fills.is_empty() {
            return Ok(0);
        }
        let lines = fills.iter().filter_map(|(id, quantity)| {
            let mut line = books.orders.get(id)?.line(LedgerEvent::Fill, ts_ms);
            (line.quantity, line.price) = (quantity.to_string(), Some(price.to_string()));
            Some(line)
        });
        let lines = lines.collect();
        blocking(|| books.ledger.append(lines))?;
        let count = fills.len();
        for (id, quantity) in fills {
            if let Some(state) = books.fill(&id, quantity, price, ts_ms) {
                self.reports.push(state);
            }
            books.close_if_ended(&id);
        }
        Ok(count)
    }

    /// Orders that wait for a price.
    #[must_use]
    pub fn open_orders(&self) -> usize {
        self.lock().open_count
    }

    /// Whether an order of the symbol waits for a price.
    #[must_use]
    pub fn has_open(&self, symbol: &str) -> bool {
        self.lock().open.get(symbol).is_some_and(|ids| !ids.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn delay(&self) {
        if !self.settings.latency.is_zero() {
            tokio::time::sleep(self.settings.latency).await;
        }
    }

    /// Takes or refuses an order; both are in the ledger when this returns.
    fn place(&self, request: &OrderRequest) -> Result<OrderState, BrokerError> {
        let now = self.clock.now_ms();
        let mut books = self.lock();
        let mut lines = vec![line(request, LedgerEvent::Submit, now)];
        let answer = match books.orders.get(&request.client_order_id) {
            Some(order) => {
                lines.push(order.line(LedgerEvent::Duplicate, now));
                Ok(order.state.clone())
            }
            None => match books.refusal(self.settings, request) {
                Some(reason) => {
                    let rejected = line(request, LedgerEvent::Reject, now);
                    lines.push(LedgerLine { reason: Some(reason.clone()), ..rejected });
                    Err(BrokerError::Rejected(reason))
                }
                None => {
                    lines.push(line(request, LedgerEvent::Accept, now));
                    Ok(Order::new(request.clone(), false, now).state)
                }
            },
        };
        let accepted = lines.last().is_some_and(|line| line.event == LedgerEvent::Accept);
        blocking(|| books.ledger.append(lines)).map_err(|error| BrokerError::Unknown(error.to_string()))?;
        if accepted {
            let in_parts = books.random.chance(self.settings.partial_percent);
            books.add(Order::new(request.clone(), in_parts, now));
        }
        answer
    }
}

#[async_trait]
impl Broker for PaperBroker {
    fn idempotency(&self) -> Idempotency {
        Idempotency::Dedupes
    }

    fn clock_skew(&self) -> Duration {
        // The machine's own clock.
        Duration::ZERO
    }

    fn settles_within(&self) -> Duration {
        // A look-up reads the books themselves.
        Duration::ZERO
    }

    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError> {
        let (lost, arrives) = {
            let mut books = self.lock();
            let lost = books.random.chance(self.settings.timeout_percent);
            (lost, !lost || books.random.chance(50))
        };
        self.delay().await;
        let answer = if arrives { self.place(order) } else { Err(BrokerError::Unknown("request lost".to_owned())) };
        if lost { Err(BrokerError::Unknown("no answer in time (simulated)".to_owned())) } else { answer }
    }

    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError> {
        self.delay().await;
        Ok(self.lock().orders.get(order.client_order_id).map(|order| order.state.clone()))
    }

    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError> {
        self.delay().await;
        let now = self.clock.now_ms();
        let mut books = self.lock();
        let Some(known) = books.orders.get(order.client_order_id).filter(|order| !order.state.status.is_terminal())
        else {
            return Ok(());
        };
        let lines = vec![known.line(LedgerEvent::Cancel, now)];
        blocking(|| books.ledger.append(lines)).map_err(|error| BrokerError::Unknown(error.to_string()))?;
        if let Some(known) = books.orders.get_mut(order.client_order_id) {
            (known.state.status, known.state.ts_ms) = (ExecType::Canceled, now);
            known.state.text = "cancelled on request".to_owned();
            self.reports.push(known.state.clone());
        }
        books.close_if_ended(order.client_order_id);
        Ok(())
    }

    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.delay().await;
        let since = self.clock.now_ms() - LISTED_MS;
        let books = self.lock();
        let listed =
            books.orders.values().filter(|order| !order.state.status.is_terminal() || order.state.ts_ms >= since);
        Ok(listed.map(Order::listed).collect())
    }

    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.delay().await;
        let books = self.lock();
        let open = books.positions.iter().filter(|(_, units)| **units != 0);
        let position = |((user, symbol), units): (&(String, String), &i64)| BrokerPosition {
            user: user.clone(),
            symbol: symbol.clone(),
            quantity: Quantity::from_units(*units),
        };
        Ok(open.map(position).collect())
    }

    fn reports(&self) -> &ReportQueue {
        &self.reports
    }
}

/// Runs a short disk write without holding up other tasks where the runtime has threads to move them to.
fn blocking<T>(write: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(write),
        _ => write(),
    }
}

#[cfg(test)]
mod tests;
