//! Stream entries as they come from the server, before they are typed.

use crate::error::Result;
use crate::reply;
use redis::Value;
use std::fmt;

/// A stream entry before it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) stream: String,
    pub(crate) id: String,
    /// Times that the entry was handed out, this one included.
    pub(crate) deliveries: u64,
    /// Empty where the entry was trimmed or deleted before it was acknowledged.
    pub(crate) fields: Vec<(String, String)>,
}

impl RawEntry {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn need(&self, name: &str) -> std::result::Result<&str, BadEntry> {
        self.get(name).ok_or_else(|| self.bad(format!("field {name} is missing")))
    }

    pub(crate) fn bad(&self, reason: impl Into<String>) -> BadEntry {
        let reason = if self.fields.is_empty() { "was trimmed before it was read".to_owned() } else { reason.into() };
        BadEntry { stream: self.stream.clone(), id: self.id.clone(), reason: reply::one_line(&reason) }
    }
}

/// An entry that is not what its stream holds. Whoever reads it says so loudly and takes it out of the way,
/// so that one bad entry does not come back for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// Key of the stream.
    pub stream: String,
    /// Id in the stream.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of {} is not usable: {}", self.id, self.stream, self.reason)
    }
}

impl std::error::Error for BadEntry {}

/// `XREADGROUP`: nil, an array of pairs (RESP2) or a map (RESP3), streams in the order of the request.
pub(crate) fn entries_by_stream(value: Value) -> Result<Vec<RawEntry>> {
    let Some(value) = reply::optional(value)? else {
        return Ok(Vec::new());
    };
    let streams = match value {
        Value::Map(pairs) => pairs,
        other => {
            let members = reply::array(other, "XREADGROUP's reply")?;
            members.into_iter().map(|member| reply::pair(member, "stream")).collect::<Result<_>>()?
        }
    };
    let mut all = Vec::new();
    for (stream, members) in streams {
        all.extend(entries(&reply::text(stream, "stream")?, members)?);
    }
    Ok(all)
}

/// The entries of one stream.
pub(crate) fn entries(stream: &str, value: Value) -> Result<Vec<RawEntry>> {
    let mut all = Vec::new();
    for member in reply::array(value, "entries")? {
        // Servers before 7.0 claim entries that were deleted, and answer nil for them.
        let Some(member) = reply::optional(member)? else {
            continue;
        };
        let (id, fields) = reply::pair(member, "entry")?;
        let fields = match reply::optional(fields)? {
            None => Vec::new(),
            Some(fields) => reply::pairs(fields, "fields")?,
        };
        let lossy = |value| reply::lossy(value, "field");
        all.push(RawEntry {
            stream: stream.to_owned(),
            id: reply::text(id, "entry id")?,
            deliveries: 1,
            fields: fields.into_iter().map(|(name, value)| Ok((lossy(name)?, lossy(value)?))).collect::<Result<_>>()?,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str) -> Value {
        Value::Array(vec![bulk(id), Value::Array(vec![bulk("key"), bulk("k"), bulk("price"), bulk("")])])
    }

    #[test]
    fn resp2_and_resp3_give_the_same_entries_in_the_same_order() {
        let exits = || Value::Array(vec![entry("1-0"), entry("2-0")]);
        let orders = || Value::Array(vec![entry("1-5")]);
        let two = Value::Array(vec![
            Value::Array(vec![bulk("queue:exits"), exits()]),
            Value::Array(vec![bulk("queue:orders"), orders()]),
        ]);
        let three = Value::Map(vec![(bulk("queue:exits"), exits()), (bulk("queue:orders"), orders())]);
        let (two, three) = (entries_by_stream(two).unwrap(), entries_by_stream(three).unwrap());
        assert_eq!(two, three);
        let ids: Vec<_> = two.iter().map(|entry| (entry.stream.as_str(), entry.id.as_str())).collect();
        assert_eq!(ids, [("queue:exits", "1-0"), ("queue:exits", "2-0"), ("queue:orders", "1-5")]);
        assert_eq!((two[0].get("price"), two[0].get("nothing")), (Some(""), None));
    }

    #[test]
    fn nothing_new_is_nil() {
        assert_eq!(entries_by_stream(Value::Nil).unwrap(), []);
    }

    #[test]
    fn an_entry_that_was_trimmed_says_so() {
        let trimmed = Value::Array(vec![Value::Array(vec![bulk("1-0"), Value::Nil]), Value::Nil]);
        let entries = entries("journal", trimmed).unwrap();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].need("key").unwrap_err().to_string().contains("trimmed"));
    }
}
