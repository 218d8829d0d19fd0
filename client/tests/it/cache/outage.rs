//! Without Redis.

use super::{Tested, ask, cache, cache_with, config, minute, remote_only, server};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strat_client::ManualClock;
use strat_client::cache::{CacheError, CacheSettings};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn without_redis_values_are_computed_and_live_in_the_process_only_as_long_as_they_may() {
    let mut redis = server();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let settings = CacheSettings { clock: clock.clone(), ..CacheSettings::default() };
    let cache = cache_with(&redis, "n", settings).await;
    ask(&cache, "s1", &minute(), "before").await;
    redis.kill_9();
    assert_eq!(ask(&cache, "s1", &minute(), "x").await, "before", "still alive in the process");
    clock.advance(Duration::from_secs(5));
    assert_eq!(ask(&cache, "s1", &minute(), "after").await, "after");
    assert_eq!(ask(&cache, "s1", &minute(), "x").await, "after");
    let stats = cache.stats();
    assert_eq!((stats.redis_failures, stats.computes_alone, stats.computes), (1, 1, 2));
    let invalidated = cache.invalidate(&["s1"], &[]).await.unwrap_err();
    assert!(invalidated.is_retryable() || invalidated.outcome_unknown(), "{invalidated}");
    assert_eq!(ask(&cache, "s1", &minute(), "newest").await, "newest", "this process has dropped it");
}

#[tokio::test]
async fn a_silent_redis_costs_one_timeout_per_call() {
    let redis = server();
    let settings = CacheSettings { timeout: Some(Duration::from_millis(100)), ..remote_only() };
    let cache = cache_with(&redis, "n", settings).await;
    redis.pause();
    let started = Instant::now();
    assert_eq!(ask(&cache, "s1", &minute(), "a").await, "a");
    let took = started.elapsed();
    redis.resume();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Asks for 40 keys at once; answers with how many were computed at the same time, at most, and how many got a value.
async fn storm(cache: &Tested) -> (usize, usize) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let (cache, now, most) = (cache.clone(), now.clone(), most.clone());
            tokio::spawn(async move {
                let compute = || async {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    sleep(Duration::from_millis(20)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, Infallible>(Some(String::new()))
                };
                cache.get_or_compute(&n.to_string(), &minute(), compute).await.is_ok()
            })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        answered += usize::from(call.await.unwrap());
    }
    (most.load(Ordering::SeqCst), answered)
}

#[tokio::test]
async fn the_source_is_not_stormed() {
    let mut redis = server();
    let patient = cache_with(&redis, "n", CacheSettings { computes_max: 3, ..remote_only() }).await;
    let hasty = CacheSettings { computes_max: 3, wait_max: Duration::from_millis(5), ..remote_only() };
    let hasty = cache_with(&redis, "n", hasty).await;
    redis.kill_9();
    assert_eq!(storm(&patient).await, (3, 40));
    let (most, answered) = storm(&hasty).await;
    assert!(most <= 3 && answered < 40, "{most} {answered}");
    assert_eq!(hasty.stats().overloads, 40 - answered as u64);
}

#[tokio::test]
async fn a_failed_computation_is_told_with_its_type() {
    let mut redis = server();
    let cache = cache(&redis).await;
    for _ in ["with Redis", "without"] {
        let fails = || async { Err(io::Error::from(io::ErrorKind::NotFound)) };
        let error = cache.get_or_compute("s1", &minute(), fails).await.unwrap_err();
        assert_eq!(error.compute::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
        assert!(matches!(error, CacheError::Compute(_)));
        redis.kill_9();
    }
}

#[tokio::test]
async fn after_a_gap_nothing_is_kept_and_invalidations_are_heard_again() {
    let mut redis = server();
    let (reader, writer) = (cache(&redis).await, cache(&redis).await);
    let impatient = config(&redis).with_backoff(Duration::from_millis(1), Duration::from_millis(20));
    let follower = reader.follow(&impatient).await.unwrap();
    let stands = async |live: bool| {
        let noticed = async {
            while follower.is_live() != live {
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), noticed).await.unwrap();
    };
    stands(true).await;
    assert_eq!(ask(&reader, "s1", &minute(), "old").await, "old");
    redis.kill_9();
    stands(false).await;
    assert_eq!(ask(&reader, "s1", &minute(), "gap").await, "gap", "the gap dropped it");
    redis.start_again();
    stands(true).await;
    assert_eq!(ask(&reader, "s1", &minute(), "back").await, "back", "and so did its end");
    writer.invalidate(&["s1"], &[]).await.unwrap();
    let heard = async { while ask(&reader, "s1", &minute(), "new").await != "new" {} };
    tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
}
