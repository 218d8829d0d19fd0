//! Reads replies, whether they come as RESP2 or as RESP3.

use crate::error::{Error, Result};
use redis::Value;
use strat_core::field::parse_count;

/// Longest complaint.
const COMPLAINT_CHARS_MAX: usize = 300;

/// Attributes are annotations; what counts is the data behind them. An error is an error, also as a member of a reply: each
/// member comes by here when it is read.
pub(crate) fn plain(value: Value) -> Result<Value> {
    match value {
        Value::Attribute { data, .. } => plain(*data),
        error @ Value::ServerError(_) => Ok(error.extract_error()?),
        other => Ok(other),
    }
}

/// `None` for nil.
pub(crate) fn optional(value: Value) -> Result<Option<Value>> {
    Ok(match plain(value)? {
        Value::Nil => None,
        other => Some(other),
    })
}

/// The bytes of a string.
pub(crate) fn bytes(value: Value, what: &str) -> Result<Vec<u8>> {
    match plain(value)? {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        other => Err(bad(what, "a string", &other)),
    }
}

/// A string that has to be UTF-8.
pub(crate) fn text(value: Value, what: &str) -> Result<String> {
    String::from_utf8(bytes(value, what)?).map_err(|_| Error::BadReply(format!("{what} is not UTF-8")))
}

/// A string of somebody else's, who may have put any bytes there.
pub(crate) fn lossy(value: Value, what: &str) -> Result<String> {
    let spoilt = |bytes: std::string::FromUtf8Error| String::from_utf8_lossy(bytes.as_bytes()).into_owned();
    bytes(value, what).map(|bytes| String::from_utf8(bytes).unwrap_or_else(spoilt))
}

/// A complaint that may repeat somebody else's text: one line, not longer than a log should hold.
pub(crate) fn one_line(complaint: &str) -> String {
    complaint.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMPLAINT_CHARS_MAX).collect()
}

/// An integer; some proxies send them as strings.
pub(crate) fn integer(value: Value, what: &str) -> Result<i64> {
    match plain(value)? {
        Value::Int(number) => Ok(number),
        Value::BulkString(digits) => std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Error::BadReply(format!("{what} is not an integer"))),
        other => Err(bad(what, "an integer", &other)),
    }
}

/// A count: an integer of 0 or more.
pub(crate) fn count(value: Value, what: &str) -> Result<u64> {
    let number = integer(value, what)?;
    u64::try_from(number).map_err(|_| Error::BadReply(format!("{what} is {number}, below 0")))
}

/// `1` or `0`.
pub(crate) fn flag(value: Value, what: &str) -> Result<bool> {
    Ok(integer(value, what)? != 0)
}

/// The members of an array or set.
pub(crate) fn array(value: Value, what: &str) -> Result<Vec<Value>> {
    match plain(value)? {
        Value::Array(members) | Value::Set(members) => Ok(members),
        other => Err(bad(what, "an array", &other)),
    }
}

/// An array of exactly two members.
pub(crate) fn pair(value: Value, what: &str) -> Result<(Value, Value)> {
    let members: std::result::Result<[Value; 2], _> = array(value, what)?.try_into();
    let [first, second] =
        members.map_err(|members| Error::BadReply(format!("{what} has {} members, not 2", members.len())))?;
    Ok((first, second))
}

/// Names and values: a map of RESP3, or the flat array that stands for it in RESP2.
pub(crate) fn pairs(value: Value, what: &str) -> Result<Vec<(Value, Value)>> {
    match plain(value)? {
        Value::Map(pairs) => Ok(pairs),
        Value::Array(flat) if flat.len() % 2 == 0 => {
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            let mut members = flat.into_iter();
            while let (Some(name), Some(value)) = (members.next(), members.next()) {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
        other => Err(bad(what, "a map", &other)),
    }
}

/// Whole number of 0 or more from a field's text.
pub(crate) fn count_of_text(text: &str, what: &str) -> Result<u64> {
    parse_count(text.as_bytes())
        .map(i64::unsigned_abs)
        .ok_or_else(|| Error::BadReply(format!("{what} '{text}' is not a whole number")))
}

/// Names the kind of the value, not its content: replies can be large and may hold what logs should not.
fn bad(what: &str, wanted: &str, found: &Value) -> Error {
    let kind = match found {
        Value::Nil => "nil",
        Value::Int(_) => "an integer",
        Value::Array(_) | Value::Set(_) => "an array",
        Value::Map(_) => "a map",
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } | Value::Okay => "a string",
        _ => "something else",
    };
    Error::BadReply(format!("{what} should be {wanted} and is {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_map_and_a_flat_array_read_the_same() {
        let flat = Value::Array(vec![bulk("a"), bulk("1"), bulk("b"), bulk("2")]);
        let map = Value::Map(vec![(bulk("a"), bulk("1")), (bulk("b"), bulk("2"))]);
        assert_eq!(pairs(flat, "m").unwrap(), pairs(map, "m").unwrap());
        assert!(pairs(Value::Array(vec![bulk("a")]), "m").is_err());
        assert!(pairs(Value::Nil, "m").is_err());
    }

    #[test]
    fn attributes_are_looked_through() {
        let value = Value::Attribute { data: Box::new(Value::Int(7)), attributes: vec![] };
        assert_eq!(count(value, "n").unwrap(), 7);
    }

    #[test]
    fn integers_may_come_as_strings_but_counts_are_not_negative() {
        assert_eq!(integer(bulk("-1"), "n").unwrap(), -1);
        assert!(count(Value::Int(-1), "n").is_err());
        assert!(integer(bulk("1.5"), "n").is_err());
        assert!(matches!(integer(Value::Nil, "n"), Err(Error::BadReply(_))));
    }

    #[test]
    fn a_pair_has_two_members() {
        assert!(pair(Value::Array(vec![Value::Int(1)]), "p").is_err());
        assert_eq!(pair(Value::Array(vec![Value::Int(1), Value::Nil]), "p").unwrap(), (Value::Int(1), Value::Nil));
    }
}
