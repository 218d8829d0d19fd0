//! Why a sealed value cannot be had. None of the texts shows a byte of a key or of a secret.

use crate::error::Error;

/// What went wrong. None of it is ever answered as "there is no value".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// Redis, or the request: [`Error::Unavailable`] where Redis is down, [`Error::Refused`] for a user or a name that
    /// cannot be one.
    #[error(transparent)]
    Redis(#[from] Error),
    /// What stands at the key was not sealed, or by a release that knows another format.
    #[error("{key} holds no sealed value of version 1 but one that begins with byte {found:#04x}; who wrote it?")]
    Format {
        /// The key.
        key: String,
        /// Its first byte.
        found: u8,
    },
    /// The value ends before it should.
    #[error("the sealed value at {key} is truncated: {found} bytes of {expected}; store it again")]
    Truncated {
        /// The key.
        key: String,
        /// Bytes there are.
        found: usize,
        /// Bytes there must be, as far as that can be told.
        expected: usize,
    },
    /// The keyring has no key of this id.
    #[error("the value at {key} was sealed with key {key_id}, which is not in the keyring; add it as an old key")]
    UnknownKey {
        /// The key.
        key: String,
        /// The id that stands in the value.
        key_id: String,
    },
    /// The keyring's key of this id is another one than the value was sealed with.
    #[error("the value at {key} was sealed with another key than the keyring's {key_id}; is one id used for two keys?")]
    WrongKey {
        /// The key.
        key: String,
        /// The id of both.
        key_id: String,
    },
    /// The right key does not open it: bytes were changed, or it was copied from another key of Redis.
    #[error("the sealed value at {key} was altered, or copied from another key; store it again")]
    Altered {
        /// The key.
        key: String,
    },
}
