//! Entries of the streams: the queues and the journal, which anybody with the rights may write into.

use super::replies::named;
use super::values::{bulk, bytes, entries, or_any, value};
use crate::entry::{BadEntry, RawEntry, entries_by_stream};
use crate::{JournalEntry, QueueEntry, journal, queue};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use redis::Value;
use strat_core::event::{OrderReport, journal_field};
use strat_core::order::queue_field;
use strat_core::{Action, EventType, ExecType, Leg};

const QUEUE_FIELDS: [&str; 6] = [
    queue_field::KEY,
    queue_field::ACTION,
    queue_field::CYCLE,
    queue_field::VERSION,
    queue_field::PRICE,
    queue_field::TS,
];
const JOURNAL_FIELDS: [&str; 7] = [
    journal_field::KEY,
    journal_field::VERSION,
    journal_field::TYPE,
    journal_field::TS,
    journal_field::DATA,
    journal_field::ORDER,
    journal_field::REPLACE,
];

/// Names what is wrong, on one line that a log can hold.
fn complains(bad: &BadEntry, raw: &RawEntry, fields: &[&str]) -> Result<(), TestCaseError> {
    prop_assert_eq!((&bad.stream, &bad.id), (&raw.stream, &raw.id));
    prop_assert!(bad.reason.contains("trimmed") || fields.iter().any(|name| bad.reason.contains(name)), "{}", bad);
    prop_assert!(bad.reason.chars().count() <= 400 && !bad.reason.chars().any(char::is_control), "{:?}", bad.reason);
    Ok(())
}

fn both_read(raw: RawEntry) -> Result<(), TestCaseError> {
    if let Err(bad) = queue::typed(raw.clone()) {
        complains(&bad, &raw, &QUEUE_FIELDS)?;
    }
    if let Err(bad) = journal::typed(raw.clone()) {
        complains(&bad, &raw, &JOURNAL_FIELDS)?;
    }
    Ok(())
}

/// Fields with the names that count, often all of them, in any order and any number.
fn nearly(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let some = vec((prop::sample::select(names).prop_map(|name| name.as_bytes().to_vec()), bytes()), 0..10);
    let all = vec(bytes(), names.len())
        .prop_map(|values| names.iter().map(|name| name.as_bytes().to_vec()).zip(values).collect::<Vec<_>>());
    (prop_oneof![some, all], vec((bytes(), bytes()), 0..2)).prop_map(|(fields, more)| [fields, more].concat())
}

fn entry(id: &str, fields: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Value {
    let flat = fields.into_iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
    Value::Array(vec![bulk(id), Value::Array(flat)])
}

fn owned(fields: &[(&str, String)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone().into_bytes())).collect()
}

/// As RESP2 has it, and RESP3.
fn reply(stream: &str, entries: Vec<Value>, resp3: bool) -> Value {
    let (stream, entries) = (bulk(stream), Value::Array(entries));
    if resp3 { Value::Map(vec![(stream, entries)]) } else { Value::Array(vec![Value::Array(vec![stream, entries])]) }
}

fn queued() -> impl Strategy<Value = QueueEntry> {
    let counts =
        (0..=i64::MAX, 0..=i64::MAX).prop_map(|(cycle, version)| (cycle.unsigned_abs(), version.unsigned_abs()));
    let price = prop::option::of("[0-9]{1,11}(\\.[0-9]{1,8})?");
    (prop::sample::select(Action::ALL), counts, price, prop::option::of(0..=i64::MAX), "[!-~]{1,40}").prop_map(
        |(action, (cycle, version), price, ts_ms, key)| QueueEntry {
            stream: "queue:exits".to_owned(),
            id: "7-0".to_owned(),
            deliveries: 1,
            key,
            action,
            cycle,
            version,
            price,
            ts_ms,
        },
    )
}

/// As the module's `XADD` has them.
fn fields_of_order(order: &QueueEntry) -> Vec<(Vec<u8>, Vec<u8>)> {
    owned(&[
        (queue_field::KEY, order.key.clone()),
        (queue_field::ACTION, order.action.to_string()),
        (queue_field::CYCLE, order.cycle.to_string()),
        (queue_field::VERSION, order.version.to_string()),
        (queue_field::PRICE, order.price.clone().unwrap_or_default()),
        (queue_field::TS, order.ts_ms.map_or_else(String::new, |ts| ts.to_string())),
    ])
}

fn report() -> impl Strategy<Value = OrderReport> {
    let words =
        (prop::sample::select(Action::ALL), prop::sample::select(Leg::ALL), prop::sample::select(ExecType::ALL));
    (words, any::<[u64; 2]>(), "\\PC{0,20}", "[0-9.]{0,12}", "[\\x00-\\x{ffff}]{0,20}").prop_map(
        |((action, leg, exec_type), [cycle, attempt], order_id, number, text)| OrderReport {
            order_id,
            action: action.to_string(),
            leg: leg.to_string(),
            cycle,
            attempt,
            exec_type: exec_type.to_string(),
            cum_qty: number.clone(),
            avg_px: number,
            text,
        },
    )
}

fn change() -> impl Strategy<Value = JournalEntry> {
    let data = btree_map("\\PC{0,8}", "[\\x00-\\x{ffff}]{0,12}", 0..5);
    let kind = prop_oneof![prop::sample::select(EventType::ALL).prop_map(|kind| kind.to_string()), "[A-Z_]{1,20}",];
    (0..=i64::MAX, kind, 0..=i64::MAX, data, prop::option::of(report()), any::<bool>()).prop_map(
        |(version, kind, ts_ms, data, order, replace)| JournalEntry {
            id: "7-0".to_owned(),
            deliveries: 1,
            key: "user:a:strategy:s".to_owned(),
            version: version.unsigned_abs(),
            kind,
            ts_ms,
            data: data.into_iter().map(|(name, value)| (name, value.into())).collect(),
            order,
            replace,
        },
    )
}

/// As the module's `XADD` has them.
fn fields_of_change(change: &JournalEntry) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = vec![
        (journal_field::KEY, change.key.clone()),
        (journal_field::VERSION, change.version.to_string()),
        (journal_field::TYPE, change.kind.clone()),
        (journal_field::TS, change.ts_ms.to_string()),
        (journal_field::DATA, serde_json::Value::Object(change.data.clone()).to_string()),
    ];
    if let Some(order) = &change.order {
        fields.push((journal_field::ORDER, serde_json::to_string(order).unwrap()));
    }
    if change.replace {
        fields.push((journal_field::REPLACE, "1".to_owned()));
    }
    owned(&fields)
}

proptest! {
    #[test]
    fn any_reply_is_entries_or_complained_about_by_name(any in value(), near in or_any(entries()), resp3 in any::<bool>()) {
        for reply in [any, near.clone(), match near { Value::Array(near) => reply("s", near, resp3), other => other }] {
            let read = entries_by_stream(reply);
            named(read.as_ref().map(drop).map_err(Clone::clone), &["XREADGROUP's", "stream", "entries", "entry", "field"])?;
            for raw in read.unwrap_or_default() {
                both_read(raw)?;
            }
        }
    }

    /// One entry that is none costs no other.
    #[test]
    fn whatever_fields_an_entry_has_it_is_handed_out(
        order in nearly(&QUEUE_FIELDS),
        change in nearly(&JOURNAL_FIELDS),
        good in queued(),
        resp3 in any::<bool>(),
    ) {
        let batch = vec![entry("1-0", order), entry("7-0", fields_of_order(&good)), entry("8-0", change)];
        let read = entries_by_stream(reply("queue:exits", batch, resp3));
        let read = read.map_err(|why| TestCaseError::fail(why.to_string()))?;
        prop_assert_eq!(read.iter().map(|raw| &*raw.id).collect::<Vec<_>>(), ["1-0", "7-0", "8-0"]);
        prop_assert_eq!(queue::typed(read[1].clone()), Ok(good));
        read.into_iter().try_for_each(both_read)?;
    }

    #[test]
    fn a_change_that_the_module_writes_reads_back(change in change(), resp3 in any::<bool>()) {
        let read = entries_by_stream(reply("journal", vec![entry("7-0", fields_of_change(&change))], resp3));
        let mut read = read.map_err(|why| TestCaseError::fail(why.to_string()))?;
        prop_assert_eq!(journal::typed(read.remove(0)), Ok(change));
    }

    /// The rest of an entry is sound, so that what is wrong is found behind it.
    #[test]
    fn one_wrong_field_of_a_change_is_named(
        change in change(),
        at in any::<prop::sample::Index>(),
        wrong in bytes(),
    ) {
        let mut fields = fields_of_change(&change);
        let at = at.index(fields.len());
        fields[at].1 = wrong;
        let read = entries_by_stream(reply("journal", vec![entry("7-0", fields.clone())], false));
        let raw = read.map_err(|why| TestCaseError::fail(why.to_string()))?.remove(0);
        if let Err(bad) = journal::typed(raw.clone()) {
            let name = String::from_utf8_lossy(&fields[at].0).into_owned();
            complains(&bad, &raw, &[&name])?;
        }
    }
}
