//! What the paper broker knows: its orders, what they hold, and its ledger.

use super::{OPEN_MAX, PaperSettings};
use crate::broker::{BrokerOrder, Ledger, LedgerEvent, LedgerLine, OrderRequest, OrderSide, OrderState};
use crate::random::SplitMix;
use std::collections::{BTreeMap, HashMap, VecDeque};
use strat_core::decimal::average_price;
use strat_core::{ExecType, Leg, Price, Quantity};

/// Ended orders that can still be looked up; the oldest are forgotten first.
const ENDED_MAX: usize = 1_000_000;

pub(super) struct Books {
    pub(super) orders: HashMap<String, Order>,
    /// Ids of open orders by symbol, oldest first.
    pub(super) open: HashMap<String, Vec<String>>,
    pub(super) open_count: usize,
    /// Ids of ended orders, oldest first.
    pub(super) ended: VecDeque<String>,
    /// Net units by user and symbol; apart from the orders, which are forgotten one day.
    pub(super) positions: BTreeMap<(String, String), i64>,
    pub(super) ledger: Ledger,
    pub(super) random: SplitMix,
}

pub(super) struct Order {
    pub(super) request: OrderRequest,
    pub(super) state: OrderState,
    pub(super) in_parts: bool,
    /// It fills at no worse price.
    pub(super) limit: Option<Price>,
}

impl Order {
    pub(super) fn new(request: OrderRequest, in_parts: bool, ts_ms: i64) -> Self {
        let client_order_id = request.client_order_id.clone();
        let (status, text) = (ExecType::New, String::new());
        Self {
            limit: request.limit(),
            request,
            in_parts,
            state: OrderState { client_order_id, status, cum_qty: Quantity::ZERO, avg_px: None, text, ts_ms },
        }
    }

    pub(super) fn listed(&self) -> BrokerOrder {
        BrokerOrder {
            user: self.request.user.clone(),
            symbol: self.request.symbol.clone(),
            side: self.request.side,
            quantity: self.request.quantity,
            state: self.state.clone(),
        }
    }

    pub(super) fn line(&self, event: LedgerEvent, ts: i64) -> LedgerLine {
        line(&self.request, event, ts)
    }

    /// Whether it trades at this price.
    pub(super) fn takes(&self, price: Price) -> bool {
        match (self.limit, self.request.side) {
            (None, _) => true,
            (Some(limit), OrderSide::Buy) => price <= limit,
            (Some(limit), OrderSide::Sell) => price >= limit,
        }
    }

    pub(super) fn fill(&mut self, quantity: Quantity, price: Price, ts_ms: i64) {
        let before = (self.state.cum_qty, self.state.avg_px.unwrap_or_default());
        self.state.avg_px = average_price(before, (quantity, price));
        self.state.cum_qty = self.state.cum_qty.plus(quantity);
        let whole = self.state.cum_qty >= self.request.quantity;
        self.state.status = if whole { ExecType::Fill } else { ExecType::PartialFill };
        // Ticks of a recorded day are older than the order; its last change is not.
        self.state.ts_ms = self.state.ts_ms.max(ts_ms);
    }
}

pub(super) fn line(request: &OrderRequest, event: LedgerEvent, ts: i64) -> LedgerLine {
    LedgerLine {
        ts,
        event,
        client_order_id: request.client_order_id.clone(),
        user: request.user.clone(),
        symbol: request.symbol.clone(),
        side: request.side,
        quantity: request.quantity.to_string(),
        price: None,
        limit: request.limit().map(|limit| limit.to_string()),
        reason: None,
    }
}

impl Books {
    pub(super) fn add(&mut self, order: Order) {
        let id = order.request.client_order_id.clone();
        self.open.entry(order.request.symbol.clone()).or_default().push(id.clone());
        self.open_count += 1;
        self.orders.insert(id, order);
    }

    pub(super) fn refusal(&mut self, settings: PaperSettings, request: &OrderRequest) -> Option<String> {
        if request.quantity <= Quantity::ZERO {
            return Some("quantity must be above 0".to_owned());
        }
        if self.open_count >= OPEN_MAX {
            return Some(format!("more than {OPEN_MAX} open orders"));
        }
        self.random.chance(settings.reject_percent).then(|| "rejected (simulated)".to_owned())
    }

    /// How much of an order a tick at this price fills.
    pub(super) fn fill_of(&self, id: &str, price: Price) -> Option<(String, Quantity)> {
        let order = self.orders.get(id).filter(|order| order.takes(price))?;
        let rest = order.request.quantity.minus(order.state.cum_qty);
        let half = Quantity::from_units(rest.units() / 2 / strat_core::decimal::SCALE * strat_core::decimal::SCALE);
        let part = if order.in_parts && half > Quantity::ZERO { half } else { rest };
        Some((id.to_owned(), part))
    }

    /// Books a fill; answers how the order stands then.
    pub(super) fn fill(&mut self, id: &str, quantity: Quantity, price: Price, ts_ms: i64) -> Option<OrderState> {
        let order = self.orders.get_mut(id)?;
        order.fill(quantity, price, ts_ms);
        let request = &order.request;
        let held = self.positions.entry((request.user.clone(), request.symbol.clone())).or_default();
        *held = match request.side {
            OrderSide::Buy => held.saturating_add(quantity.units()),
            OrderSide::Sell => held.saturating_sub(quantity.units()),
        };
        Some(order.state.clone())
    }

    pub(super) fn close_if_ended(&mut self, id: &str) {
        let Some(order) = self.orders.get(id).filter(|order| order.state.status.is_terminal()) else { return };
        let Some(ids) = self.open.get_mut(&order.request.symbol) else { return };
        let before = ids.len();
        ids.retain(|open| open != id);
        if ids.len() == before {
            return;
        }
        self.open_count -= 1;
        self.ended.push_back(id.to_owned());
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }

    pub(super) fn restore(&mut self, line: &LedgerLine) {
        let id = &line.client_order_id;
        let quantity: Quantity = line.quantity.parse().unwrap_or_default();
        match line.event {
            LedgerEvent::Accept => {
                let request = OrderRequest {
                    client_order_id: id.clone(),
                    user: line.user.clone(),
                    symbol: line.symbol.clone(),
                    side: line.side,
                    quantity,
                    // The ledger does not say, and nobody asks: it was sent long ago.
                    leg: Leg::Entry,
                    protection: None,
                    last_price: None,
                };
                let limit = line.limit.as_deref().and_then(|text| text.parse().ok());
                if !self.orders.contains_key(id) {
                    self.add(Order { limit, ..Order::new(request, false, line.ts) });
                }
            }
            LedgerEvent::Fill => {
                let price = line.price.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
                self.fill(id, quantity, price, line.ts);
            }
            LedgerEvent::Cancel => {
                if let Some(order) = self.orders.get_mut(id) {
                    (order.state.status, order.state.ts_ms) = (ExecType::Canceled, line.ts);
                }
            }
            LedgerEvent::Submit | LedgerEvent::Duplicate | LedgerEvent::Reject => {}
        }
        self.close_if_ended(id);
    }
}
