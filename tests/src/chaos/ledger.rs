//! What the broker was asked and did, from its own books: the neutral witness.

use super::strategies::Life;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use strat_core::Quantity;

/// A line of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) event: String,
    pub(super) id: String,
    pub(super) user: String,
    pub(super) side: String,
    /// Of the order; of a fill, what this fill filled.
    pub(super) quantity: i64,
    /// Whether it is about an order that was accepted before.
    is_of_order: bool,
    /// A fill of an order that the broker has said to be cancelled.
    is_late: bool,
    text: String,
}

/// Reads the ledger; a line in the making has no end yet and is left out.
pub(super) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(line).collect()
}

/// How often the broker lied.
pub(super) fn lies(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(r#""event":"lie""#)).count()
}

/// How many orders it has taken.
pub(super) fn orders(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(r#""event":"accept""#)).count()
}

/// None for lines about nobody's order, such as prices.
fn line(text: &str) -> Option<Line> {
    let json: Json = serde_json::from_str(text).unwrap_or_else(|error| panic!("ledger line '{text}': {error}"));
    let field = |name: &str| json[name].as_str().map(str::to_owned);
    let event = field("event")?;
    Some(Line {
        id: field("client_order_id")?,
        user: field("user")?,
        side: field("side").unwrap_or_default(),
        quantity: field("quantity").map_or(0, |text| units(&text)),
        is_of_order: event != "reject" || json["order_no"].is_number(),
        is_late: event == "fill" && json["reason"] == "late_fill",
        event,
        text: text.to_owned(),
    })
}

/// A quantity in units of 10⁻⁸: brokers fill halves.
pub(super) fn units(text: &str) -> i64 {
    let parsed = Quantity::parse(text.as_bytes());
    parsed.unwrap_or_else(|error| panic!("quantity '{text}': {error}")).units()
}

/// Everything the broker did for one user, who is one strategy.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) entry_filled: i64,
    pub(super) exit_filled: i64,
    pub(super) entry_orders: usize,
    pub(super) exit_orders: usize,
    /// What the broker filled after it had said that the order is cancelled.
    pub(super) filled_late: i64,
    /// Ids of the orders that filled something in time.
    pub(super) filled_orders: BTreeSet<String>,
    pub(super) lines: Vec<String>,
    /// What must never happen.
    pub(super) violations: Vec<String>,
    /// Of orders at work: whether it is an entry, and what is not filled yet.
    open: BTreeMap<String, (bool, i64)>,
    accepted: BTreeSet<String>,
}

/// The accounts of all strategies, by user.
pub(super) fn accounts<'a>(lines: &[Line], lives: impl IntoIterator<Item = &'a Life>) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<_, _> =
        lives.into_iter().map(|life| (life.user.clone(), (life.entry_side(), Account::default()))).collect();
    for line in lines {
        if let Some((entry_side, account)) = accounts.get_mut(&line.user) {
            account.take(line, entry_side);
        }
    }
    accounts.into_iter().map(|(user, (_, account))| (user, account)).collect()
}

impl Account {
    fn take(&mut self, line: &Line, entry_side: &str) {
        self.lines.push(line.text.clone());
        let is_entry = line.side == entry_side;
        match line.event.as_str() {
            "accept" => self.accept(line, is_entry),
            "fill" => self.fill(line, is_entry),
            // A refused repeat says nothing about the order that it repeats.
            "cancel" | "reject" if line.is_of_order => drop(self.open.remove(&line.id)),
            _ => {}
        }
    }

    fn accept(&mut self, line: &Line, is_entry: bool) {
        if !self.accepted.insert(line.id.clone()) {
            self.violation("an order became an order twice", line);
        }
        self.open.insert(line.id.clone(), (is_entry, line.quantity));
        if is_entry {
            self.entry_orders += 1;
            if self.entry_orders > 1 {
                self.violation("a second entry of one cycle", line);
            }
            return;
        }
        self.exit_orders += 1;
        let at_work: i64 = self.open.values().filter(|(is_entry, _)| !is_entry).map(|(_, left)| left).sum();
        if self.exit_filled + at_work > self.entry_filled {
            self.violation("exits at work for more than is held", line);
        }
    }

    fn fill(&mut self, line: &Line, is_entry: bool) {
        if let Some((_, left)) = self.open.get_mut(&line.id) {
            *left -= line.quantity;
            if *left <= 0 {
                self.open.remove(&line.id);
            }
        }
        if line.is_late {
            self.filled_late += line.quantity;
        } else {
            self.filled_orders.insert(line.id.clone());
        }
        if is_entry {
            self.entry_filled += line.quantity;
        } else {
            self.exit_filled += line.quantity;
        }
        if self.exit_filled > self.entry_filled {
            self.violation("exits fill more than the entries", line);
        }
    }

    /// Orders that still work at the broker.
    pub(super) fn open_orders(&self) -> impl Iterator<Item = &String> {
        self.open.keys()
    }

    fn violation(&mut self, what: &str, line: &Line) {
        self.violations.push(format!("{what}: {}", line.text));
    }
}
