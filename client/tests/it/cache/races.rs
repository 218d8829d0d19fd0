//! Computations and invalidations that overlap.

use super::{Tested, ask, cache, cache_with, config, minute, remote_only, server};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strat_client::ManualClock;
use strat_client::cache::{CacheOptions, CacheSettings};
use strat_harness::servers::Redis;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// A computation that has begun and brings `value` once it is told to.
async fn begun(
    cache: &Tested,
    options: &CacheOptions,
    value: &str,
) -> (oneshot::Sender<()>, JoinHandle<Option<Arc<String>>>) {
    let (begun, has_begun) = oneshot::channel();
    let (finish, told) = oneshot::channel();
    let (cache, options, value) = (cache.clone(), options.clone(), value.to_owned());
    let task = tokio::spawn(async move {
        let compute = || async {
            begun.send(()).unwrap();
            told.await.unwrap();
            Ok::<_, Infallible>(Some(value))
        };
        cache.get_or_compute("s1", &options, compute).await.unwrap()
    });
    has_begun.await.unwrap();
    (finish, task)
}

/// Waits for it.
pub(super) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("still not: {what}"));
}

#[tokio::test]
async fn what_was_computed_before_an_invalidation_is_not_stored() {
    for by_tag in [false, true] {
        for slow_elsewhere in [false, true] {
            let redis = server();
            let (slow, other) = (cache(&redis).await, cache(&redis).await);
            let options = minute().tags(["alice"]);
            let (finish, task) = begun(&slow, &options, "old").await;
            let invalidates = if slow_elsewhere { &other } else { &slow };
            let (keys, tags): (&[&str], &[&str]) = if by_tag { (&[], &["alice"]) } else { (&["s1"], &[]) };
            invalidates.invalidate(keys, tags).await.unwrap();
            finish.send(()).unwrap();
            assert_eq!(**task.await.unwrap().as_ref().unwrap(), "old", "who asked before gets what was true then");
            for cache in [&slow, &other] {
                assert_eq!(ask(cache, "s1", &options, "new").await, "new", "by tag {by_tag}, {slow_elsewhere}");
            }
        }
    }
}

#[tokio::test]
async fn who_asks_after_an_invalidation_does_not_join_what_began_before() {
    let redis = server();
    let cache = cache(&redis).await;
    let (finish, task) = begun(&cache, &minute(), "old").await;
    cache.invalidate(&["s1"], &[]).await.unwrap();
    assert_eq!(ask(&cache, "s1", &minute(), "new").await, "new");
    finish.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(ask(&cache, "s1", &minute(), "newer").await, "new", "the old value did not replace it");
    assert_eq!(cache.stats().unstored, 1);
}

#[tokio::test]
async fn an_invalidation_reaches_the_process_of_everybody_who_follows() {
    let redis = server();
    let (reader, writer) = (cache(&redis).await, cache(&redis).await);
    let follower = reader.follow(&config(&redis)).await.unwrap();
    until("the subscription stands", async || follower.is_live()).await;
    assert_eq!(ask(&reader, "s1", &minute(), "old").await, "old");
    assert_eq!(ask(&reader, "s1", &minute(), "new").await, "old");
    writer.invalidate(&["s1"], &[]).await.unwrap();
    until("the new value", async || ask(&reader, "s1", &minute(), "new").await == "new").await;
}

#[tokio::test]
async fn a_lost_message_costs_the_life_in_the_process_and_no_more() {
    let redis = server();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let settings = CacheSettings { clock: clock.clone(), ..CacheSettings::default() };
    let (deaf, writer) = (cache_with(&redis, "n", settings).await, cache(&redis).await);
    ask(&deaf, "s1", &minute(), "old").await;
    writer.invalidate(&["s1"], &[]).await.unwrap();
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(ask(&deaf, "s1", &minute(), "new").await, "old");
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&deaf, "s1", &minute(), "new").await, "new");
}

/// Calls that are all under way before the one computation ends.
async fn many(cache: &Tested, fails: bool) -> (u64, Vec<bool>) {
    let (computes, finish) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (cache, computes, finish) = (cache.clone(), computes.clone(), finish.clone());
            tokio::spawn(async move {
                let compute = || async {
                    computes.fetch_add(1, Ordering::SeqCst);
                    finish.notified().await;
                    if fails { Err(io::Error::other("no database")) } else { Ok(Some("a".to_owned())) }
                };
                cache.get_or_compute("s1", &minute(), compute).await.is_ok()
            })
        })
        .collect();
    until("all have looked", async || cache.stats().redis_misses >= 200).await;
    finish.notify_one();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    (computes.load(Ordering::SeqCst), answers)
}

#[tokio::test]
async fn two_hundred_tasks_share_a_computation_and_its_failure() {
    let redis = server();
    for fails in [true, false] {
        let cache = cache(&redis).await;
        let (computes, answers) = many(&cache, fails).await;
        assert_eq!((computes, answers), (1, vec![!fails; 200]));
        let stats = cache.stats();
        assert_eq!((stats.joins, stats.compute_failures), (199, u64::from(fails)));
    }
}

#[tokio::test]
async fn if_the_caller_goes_away_the_next_one_computes_and_no_lock_is_left() {
    let redis = server();
    // A lock that is not given back would outlive the test.
    let minute_long = Duration::from_secs(60);
    let settings = CacheSettings { lock_ttl: minute_long, wait_max: minute_long, ..remote_only() };
    let cache = cache_with(&redis, "n", settings).await;
    let (_finish, task) = begun(&cache, &minute(), "lost").await;
    let next = {
        let cache = cache.clone();
        tokio::spawn(async move { ask(&cache, "s1", &minute(), "next").await })
    };
    until("the next one has looked", async || cache.stats().redis_misses == 2).await;
    task.abort();
    let next = tokio::time::timeout(Duration::from_secs(10), next).await;
    assert_eq!(next.expect("no wait for the lock's end").unwrap(), "next");
    assert_eq!(redis.conn().run("KEYS cache:lock:*").texts(), Vec::<String>::new());
    assert_eq!(cache.stats().computes_alone, 0, "it took the lock, which was given back");
}

#[tokio::test]
async fn who_has_waited_long_enough_computes_without_storing() {
    let redis = server();
    let patience = CacheSettings { wait_max: Duration::from_millis(50), ..remote_only() };
    let (slow, other) = (cache(&redis).await, cache_with(&redis, "n", patience).await);
    let (finish, task) = begun(&slow, &minute(), "first").await;
    assert_eq!(ask(&other, "s1", &minute(), "own").await, "own");
    assert_eq!((other.stats().waits, other.stats().computes_alone), (1, 1));
    finish.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(ask(&other, "s1", &minute(), "second").await, "first");
}

#[tokio::test]
async fn a_lock_that_ran_out_stores_nothing() {
    let redis: Redis = server();
    let hasty = CacheSettings { lock_ttl: Duration::from_millis(1), ..CacheSettings::default() };
    let cache = cache_with(&redis, "n", hasty).await;
    let (finish, task) = begun(&cache, &minute(), "late").await;
    until("the lock is gone", async || redis.conn().run("EXISTS cache:lock:n:s1").int() == 0).await;
    finish.send(()).unwrap();
    task.await.unwrap();
    assert_eq!((redis.conn().run("DBSIZE").int(), cache.stats().unstored), (0, 1));
}
