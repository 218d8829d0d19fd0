//! Entries of a stream as Redis answers them.

use redis::Value;

/// An entry: its id, and its fields in their order.
pub(super) type Entry = (String, Vec<(String, String)>);

/// Milliseconds and number of an entry's id.
pub(super) fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// The id right before another.
pub(super) fn before(id: &str) -> String {
    match parse_id(id) {
        Some((ms, number @ 1..)) => format!("{ms}-{}", number - 1),
        Some((ms @ 1.., 0)) => format!("{}-{}", ms - 1, u64::MAX),
        _ => "0-0".to_owned(),
    }
}

/// The entries of an `XREAD` of one stream, in RESP2 or RESP3; none for nil.
pub(super) fn entries(answer: Value) -> Vec<Entry> {
    match answer {
        Value::Map(streams) => streams.into_iter().flat_map(|(_, entries)| page(entries)).collect(),
        Value::Array(streams) => {
            let of_stream = |stream| match stream {
                Value::Array(mut pair) if pair.len() == 2 => pair.pop().map(page).unwrap_or_default(),
                _ => Vec::new(),
            };
            streams.into_iter().flat_map(of_stream).collect()
        }
        _ => Vec::new(),
    }
}

/// A list of entries.
pub(super) fn page(value: Value) -> Vec<Entry> {
    let Value::Array(entries) = value else { return Vec::new() };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(mut parts) = value else { return None };
    let (fields, id) = (parts.pop()?, parts.pop()?);
    let mut fields = match fields {
        Value::Array(fields) => fields.into_iter().map(text).collect::<Vec<_>>().into_iter(),
        Value::Map(fields) => fields.into_iter().flat_map(|(n, v)| [text(n), text(v)]).collect::<Vec<_>>().into_iter(),
        // Deleted while it was pending: it has none.
        _ => Vec::new().into_iter(),
    };
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.push((name, value));
    }
    Some((text(id), pairs))
}

/// What is not UTF-8 becomes something that no price and no symbol is.
fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) => text,
        other => format!("{other:?}"),
    }
}
