//! Orders, positions and prices. Nothing is ever forgotten.

use crate::now_ms;
use std::collections::BTreeMap;
use std::time::Instant;
use strat_core::{Price, Quantity};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Taken, nothing filled.
    New,
    /// A part is filled, the rest works.
    Partial,
    /// Filled.
    Filled,
    /// Cancelled, perhaps after fills.
    Canceled,
    /// The day is over, perhaps after fills.
    Expired,
    /// Refused after it was taken.
    Rejected,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Client order id, or tag.
    pub id: String,
    /// Symbol.
    pub symbol: String,
    /// Buys or sells.
    pub buy: bool,
    /// Above 0.
    pub quantity: Quantity,
    /// The worst price at which it trades; `None`: any.
    pub limit: Option<Price>,
}

impl NewOrder {
    fn takes(&self, price: Price) -> bool {
        self.limit.is_none_or(|limit| if self.buy { price <= limit } else { price >= limit })
    }
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// Number in the book, from 1: what the broker's own id is made of.
    pub no: u64,
    /// What was asked for.
    pub asked: NewOrder,
    /// Where it stands.
    pub status: Status,
    /// Filled so far.
    pub filled: Quantity,
    /// Σ quantity × price of that, in units of 10⁻¹⁶.
    pub cost: i128,
    /// The last fill: quantity and price.
    pub last: Option<(Quantity, Price)>,
    /// Fills so far.
    pub fills: u32,
    /// Epoch ms of its first and its last change.
    pub placed_ms: i64,
    /// See `placed_ms`.
    pub changed_ms: i64,
    /// When it was taken, for measurements.
    pub placed: Instant,
}

impl Order {
    /// Whether it still works.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.status, Status::New | Status::Partial)
    }

    /// Average price of what is filled, rounded down to 10⁻⁸.
    #[must_use]
    pub fn average(&self) -> Option<Price> {
        let filled = i128::from(self.filled.units());
        (filled > 0).then(|| Price::from_units(i64::try_from(self.cost / filled).unwrap()))
    }

    /// What is not filled yet.
    #[must_use]
    pub fn rest(&self) -> Quantity {
        self.asked.quantity.minus(self.filled)
    }
}

/// The book.
#[derive(Debug, Default)]
pub struct Book {
    orders: Vec<Order>,
    prices: BTreeMap<String, Price>,
    /// What is offered, where it is another than the last price.
    quotes: BTreeMap<String, Price>,
}

impl Book {
    /// Takes an order, whatever its id.
    pub fn add(&mut self, asked: NewOrder) -> Order {
        let now = now_ms();
        let order = Order {
            no: self.orders.len() as u64 + 1,
            asked,
            status: Status::New,
            filled: Quantity::ZERO,
            cost: 0,
            last: None,
            fills: 0,
            placed_ms: now,
            changed_ms: now,
            placed: Instant::now(),
        };
        self.orders.push(order.clone());
        order
    }

    /// All orders, oldest first.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The order of a number.
    #[must_use]
    pub fn get(&self, no: u64) -> Option<&Order> {
        self.orders.get(usize::try_from(no).ok()?.checked_sub(1)?)
    }

    /// The newest order of an id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Order> {
        self.orders.iter().rev().find(|order| order.asked.id == id)
    }

    /// Fills a part of an open order, at most its rest.
    pub fn fill(&mut self, no: u64, quantity: Quantity, price: Price) -> Option<Order> {
        let order = self.open(no)?;
        let part = quantity.min(order.rest());
        order.filled = order.filled.plus(part);
        order.cost += i128::from(part.units()) * i128::from(price.units());
        (order.last, order.fills) = (Some((part, price)), order.fills + 1);
        order.status = if order.rest() == Quantity::ZERO { Status::Filled } else { Status::Partial };
        Some(order.clone())
    }

    /// Ends an open order.
    pub fn end(&mut self, no: u64, status: Status) -> Option<Order> {
        let order = self.open(no)?;
        (order.status, order.last) = (status, None);
        Some(order.clone())
    }

    fn open(&mut self, no: u64) -> Option<&mut Order> {
        let order = self.orders.get_mut(usize::try_from(no).ok()?.checked_sub(1)?)?;
        if !order.is_open() {
            return None;
        }
        order.changed_ms = now_ms();
        Some(order)
    }

    /// Sets the last price; what is offered is the same until something else is said.
    pub fn set_price(&mut self, symbol: &str, price: Price) {
        self.prices.insert(symbol.to_owned(), price);
        self.quotes.remove(symbol);
    }

    /// Sets what is offered, apart from the last price: an order book that has emptied.
    pub fn set_quote(&mut self, symbol: &str, price: Price) {
        self.quotes.insert(symbol.to_owned(), price);
    }

    /// The price at which an order trades now, if it does.
    #[must_use]
    pub fn offered(&self, asked: &NewOrder) -> Option<Price> {
        let price = self.quotes.get(&asked.symbol).copied().unwrap_or_else(|| self.price(&asked.symbol));
        asked.takes(price).then_some(price)
    }

    /// The price of a symbol; 100 until one was set.
    #[must_use]
    pub fn price(&self, symbol: &str) -> Price {
        self.prices.get(symbol).copied().unwrap_or_else(|| "100".parse().unwrap())
    }

    /// What is held, net, by symbol; the flat ones are left out.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<String, Quantity> {
        let mut held: BTreeMap<String, Quantity> = BTreeMap::new();
        for order in &self.orders {
            let position = held.entry(order.asked.symbol.clone()).or_default();
            *position = if order.asked.buy { position.plus(order.filled) } else { position.net(order.filled) };
        }
        held.retain(|_, quantity| *quantity != Quantity::ZERO);
        held
    }
}
