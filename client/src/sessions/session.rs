//! A session as Redis has it.

use super::Settings;
use super::{check_count, check_name, check_text};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use strat_core::field::parse_count;

/// Fields of the hash that are the session's own; all others are data.
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const SEEN_AT: &str = "seen_at";
pub(super) const ENDS_AT: &str = "ends_at";
/// Longest name of a field, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// A session that was valid when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Whose it is.
    pub user_id: String,
    /// Its name in Redis: the SHA-256 of its token in hex. It may be shown; nobody can log in with it.
    pub id: String,
    /// When it began, epoch ms.
    pub created_at_ms: i64,
    /// When it was last touched, epoch ms.
    pub seen_at_ms: i64,
    /// When it ends however often it is touched, epoch ms.
    pub ends_at_ms: i64,
    /// What was given to [`super::Sessions::create`].
    pub data: BTreeMap<String, String>,
}

impl Session {
    /// From the fields of its hash; `None` where there are none.
    pub(super) fn read(user_id: &str, id: &str, mut fields: BTreeMap<String, String>) -> Result<Option<Self>> {
        if fields.is_empty() {
            return Ok(None);
        }
        let mut time = |name: &str| {
            let text = fields.remove(name).unwrap_or_default();
            let time = parse_count(text.as_bytes());
            time.ok_or_else(|| Error::BadReply(format!("session {id} has no {name} in epoch ms")))
        };
        let (created_at_ms, seen_at_ms, ends_at_ms) = (time(CREATED_AT)?, time(SEEN_AT)?, time(ENDS_AT)?);
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        Ok(Some(Self { user_id, id, created_at_ms, seen_at_ms, ends_at_ms, data: fields }))
    }
}

/// Checks what a caller wants to keep with a session.
pub(super) fn check_data(settings: &Settings, data: &[(&str, &str)]) -> Result<()> {
    check_count("fields of a session", data.len(), settings.fields_max)?;
    data.iter().try_for_each(|(name, value)| {
        check_name("the name of a session's field", name, NAME_BYTES_MAX)?;
        if [CREATED_AT, SEEN_AT, ENDS_AT].contains(name) {
            return Err(super::bad_field(format!("the field {name} is the session's own; choose another name")));
        }
        check_text(name, value, settings.value_bytes_max)
    })
}
