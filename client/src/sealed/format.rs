//! The bytes of a sealed value, version 1.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: `01` |
//! | 1 | n, the length of the key's id: `01` to `80` |
//! | n | the key's id |
//! | 8 | check of the key: the start of the Poly1305 tag of an empty message, nonce of zeros, `strat sealed key check` as associated data |
//! | 24 | nonce, random |
//! | 4 | m, the length of the secret, big-endian |
//! | m | the secret, encrypted with XChaCha20 |
//! | 16 | the Poly1305 tag |
//!
//! Associated data is everything before the encrypted bytes, followed by the whole name of the Redis key. The parts before
//! the name give their own lengths, so no two pairs of value and name have the same associated data.

use super::error::SealedError;
use super::keyring::{CHECK_BYTES, Keyring};
use crate::error::Error;
use crate::reply::one_line;
use chacha20poly1305::AeadInOut;
use secrecy::SecretSlice;
use strat_core::key::ID_BYTES_MAX;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
/// What stands in front of the encrypted bytes besides the key's id.
const HEAD_BYTES: usize = 2 + CHECK_BYTES + NONCE_BYTES + LENGTH_BYTES;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 1_024 * 1_024;

/// Seals with the active key, for this Redis key alone.
pub(super) fn seal(keyring: &Keyring, name: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
    let length = u32::try_from(secret.len()).ok().filter(|_| secret.len() <= SECRET_BYTES_MAX).ok_or_else(|| {
        Error::Config(format!("a secret of {} bytes is longer than {SECRET_BYTES_MAX}", secret.len()))
    })?;
    let key = keyring.active();
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|why| Error::Config(format!("no randomness for a nonce: {why}")))?;
    // All the room at once: a buffer that grows would leave the secret behind where it was.
    let mut sealed = Vec::with_capacity(HEAD_BYTES + key.id().len() + secret.len() + TAG_BYTES);
    // An id has at most 128 bytes.
    sealed.extend([VERSION, key.id().len() as u8]);
    sealed.extend(key.id().as_bytes());
    sealed.extend(key.check);
    sealed.extend(nonce);
    sealed.extend(length.to_be_bytes());
    let aad = [&sealed, name.as_bytes()].concat();
    let head = sealed.len();
    sealed.extend(secret);
    let tag = key.cipher().encrypt_inout_detached(&nonce.into(), &aad, sealed[head..].as_mut().into());
    sealed.extend(tag.map_err(|_| Error::Config("the secret cannot be sealed".to_owned()))?);
    Ok(sealed)
}

/// A value that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) secret: SecretSlice<u8>,
    /// Whether it was sealed with an older key than the active one.
    pub(super) outdated: bool,
}

/// Opens what was sealed for this Redis key.
pub(super) fn open(keyring: &Keyring, name: &str, sealed: &[u8]) -> Result<Opened, SealedError> {
    let parts = Parts::of(name, sealed)?;
    let key = keyring.find(parts.id).ok_or_else(|| SealedError::UnknownKey {
        key: name.to_owned(),
        key_id: one_line(&String::from_utf8_lossy(parts.id)),
    })?;
    if parts.check != key.check {
        return Err(SealedError::WrongKey { key: name.to_owned(), key_id: key.id().to_owned() });
    }
    let aad = [parts.head, name.as_bytes()].concat();
    let mut secret = parts.encrypted.to_vec();
    let cipher = key.cipher();
    let opened =
        cipher.decrypt_inout_detached(&parts.nonce.into(), &aad, secret.as_mut_slice().into(), &parts.tag.into());
    opened.map_err(|_| SealedError::Altered { key: name.to_owned() })?;
    Ok(Opened { secret: secret.into(), outdated: key.id() != keyring.active().id() })
}

struct Parts<'a> {
    head: &'a [u8],
    id: &'a [u8],
    check: [u8; CHECK_BYTES],
    nonce: [u8; NONCE_BYTES],
    encrypted: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn of(name: &str, sealed: &'a [u8]) -> Result<Self, SealedError> {
        let key = || name.to_owned();
        let truncated = |expected| SealedError::Truncated { key: key(), found: sealed.len(), expected };
        let least = HEAD_BYTES + 1 + TAG_BYTES;
        let &[version, id_bytes, ..] = sealed else { return Err(truncated(least)) };
        if version != VERSION {
            return Err(SealedError::Format { key: key(), found: version });
        }
        let id_bytes = usize::from(id_bytes);
        if !(1..=ID_BYTES_MAX).contains(&id_bytes) {
            return Err(SealedError::Altered { key: key() });
        }
        let short = || truncated(HEAD_BYTES + id_bytes + TAG_BYTES);
        let (head, body) = sealed.split_at_checked(HEAD_BYTES + id_bytes).ok_or_else(short)?;
        let (id, rest) = head[2..].split_at_checked(id_bytes).ok_or_else(short)?;
        let (&check, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (&nonce, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let &length = rest.first_chunk().ok_or_else(short)?;
        let whole = (u32::from_be_bytes(length) as usize).saturating_add(head.len() + TAG_BYTES);
        if sealed.len() < whole {
            return Err(truncated(whole));
        }
        let Some((encrypted, &tag)) = body.split_last_chunk().filter(|_| sealed.len() == whole) else {
            return Err(SealedError::Altered { key: key() });
        };
        Ok(Self { head, id, check, nonce, encrypted, tag })
    }
}

#[cfg(test)]
mod tests;
