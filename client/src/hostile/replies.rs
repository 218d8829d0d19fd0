//! Replies to commands.

use super::values::{bulk, bytes, error, fields, or_any, value};
use crate::commands::{due, page};
use crate::error::{Error, Result};
use crate::group::{delivery_count, taken_over};
use crate::reply;
use crate::strategy::Strategy;
use crate::{Due, Page};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use proptest::test_runner::TestCaseError;
use redis::Value;
use strat_core::Code;

/// A complaint about a reply names one of `whats`; a refusal inside a reply stays one.
pub(super) fn named<T: std::fmt::Debug>(outcome: Result<T>, whats: &[&str]) -> std::result::Result<(), TestCaseError> {
    if let Err(Error::BadReply(why)) = &outcome {
        prop_assert!(whats.iter().any(|what| why.starts_with(what)), "{why}");
        prop_assert!(why.chars().count() <= 400 && !why.chars().any(char::is_control), "{why:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_value_is_read_or_complained_about_by_name(value in value()) {
        let what = "the field";
        named(reply::bytes(value.clone(), what), &[what])?;
        named(reply::text(value.clone(), what), &[what])?;
        named(reply::integer(value.clone(), what), &[what])?;
        named(reply::count(value.clone(), what), &[what])?;
        named(reply::flag(value.clone(), what), &[what])?;
        named(reply::array(value.clone(), what), &[what])?;
        named(reply::pair(value.clone(), what), &[what])?;
        named(reply::pairs(value.clone(), what), &[what])?;
        named(delivery_count(value.clone()), &["XPENDING's", "delivery count"])?;
        named(taken_over("queue:exits", value.clone()), &["XAUTOCLAIM's", "cursor", "entries", "entry", "field"])?;
        named(due(value.clone()), &["STRAT.DUE's reply", "next due time", "enqueued"])?;
        let read = |member| reply::text(member, "key");
        named(page(value.clone(), read), &["page", "cursor", "key"])?;
        named(Strategy::from_reply("k", value.clone()), &["strategy", "field"])?;
        named(page(value.clone(), Strategy::from_listed), &["page", "cursor", "strategy", "field", "key", "a listed"])?;
        let _ = crate::sentinel::role(value);
    }

    #[test]
    fn a_reply_that_is_nearly_right_is_complained_about_by_name(
        cursor in or_any(bytes().prop_map(bulk)),
        members in vec(or_any(fields()), 0..4),
    ) {
        let reply = Value::Array(vec![cursor, Value::Array(members)]);
        let whats = ["page", "cursor", "strategy", "field", "key", "a listed"];
        named(page(reply, Strategy::from_listed), &whats)?;
    }

    /// A user may write any field by hand. Were such a hash unreadable, its stop would never be carried out, and a page of
    /// the list that holds it would be unreadable for everybody.
    #[test]
    fn every_hash_that_a_server_may_hold_is_a_strategy(
        names in vec(bytes(), 0..6),
        values in vec(bytes(), 6),
        as_map in any::<bool>(),
    ) {
        let sound = [("symbol", "IBM"), ("quantity", "10"), ("stop_loss", "99.50")];
        let sound = sound.map(|(name, value)| (bulk(name), bulk(value)));
        let foreign = names.iter().filter(|name| ![&b"symbol"[..], b"quantity", b"stop_loss"].contains(&name.as_slice()));
        let foreign = foreign.zip(values).map(|(name, value)| (bulk(name.clone()), bulk(value)));
        let hash: Vec<_> = foreign.chain(sound).collect();
        let shape = |pairs: Vec<(Value, Value)>| match as_map {
            true => Value::Map(pairs),
            false => Value::Array(pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()),
        };
        let read = Strategy::from_reply("user:a:strategy:s", shape(hash.clone()));
        let read = read.map_err(|why| TestCaseError::fail(why.to_string()))?;
        prop_assert_eq!(read.fields().count(), hash.len());
        prop_assert_eq!((read.symbol(), read.text("stop_loss")), ("IBM", "99.50"));
        let listed = [(bulk("key"), bulk("user:a:strategy:s"))].into_iter().chain(hash).collect();
        prop_assert_eq!(Strategy::from_listed(shape(listed)).ok(), Some(read));
    }

    #[test]
    fn a_strategy_reads_back_byte_for_byte(fields in vec(("[a-z_]{1,12}", bytes()), 0..8)) {
        let pairs = fields.iter().map(|(name, value)| (bulk(name.clone()), bulk(value.clone()))).collect();
        let strategy = Strategy::new("k", fields);
        prop_assert_eq!(Strategy::from_reply("k", Value::Map(pairs)).ok(), Some(strategy.clone()));
        for name in ["stop_loss", "quantity", "side", "status", "position", "pending"] {
            let whats = [&*format!("field {name} of k")];
            named(strategy.price(name), &whats)?;
            named(strategy.quantity(name), &whats)?;
        }
        let typed = [
            named(strategy.side(), &["field side of k"]),
            named(strategy.status(), &["field status of k"]),
            named(strategy.position(), &["field position of k"]),
            named(strategy.pending(), &["field pending of k"]),
        ];
        typed.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
        let _ = (strategy.version(), strategy.state().is_ok(), strategy.symbol());
    }

    #[test]
    fn what_a_command_answers_reads_back(
        enqueued in 0..=i64::MAX,
        next in -1..=i64::MAX,
        keys in vec("[!-~]{1,20}", 0..4),
        cursor in "[1-9][0-9]{0,18}",
    ) {
        let reply = Value::Array(vec![Value::Int(enqueued), Value::Int(next)]);
        let wanted = Due { enqueued: enqueued.unsigned_abs(), next_due_ms: (next >= 0).then_some(next) };
        prop_assert_eq!(due(reply).ok(), Some(wanted));
        let reply = Value::Array(vec![bulk(cursor.clone()), Value::Array(keys.iter().cloned().map(bulk).collect())]);
        let wanted = Page { items: keys, cursor: Some(cursor) };
        prop_assert_eq!(page(reply, |member| reply::text(member, "key")).ok(), Some(wanted));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_every_other_line_is_some_error(
        code in prop::sample::select(Code::ALL.to_vec()),
        detail in "[ -~]{1,40}",
        line in "[ -~]{1,60}",
    ) {
        let refused = reply::plain(error(&format!("{} {detail}", code.as_str()))).unwrap_err();
        let by_redis = matches!(refused, Error::Server { .. });
        prop_assert!(by_redis || refused.code() == Some(code), "{:?}", refused);
        let other = reply::plain(error(&line)).unwrap_err();
        prop_assert!(!(other.is_retryable() && other.outcome_unknown()), "{:?}", other);
    }
}
