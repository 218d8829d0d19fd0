//! The live view: one line on stdout for each thing that happens, and now and then how the engine is doing.

use crate::executor::Executor;
use crate::gate::EpochGate;
use crate::guard::Watcher;
use crate::market::Market;
use crate::store::JournalEntry;
use serde_json::Value;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use strat_core::time::rfc3339;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Time between two status lines.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Fields worth a place on the line when they change.
const SHOWN: [&str; 11] = [
    "symbol",
    "status",
    "position",
    "pending",
    "entry_price",
    "exit_price",
    "stop_loss",
    "take_profit",
    "buy_at",
    "sell_at",
    "error",
];

/// Prints what happens.
pub struct Live {
    events: Receiver<Arc<JournalEntry>>,
    market: Arc<Market>,
    executor: Arc<Executor>,
    gate: EpochGate,
}

impl Live {
    /// A view of the journal's entries as they reach Postgres.
    #[must_use]
    pub fn new(
        events: Receiver<Arc<JournalEntry>>,
        market: Arc<Market>,
        executor: Arc<Executor>,
        gate: EpochGate,
    ) -> Self {
        Self { events, market, executor, gate }
    }

    /// Prints until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut status = interval(STATUS_EVERY);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        status.tick().await;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = status.tick() => print_line(&self.status()),
                event = self.events.recv() => match event {
                    Ok(entry) => print_line(&line(&entry)),
                    Err(RecvError::Lagged(missed)) => print_line(&format!("… {missed} events not shown")),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn status(&self) -> String {
        let market = self.market.stats();
        let trading = if self.gate.peek().is_some() { "trading" } else { "WAITING for reconciliation" };
        let watching = match self.market.guard().status().watching {
            Watcher::Redis => "stops are watched",
            Watcher::Engine => "REDIS IS AWAY, the engine watches the stops",
            Watcher::Nobody => "STOPS ARE NOT WATCHED",
        };
        let working = self.executor.working();
        format!(
            "-- {trading}, {watching}: {} ticks, {} triggers fired, {working} orders working",
            market.ticks, market.fired
        )
    }
}

/// One event: time, whose, what, and what changed.
fn line(entry: &JournalEntry) -> String {
    let timestamp = rfc3339(entry.ts_ms);
    let time = timestamp.get(11..23).unwrap_or(&timestamp);
    let whose = format!("{}/{}", entry.user, entry.strategy);
    let mut line = format!("{time}  {whose:24}  {:18}", printable(&entry.kind));
    if let Some(order) = &entry.order {
        line += &format!("  {} {}", printable(&order.action), printable(&order.exec_type));
        if !order.avg_px.is_empty() {
            line += &format!(" {} @ {}", printable(&order.cum_qty), printable(&order.avg_px));
        }
        if !order.text.is_empty() {
            line += &format!(" ({})", printable(&order.text));
        }
    }
    for name in SHOWN {
        if let Some(value) = entry.data.get(name).and_then(Value::as_str).filter(|value| !value.is_empty()) {
            let epoch_ms = value.parse().ok().filter(|_| name.ends_with("_at"));
            line += &format!("  {name} {}", epoch_ms.map_or_else(|| printable(value), rfc3339));
        }
    }
    line
}

/// Words of users and brokers must not move the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(120).collect()
}

/// A terminal that went away is no reason to stop trading.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::hostile::foreign;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_line_says_when_who_and_what() {
        let Value::Object(data) =
            json!({"position": "BOUGHT", "entry_price": "99.50", "working": "", "error": "a\u{1b}b"})
        else {
            unreachable!()
        };
        let entry = JournalEntry {
            id: "1-0".to_owned(),
            key: "user:a:strategy:s".to_owned(),
            user: "a".to_owned(),
            strategy: "s".to_owned(),
            version: 3,
            kind: "ORDER_EXECUTED".to_owned(),
            ts_ms: 1_381_219_217_034,
            data,
            order: None,
            replace: false,
        };
        let line = line(&entry);
        assert!(
            line.starts_with("08:00:17.034  a/s ")
                && line.ends_with("ORDER_EXECUTED      position BOUGHT  entry_price 99.50  error a?b"),
            "{line}"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_journal_says_the_cursor_stays_where_it_is(entry in foreign()) {
            if let Ok(entry) = JournalEntry::of(entry) {
                let line = line(&entry);
                prop_assert!(!line.chars().any(char::is_control) && line.chars().count() <= 4_000, "{line:?}");
            }
        }
    }
}
