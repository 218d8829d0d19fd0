//! Random tokens, and what Redis knows of them.

use crate::error::{Error, Result};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use std::fmt;
use strat_core::key::{check_id, is_id};

/// 256 bits: nobody guesses one, and a plain hash hides it.
const RANDOM_BYTES: usize = 32;
/// The same as text.
const RANDOM_CHARS: usize = 43;

/// What a logged-in client shows: `<user id>.<43 characters of base64url>`, fit for a cookie or a header.
///
/// It is a secret. `Debug` shows whose it is and no more.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken {
    text: String,
    user_bytes: usize,
}

impl SessionToken {
    pub(super) fn new(user_id: &str) -> Result<Self> {
        check_id("user id", user_id)?;
        Ok(Self { text: [user_id, ".", &random()?].concat(), user_bytes: user_id.len() })
    }

    /// Reads one. `None` for what cannot be one, whoever sent it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        user_of(text).map(|user| Self { text: text.to_owned(), user_bytes: user.len() })
    }

    /// Whose session it claims to be. Only Redis tells whether it is one.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.text[..self.user_bytes]
    }

    /// The text to hand to the client, and to nobody else.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The session's id in Redis, as [`super::Session::id`].
    #[must_use]
    pub fn id(&self) -> String {
        digest(&self.text)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionToken({}.***)", self.user_id())
    }
}

/// Whose session a text claims to be; `None` where it cannot be a token. Each request is let in by this: nothing is copied.
pub(super) fn user_of(text: &str) -> Option<&str> {
    // A user's id may have dots; the random part has none.
    let (user, random) = text.rsplit_once('.')?;
    let fits =
        random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (fits && is_id(user)).then_some(user)
}

/// SHA-256 in hex, as `sha256sum` prints it.
pub(super) fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// Whether it may be what [`digest`] gives.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn random() -> Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Config(format!("the operating system gives no random bytes: {error}")))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_names_its_user_and_shows_no_secret() {
        let token = SessionToken::new("alice.b@example.com").unwrap();
        assert_eq!(SessionToken::parse(token.as_str()), Some(token.clone()));
        assert_eq!(token.user_id(), "alice.b@example.com");
        assert_eq!(format!("{token:?}"), "SessionToken(alice.b@example.com.***)");
        assert!(is_digest(&token.id()) && !token.id().contains("alice"));
        assert_ne!(SessionToken::new("alice").unwrap(), SessionToken::new("alice").unwrap());
    }

    #[test]
    fn the_hash_is_the_one_that_others_compute() {
        // printf abc | sha256sum
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_a_token_names_an_id_and_keeps_its_text(text in "(\\PC{0,6}|[a-z:*}{. -]{0,6})\\.?[A-Za-z0-9_-]{42,44}") {
            if let Some(token) = SessionToken::parse(&text) {
                prop_assert!(is_id(token.user_id()));
                prop_assert_eq!(token.as_str(), text.as_str());
            }
        }
    }
}
