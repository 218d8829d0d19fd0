//! The rules, case by case and on random walks.

mod edits;
mod hostile;
mod orders;
mod triggers;
mod walk;

use super::*;
use std::collections::BTreeMap;

const BACKOFF: Backoff = Backoff { base_ms: 500, max_ms: 30_000 };
const NOW: i64 = 1_000;

/// A strategy's hash in a map: what the module does with each change, and nothing more.
#[derive(Debug, Clone, Default)]
struct Hash {
    fields: BTreeMap<String, String>,
}

impl Hash {
    /// A hash as somebody wrote it: a LONG of 10 with a stop at 95 and a target at 105, times 100 to 200 s.
    fn of(fields: &[(&str, &str)]) -> Self {
        let base = [
            ("symbol", "IBM"),
            ("quantity", "10"),
            ("stop_loss", "95.00"),
            ("take_profit", "105.00"),
            ("buy_at", "100000"),
            ("sell_at", "200000"),
        ];
        let all = base.iter().chain(fields);
        let fields = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { fields: fields.collect() }
    }

    fn state(&self) -> Strategy {
        let get = |name: &str| self.fields.get(name).map(String::as_bytes);
        Strategy::read(get).unwrap_or_else(|refusal| panic!("{refusal}: {self:?}"))
    }

    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn apply(&mut self, change: Change) -> Change {
        let version = self.state().version + 1;
        for (name, value) in &change.fields {
            self.fields.insert(name.clone(), value.clone());
        }
        self.fields.insert("version".to_owned(), version.to_string());
        change
    }

    fn set(&mut self, fields: &[(&str, &str)]) -> Result<Change, Refusal> {
        let old = (!self.fields.is_empty()).then(|| self.state());
        let bytes: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let key = crate::StrategyKey::parse("user:u:strategy:s").unwrap();
        let input = SetInput { key, fields: &bytes, old: old.as_ref(), salvaged: None, now_ms: NOW };
        let (change, version) = Strategy::set(&input)?;
        self.fields = change.fields.iter().cloned().collect();
        self.fields.insert("version".to_owned(), version.to_string());
        Ok(change)
    }

    fn update(&mut self, fields: &[(&str, &str)]) -> Result<Option<Change>, Refusal> {
        let bytes: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let current = |name: &str| self.fields.get(name).map(String::as_bytes);
        let change = self.state().update(&bytes, current, NOW)?;
        Ok(change.map(|change| self.apply(change)))
    }

    fn tick(&mut self, price: &str) -> Option<Action> {
        let change = self.state().fire(price.parse().unwrap(), None, price, NOW)?;
        self.apply(change).enqueue.map(|order| order.action)
    }

    /// What the time brings: the order enqueued, or nothing but a change.
    fn due(&mut self, now_ms: i64) -> Option<Option<Action>> {
        let change = self.state().due(now_ms)?;
        Some(self.apply(change).enqueue.map(|order| order.action))
    }

    /// `filled` as `10@100`, or empty.
    fn report(&mut self, action: Action, exec_type: ExecType, filled: &str) -> Option<Change> {
        let filled =
            filled.split_once('@').map(|(quantity, price)| (quantity.parse().unwrap(), price.parse().unwrap()));
        let report = Report { exec_type, filled, order_id: "ID".to_owned(), text: "why".to_owned(), ts_ms: NOW };
        let change = self.state().report(action, &report, BACKOFF).unwrap()?;
        Some(self.apply(change))
    }

    /// The fields named, for a comparison in one line.
    fn show(&self, names: &str) -> String {
        names.split(' ').map(|name| self.get(name)).collect::<Vec<_>>().join(" ")
    }
}

use crate::order::ExecType;

fn long() -> Hash {
    Hash::of(&[("position", "BOUGHT"), ("filled_quantity", "10"), ("cycle", "1")])
}

fn short() -> Hash {
    Hash::of(&[
        ("side", "SHORT"),
        ("position", "SHORTED"),
        ("filled_quantity", "10"),
        ("cycle", "1"),
        ("stop_loss", "105.00"),
        ("take_profit", "95.00"),
        ("sell_at", "100000"),
        ("buy_at", "200000"),
    ])
}

/// A long whose entry of 10 works at the broker, `filled` of it filled.
fn entering(filled: &str) -> Hash {
    let mut hash = Hash::of(&[]);
    assert_eq!(hash.due(100_000), Some(Some(Action::Buy)));
    hash.report(Action::Buy, ExecType::New, "");
    if !filled.is_empty() {
        hash.report(Action::Buy, ExecType::PartialFill, filled);
    }
    hash
}
