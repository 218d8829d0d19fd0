//! What stands around a connection, with servers that die, stall and come back.

mod repeats;
mod transactions;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strat_client::resilience::{Breaker, BreakerSettings, BreakerState, GuardSettings, Guarded};
use strat_client::{Config, Connection, Error, ManualClock};
use strat_harness::servers::{Options, Redis};

/// Shorter than anybody waits, longer than a busy machine needs for a reply.
const IMPATIENT: Duration = Duration::from_millis(250);

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url())
        .unwrap()
        .with_response_timeout(IMPATIENT)
        .with_reconnect_wait(IMPATIENT)
        .with_backoff(Duration::from_millis(1), Duration::from_millis(5))
}

fn breaker(failures: u32) -> (Breaker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1_760_000_000_000));
    let settings = BreakerSettings { failures, ..BreakerSettings::default() };
    (Breaker::with_clock(settings, clock.clone()).unwrap(), clock)
}

/// Counts the requests that reach the connection.
#[derive(Clone)]
struct Counting<C> {
    inner: C,
    made: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl<C> Counting<C> {
    fn new(inner: C) -> Self {
        Self { inner, made: Arc::default(), under_way: Arc::default(), most: Arc::default() }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

impl<C: ConnectionLike + Send> ConnectionLike for Counting<C> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            self.made.fetch_add(1, Ordering::SeqCst);
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(under_way, Ordering::SeqCst);
            let reply = self.inner.req_packed_command(cmd).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            reply
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.inner.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

async fn bare(redis: &Redis) -> MultiplexedConnection {
    let options = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection_with_config(&options).await.unwrap()
}

async fn get<C: ConnectionLike + Clone + Send + Sync>(connection: &C) -> strat_client::Result<Option<String>> {
    Ok(redis::cmd("GET").arg("k").query_async(&mut connection.clone()).await?)
}

#[tokio::test]
async fn a_killed_server_opens_the_breaker_and_exits_get_through_as_soon_as_it_is_back() {
    let mut redis = Redis::with(Options::plain());
    let counting = Counting::new(Connection::open(&config(&redis)).await.unwrap());
    let (breaker, _) = breaker(3);
    let guarded = Guarded::new(counting.clone(), GuardSettings::default(), breaker).unwrap();
    assert_eq!(get(&guarded).await.unwrap(), None);
    redis.kill_9();

    for _ in 0..3 {
        get(&guarded).await.unwrap_err();
    }
    assert_eq!(guarded.breaker().status().state, BreakerState::Open);
    let made = counting.made();
    for _ in 0..100 {
        assert!(matches!(get(&guarded).await, Err(Error::Unavailable { .. })));
    }
    assert_eq!(counting.made(), made, "no call is made while it is open");
    assert!(get(&guarded.for_exits()).await.is_err());
    assert_eq!(counting.made(), made + 1, "but exits are");
    let health = guarded.health().await;
    assert!(health.ping.is_err() && health.breaker.refused_total >= 100, "{health:?}");

    redis.start_again();
    assert!(get(&guarded).await.is_err(), "its time has not come");
    assert_eq!(get(&guarded.for_exits()).await.unwrap(), None);
    assert_eq!(guarded.breaker().status().state, BreakerState::Closed, "the exit's answer closes it");
    assert_eq!(get(&guarded).await.unwrap(), None);
}

#[tokio::test]
async fn a_probe_that_is_answered_closes_it_and_one_that_is_not_opens_it_again() {
    let mut redis = Redis::with(Options::plain());
    let counting = Counting::new(Connection::open(&config(&redis)).await.unwrap());
    let (breaker, clock) = breaker(1);
    let guarded = Guarded::new(counting.clone(), GuardSettings::default(), breaker).unwrap();
    redis.kill_9();
    get(&guarded).await.unwrap_err();
    clock.advance(Duration::from_secs(1));
    let made = counting.made();
    join_all((0..20).map(|_| get(&guarded))).await;
    assert_eq!(counting.made(), made + 1, "one probe");
    let status = guarded.breaker().status();
    assert_eq!(status.next_probe_at_ms.unwrap() - status.opened_at_ms.unwrap(), 2_000);

    redis.start_again();
    clock.advance(Duration::from_secs(2));
    assert_eq!(get(&guarded).await.unwrap(), None);
    assert_eq!(guarded.breaker().status().state, BreakerState::Closed);
}

#[tokio::test]
async fn a_stalled_server_opens_the_breaker_by_timeouts() {
    let redis = Redis::with(Options::plain());
    let (breaker, _) = breaker(2);
    let guarded = Guarded::around(Connection::open(&config(&redis)).await.unwrap(), breaker).unwrap();
    redis.pause();
    assert!(matches!(get(&guarded).await, Err(Error::Timeout { .. })));
    get(&guarded).await.unwrap_err();
    assert_eq!(guarded.breaker().status().state, BreakerState::Open);
    assert!(matches!(get(&guarded).await, Err(Error::Unavailable { .. })));
    redis.resume();
    assert_eq!(get(&guarded.for_exits()).await.unwrap(), None);
    assert!(guarded.pool().timeouts_total >= 1 && guarded.health().await.ping.is_ok());
}

#[tokio::test]
async fn a_refusal_of_the_server_is_an_answer() {
    let redis = Redis::with(Options::plain());
    let (breaker, _) = breaker(1);
    let guarded = Guarded::new(bare(&redis).await, GuardSettings::default(), breaker).unwrap();
    redis.conn().run("LPUSH k x");
    for _ in 0..5 {
        assert!(matches!(get(&guarded).await, Err(Error::Refused { .. } | Error::Server { .. })));
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("GET").arg("k").cmd("NONSENSE");
    assert!(pipeline.exec_async(&mut guarded.clone()).await.is_err());
    let status = guarded.breaker().status();
    assert_eq!((status.state, status.failed_total), (BreakerState::Closed, 0));
}

#[tokio::test]
async fn calls_in_flight_are_bounded_and_exits_do_not_wait_behind_them() {
    let redis = Redis::with(Options::plain());
    let counting = Counting::new(bare(&redis).await);
    let settings = GuardSettings {
        in_flight_max: 4,
        waiting_max: 10,
        wait: Duration::from_secs(10),
        timeout: Some(Duration::from_secs(20)),
        ..GuardSettings::default()
    };
    let guarded = Guarded::new(counting.clone(), settings, breaker(1_000).0).unwrap();
    let crowd = join_all((0..14).map(|_| get(&guarded))).await;
    assert!(crowd.iter().all(Result::is_ok), "each had a place in the end");
    assert!(counting.most.load(Ordering::SeqCst) <= 4);

    redis.pause();
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let guarded = guarded.clone();
            tokio::spawn(async move { get(&guarded).await })
        })
        .collect();
    let pool = until(|| Some(guarded.pool()).filter(|pool| pool.in_flight == 4 && pool.waiting == 10)).await;
    assert_eq!((pool.limit, pool.refused_total), (4, 6), "{pool:?}");
    let exit = tokio::spawn({
        let exits = guarded.for_exits();
        async move { get(&exits).await }
    });
    until(|| (guarded.pool().in_flight == 5).then_some(())).await;
    redis.resume();
    exit.await.unwrap().unwrap();
    let outcomes = join_all(crowd).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(Err(Error::Unavailable { .. })))).count(), 6);
    let pool = guarded.pool();
    assert_eq!((pool.in_flight, pool.waiting), (0, 0));
}

/// Lets other tasks go on until `condition` gives a value.
async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let look = async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.expect("in time")
}

#[tokio::test]
async fn calls_that_are_given_up_leave_no_trace() {
    let redis = Redis::with(Options::plain());
    let guarded = Guarded::new(bare(&redis).await, GuardSettings::default(), breaker(1).0).unwrap();
    redis.pause();
    let call = tokio::spawn({
        let guarded = guarded.clone();
        async move { get(&guarded).await }
    });
    until(|| (guarded.pool().in_flight == 1).then_some(())).await;
    call.abort();
    let _ = call.await;
    redis.resume();
    assert_eq!((guarded.pool().in_flight, guarded.breaker().status().failures), (0, 0));
    assert_eq!(get(&guarded).await.unwrap(), None);
}
