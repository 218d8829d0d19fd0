//! The broker's books: orders, prices, what is still to come. Every change is in the ledger first.

use crate::args::{Args, Class};
use crate::feed::Feed;
use crate::ledger::{Event, Ledger, Line};
use crate::lies::{Lie, Lies};
use crate::order::{Order, Plan, line_of};
use crate::rng::Rng;
use crate::wire::{Request, Side};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use strat_core::{ExecType, Price, Quantity};

/// Price of a symbol that nobody has set one for.
const PRICE: Price = Price::from_units(100 * strat_core::decimal::SCALE);

/// What became of a request for an order.
pub(crate) enum Placed {
    /// A new order of this number.
    New(u64),
    /// The order that it repeats; the class answers with it.
    Repeat(u64),
    /// The order that it repeats is open; the class refuses.
    Refused,
}

/// Something that happens later, whoever asks; kept in the ledger, so that a restart goes on with it.
#[derive(Debug, Clone)]
pub(crate) enum Later {
    /// A request that was not answered is carried out.
    Request(Request),
    /// A fill of a cancelled order comes in.
    Fill(u64),
}

pub(crate) struct Book {
    class: Class,
    pub(crate) lies: Lies,
    pub(crate) rng: Rng,
    pub(crate) feed: Feed,
    ledger: Ledger,
    /// By number, from 1.
    orders: Vec<Order>,
    by_id: HashMap<String, Vec<u64>>,
    prices: HashMap<String, Price>,
    /// What is still to come.
    pub(crate) later: Vec<Later>,
    /// Lies told since the start of this process, by name.
    pub(crate) told: BTreeMap<&'static str, u64>,
    not_found_ms: u64,
}

impl Book {
    /// Goes on where the ledger ends.
    pub(crate) fn open(args: &Args) -> Result<Self, String> {
        let (ledger, lines) = Ledger::open(&args.ledger)?;
        let mut book = Self {
            class: args.class,
            lies: args.lies.clone(),
            rng: Rng::new(args.seed.wrapping_add(lines.len() as u64)),
            feed: Feed::default(),
            ledger,
            orders: Vec::new(),
            by_id: HashMap::new(),
            prices: HashMap::new(),
            later: Vec::new(),
            told: BTreeMap::new(),
            not_found_ms: args.not_found_ms,
        };
        for line in &lines {
            book.restore(line).map_err(|why| format!("the ledger says {line:?}: {why}"))?;
        }
        Ok(book)
    }

    pub(crate) fn append(&mut self, lines: &[Line]) {
        self.ledger.append(lines);
    }

    pub(crate) fn note(&mut self, line: Line) {
        self.ledger.note(&[line]);
    }

    /// Draws whether to tell a lie.
    pub(crate) fn tells(&mut self, lie: Lie) -> bool {
        let told = self.rng.chance(self.lies.percent(lie));
        if told {
            *self.told.entry(lie.name()).or_default() += 1;
        }
        told
    }

    pub(crate) fn orders(&self) -> &[Order] {
        &self.orders
    }

    pub(crate) fn order(&self, no: u64) -> Option<&Order> {
        self.orders.get(usize::try_from(no).ok()?.checked_sub(1)?)
    }

    pub(crate) fn order_mut(&mut self, no: u64) -> Option<&mut Order> {
        self.orders.get_mut(usize::try_from(no).ok()?.checked_sub(1)?)
    }

    /// The latest order of an id.
    pub(crate) fn latest(&self, id: &str) -> Option<&Order> {
        self.order(*self.by_id.get(id)?.last()?)
    }

    pub(crate) fn open_of(&self, id: &str) -> Vec<u64> {
        let numbers = self.by_id.get(id).map_or(&[][..], Vec::as_slice);
        numbers.iter().copied().filter(|no| self.order(*no).is_some_and(Order::is_open)).collect()
    }

    pub(crate) fn price(&self, symbol: &str) -> Price {
        self.prices.get(symbol).copied().unwrap_or(PRICE)
    }

    pub(crate) fn set_price(&mut self, symbol: &str, price: Price) {
        self.prices.insert(symbol.to_owned(), price);
    }

    /// Net units by user and symbol.
    pub(crate) fn positions(&self) -> BTreeMap<(String, String), i64> {
        let mut positions = BTreeMap::new();
        for Order { request, cum_qty, .. } in &self.orders {
            let held = positions.entry((request.user.clone(), request.symbol.clone())).or_insert(0_i64);
            *held += if request.side == Side::Buy { cum_qty.units() } else { -cum_qty.units() };
        }
        positions.retain(|_, units| *units != 0);
        positions
    }

    /// Carries a request out. `first` are ledger lines that go before.
    pub(crate) fn place(&mut self, request: &Request, mut first: Vec<Line>, reason: Option<&str>, now: i64) -> Placed {
        let because = |line: Line| Line { reason: reason.map(str::to_owned), ..line };
        let known = match self.class {
            Class::A => self.by_id.get(&request.client_order_id).and_then(|numbers| numbers.first().copied()),
            Class::B => self.open_of(&request.client_order_id).first().copied(),
            Class::C => None,
        };
        if let Some(no) = known {
            let line = Line { order_no: Some(no), ..line_of(request, Event::Duplicate, now) };
            first.push(because(line));
            self.ledger.append(&first);
            return if self.class == Class::A { Placed::Repeat(no) } else { Placed::Refused };
        }
        let no = self.orders.len() as u64 + 1;
        let plan = self.plan(now);
        let order = Order::new(no, request.clone(), plan, now);
        first.push(because(order.line(Event::Accept, now)));
        for (lie, told) in [
            (Lie::Reject, order.plan.reject),
            (Lie::PartialThenCancel, order.plan.cancel_rest),
            (Lie::LostTerminal, order.plan.hide_end),
        ] {
            if told {
                first.push(order.line(Event::Lie, now).reason(lie.name()));
            }
        }
        self.ledger.append(&first);
        self.add(order);
        Placed::New(no)
    }

    pub(crate) fn add(&mut self, order: Order) {
        self.by_id.entry(order.request.client_order_id.clone()).or_default().push(order.no);
        self.orders.push(order);
    }

    fn plan(&mut self, now: i64) -> Plan {
        let reject = self.tells(Lie::Reject);
        let denied_ms =
            if self.tells(Lie::NotFound) { self.rng.between(1, self.not_found_ms.max(1) as i64) } else { 0 };
        Plan {
            reject,
            cancel_rest: !reject && self.tells(Lie::PartialThenCancel),
            hide_end: self.tells(Lie::LostTerminal),
            repeat: self.tells(Lie::DuplicateFill),
            parts: *self.rng.pick(&[1, 1, 2, 3]),
            denied_until: now + denied_ms,
        }
    }

    /// The next thing that happens to an order by itself. Answers whether more will follow.
    pub(crate) fn step(&mut self, no: u64, now: i64) -> bool {
        let Some(order) = self.order(no).filter(|order| order.is_open()).cloned() else { return false };
        if order.plan.reject && order.cum_qty == Quantity::ZERO {
            let reason = "rejected by the exchange (simulated)";
            self.ledger.append(&[order.line(Event::Reject, now).reason(reason)]);
            self.end(no, ExecType::Rejected, reason, now);
            return false;
        }
        // With a single part there is nothing to fill before the cancellation.
        let cancelled = order.plan.cancel_rest && (order.cum_qty > Quantity::ZERO || order.part() == order.rest());
        if cancelled {
            self.ledger.append(&[order.line(Event::Cancel, now).reason("broker")]);
            self.end(no, ExecType::Canceled, "cancelled by the broker (simulated)", now);
            return false;
        }
        self.fill(&order, order.part(), None, now);
        true
    }

    /// Books a fill and reports it.
    pub(crate) fn fill(&mut self, order: &Order, quantity: Quantity, reason: Option<&str>, now: i64) {
        let price = self.price(&order.request.symbol);
        let line = Line {
            quantity: Some(quantity.to_string()),
            price: Some(price.to_string()),
            reason: reason.map(str::to_owned),
            ..order.line(Event::Fill, now)
        };
        self.ledger.append(&[line]);
        let stale = order.json();
        let Some(order) = self.order_mut(order.no) else { return };
        order.fill(quantity, price, now);
        let (fresh, plan, ended) = (order.json(), order.plan.clone(), !order.is_open());
        if ended && plan.hide_end && reason.is_none() {
            return;
        }
        self.feed.push(&fresh);
        if plan.repeat {
            self.feed.repeat(&fresh);
            self.feed.push(&fresh);
            self.feed.push(&stale);
        }
    }

    /// Books the end of an order and reports it.
    pub(crate) fn end(&mut self, no: u64, status: ExecType, text: &str, now: i64) {
        let Some(order) = self.order_mut(no) else { return };
        order.end(status, text, now);
        let (report, hidden) = (order.json(), order.plan.hide_end);
        if !hidden {
            self.feed.push(&report);
        }
    }

    /// What the orders look like to whoever asks now: those that are denied are not there.
    pub(crate) fn listed(&self, since: i64, now: i64) -> Vec<Value> {
        let listed = self.orders.iter().filter(|order| order.is_open() || order.ts_ms >= since);
        listed.filter(|order| order.plan.denied_until <= now).map(Order::json).collect()
    }
}
