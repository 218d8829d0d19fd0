//! Replies of every kind and shape, and texts that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;
use redis::{PushKind, Value, VerbatimFormat};

/// A bulk string.
pub(super) fn bulk(bytes: impl Into<Vec<u8>>) -> Value {
    Value::BulkString(bytes.into())
}

/// Bytes of others: often the words that count, often numbers at the end of their range, sometimes anything.
pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: [&[u8]; 14] = [
        b"",
        b"0",
        b"1",
        b"-1",
        b"0-0",
        b"7-3",
        b"key",
        b"action",
        b"STOPLOSS",
        b"{}",
        b"[1]",
        b"9223372036854775807",
        b"18446744073709551615",
        b"user:a:strategy:s",
    ];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec),
        2 => "[{}\\[\\]\":,a-z0-9\\\\\\x00-\\x20]{0,30}".prop_map(String::into_bytes),
        1 => "\\PC{0,200}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..24),
    ]
}

/// A value without members.
fn plain() -> impl Strategy<Value = Value> {
    let text = || bytes().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![
        8 => bytes().prop_map(Value::BulkString),
        2 => text().prop_map(Value::SimpleString),
        2 => any::<i64>().prop_map(Value::Int),
        2 => Just(Value::Nil),
        1 => Just(Value::Okay),
        1 => any::<f64>().prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => bytes().prop_map(Value::BigNumber),
        1 => text().prop_map(|text| Value::VerbatimString { format: VerbatimFormat::Text, text }),
        1 => "[A-Z]{0,12} [ -~]{0,12}".prop_map(|line| error(&line)),
    ]
}

/// An error reply, as it stands in arrays too.
pub(super) fn error(line: &str) -> Value {
    redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
}

/// Any reply: a tree of bounded depth and size.
pub(super) fn value() -> impl Strategy<Value = Value> + Clone {
    plain()
        .prop_recursive(5, 96, 8, |inner| {
            let pair = || vec((inner.clone(), inner.clone()), 0..6);
            prop_oneof![
                4 => vec(inner.clone(), 0..8).prop_map(Value::Array),
                2 => pair().prop_map(Value::Map),
                1 => vec(inner.clone(), 0..8).prop_map(Value::Set),
                1 => (inner.clone(), pair())
                    .prop_map(|(data, attributes)| Value::Attribute { data: Box::new(data), attributes }),
                1 => vec(inner.clone(), 0..4).prop_map(|data| Value::Push { kind: PushKind::Message, data }),
            ]
        })
        .boxed()
}

/// What the strategy makes, now and then with any value in its place.
pub(super) fn or_any(right: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![15 => right, 1 => value()]
}

/// Names and values in turn: as an array, as a map, or with one too many.
pub(super) fn fields() -> impl Strategy<Value = Value> {
    let flat = |fields: Vec<(Vec<u8>, Vec<u8>)>| {
        fields.into_iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect::<Vec<_>>()
    };
    let all = || vec((bytes(), bytes()), 0..6);
    prop_oneof![
        6 => all().prop_map(move |fields| Value::Array(flat(fields))),
        2 => all().prop_map(|fields| Value::Map(fields.into_iter().map(|(n, v)| (bulk(n), bulk(v))).collect())),
        1 => (all(), bytes()).prop_map(move |(fields, odd)| {
            Value::Array(flat(fields).into_iter().chain([bulk(odd)]).collect())
        }),
        1 => Just(Value::Nil),
    ]
}

/// The entries of one stream, nearly as a server sends them.
pub(super) fn entries() -> impl Strategy<Value = Value> {
    let id = or_any("[0-9]{1,5}-[0-9]".prop_map(bulk));
    let entry = (id, or_any(fields())).prop_map(|(id, fields)| Value::Array(vec![id, fields]));
    or_any(vec(or_any(entry), 0..4).prop_map(Value::Array))
}
