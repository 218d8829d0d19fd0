//! Calls of `strat_client::cache`, without the layer in the process, which needs no command. Both sides read the JSON,
//! because that is what the bare commands are sent for, and both have one timeout, the connection's own.

use crate::Case;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, pipe};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strat_client::cache::{Cache, CacheOptions, CacheSettings};

type Cached = Cache<MultiplexedConnection, String>;

/// Different values, as many as a busy backend asks for.
const KEYS: u64 = 1_000;
const GENERATION: &str = "0123456789abcdef0123456789abcdef";
const VALUE: &str = "RELIANCE 10 @ 2450.00, stop-loss 2440.00, take-profit 2490.00";

#[derive(serde::Deserialize)]
struct Stored {
    until: i64,
    tags: Vec<String>,
    value: (String,),
}

pub(crate) fn cases() -> Vec<Case> {
    vec![hit("cache/hit", &[]), hit("cache/hit with two tags", &["alice", "RELIANCE"]), miss(), invalidate()]
}

fn cache(connection: MultiplexedConnection) -> Cached {
    let settings = CacheSettings { local_bytes: 0, timeout: None, ..CacheSettings::default() };
    Cache::new(connection, "bench", settings).unwrap()
}

fn options(tags: &'static [&'static str]) -> Arc<CacheOptions> {
    Arc::new(CacheOptions::new(Duration::from_secs(600)).tags(tags.iter().copied()))
}

async fn ask(cache: &Cached, key: &str, options: &CacheOptions) {
    let compute = || async { Ok::<_, Infallible>(Some(VALUE.to_owned())) };
    assert_eq!(cache.get_or_compute(key, options, compute).await.unwrap().unwrap().len(), VALUE.len());
}

/// The warm-up stores the values; what is compared is reading them.
fn hit(name: &'static str, tags: &'static [&'static str]) -> Case {
    Case {
        name,
        ours: Box::new(move |connection| {
            let (cache, options) = (cache(connection), options(tags));
            Box::new(move |turn| {
                let (cache, options) = (cache.clone(), options.clone());
                Box::pin(async move { ask(&cache, &(turn % KEYS).to_string(), &options).await })
            })
        }),
        bare: Box::new(move |connection| {
            Box::new(move |turn| {
                let mut connection = connection.clone();
                Box::pin(async move {
                    let key = format!("bare:{}", turn % KEYS);
                    let text: Option<Vec<u8>> = if tags.is_empty() {
                        connection.get(&key).await.unwrap()
                    } else {
                        let keys = [key.clone(), format!("bare:tag:{}", tags[0]), format!("bare:tag:{}", tags[1])];
                        let mut found: Vec<Option<Vec<u8>>> = connection.mget(&keys).await.unwrap();
                        let current = found[1..].iter().all(|tag| tag.as_deref() == Some(GENERATION.as_bytes()));
                        found.swap_remove(0).filter(|_| current)
                    };
                    match text {
                        Some(text) => {
                            let Stored { until, tags, value } = serde_json::from_slice(&text).unwrap();
                            assert!(until > 0 && value.0 == VALUE);
                            assert!(tags.iter().all(|tag| tag == GENERATION));
                        }
                        None => {
                            for tag in tags {
                                let _: () =
                                    connection.set_ex(format!("bare:tag:{tag}"), GENERATION, 600).await.unwrap();
                            }
                            let tags = vec![GENERATION; tags.len()];
                            let text =
                                serde_json::json!({"until": 1_767_225_600_000u64, "tags": tags, "value": [VALUE]});
                            let _: () = connection.set_ex(&key, text.to_string(), 600).await.unwrap();
                        }
                    }
                })
            })
        }),
    }
}

/// The same steps by hand: look, lock, store under the lock's token.
fn miss() -> Case {
    Case {
        name: "cache/miss",
        ours: Box::new(|connection| {
            let (cache, options) = (cache(connection), options(&[]));
            let fresh = Arc::new(AtomicU64::new(0));
            Box::new(move |_| {
                let (cache, options) = (cache.clone(), options.clone());
                let key = fresh.fetch_add(1, Ordering::Relaxed).to_string();
                Box::pin(async move { ask(&cache, &key, &options).await })
            })
        }),
        bare: Box::new(|connection| {
            let claim = Arc::new(redis::Script::new(
                "local v = redis.call('GET', KEYS[1])
                local mine = not v and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', 3000)
                return {mine and 1 or 0, v}",
            ));
            let store = Arc::new(redis::Script::new(
                "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end redis.call('DEL', KEYS[2])
                redis.call('SET', KEYS[1], ARGV[2], 'PX', 600000) return 1",
            ));
            let fresh = Arc::new(AtomicU64::new(0));
            Box::new(move |_| {
                let (mut connection, claim, store) = (connection.clone(), claim.clone(), store.clone());
                let turn = fresh.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    let (key, lock) = (format!("bare:miss:{turn}"), format!("bare:miss:lock:{turn}"));
                    let mut token = [0; 16];
                    getrandom::fill(&mut token).unwrap();
                    let token = format!("{:032x}", u128::from_be_bytes(token));
                    let found: Option<Vec<u8>> = connection.get(&key).await.unwrap();
                    assert!(found.is_none());
                    let mut call = claim.key(&key);
                    let (locked, _): (u8, Option<Vec<u8>>) =
                        call.key(&lock).arg(&token).invoke_async(&mut connection).await.unwrap();
                    assert_eq!(locked, 1);
                    let text = serde_json::json!({"until": 1_767_225_600_000u64, "value": [VALUE]}).to_string();
                    let mut call = store.key(&key);
                    let stored: u8 = call.key(&lock).arg(&token).arg(text).invoke_async(&mut connection).await.unwrap();
                    assert_eq!(stored, 1);
                })
            })
        }),
    }
}

fn invalidate() -> Case {
    Case {
        name: "cache/invalidate a key and a tag",
        ours: Box::new(|connection| {
            let cache = cache(connection);
            Box::new(move |turn| {
                let cache = cache.clone();
                Box::pin(async move { cache.invalidate(&[&turn.to_string()], &["alice"]).await.unwrap() })
            })
        }),
        bare: Box::new(|connection| {
            Box::new(move |turn| {
                let mut connection = connection.clone();
                Box::pin(async move {
                    let keys = [format!("bare:{turn}"), format!("bare:lock:{turn}"), "bare:tag:alice".to_owned()];
                    let message = serde_json::json!({"keys": [turn.to_string()], "tags": ["alice"]}).to_string();
                    let mut both = pipe();
                    both.atomic().unlink(&keys).ignore().publish("bare:invalidate", message).ignore();
                    let _: () = both.query_async(&mut connection).await.unwrap();
                })
            })
        }),
    }
}
