//! A model of a broker that lies in every way that brokers do, within what its class promises.

use std::collections::BTreeMap;
use strat_core::{ExecType, Leg, Price, Quantity};
use strat_engine::broker::{BrokerError, Idempotency, OrderRequest, OrderState};
use strat_engine::executor::machine::OrderName;
use strat_engine::random::SplitMix;

/// An order that really exists.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) request: OrderRequest,
    pub(crate) state: OrderState,
    /// When the request was sent.
    pub(crate) sent_ms: i64,
    /// Sent by an engine that worked without Redis.
    pub(crate) alone: bool,
    /// It will never be filled whole by itself.
    pub(crate) thin: bool,
}

impl Order {
    pub(crate) const fn is_open(&self) -> bool {
        !self.state.status.is_terminal()
    }
}

/// Whose order an id is: key, cycle, leg.
pub(crate) type Owner = (String, u64, Leg);

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) class: Idempotency,
    pub(crate) settle_ms: i64,
    pub(crate) orders: Vec<Order>,
    /// Requests that ended as rejections for good.
    pub(crate) owners: BTreeMap<String, Owner>,
    /// What the strategies were told last of an order that has ended: status, quantity and when.
    pub(crate) declared: BTreeMap<String, (ExecType, Quantity, i64)>,
    /// Ids that were refused, and when first.
    pub(crate) refused: BTreeMap<String, i64>,
    pub(crate) honest: bool,
    pub(crate) down: bool,
}

impl Broker {
    pub(crate) fn new(class: Idempotency, settle_ms: i64) -> Self {
        Self {
            class,
            settle_ms,
            orders: Vec::new(),
            owners: BTreeMap::new(),
            declared: BTreeMap::new(),
            refused: BTreeMap::new(),
            honest: false,
            down: false,
        }
    }

    /// A request arrives: the order, and whether it is a new one.
    pub(crate) fn accept(
        &mut self,
        request: &OrderRequest,
        (sent_ms, alone): (i64, bool),
        now_ms: i64,
        random: &mut SplitMix,
    ) -> (Result<OrderState, BrokerError>, Option<usize>) {
        let known = self.orders.iter().rev().find(|order| order.request.client_order_id == request.client_order_id);
        match (self.class, known) {
            (Idempotency::Dedupes, Some(order)) => return (Ok(order.state.clone()), None),
            (Idempotency::Queryable, Some(order)) if order.is_open() => {
                // What it repeats is there: that is no rejection of it.
                return (Err(BrokerError::Unknown("duplicate order".to_owned())), None);
            }
            _ => {}
        }
        // What it refuses it refuses again for a while: margin does not come back in a moment. Two engines that send the
        // same attempt in one moment, one refused and one not, are a limit that docs/guarantees.md names.
        let id = &request.client_order_id;
        let again = self.refused.get(id).is_some_and(|at| now_ms - at < self.settle_ms);
        if again || (!self.honest && random.chance(6)) {
            self.refused.entry(id.clone()).or_insert(now_ms);
            return (Err(BrokerError::Rejected("no funds".to_owned())), None);
        }
        let state = OrderState {
            client_order_id: request.client_order_id.clone(),
            status: ExecType::New,
            cum_qty: Quantity::ZERO,
            avg_px: None,
            text: String::new(),
            ts_ms: now_ms,
        };
        let thin = random.chance(12);
        self.orders.push(Order { request: request.clone(), state: state.clone(), sent_ms, alone, thin });
        (Ok(state), Some(self.orders.len() - 1))
    }

    /// A look-up: an order that was sent a moment ago may be denied.
    pub(crate) fn lookup(&self, id: &str, now_ms: i64, random: &mut SplitMix) -> Option<OrderState> {
        let order = self.orders.iter().rev().find(|order| order.request.client_order_id == id)?;
        let fresh = now_ms - order.sent_ms < self.settle_ms;
        if fresh && !self.honest && random.chance(40) {
            return None;
        }
        Some(order.state.clone())
    }

    /// A cancellation arrives; answers the order that is to end.
    pub(crate) fn cancel(&self, name: &OrderName) -> Option<usize> {
        let id = &name.client_order_id;
        let at = self.orders.iter().rposition(|order| order.request.client_order_id == *id)?;
        self.orders[at].is_open().then_some(at)
    }

    /// Fills an order up to `cum` at a price.
    pub(crate) fn fill(&mut self, at: usize, cum: Quantity, price: Price, now_ms: i64) {
        let order = &mut self.orders[at];
        order.state.cum_qty = cum;
        order.state.avg_px = Some(price);
        order.state.ts_ms = now_ms;
        let whole = cum >= order.request.quantity;
        order.state.status = if whole { ExecType::Fill } else { ExecType::PartialFill };
    }

    pub(crate) fn end(&mut self, at: usize, status: ExecType, now_ms: i64) {
        let state = &mut self.orders[at].state;
        state.status = status;
        state.ts_ms = now_ms;
    }

    /// What all orders of a strategy's cycle and leg filled.
    pub(crate) fn filled(&self, key: &str, cycle: u64, leg: Leg) -> Quantity {
        let mine = self.of(key, cycle, leg).map(|order| order.state.cum_qty);
        mine.fold(Quantity::ZERO, Quantity::plus)
    }

    /// The orders of a strategy's cycle and leg.
    pub(crate) fn of<'a>(&'a self, key: &'a str, cycle: u64, leg: Leg) -> impl Iterator<Item = &'a Order> {
        self.orders.iter().filter(move |order| {
            let owner = self.owners.get(&order.request.client_order_id);
            owner.is_some_and(|(whose, when, what)| (whose.as_str(), *when, *what) == (key, cycle, leg))
        })
    }
}
