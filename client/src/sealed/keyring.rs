//! The keys that values are sealed with.

use crate::error::{Error, Result};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER_PERMISSIVE};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox};
use std::fmt;
use std::io::Read;
use std::path::Path;
use strat_core::key::check_id;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a key's check.
pub(super) const CHECK_BYTES: usize = 8;
/// More than this is no file with one key in it.
const FILE_BYTES_MAX: u64 = 1_024;

/// A key of 32 random bytes, and the id that values carry to name it. Its bytes are overwritten when it is dropped, and
/// shown by nothing.
pub struct SealingKey {
    id: String,
    bytes: SecretBox<[u8; KEY_BYTES]>,
    /// Tells keys apart without telling them: the start of the tag of an empty message. Its nonce of zeros is used for
    /// nothing else, and this message is always the same.
    pub(super) check: [u8; CHECK_BYTES],
}

impl SealingKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`Error::Refused`] for an id other than 1 to 128 of `A-Z a-z 0-9 _ . @ -`; [`Error::Config`] where the system has no
    /// randomness.
    pub fn generate(id: &str) -> Result<Self> {
        let mut bytes = Box::new([0; KEY_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|why| Error::Config(format!("no randomness for a key: {why}")))?;
        Self::new(id, bytes)
    }

    /// From 64 hexadecimal digits, or from base64 of either alphabet with or without padding; white space around is ignored.
    /// `openssl rand -hex 32` makes one.
    ///
    /// # Errors
    /// [`Error::Refused`] for the id, [`Error::Config`] for a text that is not 32 bytes; it does not show the text.
    pub fn from_text(id: &str, text: &str) -> Result<Self> {
        let text = text.trim().as_bytes();
        let spellings: &[&Encoding] = match text.len() {
            64 => &[&HEXLOWER_PERMISSIVE],
            _ => &[&BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD],
        };
        let decoded = spellings.iter().find_map(|spelling| decode(spelling, text));
        let bytes = decoded.ok_or_else(|| {
            Error::Config(format!("sealing key '{id}' is not {KEY_BYTES} bytes as hexadecimal or base64"))
        })?;
        Self::new(id, bytes)
    }

    /// From a file that holds such a text. Only its owner should be able to read it.
    ///
    /// # Errors
    /// As [`SealingKey::from_text`], and [`Error::Config`] for a file that cannot be read.
    pub fn from_file(id: &str, path: &Path) -> Result<Self> {
        // The room that it may need is there from the start: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
        let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|why| Error::Config(format!("sealing key '{id}': cannot read {}: {why}", path.display())))?;
        Self::from_text(id, &text)
    }

    fn new(id: &str, bytes: Box<[u8; KEY_BYTES]>) -> Result<Self> {
        // First, so that the bytes are overwritten whatever the id is.
        let bytes = SecretBox::new(bytes);
        check_id("sealing key id", id)?;
        let cipher = XChaCha20Poly1305::new(bytes.expose_secret().into());
        let tag = cipher.encrypt_inout_detached(&[0; 24].into(), b"strat sealed key check", [].as_mut_slice().into());
        let tag = tag.map_err(|_| Error::Config("the sealing key cannot be used".to_owned()))?;
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&tag[..CHECK_BYTES]);
        Ok(Self { id: id.to_owned(), bytes, check })
    }

    /// The id that values carry.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// It overwrites its copy of the key when it is dropped.
    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.expose_secret().into())
    }
}

fn decode(spelling: &Encoding, text: &[u8]) -> Option<Box<[u8; KEY_BYTES]>> {
    // With padding the greatest length is more than the bytes there are.
    let length = spelling.decode_len(text.len()).ok().filter(|length| (KEY_BYTES..=KEY_BYTES + 2).contains(length))?;
    let mut decoded = Zeroizing::new([0; KEY_BYTES + 2]);
    let found = spelling.decode_mut(text, &mut decoded[..length]).ok()?;
    let mut bytes = Box::new([0; KEY_BYTES]);
    (found == KEY_BYTES).then(|| {
        bytes.copy_from_slice(&decoded[..KEY_BYTES]);
        bytes
    })
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One key to seal with, and older ones to read with. To change keys: add the new one as old everywhere, make it the active
/// one everywhere, and leave the old one out when the last value sealed with it has run out.
#[derive(Debug)]
pub struct Keyring {
    active: SealingKey,
    old: Vec<SealingKey>,
}

impl Keyring {
    /// Seals and opens with this key.
    #[must_use]
    pub fn new(active: SealingKey) -> Self {
        Self { active, old: Vec::new() }
    }

    /// Opens with this key too.
    ///
    /// # Errors
    /// [`Error::Config`] for an id that is in the ring already.
    pub fn with_old(mut self, key: SealingKey) -> Result<Self> {
        if self.find(key.id().as_bytes()).is_some() {
            return Err(Error::Config(format!("two sealing keys have the id '{}'", key.id())));
        }
        self.old.push(key);
        Ok(self)
    }

    /// The key to seal with.
    #[must_use]
    pub fn active(&self) -> &SealingKey {
        &self.active
    }

    pub(super) fn find(&self, id: &[u8]) -> Option<&SealingKey> {
        std::iter::once(&self.active).chain(&self.old).find(|key| key.id.as_bytes() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::zeroize::ZeroizeOnDrop;

    const BYTES: [u8; KEY_BYTES] = *b"0123456789 a secret of 32 bytes\xff";

    fn text(spelling: &Encoding) -> String {
        spelling.encode(&BYTES)
    }

    #[test]
    fn every_spelling_gives_the_same_key() {
        let hex = text(&HEXLOWER_PERMISSIVE);
        let spelled = [&BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD].map(text);
        for text in spelled.into_iter().chain([hex.to_uppercase(), format!(" {hex}\n"), hex]) {
            let key = SealingKey::from_text("k1", &text).unwrap();
            assert_eq!(key.bytes.expose_secret(), &BYTES, "{text}");
        }
    }

    #[test]
    fn what_is_not_32_bytes_is_refused_without_being_shown() {
        let hex = text(&HEXLOWER_PERMISSIVE);
        let longer = BASE64.encode(&[7; 33]);
        for text in ["", "secret", &hex[..62], &format!("{hex}00"), &hex.replace('3', "g"), &longer, &longer[..40]] {
            let error = SealingKey::from_text("k1", text).unwrap_err().to_string();
            assert!(error.contains("'k1'") && (text.is_empty() || !error.contains(text)), "{error}");
        }
        assert!(SealingKey::from_text("k:1", &hex).is_err());
    }

    #[test]
    fn a_file_is_read_and_one_that_holds_no_key_named() {
        let folder = std::env::temp_dir().join(format!("strat-sealed-{}", std::process::id()));
        std::fs::write(&folder, text(&HEXLOWER_PERMISSIVE) + "\n").unwrap();
        let key = SealingKey::from_file("k1", &folder);
        std::fs::write(&folder, "x".repeat(10_000)).unwrap();
        let long = SealingKey::from_file("k1", &folder);
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(key.unwrap().bytes.expose_secret(), &BYTES);
        assert!(long.is_err());
        let missing = SealingKey::from_file("k1", &folder).unwrap_err().to_string();
        assert!(missing.contains("strat-sealed-"), "{missing}");
    }

    #[test]
    fn nothing_shows_a_key_and_dropping_it_overwrites_it() {
        let key = SealingKey::from_text("k1", &text(&BASE64)).unwrap();
        let other = SealingKey::generate("k2").unwrap();
        assert_ne!(key.check, other.check);
        let shown = format!("{:?} {:#?}", key, Keyring::new(other).with_old(SealingKey::generate("k3").unwrap()));
        assert!(shown.contains("k1") && shown.contains("k2") && shown.contains("k3"), "{shown}");
        let digits = shown.bytes().filter(u8::is_ascii_digit).count();
        assert_eq!(digits, 3, "nothing but the ids: {shown}");
        // What holds the bytes does it by its type.
        fn overwrites<T: ZeroizeOnDrop>(_: &T) {}
        overwrites(&key.bytes);
        overwrites(&key.cipher());
    }

    #[test]
    fn one_id_names_one_key() {
        let ring = Keyring::new(SealingKey::generate("k1").unwrap());
        assert!(ring.with_old(SealingKey::generate("k1").unwrap()).is_err());
    }
}
