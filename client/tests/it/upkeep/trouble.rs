//! Servers that go away, and keys that change under one's hands.

use super::{NOW, bare, fill, pass, rules};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, Cmd, Pipeline, RedisError, RedisFuture, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strat_client::upkeep::{RunReport, Upkeep, UpkeepSettings};
use strat_client::{Config, Connection, Error};
use strat_harness::servers::{Options, Redis};

#[tokio::test]
async fn without_a_server_it_is_unavailable_and_goes_on_from_the_cursor_afterwards() {
    let mut redis = Redis::with(Options::plain().durable());
    let mut conn = redis.conn();
    for i in 0..500 {
        conn.run(&format!("SET other:{i} x"));
    }
    let config = Config::from_url(&redis.url()).unwrap().with_reconnect_wait(Duration::from_millis(300));
    let config = config.with_backoff(Duration::from_millis(1), Duration::from_millis(5));
    let connection = Connection::open(&config).await.unwrap();
    let settings = UpkeepSettings { slice: 20, slices_per_run: 5, ..UpkeepSettings::default() };
    let mut upkeep = Upkeep::new(connection.clone(), settings).unwrap();
    upkeep.run_once(NOW).await.unwrap();
    let cursor = upkeep.cursor();
    assert_ne!(cursor, 0);
    redis.kill_9();
    let mut down = upkeep.run_once(NOW).await;
    if matches!(down, Err(Error::Lost { .. })) {
        // The request on the old socket; from now on it is known.
        down = upkeep.run_once(NOW).await;
    }
    assert!(matches!(down, Err(Error::Unavailable { .. })), "{down:?}");
    assert_eq!(upkeep.cursor(), cursor);
    redis.start_again();
    let report = upkeep.run_once(NOW).await.unwrap();
    assert!(report.scanned > 0 && upkeep.cursor() != cursor);
}

/// Does something right before the script is sent: fails, or changes a key.
#[derive(Clone)]
struct Meddling {
    inner: MultiplexedConnection,
    before: &'static [&'static str],
    done: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
}

impl ConnectionLike for Meddling {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            if matches!(cmd.args_iter().next(), Some(Arg::Simple(name)) if name == b"EVALSHA") {
                if self.fails.load(Ordering::SeqCst) {
                    return Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
                }
                // A script that the server does not know yet is sent twice.
                let lines = if self.done.swap(true, Ordering::SeqCst) { &[] } else { self.before };
                for line in lines {
                    let mut words = line.split(' ');
                    let mut meddle = redis::cmd(words.next().unwrap());
                    meddle.arg(words.collect::<Vec<_>>()).exec_async(&mut self.inner).await?;
                }
            }
            self.inner.req_packed_command(cmd).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.inner.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

#[tokio::test]
async fn what_changes_between_the_look_and_the_clean_up_is_judged_anew() {
    let redis = Redis::with(Options::plain());
    fill(&redis);
    let before =
        &["EXPIRE price:IBM 100", "SET stale:a:b new EX 100", "DEL log:x", "SET log:x text", "LPOP recent:x 2"];
    let inner = bare(&redis, "resp3").await;
    let connection = Meddling { inner, before, done: Arc::default(), fails: Arc::default() };
    let settings = UpkeepSettings { rules: rules(), dry_run: false, ..UpkeepSettings::default() };
    let (_, done) = pass(&mut Upkeep::new(connection, settings).unwrap()).await;
    assert_eq!(done.keys().collect::<Vec<_>>(), ["tick:*", "user:**"]);
    let mut conn = redis.conn();
    assert!(conn.run("TTL price:IBM").int() > 10);
    assert_eq!(conn.run("LRANGE recent:x 0 -1").texts(), ["3", "4", "5"]);
    assert_eq!((conn.run("GET stale:a:b").text(), conn.run("GET log:x").text()), ("new".to_owned(), "text".to_owned()));
}

#[tokio::test]
async fn a_run_that_is_stopped_in_the_middle_says_so_and_repeats_the_slice() {
    let redis = Redis::with(Options::plain());
    fill(&redis);
    let fails = Arc::new(AtomicBool::new(true));
    let connection =
        Meddling { inner: bare(&redis, "resp3").await, before: &[], done: Arc::default(), fails: fails.clone() };
    let settings = UpkeepSettings { rules: rules(), dry_run: false, ..UpkeepSettings::default() };
    let mut upkeep = Upkeep::new(connection, settings).unwrap();
    let report: RunReport = upkeep.run_once(NOW).await.unwrap();
    assert!(report.stopped_by.is_some() && report.finished.is_none() && report.scanned == 0, "{report:?}");
    fails.store(false, Ordering::SeqCst);
    let (report, done) = pass(&mut upkeep).await;
    assert_eq!((report.scanned, done.len()), (15, 6));
}
