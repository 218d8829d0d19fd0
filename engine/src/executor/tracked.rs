//! Orders that work at the broker and whose locks this engine holds.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strat_client::LockToken;
use strat_core::{Action, ExecType, Quantity};

/// One order in flight.
#[derive(Debug)]
pub struct Tracked {
    /// Client order id.
    pub client_order_id: String,
    /// Key of the strategy's hash.
    pub key: String,
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
    /// Action that the lock was taken for.
    pub action: Action,
    /// The lock.
    pub token: LockToken,
    /// Queue entry to acknowledge when the order has ended.
    pub ack: Option<(String, String)>,
    /// What was reported last. Held while reporting, so that reports of one order go out one by one.
    pub reported: tokio::sync::Mutex<Option<(ExecType, Quantity)>>,
    /// Epoch ms when the broker was last heard of.
    heard_ms: AtomicI64,
}

impl Tracked {
    /// An order that is about to be sent or was found at the broker.
    #[must_use]
    pub fn new(job: &super::Job, names: (String, &str, &str), token: LockToken, now_ms: i64) -> Self {
        let (client_order_id, user, symbol) = names;
        Self {
            client_order_id,
            key: job.key.clone(),
            user: user.to_owned(),
            symbol: symbol.to_owned(),
            action: job.action,
            token,
            ack: job.ack.clone(),
            reported: tokio::sync::Mutex::new(None),
            heard_ms: AtomicI64::new(now_ms),
        }
    }

    /// How the broker knows it.
    #[must_use]
    pub fn name(&self) -> crate::broker::OrderRef<'_> {
        crate::broker::OrderRef { client_order_id: &self.client_order_id, user: &self.user, symbol: &self.symbol }
    }

    /// Notes that the broker spoke of it.
    pub fn heard(&self, now_ms: i64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When the broker last spoke of it, epoch ms.
    #[must_use]
    pub fn heard_ms(&self) -> i64 {
        self.heard_ms.load(Ordering::Relaxed)
    }
}

/// All of them. At most one per strategy, because each holds its strategy's lock.
#[derive(Debug, Default)]
pub struct TrackedOrders(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    by_id: HashMap<String, Arc<Tracked>>,
    acks: HashSet<(String, String)>,
}

impl Held {
    fn take(&mut self, client_order_id: &str) {
        if let Some(ack) = self.by_id.remove(client_order_id).and_then(|order| order.ack.clone()) {
            self.acks.remove(&ack);
        }
    }
}

impl TrackedOrders {
    /// Adds an order; a former one of the same id (its lock was lost) is forgotten.
    pub fn insert(&self, order: Tracked) -> Arc<Tracked> {
        let order = Arc::new(order);
        let mut held = self.lock();
        held.take(&order.client_order_id);
        held.acks.extend(order.ack.clone());
        held.by_id.insert(order.client_order_id.clone(), Arc::clone(&order));
        order
    }

    /// The order of an id.
    #[must_use]
    pub fn get(&self, client_order_id: &str) -> Option<Arc<Tracked>> {
        self.lock().by_id.get(client_order_id).cloned()
    }

    /// Forgets an order, unless another took its place meanwhile.
    pub fn remove(&self, order: &Tracked) {
        let mut held = self.lock();
        if held.by_id.get(&order.client_order_id).is_some_and(|known| known.token == order.token) {
            held.take(&order.client_order_id);
        }
    }

    /// Whether an order of a strategy is among them.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        self.lock().by_id.values().any(|order| order.key == key)
    }

    /// Forgets the order of a queue entry.
    pub fn remove_of(&self, ack: &(String, String)) {
        let mut held = self.lock();
        let id = held.by_id.values().find(|order| order.ack.as_ref() == Some(ack)).map(|o| o.client_order_id.clone());
        if let Some(id) = id {
            held.take(&id);
        }
    }

    /// Whether a queue entry's order is among them.
    #[must_use]
    pub fn holds(&self, ack: &(String, String)) -> bool {
        self.lock().acks.contains(ack)
    }

    /// All, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Tracked>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().by_id.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
