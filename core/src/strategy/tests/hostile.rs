//! Hashes that somebody else wrote.

use super::*;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generate;

fn value() -> impl Generate<Value = Vec<u8>> {
    let words = [
        "",
        "0",
        "1",
        "10",
        "-1",
        "95.00",
        "9223372036854775807",
        "18446744073709551615",
        "nan",
        "LONG",
        "SHORT",
        "RUNNING",
        "STOPPED",
        "BOUGHT",
        "SHORTED",
        "SOLD",
        "NONE",
        "BUY",
        "SELL",
        "STOPLOSS",
        "LEAVE",
        "IBM",
        "89999999999.99999999",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Nearly all such hashes are refused; those that parse are taken through every transition.
    #[test]
    fn no_hash_makes_the_rules_panic(
        values in proptest::collection::vec(value(), FIELDS_READ.len()),
        absent in any::<u32>(),
        sane in any::<bool>(),
        price in any::<i64>(),
        now in any::<i64>(),
    ) {
        let get = |name: &str| {
            let index = FIELDS_READ.iter().position(|known| *known == name)?;
            match name {
                "symbol" if sane => Some(&b"IBM"[..]),
                "quantity" if sane => Some(&b"10"[..]),
                _ if absent & 1 << index != 0 => None,
                _ => Some(&*values[index]),
            }
        };
        let salvaged = Strategy::salvage(get);
        let Ok(strategy) = Strategy::read(get) else { return Ok(()) };
        prop_assert_eq!(salvaged, Salvaged::from(&strategy));
        let price = Price::from_units(price);
        prop_assert_eq!(strategy.fire(price, None, "x", now).is_some(), strategy.crossed_by(price, None).is_some());
        let _ = strategy.due(now);
        for action in Action::ALL {
            let _ = strategy.check_claim(*action);
            for exec_type in ExecType::ALL {
                let filled = Some((strategy.quantity, price));
                let report = Report { exec_type: *exec_type, filled, order_id: String::new(), text: String::new(), ts_ms: now };
                let _ = strategy.report(*action, &report, BACKOFF);
            }
        }
        let _ = strategy.update(&[(b"status", b"STOPPED")], get, now);
        let _ = strategy.update(&[(b"position", b"BOUGHT")], get, now);
    }
}

#[test]
fn every_field_is_read_under_its_listed_name() {
    let asked = std::cell::RefCell::new(Vec::new());
    let get = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        match name {
            "symbol" => Some(&b"IBM"[..]),
            "quantity" => Some(&b"1"[..]),
            _ => None,
        }
    };
    Strategy::read(get).unwrap();
    let (mut asked, mut listed) = (asked.into_inner(), FIELDS_READ.map(str::to_owned).to_vec());
    asked.sort();
    listed.sort();
    assert_eq!(asked, listed);
    assert!(FIELDS_READ.iter().all(|name| crate::field::lookup(name).is_some()));
}

#[test]
fn every_field_that_is_read_has_its_place_and_no_other_text_has_one() {
    for (place, name) in crate::strategy::FIELDS_READ.iter().enumerate() {
        assert_eq!(crate::strategy::field_place(name.as_bytes()), Some(place));
        assert_eq!(crate::strategy::field_place(&name.as_bytes()[1..]), None);
    }
    assert_eq!(crate::strategy::field_place(b""), None);
}
