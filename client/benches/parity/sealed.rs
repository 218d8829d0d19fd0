//! Calls of `strat_client::sealed`. The bare commands move as many bytes, but encrypt nothing: what sealing costs shows.

use crate::Case;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use std::time::Duration;
use strat_client::sealed::{ExposeSecret, Keyring, SealedCache, SealedSettings, SealingKey};

/// As long as an access token.
const SECRET: [u8; 64] = [b't'; 64];
/// What sealing adds, with the key's id of two bytes.
const SEALED_BYTES: usize = SECRET.len() + 56;
const USERS: u64 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn cases() -> Vec<Case> {
    vec![put(), get()]
}

fn tokens(connection: MultiplexedConnection) -> SealedCache<MultiplexedConnection> {
    let keyring = Keyring::new(SealingKey::from_text("k1", &"5a".repeat(32)).unwrap());
    SealedCache::new(connection, keyring, SealedSettings::default()).unwrap()
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
                    let _: () = connection.set_ex(key, &[b's'; SEALED_BYTES][..], DAY.as_secs()).await.unwrap();
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
                        Some(bytes) => assert_eq!(bytes.len(), SEALED_BYTES),
                        None => connection.set_ex(&key, &[b's'; SEALED_BYTES][..], DAY.as_secs()).await.unwrap(),
                    }
                })
            })
        }),
    }
}
