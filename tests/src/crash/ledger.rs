//! What the broker was asked and did, from its own books.

use super::{Fields, QUANTITY, STRATEGIES, text};
use crate::support::loudly;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A line of the paper broker's ledger.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) event: String,
    pub(super) id: String,
    user: String,
    side: String,
    quantity: i64,
}

pub(super) fn read_ledger(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A line in the making has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let json: Json = serde_json::from_str(line).unwrap_or_else(|error| panic!("ledger line '{line}': {error}"));
        let field = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
        let quantity = field("quantity").parse().unwrap();
        Line { event: field("event"), id: field("client_order_id"), user: field("user"), side: field("side"), quantity }
    };
    whole.lines().map(line).collect()
}

/// The neutral witness: what the broker was asked and did.
pub(super) fn check_ledger(lines: &[Line], ended: &BTreeMap<String, Fields>) {
    let mut accepted = BTreeSet::new();
    for line in lines.iter().filter(|line| line.event == "accept") {
        assert!(accepted.insert(line.id.clone()), "order {} became an order twice", line.id);
    }
    for (user, fields) in ended {
        let long = text(fields, "side") != "SHORT";
        let (entry_side, exit_side) = if long { ("BUY", "SELL") } else { ("SELL", "BUY") };
        let own: Vec<_> = lines.iter().filter(|line| line.user == *user).collect();
        let fills = |side: &str| {
            own.iter()
                .filter(|line| line.event == "fill" && line.side == side)
                .map(|line| line.quantity)
                .collect::<Vec<_>>()
        };
        let orders = |side: &str| own.iter().filter(|line| line.event == "accept" && line.side == side).count();
        let (entries, exits) = (fills(entry_side), fills(exit_side));
        let shown = || format!("{user}: {fields:?}\n{own:?}");
        if text(fields, "position") == "NONE" {
            assert!(entries.is_empty() && exits.is_empty(), "fills without a position: {}", shown());
        } else {
            assert_eq!(entries, [QUANTITY], "one fill of the entry: {}", shown());
            assert_eq!(exits, [QUANTITY], "one fill of the exit: {}", shown());
            assert_eq!(orders(entry_side), 1, "one entry order: {}", shown());
            assert_eq!(text(fields, "cycle"), "1", "{}", shown());
            let ends: &[&str] = if long {
                &["SOLD", "EXITED_BY_SL", "EXITED_BY_TP"]
            } else {
                &["COVERED", "EXITED_BY_SL", "EXITED_BY_TP"]
            };
            assert!(ends.contains(&text(fields, "position")), "{}", shown());
            assert_eq!((text(fields, "filled_quantity"), text(fields, "exit_quantity")), ("10", "10"), "{}", shown());
        }
    }
    let traded = ended.values().filter(|fields| text(fields, "position") != "NONE").count();
    let levels = ended.values().filter(|fields| text(fields, "position").starts_with("EXITED_BY")).count();
    loudly(&format!(
        "crash: {traded} of {STRATEGIES} traded, {levels} of them ended by a level, {} orders",
        accepted.len()
    ));
    // Without trades the run would prove nothing.
    assert!(traded >= STRATEGIES * 8 / 10 && levels >= 5, "{traded} traded, {levels} by a level");
}
