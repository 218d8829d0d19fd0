//! Whatever comes over the wire: no panic, and never a number that was not written.

use super::wire::report;
use crate::broker::OrderRef;
use crate::broker::binance::events::{Message, message};
use crate::broker::binance::wire::{order, orders};
use proptest::prelude::*;
use serde_json::Value;

const NAME: OrderRef<'_> = OrderRef { client_order_id: "ID1", user: "alice", symbol: "BTCUSDT" };

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (message(&bytes, "a"), order(&bytes, NAME), orders(&bytes, "a"));
    }

    /// A report with one byte changed is another report, or none.
    #[test]
    fn a_damaged_report(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = report().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Message::Execution(execution)) = message(&bytes, "a") {
            // What is passed over need not be UTF-8, nor its numbers within any range.
            if let Ok(written) = serde_json::from_str::<Value>(&String::from_utf8_lossy(&bytes)) {
                let filled = written["event"]["z"].as_str().unwrap();
                prop_assert_eq!(execution.order.state.cum_qty, filled.parse().unwrap());
            }
        }
    }

    /// Whatever the numbers: what is taken is what was written, and the average is what they give.
    #[test]
    fn numbers_of_a_report(quantity in "[0-9.e-]{0,12}", filled in "[0-9.e-]{0,12}", quote in "[0-9.e-]{0,14}") {
        let mut told = report();
        told["event"]["q"] = Value::from(quantity.as_str());
        told["event"]["z"] = Value::from(filled.as_str());
        told["event"]["Z"] = Value::from(quote.as_str());
        told["event"]["X"] = Value::from("CANCELED");
        if let Ok(Message::Execution(execution)) = message(told.to_string().as_bytes(), "a") {
            let state = execution.order.state;
            prop_assert_eq!(execution.order.quantity, quantity.parse().unwrap());
            prop_assert_eq!(state.cum_qty, filled.parse().unwrap());
            prop_assert!(state.cum_qty <= execution.order.quantity);
            if let Some(price) = state.avg_px {
                // Within half a unit: |price · filled − quote| ≤ filled / 2, in units.
                let units = |text: &str| i128::from(text.parse::<strat_core::Quantity>().unwrap().units());
                let off = i128::from(price.units()) * units(&filled) - units(&quote) * 100_000_000;
                prop_assert!(off.abs() * 2 <= units(&filled), "{price} for {quote} / {filled}");
            }
        }
    }
}
