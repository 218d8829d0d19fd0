//! Alerts beside strategies, next to a list of them.

use super::*;
use crate::alert::{Alert, AlertStatus, Condition};
use crate::key::AlertKey;
use proptest::prelude::{any, prop_assert};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Alert),
    Remove(usize),
    Invalid(usize),
    /// A strategy of the symbol comes or goes.
    Strategy(usize, bool),
    Settle,
}

fn alert_key(index: usize) -> AlertKey<'static> {
    AlertKey { prefix: PREFIXES[index % 3], user: USERS[index / 3 % 3], alert: IDS[index / 9] }
}

fn alert() -> impl Generate<Value = Alert> {
    let words = (select(SYMBOLS.to_vec()), select(Condition::ALL), select(AlertStatus::ALL), -1_i64..4);
    words.prop_map(|(symbol, condition, status, price)| Alert {
        symbol: symbol.to_owned(),
        condition,
        status,
        price: Price::from_units(price),
    })
}

fn step() -> impl Generate<Value = Step> {
    prop_oneof![
        6 => (0..KEYS, alert()).prop_map(|(key, alert)| Step::Put(key, alert)),
        2 => (0..KEYS).prop_map(Step::Remove),
        1 => (0..KEYS).prop_map(Step::Invalid),
        2 => (0..KEYS, any::<bool>()).prop_map(|(key, comes)| Step::Strategy(key, comes)),
        1 => select(vec![Step::Settle]),
    ]
}

fn holder(key: usize) -> Strategy {
    let fields = [("symbol", SYMBOLS[key % 3]), ("quantity", "1")];
    Strategy::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())).unwrap()
}

fn check(book: &mut Book, model: &BTreeMap<String, (usize, Alert)>) {
    assert_eq!(book.inconsistencies(), Vec::<String>::new());
    for (prefix, symbol) in PREFIXES.iter().flat_map(|prefix| SYMBOLS.map(|symbol| (*prefix, symbol))) {
        for price in (-2..5).map(Price::from_units) {
            let of_symbol = |key: usize, alert: &Alert| alert_key(key).prefix == prefix && alert.symbol == symbol;
            let fires = |key: usize, alert: &Alert| alert.fire(&alert_key(key), price, "1", 0).is_some();
            let expected: BTreeSet<_> = model
                .iter()
                .filter(|(_, (key, alert))| of_symbol(*key, alert) && fires(*key, alert))
                .map(|(name, _)| name.clone())
                .collect();
            let name = format!("{prefix}{symbol}");
            assert_eq!(touch(book, &name, price, 0, 0).crosses, !expected.is_empty());
            let found = book.alerts_crossed(&name, price, usize::MAX);
            assert_eq!(found.len(), expected.len(), "each once");
            assert_eq!(found.iter().map(|key| key.to_string()).collect::<BTreeSet<_>>(), expected);
        }
    }
}

fn pages(book: &Book, start: &str, count: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = book.alerts(start, found.last().map(String::as_str), count);
        assert!(page.keys.len() <= count && (!page.more || page.keys.len() == count));
        found.extend(page.keys);
        if !page.more {
            return found;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn alerts_are_what_their_hashes_say(steps in vec(step(), 1..60), count in 1_usize..4) {
        let (mut book, mut model) = (Book::default(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Put(index, alert) => {
                    book.put_alert(&alert_key(index), &alert);
                    prop_assert_eq!(
                        book.alert_of(&alert_key(index)),
                        Some((alert.symbol.as_str(), alert.armed()))
                    );
                    model.insert(alert_key(index).hash(), (index, alert));
                }
                Step::Remove(index) => {
                    book.remove_alert(&alert_key(index));
                    model.remove(&alert_key(index).hash());
                }
                Step::Invalid(index) => {
                    book.put_invalid_alert(&alert_key(index), "why".to_owned());
                    prop_assert!(book.stats().invalid > 0);
                    model.remove(&alert_key(index).hash());
                }
                Step::Strategy(index, true) => drop(book.put(&key(index), &holder(index))),
                Step::Strategy(index, false) => drop(book.remove(&key(index))),
                Step::Settle => {
                    book.defer();
                    book.settle();
                }
            }
            check(&mut book, &model);
            let armed = model.values().filter(|(_, alert)| alert.armed().is_some()).count();
            prop_assert_eq!(book.stats().alerts, armed);
        }
        for user in USERS {
            let start = crate::key::alerts_of("", user);
            let expected: Vec<_> = model.keys().filter(|name| name.starts_with(&start)).cloned().collect();
            prop_assert_eq!(book.alerts_count(&start, "").0 as usize, expected.len());
            prop_assert_eq!(pages(&book, &start, count), expected);
        }
    }
}

#[test]
fn a_storm_fires_the_alerts_that_it_crossed_and_no_later_ones() {
    let mut book = Book::default();
    let below = |price: i64| Alert {
        symbol: "A".to_owned(),
        condition: Condition::Below,
        status: AlertStatus::Active,
        price: Price::from_units(price),
    };
    book.put_alert(&alert_key(0), &below(10));
    book.put_alert(&alert_key(3), &below(4));
    book.add_storm("A", Price::from_units(5), 7);
    book.put_alert(&alert_key(6), &below(20));
    let slice = book.storm_slice("A", 16).unwrap();
    assert_eq!(slice.keys, [alert_key(0).hash().into_boxed_str()]);
    book.put_alert(&alert_key(0), &Alert { status: AlertStatus::Triggered, ..below(10) });
    assert!(book.storm_slice("A", 16).unwrap().keys.is_empty(), "it is over");
}

#[test]
fn no_alert_keeps_a_stop_waiting() {
    let mut book = Book::default();
    let above = Alert {
        symbol: "A".to_owned(),
        condition: Condition::Above,
        status: AlertStatus::Active,
        price: Price::from_units(1),
    };
    for index in [0, 3, 6, 9] {
        book.put_alert(&alert_key(index), &above);
        book.put_alert(&AlertKey { prefix: "{z}", ..alert_key(index) }, &above);
    }
    let short =
        [("symbol", "A"), ("quantity", "1"), ("side", "SHORT"), ("position", "SHORTED"), ("stop_loss", "0.00000002")];
    let short =
        Strategy::read(|name| short.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes()));
    let short = short.unwrap();
    book.put(&key(0), &short);
    book.put(&StrategyKey { prefix: "{z}", ..key(0) }, &short);
    book.add_storm("A", Price::from_units(3), 7);
    assert_eq!(
        book.storm_slice("A", 16).unwrap().keys,
        [key(0).hash().into_boxed_str()],
        "the stop, and nothing before it"
    );
    book.remove(&key(0));
    assert_eq!(book.storm_slice("A", 16).unwrap().keys.len(), 4, "then the alerts");
    // Another symbol's stops come before them too.
    book.add_storm("{z}A", Price::from_units(3), 8);
    assert_eq!(book.next_stormy().as_deref(), Some("{z}A"));
    book.remove(&StrategyKey { prefix: "{z}", ..key(0) });
    assert_eq!(book.next_stormy().as_deref(), Some("A"));
}
