//! Journal entries that no module wrote: whoever may write into the stream may write these.

use super::entry::JournalEntry;
use super::fold::Fold;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};
use strat_core::EventType;
use strat_core::event::OrderReport;
use strat_core::strategy::FIELDS_READ;

fn word() -> impl Strategy<Value = String> {
    let words = [
        "",
        "IBM",
        "SPY",
        "10",
        "1",
        "0",
        "-1",
        "9223372036854775807",
        "18446744073709551615",
        "99.50",
        "89999999999.99999999",
        "LONG",
        "SHORT",
        "RUNNING",
        "STOPPED",
        "BOUGHT",
        "SHORTED",
        "BUY",
        "SELL",
        "STOPLOSS",
        "ENTRY",
        "EXIT",
        "FILL",
        "a\0b",
        "\u{1b}[2J",
    ];
    prop_oneof![8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "[\\x00-\\x{ffff}]{0,12}"]
}

fn data() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        8 => word().prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => vec(word(), 0..3).prop_map(Value::from),
    ];
    let name = prop_oneof![8 => prop::sample::select(FIELDS_READ.to_vec()).prop_map(str::to_owned), 1 => word()];
    (vec((name, value), 0..8), any::<bool>()).prop_map(|(members, sound)| {
        let sound = [("symbol", "IBM"), ("quantity", "10")].into_iter().filter(|_| sound);
        let sound = sound.map(|(name, text)| (name.to_owned(), Value::from(text)));
        members.into_iter().chain(sound).collect()
    })
}

fn report() -> impl Strategy<Value = OrderReport> {
    (prop::array::uniform7(word()), 0..4u64, any::<u64>()).prop_map(
        |([order_id, action, leg, exec_type, cum_qty, avg_px, text], cycle, attempt)| OrderReport {
            order_id,
            action,
            leg,
            cycle,
            attempt,
            exec_type,
            cum_qty,
            avg_px,
            text,
        },
    )
}

/// An entry as the client may read it.
pub(crate) fn foreign() -> impl Strategy<Value = strat_client::JournalEntry> {
    let key = prop_oneof![
        8 => prop::sample::select(vec!["user:a:strategy:s", "user:a:strategy:t"]).prop_map(str::to_owned),
        1 => word(),
    ];
    let kind = prop_oneof![4 => prop::sample::select(EventType::ALL).prop_map(|kind| kind.to_string()), 1 => word()];
    let version = prop_oneof![8 => 0..6u64, 1 => 0..=i64::MAX.unsigned_abs()];
    (key, version, kind, 0..=i64::MAX, data(), prop::option::of(report()), any::<bool>()).prop_map(
        |(key, version, kind, ts_ms, data, order, replace)| strat_client::JournalEntry {
            id: "7-0".to_owned(),
            deliveries: 1,
            key,
            version,
            kind,
            ts_ms,
            data,
            order,
            replace,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_the_journal_says_rows_hold_texts_that_postgres_takes(entries in vec(foreign(), 0..12)) {
        let mut fold = Fold::default();
        for entry in entries {
            let key = entry.key.clone();
            match JournalEntry::of(entry) {
                Ok(entry) => fold.apply(&entry),
                Err(why) => prop_assert!(why.contains(&key) || why.contains("version"), "{why}"),
            }
        }
        for slot in fold.rows.values() {
            let sound = slot.fields.iter().all(|(name, text)| !text.is_empty() && !name.contains('\0') && !text.contains('\0'));
            prop_assert!(sound, "{slot:?}");
        }
    }
}
