//! Several processes: this test binary starts itself again, as a child that runs one function.

use super::{Tested, ask, cache_with, config, minute};
use redis::AsyncCommands;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;
use strat_client::cache::{Cache, CacheSettings};
use strat_client::{Config, Connection};
use strat_harness::servers::Redis;
use strat_harness::servers::process::Process;
use tokio::time::{Instant, sleep, timeout};

/// Names the server to a child; without it the child's function does nothing.
const URL: &str = "STRAT_CACHE_CHILD_URL";
const CALLS: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);

fn start(redis: &Redis, name: &str, function: &str) -> Process {
    let program = std::env::current_exe().unwrap();
    let log = redis.dir().join(format!("{name}.log"));
    let function = format!("cache::processes::{function}");
    Process::start(name, Path::new(&program), &log, None, |command| {
        command.args(["--exact", &function, "--nocapture"]).env(URL, redis.url());
    })
}

/// In a child: a cache whose lock outlives what the parent waits for, and a connection of its own.
async fn child(lock_ttl: Duration) -> Option<(Tested, Connection)> {
    let url = std::env::var(URL).ok()?;
    let connection = Connection::open(&Config::from_url(&url).unwrap()).await.unwrap();
    let settings = CacheSettings { lock_ttl, wait_max: LIMIT, ..CacheSettings::default() };
    Some((Cache::new(connection.clone(), "n", settings).unwrap(), connection))
}

async fn count(redis: &mut Connection, key: &str) -> usize {
    redis.get::<_, Option<usize>>(key).await.unwrap().unwrap_or(0)
}

#[tokio::test]
async fn child_that_asks_many_times() {
    let Some((cache, redis)) = child(LIMIT).await else { return };
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (cache, mut redis) = (cache.clone(), redis.clone());
            tokio::spawn(async move {
                let _: usize = redis.incr("asking", 1).await.unwrap();
                let mut source = redis.clone();
                // It ends when everybody in both processes is asking.
                let compute = || async move {
                    let computes: usize = source.incr("computes", 1).await.unwrap();
                    while count(&mut source, "asking").await < 2 * CALLS {
                        sleep(Duration::from_millis(2)).await;
                    }
                    Ok::<_, Infallible>(Some(format!("computation {computes}")))
                };
                let value = cache.get_or_compute("hot", &minute(), compute).await.unwrap().unwrap();
                assert_eq!(*value, "computation 1");
                let _: usize = redis.incr("answered", 1).await.unwrap();
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn four_hundred_callers_in_two_processes_cause_one_computation() {
    let redis = super::server();
    let mut children = ["first", "second"].map(|name| start(&redis, name, "child_that_asks_many_times"));
    for child in &mut children {
        let status = child.wait(LIMIT);
        assert!(status.success(), "{}", child.output());
    }
    let mut conn = redis.conn();
    let counts = conn.run("MGET computes asking answered").texts();
    assert_eq!(counts, ["1", "400", "400"]);
    assert_eq!(conn.run("KEYS cache:*").texts(), ["cache:n:hot"]);
}

#[tokio::test]
async fn child_that_computes_for_ever() {
    let Some((cache, mut redis)) = child(Duration::from_secs(2)).await else { return };
    let compute = || async move {
        let _: usize = redis.incr("computes", 1).await.unwrap();
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(None)
    };
    cache.get_or_compute("hot", &minute(), compute).await.unwrap();
}

#[tokio::test]
async fn if_a_process_is_killed_while_it_computes_another_finishes_within_the_locks_life() {
    let redis = super::server();
    let settings = CacheSettings { wait_max: LIMIT, ..CacheSettings::default() };
    let cache = cache_with(&redis, "n", settings).await;
    let mut connection = Connection::open(&config(&redis)).await.unwrap();
    let mut killed = start(&redis, "killed", "child_that_computes_for_ever");
    while count(&mut connection, "computes").await == 0 {
        sleep(Duration::from_millis(2)).await;
    }
    let waiting = {
        let cache = cache.clone();
        tokio::spawn(async move { ask(&cache, "hot", &minute(), "mine").await })
    };
    while cache.stats().waits == 0 {
        sleep(Duration::from_millis(2)).await;
    }
    killed.kill_9();
    let started = Instant::now();
    assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap(), "mine");
    // The lock's two seconds began before the kill; the rest is the pause between two looks, on a busy machine.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(cache.stats().computes_alone, 0, "it took the lock over, and stored");
    assert_eq!(redis.conn().run("KEYS cache:*").texts(), ["cache:n:hot"]);
}
