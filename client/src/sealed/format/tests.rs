use super::super::keyring::{KEY_BYTES, SealingKey};
use super::*;
use proptest::prelude::*;
use secrecy::ExposeSecret;

const NAME: &str = "sealed:alice:zerodha";

fn key(id: &str, byte: u8) -> SealingKey {
    SealingKey::from_text(id, &data_encoding::HEXLOWER.encode(&[byte; KEY_BYTES])).unwrap()
}

fn ring() -> Keyring {
    Keyring::new(key("k2", 2)).with_old(key("k1", 1)).unwrap()
}

fn opened(keyring: &Keyring, name: &str, sealed: &[u8]) -> Vec<u8> {
    open(keyring, name, sealed).unwrap().secret.expose_secret().to_vec()
}

#[test]
fn the_layout_is_the_documented_one() {
    let sealed = seal(&ring(), NAME, b"token").unwrap();
    assert_eq!(sealed.len(), 1 + 1 + 2 + 8 + 24 + 4 + 5 + 16);
    assert_eq!(sealed[..4], *b"\x01\x02k2");
    assert_eq!(sealed[4..12], key("k2", 2).check);
    assert_eq!(sealed[36..40], [0, 0, 0, 5]);
    assert!(!sealed.windows(5).any(|window| window == b"token"));
    let again = seal(&ring(), NAME, b"token").unwrap();
    assert_ne!(sealed[12..36], again[12..36], "no nonce twice");
}

/// A value that an earlier build has sealed: the format does not change unnoticed.
#[test]
fn a_value_of_long_ago_still_opens() {
    let sealed = data_encoding::HEXLOWER.decode(include_bytes!("v1.hex").trim_ascii()).unwrap();
    assert_eq!(opened(&ring(), NAME, &sealed), b"token of long ago");
}

#[test]
fn older_keys_open_and_are_told() {
    let sealed = seal(&Keyring::new(key("k1", 1)), NAME, b"token").unwrap();
    assert!(open(&ring(), NAME, &sealed).unwrap().outdated);
    assert!(!open(&ring(), NAME, &seal(&ring(), NAME, b"token").unwrap()).unwrap().outdated);
}

#[test]
fn each_failure_has_its_name() {
    let sealed = seal(&ring(), NAME, b"token").unwrap();
    let fails = |keyring: &Keyring, name: &str, sealed: &[u8]| open(keyring, name, sealed).unwrap_err();
    let unknown = fails(&Keyring::new(key("k1", 1)), NAME, &sealed);
    assert!(matches!(&unknown, SealedError::UnknownKey { key_id, .. } if key_id == "k2"), "{unknown}");
    let wrong = fails(&Keyring::new(key("k2", 9)), NAME, &sealed);
    assert!(matches!(&wrong, SealedError::WrongKey { key_id, .. } if key_id == "k2"), "{wrong}");
    assert!(matches!(fails(&ring(), "sealed:bob:zerodha", &sealed), SealedError::Altered { .. }));
    assert!(matches!(fails(&ring(), NAME, b"\x7btoken"), SealedError::Format { found: 0x7b, .. }));
    for end in 0..sealed.len() {
        let cut = fails(&ring(), NAME, &sealed[..end]);
        assert!(matches!(cut, SealedError::Truncated { found, .. } if found == end), "{end}: {cut}");
    }
    let longer = [&sealed[..], b"x"].concat();
    assert!(matches!(fails(&ring(), NAME, &longer), SealedError::Altered { .. }));
    assert!(seal(&ring(), NAME, &vec![0; SECRET_BYTES_MAX + 1]).is_err());
}

#[test]
fn no_error_shows_the_secret_or_a_line_of_somebody_elses() {
    let mut sealed = seal(&ring(), NAME, b"token").unwrap();
    sealed[2..4].copy_from_slice(b"\n\x1b");
    let error = open(&ring(), NAME, &sealed).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("token") && !shown.contains(['\n', '\x1b']), "{shown:?}");
    let opened = open(&ring(), NAME, &seal(&ring(), NAME, b"token").unwrap()).unwrap();
    assert!(!format!("{opened:?}").contains("token") && !format!("{opened:?}").contains("116"), "{opened:?}");
}

proptest! {
    #[test]
    fn what_is_sealed_opens(secret in proptest::collection::vec(any::<u8>(), 0..300), name in "\\PC{0,40}") {
        let sealed = seal(&ring(), &name, &secret).unwrap();
        prop_assert_eq!(opened(&ring(), &name, &sealed), secret);
    }

    #[test]
    fn any_byte_that_changes_is_noticed(
        secret in proptest::collection::vec(any::<u8>(), 0..60),
        at: prop::sample::Index,
        change in 1u8..,
    ) {
        let mut sealed = seal(&ring(), NAME, &secret).unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= change;
        prop_assert!(open(&ring(), NAME, &sealed).is_err(), "byte {at}");
    }

    #[test]
    fn under_another_name_nothing_opens(secret in proptest::collection::vec(any::<u8>(), 0..60), name in "\\PC{0,40}") {
        prop_assume!(name != NAME);
        let sealed = seal(&ring(), NAME, &secret).unwrap();
        let refused = matches!(open(&ring(), &name, &sealed), Err(SealedError::Altered { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn no_bytes_open_or_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&ring(), NAME, &bytes).is_err());
        let head = [b"\x01\x02k2", &key("k2", 2).check[..], &bytes].concat();
        prop_assert!(open(&ring(), NAME, &head).is_err());
    }
}
