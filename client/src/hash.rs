//! A hash as the server returned it.

use crate::error::{Error, Result};
use crate::reply;
use redis::Value;

/// The key and the fields of a hash, byte for byte as the server keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) key: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl Hash {
    /// From a map reply. A name that is not UTF-8 is read with U+FFFD: the module watches a hash whatever else stands in it,
    /// so nothing that stands there may make it unreadable.
    pub(crate) fn from_reply(what: &str, key: &str, value: Value) -> Result<Self> {
        let mut fields = Vec::new();
        for (name, value) in reply::pairs(value, what)? {
            fields.push((reply::lossy(name, "field name")?, reply::bytes(value, "field value")?));
        }
        Ok(Self { key: key.to_owned(), fields })
    }

    /// From a member of a listing `WITHVALUES`, whose first field `key` is not one of the hash.
    pub(crate) fn from_listed(what: &str, value: Value) -> Result<Self> {
        let mut hash = Self::from_reply(what, "", value)?;
        match hash.fields.first() {
            Some((name, _)) if name == "key" => {
                hash.key = reply::text(Value::BulkString(hash.fields.remove(0).1), "key")?;
                Ok(hash)
            }
            _ => Err(Error::BadReply(format!("a listed {what} does not start with its key"))),
        }
    }

    /// A field's bytes; `None` if it is absent.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// A field's text; `None` if it is absent or not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|value| str::from_utf8(value).ok())
    }
}
