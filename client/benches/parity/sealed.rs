//! Calls of `strat_client::sealed`. Both sides encrypt, the bare one with the cipher's crate as it is: encryption costs as
//! much as the command itself, and would hide what the calls add. Both have one timeout, the connection's own.

use crate::Case;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use std::time::Duration;
use strat_client::sealed::{ExposeSecret, Keyring, SealedCache, SealedSettings, SealingKey};

/// As long as an access token.
const SECRET: [u8; 64] = [b't'; 64];
const KEY: [u8; 32] = [0x5a; 32];
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const USERS: u64 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn cases() -> Vec<Case> {
    vec![put(), get()]
}

fn tokens(connection: MultiplexedConnection) -> SealedCache<MultiplexedConnection> {
    let keyring = Keyring::new(SealingKey::from_text("k1", &"5a".repeat(32)).unwrap());
    SealedCache::new(connection, keyring, SealedSettings { timeout: None, ..SealedSettings::default() }).unwrap()
}

fn seal(name: &str) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).unwrap();
    let mut sealed = [&nonce[..], &SECRET[..]].concat();
    let cipher = XChaCha20Poly1305::new(&KEY.into());
    let secret = sealed[NONCE_BYTES..].as_mut().into();
    let tag = cipher.encrypt_inout_detached(&nonce.into(), name.as_bytes(), secret).unwrap();
    sealed.extend(tag);
    sealed
}

fn open(name: &str, sealed: &[u8]) -> Vec<u8> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().unwrap();
    let (encrypted, tag) = rest.split_last_chunk::<TAG_BYTES>().unwrap();
    let mut secret = encrypted.to_vec();
    let cipher = XChaCha20Poly1305::new(&KEY.into());
    let buffer = secret.as_mut_slice().into();
    cipher.decrypt_inout_detached(&(*nonce).into(), name.as_bytes(), buffer, &(*tag).into()).unwrap();
    secret
}

fn put() -> Case {
    Case {
        name: "sealed/put",
        ours: Box::new(|connection| {
            let tokens = tokens(connection);
            Box::new(move |turn| {
                let tokens = tokens.clone();
                Box::pin(async move { tokens.put(&turn.to_string(), "zerodha", &SECRET, DAY).await.unwrap() })
            })
        }),
        bare: Box::new(|connection| {
            Box::new(move |turn| {
                let mut connection = connection.clone();
                Box::pin(async move {
                    let key = format!("bare:{turn}:zerodha");
                    let sealed = seal(&key);
                    let _: () = connection.set_ex(key, sealed, DAY.as_secs()).await.unwrap();
                })
            })
        }),
    }
}

/// The first turn of each user stores; what is compared is reading.
fn get() -> Case {
    Case {
        name: "sealed/get",
        ours: Box::new(|connection| {
            let tokens = tokens(connection);
            Box::new(move |turn| {
                let tokens = tokens.clone();
                Box::pin(async move {
                    let user = (turn % USERS).to_string();
                    match tokens.get(&user, "zerodha").await.unwrap() {
                        Some(secret) => assert_eq!(secret.expose_secret().len(), SECRET.len()),
                        None => tokens.put(&user, "zerodha", &SECRET, DAY).await.unwrap(),
                    }
                })
            })
        }),
        bare: Box::new(|connection| {
            Box::new(move |turn| {
                let mut connection = connection.clone();
                Box::pin(async move {
                    let key = format!("bare:{}:zerodha", turn % USERS);
                    match connection.get::<_, Option<Vec<u8>>>(&key).await.unwrap() {
                        Some(sealed) => assert_eq!(open(&key, &sealed).len(), SECRET.len()),
                        None => connection.set_ex(&key, seal(&key), DAY.as_secs()).await.unwrap(),
                    }
                })
            })
        }),
    }
}
