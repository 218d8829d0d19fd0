//! The cache over a real Redis.

mod outage;
mod processes;
mod races;
mod repository;

use redis::aio::ConnectionLike;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strat_client::cache::{Cache, CacheOptions, CacheSettings};
use strat_client::{Config, Connection, Error};
use strat_harness::resp::Conn;
use strat_harness::servers::{Options, Redis};

type Tested = Cache<Connection, String>;

fn server() -> Redis {
    Redis::with(Options::plain())
}

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url()).unwrap().with_reconnect_wait(Duration::from_millis(200))
}

async fn cache_with(redis: &Redis, namespace: &str, settings: CacheSettings) -> Tested {
    Cache::new(Connection::open(&config(redis)).await.unwrap(), namespace, settings).unwrap()
}

async fn cache(redis: &Redis) -> Tested {
    cache_with(redis, "n", CacheSettings::default()).await
}

/// Without the layer in the process.
fn remote_only() -> CacheSettings {
    CacheSettings { local_bytes: 0, ..CacheSettings::default() }
}

fn minute() -> CacheOptions {
    CacheOptions::new(Duration::from_secs(60))
}

/// What a cache answers where the source says `value`.
async fn ask<C>(cache: &Cache<C, String>, key: &str, options: &CacheOptions, value: &str) -> String
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    let compute = || async { Ok::<_, Infallible>(Some(value.to_owned())) };
    let found = cache.get_or_compute(key, options, compute).await.unwrap();
    found.expect("a value").as_str().to_owned()
}

/// Life of a key in ms.
fn pttl(conn: &mut Conn, key: &str) -> i64 {
    conn.call(&["PTTL", key]).int()
}

async fn computed_once_and_found_by<C>(connection: C)
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    let first = Cache::<_, String>::new(connection.clone(), "n", CacheSettings::default()).unwrap();
    let second = Cache::<_, String>::new(connection, "n", CacheSettings::default()).unwrap();
    let options = minute().tags(["alice"]);
    assert_eq!(ask(&first, "s1", &options, "a").await, "a");
    assert_eq!(ask(&first, "s1", &options, "b").await, "a", "in the process");
    assert_eq!(ask(&second, "s1", &options, "c").await, "a", "in Redis");
    second.invalidate(&[], &["alice"]).await.unwrap();
    assert_eq!(ask(&second, "s1", &options, "d").await, "d");
    let (first, second) = (first.stats(), second.stats());
    assert_eq!((first.local_hits, first.local_misses, first.redis_misses, first.computes), (1, 1, 1, 1));
    assert_eq!((second.local_hits, second.redis_hits, second.redis_misses, second.computes), (0, 1, 1, 1));
    assert_eq!(second.named().iter().find(|(name, _)| *name == "redis_hits_total"), Some(&("redis_hits_total", 1)));
}

#[tokio::test]
async fn a_value_is_computed_once_and_found_over_every_kind_of_connection() {
    for protocol in ["resp2", "resp3"] {
        let redis = server();
        let url = format!("{}?protocol={protocol}", redis.url());
        let bare = redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
        computed_once_and_found_by(bare).await;
        redis.conn().run("FLUSHALL");
        computed_once_and_found_by(Connection::open(&Config::from_url(&url).unwrap()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn every_key_runs_out_and_lives_as_long_as_its_jitter_says() {
    let redis = server();
    let random = Arc::new(|| u64::MAX);
    let cache = cache_with(&redis, "n", CacheSettings { jitter_percent: 50, random, ..remote_only() }).await;
    ask(&cache, "s1", &minute().tags(["t"]), "a").await;
    let mut conn = redis.conn();
    let keys = conn.run("KEYS *").texts();
    assert_eq!(keys.len(), 2, "{keys:?}");
    let (value, tag) = (pttl(&mut conn, "cache:n:s1"), pttl(&mut conn, "cache:tag:n:t"));
    assert!((29_000..=60_000).contains(&value), "{value}");
    assert!(tag >= value, "a value does not outlive its tag: {tag} {value}");
    // A value that lives longer prolongs the tag; a shorter one does not shorten it.
    ask(&cache, "s2", &CacheOptions::new(Duration::from_secs(600)).tags(["t"]), "a").await;
    ask(&cache, "s3", &CacheOptions::new(Duration::from_secs(1)).tags(["t"]), "a").await;
    assert!(pttl(&mut conn, "cache:tag:n:t") >= pttl(&mut conn, "cache:n:s2"));
}

#[tokio::test]
async fn that_there_is_none_is_remembered_for_its_own_time() {
    let redis = server();
    let settings = CacheSettings { lock_ttl: Duration::from_secs(60), ..remote_only() };
    let cache = cache_with(&redis, "n", settings).await;
    let none = async |options: &CacheOptions| {
        cache.get_or_compute("s1", options, || async { Ok::<_, Infallible>(None) }).await.unwrap()
    };
    assert_eq!(none(&minute().negative_ttl(Duration::ZERO)).await, None);
    // The lock is given back in the background.
    races::until("nothing is left", async || redis.conn().run("DBSIZE").int() == 0).await;
    let options = minute().negative_ttl(Duration::from_secs(2));
    assert_eq!(none(&options).await, None);
    assert!(pttl(&mut redis.conn(), "cache:n:s1") <= 2_000);
    let answer = cache.get_or_compute("s1", &options, || async { Ok::<_, Infallible>(Some("a".to_owned())) }).await;
    assert_eq!(answer.unwrap(), None, "remembered");
    assert_eq!(cache.stats().computes, 2);
}

#[tokio::test]
async fn a_tag_drops_all_its_values_and_no_others() {
    let redis = server();
    let cache = cache(&redis).await;
    let (alice, bob) = (minute().tags(["alice", "NIFTY"]), minute().tags(["bob"]));
    for (key, options) in [("a1", &alice), ("a2", &alice), ("b1", &bob)] {
        ask(&cache, key, options, "old").await;
    }
    cache.invalidate(&[], &["alice"]).await.unwrap();
    assert_eq!(ask(&cache, "a1", &alice, "new").await, "new");
    assert_eq!(ask(&cache, "a2", &alice, "new").await, "new");
    assert_eq!(ask(&cache, "b1", &bob, "new").await, "old");
    // An evicted tag makes values miss, it does not keep them.
    redis.conn().run("DEL cache:tag:n:bob");
    cache.clear_local();
    assert_eq!(ask(&cache, "b1", &bob, "new").await, "new");
}

#[tokio::test]
async fn what_does_not_read_is_computed_anew_and_replaced() {
    let redis = server();
    let cache = cache_with(&redis, "n", remote_only()).await;
    for text in ["", "{", "{\"until\":1,\"value\":[7]}", "\u{fffd}"] {
        redis.conn().call(&["SET", "cache:n:s1", text]);
        assert_eq!(ask(&cache, "s1", &minute(), "a").await, "a", "{text:?}");
        assert_eq!(ask(&cache, "s1", &minute(), "b").await, "a", "{text:?}");
    }
    redis.conn().run("DEL cache:n:s1");
    redis.conn().run("LPUSH cache:n:s1 x");
    assert_eq!(ask(&cache, "s1", &minute(), "c").await, "c", "a key of another type");
}

#[tokio::test]
async fn namespaces_and_prefixes_do_not_read_each_others_values() {
    let redis = server();
    let of = |prefix: &str| CacheSettings { prefix: prefix.to_owned(), ..remote_only() };
    let places = [("", "a"), ("", "b"), ("{t1}", "a"), ("t1:", "a"), ("cache:a:", "a")];
    let mut caches = Vec::new();
    for (prefix, namespace) in places {
        caches.push((cache_with(&redis, namespace, of(prefix)).await, format!("{prefix} {namespace}")));
    }
    for (cache, own) in &caches {
        assert_eq!(&ask(cache, "k", &minute().tags(["t"]), own).await, own);
    }
    caches[0].0.invalidate(&["k"], &["t"]).await.unwrap();
    for (cache, own) in &caches[1..] {
        assert_eq!(&ask(cache, "k", &minute().tags(["t"]), "another").await, own);
    }
}

#[tokio::test]
async fn hostile_names_are_refused_before_anything_is_asked() {
    let redis = server();
    let cache = cache(&redis).await;
    let computes = AtomicU64::new(0);
    for name in ["", "b:k", "*", "k\r\nFLUSHALL", "{b}k", "k k", "\u{202e}"] {
        let options = minute();
        let computed = cache.get_or_compute(name, &options, || async {
            computes.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(None)
        });
        // A star is a byte like any other: no pattern is ever made of a name.
        let refused = computed.await.is_err();
        assert_eq!(refused, name != "*", "{name:?}");
        let error = cache.invalidate(&["good", name], &[]).await;
        assert_eq!(matches!(error, Err(Error::Refused { .. })), name != "*", "{name:?}");
        assert_eq!(cache.invalidate(&[], &[name]).await.is_err(), name != "*", "{name:?}");
    }
    assert_eq!(computes.into_inner(), 1);
    let many = vec!["k"; 1_001];
    assert!(matches!(cache.invalidate(&many, &[]).await, Err(Error::Config(_))));
}
