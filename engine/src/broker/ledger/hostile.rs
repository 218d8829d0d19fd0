//! Ledgers of any bytes.

use super::*;
use crate::broker::{PaperBroker, PaperSettings};
use crate::clock::ReplayClock;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn line() -> impl Strategy<Value = LedgerLine> {
    use LedgerEvent::{Accept, Cancel, Duplicate, Fill, Reject, Submit};
    let event = prop::sample::select(vec![Submit, Accept, Duplicate, Reject, Fill, Cancel]);
    let words = ("[A-B]", "\\PC{0,8}", "[A-Z&]{1,4}", prop::option::of("[\\x00-\\x{ffff}]{0,12}"));
    let numbers = (any::<i64>(), "[1-9][0-9]{0,9}(\\.[0-9]{1,8})?", "[0-9]{1,10}(\\.[0-9]{1,8})?");
    (event, words, numbers, any::<bool>()).prop_map(
        |(event, (id, user, symbol, reason), (ts, quantity, price), buy)| LedgerLine {
            ts,
            event,
            client_order_id: id,
            user,
            symbol,
            limit: (event == Accept && ts % 2 == 0).then(|| quantity.clone()),
            side: if buy { OrderSide::Buy } else { OrderSide::Sell },
            quantity,
            price: (event == Fill).then_some(price),
            reason,
        },
    )
}

proptest! {
    #[test]
    fn what_is_appended_is_read_back_and_a_torn_end_is_cut_off(lines in vec(line(), 0..6), torn in "[^\n]{0,20}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.jsonl");
        let (mut ledger, _) = Ledger::open(&path).unwrap();
        ledger.append(lines.clone()).unwrap();
        drop(ledger);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
        prop_assert_eq!(Ledger::open(&path).unwrap().1, lines);
    }

    #[test]
    fn a_broker_goes_on_from_whatever_its_ledger_says(lines in vec(line(), 0..12)) {
        let settings = PaperSettings { latency: Duration::ZERO, partial_percent: 50, reject_percent: 0, timeout_percent: 0, seed: 1 };
        let accepted = lines.iter().filter(|line| line.event == LedgerEvent::Accept).count();
        let broker = PaperBroker::new(settings, Arc::new(ReplayClock::at(1)), Ledger::in_memory(), &lines);
        let open = broker.open_orders();
        prop_assert!(open <= accepted);
        let symbols: BTreeSet<_> = lines.iter().map(|line| &line.symbol).collect();
        let fill = |units| -> usize {
            symbols.iter().map(|symbol| broker.on_tick(symbol, Price::from_units(units), 1).unwrap()).sum()
        };
        // Limits are above the one and below the other.
        let (low, high) = (fill(1), fill(i64::MAX));
        prop_assert_eq!(low + high, open, "what is open is filled by the next price that it takes, and nothing else");
        prop_assert!(high == 0 || lines.iter().any(|line| line.limit.is_some()));
    }

    #[test]
    fn a_line_that_is_none_is_named(
        lines in vec(line(), 0..3),
        (wrong, bytes) in ("[{}\\[\\]\":,a-z0-9\\\\ ]{1,60}", vec(any::<u8>(), 0..40)),
        quantity in "-?[0-9.e]{0,24}",
    ) {
        let parsed = |bytes: &[u8]| parse(bytes, Path::new("ledger.jsonl"));
        let mut text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        text.push_str(&wrong);
        let _ = parsed(&bytes);
        if let Err(error) = parsed(text.as_bytes()) {
            prop_assert!(error.to_string().contains(&format!("line {}", lines.len() + 1)), "{error}");
        }
        for mut line in lines {
            line.quantity.clone_from(&quantity);
            let read = parsed(serde_json::to_string(&line).unwrap().as_bytes());
            let booked = matches!(line.event, LedgerEvent::Accept | LedgerEvent::Fill);
            let sound = if booked { Quantity::parse_positive } else { Quantity::parse };
            prop_assert_eq!(read.is_ok(), sound(quantity.as_bytes()).is_ok(), "an order of nothing, or less");
        }
    }
}
