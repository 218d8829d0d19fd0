//! One real order of the broker.

use crate::ledger::{Event, Line};
use crate::wire::Request;
use serde_json::{Value, json};
use strat_core::decimal::{SCALE, average_price};
use strat_core::{ExecType, Price, Quantity};

/// What will become of an order; drawn when it is placed, and again after a restart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// It is rejected after it was acknowledged.
    pub(crate) reject: bool,
    /// The broker cancels what is left after the first part.
    pub(crate) cancel_rest: bool,
    /// Its end is not reported.
    pub(crate) hide_end: bool,
    /// Its fills are reported more than once.
    pub(crate) repeat: bool,
    /// In how many parts it fills.
    pub(crate) parts: i64,
    /// Epoch ms until which it is denied.
    pub(crate) denied_until: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The broker's own number, from 1.
    pub(crate) no: u64,
    pub(crate) request: Request,
    pub(crate) status: ExecType,
    pub(crate) cum_qty: Quantity,
    pub(crate) avg_px: Option<Price>,
    pub(crate) text: String,
    pub(crate) ts_ms: i64,
    pub(crate) plan: Plan,
}

impl Order {
    pub(crate) fn new(no: u64, request: Request, plan: Plan, ts_ms: i64) -> Self {
        let (cum_qty, avg_px, text) = (Quantity::ZERO, None, String::new());
        Self { no, request, status: ExecType::New, cum_qty, avg_px, text, ts_ms, plan }
    }

    pub(crate) const fn is_open(&self) -> bool {
        !self.status.is_terminal()
    }

    pub(crate) fn rest(&self) -> Quantity {
        self.request.quantity.minus(self.cum_qty)
    }

    /// What the next part fills, in whole units where that can be.
    pub(crate) fn part(&self) -> Quantity {
        let part = Quantity::from_units(self.request.quantity.units() / self.plan.parts.max(1) / SCALE * SCALE);
        if part == Quantity::ZERO || part > self.rest() { self.rest() } else { part }
    }

    /// A fill, also of an order that is dead.
    pub(crate) fn fill(&mut self, quantity: Quantity, price: Price, ts_ms: i64) {
        let before = (self.cum_qty, self.avg_px.unwrap_or_default());
        self.avg_px = average_price(before, (quantity, price));
        self.cum_qty = self.cum_qty.plus(quantity);
        self.ts_ms = ts_ms;
        if self.rest() == Quantity::ZERO {
            self.status = ExecType::Fill;
        } else if self.is_open() {
            self.status = ExecType::PartialFill;
        }
    }

    pub(crate) fn end(&mut self, status: ExecType, text: &str, ts_ms: i64) {
        (self.status, self.text, self.ts_ms) = (status, text.to_owned(), ts_ms);
    }

    /// A ledger line about it.
    pub(crate) fn line(&self, event: Event, ts: i64) -> Line {
        Line { order_no: Some(self.no), ..line_of(&self.request, event, ts) }
    }

    /// As it goes over the wire.
    pub(crate) fn json(&self) -> Value {
        json!({
            "client_order_id": self.request.client_order_id,
            "user": self.request.user,
            "symbol": self.request.symbol,
            "side": self.request.side,
            "quantity": self.request.quantity.to_string(),
            "status": self.status.as_str(),
            "cum_qty": self.cum_qty.to_string(),
            "avg_px": self.avg_px.map_or_else(String::new, |price| price.to_string()),
            "text": self.text,
            "ts_ms": self.ts_ms,
        })
    }
}

/// A ledger line about a request that is no order, or not yet.
pub(crate) fn line_of(request: &Request, event: Event, ts: i64) -> Line {
    Line {
        client_order_id: request.client_order_id.clone(),
        user: request.user.clone(),
        symbol: request.symbol.clone(),
        side: Some(request.side),
        quantity: Some(request.quantity.to_string()),
        ..Line::new(ts, event)
    }
}
