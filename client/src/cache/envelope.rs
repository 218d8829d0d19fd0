//! What stands at a value's key: JSON of the value with its end and the generations of its tags.
//!
//! `{"until":1767225600000,"tags":["9f.."],"value":[..]}`: epoch ms, one generation per tag in the order of their names,
//! and the value in brackets. `"value":null` remembers that there is none; the brackets tell that from a value that is
//! itself `null`.

use redis::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
struct Envelope<'a, T> {
    until: i64,
    /// Nothing in them is ever escaped.
    #[serde(borrow, default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    value: Option<(T,)>,
}

/// A value as it was found.
#[derive(Debug, PartialEq)]
pub(super) struct Stored<T> {
    /// Epoch ms, by the clock of who stored it.
    pub(super) until: i64,
    /// `None`: there is no value, and that was remembered.
    pub(super) value: Option<Arc<T>>,
}

pub(super) fn write<T: Serialize>(until: i64, generations: &[String], value: Option<&T>) -> serde_json::Result<String> {
    let value = value.map(|value| (value,));
    let tags = generations.iter().map(String::as_str).collect();
    serde_json::to_string(&Envelope { until, tags, value })
}

/// `None` for what does not read, as of another release's type, and for what was stored before one of its tags was
/// invalidated.
pub(super) fn read<T: DeserializeOwned>(text: &[u8], generations: &[Value]) -> Option<Stored<T>> {
    let Envelope { until, tags, value } = serde_json::from_slice(text).ok()?;
    let current = tags.len() == generations.len()
        && tags
            .iter()
            .zip(generations)
            .all(|(tag, now)| matches!(now, Value::BulkString(now) if now == tag.as_bytes()));
    current.then(|| Stored { until, value: value.map(|(value,): (T,)| Arc::new(value)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn no_value_and_a_value_that_is_null_are_told_apart() {
        let none = write::<Option<u32>>(7, &[], None).unwrap();
        let null = write(7, &[], Some(&None::<u32>)).unwrap();
        assert_eq!(none, r#"{"until":7,"value":null}"#);
        assert_eq!(null, r#"{"until":7,"value":[null]}"#);
        assert_eq!(read::<Option<u32>>(none.as_bytes(), &[]).unwrap().value, None);
        assert_eq!(read::<Option<u32>>(null.as_bytes(), &[]).unwrap().value, Some(Arc::new(None)));
    }

    #[test]
    fn a_value_ends_with_the_generation_of_any_of_its_tags() {
        let text = write(7, &["a".to_owned(), "b".to_owned()], Some(&1)).unwrap();
        assert!(read::<u32>(text.as_bytes(), &[bulk("a"), bulk("b")]).is_some());
        for now in [&[bulk("a"), bulk("c")][..], &[bulk("a"), Value::Nil], &[bulk("a")], &[]] {
            assert_eq!(read::<u32>(text.as_bytes(), now), None, "{now:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(until: i64, value: Option<String>) {
            let text = write(until, &[], value.as_ref()).unwrap();
            let expected = Stored { until, value: value.map(Arc::new) };
            prop_assert_eq!(read::<String>(text.as_bytes(), &[]), Some(expected));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read::<String>(&bytes, &[]);
        }
    }
}
