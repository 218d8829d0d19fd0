//! Sealed values over a real Redis.

use crate::link::{self, server};
use redis::aio::ConnectionLike;
use std::time::Duration;
use strat_client::sealed::{ExposeSecret, Keyring, SealedCache, SealedError, SealedSettings, SealingKey};
use strat_client::{Config, Connection, Error};
use strat_harness::servers::Redis;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const KEY: &str = "sealed:alice:zerodha";

fn key(id: &str, byte: u8) -> SealingKey {
    SealingKey::from_text(id, &format!("{byte:02x}").repeat(32)).unwrap()
}

fn ring() -> Keyring {
    Keyring::new(key("k1", 1))
}

async fn connection(redis: &Redis) -> Connection {
    link::patient(redis, Duration::from_millis(200)).await
}

async fn sealed(redis: &Redis, keyring: Keyring, settings: SealedSettings) -> SealedCache<Connection> {
    SealedCache::new(connection(redis).await, keyring, settings).unwrap()
}

async fn read<C>(cache: &SealedCache<C>, user: &str, name: &str) -> Option<String>
where
    C: ConnectionLike + Clone + Send + Sync,
{
    let secret = cache.get(user, name).await.unwrap()?;
    Some(String::from_utf8(secret.expose_secret().to_vec()).unwrap())
}

async fn life_of_a_token<C: ConnectionLike + Clone + Send + Sync>(redis: &Redis, connection: C) {
    let cache = SealedCache::new(connection, ring(), SealedSettings::default()).unwrap();
    assert_eq!(read(&cache, "alice", "zerodha").await, None);
    cache.put("alice", "zerodha", b"t0ken of alice", DAY).await.unwrap();
    cache.put("bob", "zerodha", b"t0ken of bob", DAY).await.unwrap();
    assert_eq!(read(&cache, "alice", "zerodha").await.unwrap(), "t0ken of alice");
    assert_eq!(read(&cache, "bob", "zerodha").await.unwrap(), "t0ken of bob");
    let mut conn = redis.conn();
    let stored = conn.call(&["GET", KEY]).bytes();
    assert!(!stored.windows(5).any(|window| window == b"t0ken"));
    assert!((1..=86_400_000).contains(&conn.call(&["PTTL", KEY]).int()));
    assert!(cache.remove("alice", "zerodha").await.unwrap());
    assert!(!cache.remove("alice", "zerodha").await.unwrap());
    assert_eq!(read(&cache, "alice", "zerodha").await, None);
}

#[tokio::test]
async fn a_secret_is_stored_read_and_removed_over_every_kind_of_connection() {
    for protocol in ["resp2", "resp3"] {
        let redis = server();
        let url = format!("{}?protocol={protocol}", redis.url());
        let bare = redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
        life_of_a_token(&redis, bare).await;
        life_of_a_token(&redis, Connection::open(&Config::from_url(&url).unwrap()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_value_copied_to_another_user_or_tenant_does_not_open() {
    let redis = server();
    let cache = sealed(&redis, ring(), SealedSettings::default()).await;
    let tenant = SealedSettings { prefix: "{t1}".into(), ..SealedSettings::default() };
    let tenant = sealed(&redis, ring(), tenant).await;
    cache.put("alice", "zerodha", b"of alice", DAY).await.unwrap();
    assert!(tenant.get("alice", "zerodha").await.unwrap().is_none());
    for (copy, other, user) in [("sealed:bob:zerodha", &cache, "bob"), ("{t1}sealed:alice:zerodha", &tenant, "alice")] {
        redis.conn().call(&["COPY", KEY, copy]);
        let error = other.get(user, "zerodha").await.unwrap_err();
        assert!(matches!(&error, SealedError::Altered { key } if key == copy), "{error}");
    }
}

#[tokio::test]
async fn what_was_meddled_with_is_an_error_and_never_a_miss() {
    let redis = server();
    let cache = sealed(&redis, ring(), SealedSettings::default()).await;
    cache.put("alice", "zerodha", b"token", DAY).await.unwrap();
    let mut conn = redis.conn();
    let good = conn.call(&["GET", KEY]).bytes();
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let cases: [(&[u8], &str); 4] = [
        (&changed, "was altered"),
        (&good[..20], "is truncated"),
        (b"", "is truncated"),
        (b"plain token", "holds no sealed value"),
    ];
    for (bytes, expected) in cases {
        conn.call(&[b"SET", KEY.as_bytes(), bytes]);
        let error = cache.get("alice", "zerodha").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn keys_are_changed_without_losing_a_secret() {
    let redis = server();
    let before = sealed(&redis, ring(), SealedSettings::default()).await;
    before.put("alice", "zerodha", b"token", DAY).await.unwrap();
    let new_only = sealed(&redis, Keyring::new(key("k2", 2)), SealedSettings::default()).await;
    let error = new_only.get("alice", "zerodha").await.unwrap_err();
    assert!(matches!(&error, SealedError::UnknownKey { key_id, .. } if key_id == "k1"), "{error}");
    let reused = sealed(&redis, Keyring::new(key("k1", 2)), SealedSettings::default()).await;
    assert!(matches!(reused.get("alice", "zerodha").await, Err(SealedError::WrongKey { .. })));

    let both = || Keyring::new(key("k2", 2)).with_old(key("k1", 1)).unwrap();
    let reader = sealed(&redis, both(), SealedSettings::default()).await;
    assert_eq!(read(&reader, "alice", "zerodha").await.unwrap(), "token");
    assert!(new_only.get("alice", "zerodha").await.is_err(), "reading alone writes nothing");
    let life = redis.conn().call(&["PTTL", KEY]).int();
    let resealing = SealedSettings { reseal_on_read: true, ..SealedSettings::default() };
    assert_eq!(read(&sealed(&redis, both(), resealing).await, "alice", "zerodha").await.unwrap(), "token");
    assert_eq!(read(&new_only, "alice", "zerodha").await.unwrap(), "token");
    let left = redis.conn().call(&["PTTL", KEY]).int();
    assert!((1..=life).contains(&left), "the life goes on: {left} of {life}");
}

#[tokio::test]
async fn hostile_names_and_lives_of_no_use_are_refused() {
    let redis = server();
    let cache = sealed(&redis, ring(), SealedSettings::default()).await;
    for name in ["", "a:b", "{a}", "a b", "a\r\n", "a/b"] {
        for error in [cache.put(name, "n", b"", DAY).await.err(), cache.put("u", name, b"", DAY).await.err()] {
            assert!(matches!(error, Some(SealedError::Redis(Error::Refused { .. }))), "{name:?} {error:?}");
        }
        assert!(cache.get("u", name).await.is_err() && cache.remove(name, "n").await.is_err());
    }
    for ttl in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        let error = cache.put("alice", "zerodha", b"token", ttl).await;
        assert!(matches!(error, Err(SealedError::Redis(Error::Config(_)))), "{error:?}");
    }
    assert_eq!(redis.conn().run("DBSIZE").int(), 0);
}

#[tokio::test]
async fn without_redis_every_call_says_so() {
    let mut redis = server();
    let cache = sealed(&redis, ring(), SealedSettings::default()).await;
    cache.put("alice", "zerodha", b"token", DAY).await.unwrap();
    redis.kill_9();
    // The first call may find the old socket gone; from then on nothing is sent.
    let _ = cache.get("alice", "zerodha").await;
    let unavailable = |error: SealedError| {
        assert!(matches!(error, SealedError::Redis(Error::Unavailable { .. })), "{error:?}");
        assert!(!format!("{error:?}{error}").contains("token"));
    };
    unavailable(cache.get("alice", "zerodha").await.unwrap_err());
    unavailable(cache.put("alice", "zerodha", b"token", DAY).await.unwrap_err());
    unavailable(cache.remove("alice", "zerodha").await.unwrap_err());
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_key_or_a_secret() {
    let redis = server();
    let cache = sealed(&redis, ring(), SealedSettings::default()).await;
    cache.put("alice", "zerodha", b"token", DAY).await.unwrap();
    let secret = cache.get("alice", "zerodha").await.unwrap();
    let shown = format!("{cache:?} {secret:?}");
    assert!(shown.contains("k1") && !shown.contains("token") && !shown.contains("0101") && !shown.contains("1, 1"));
}
