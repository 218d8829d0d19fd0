//! Reports, clean-up and the watch on memory, on servers with all kinds of keys.

use futures_util::StreamExt as _;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Arg, Cmd, Pipeline, RedisError, RedisFuture, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strat_client::upkeep::{
    CleanAction, KeyPattern, KeyReport, Level, ListEnd, MemoryKind, MemoryThresholds, Rule, RunReport, Upkeep,
    UpkeepSettings,
};
use strat_client::{Config, Connection, Error};
use strat_harness::servers::{Options, Redis};

const NOW: i64 = 1_760_000_000_000;

async fn bare(redis: &Redis, protocol: &str) -> MultiplexedConnection {
    let options = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
    let client = redis::Client::open(format!("{}?protocol={protocol}", redis.url())).unwrap();
    client.get_multiplexed_async_connection_with_config(&options).await.unwrap()
}

fn rule(pattern: &str, action: CleanAction) -> Rule {
    Rule { pattern: KeyPattern::new(pattern).unwrap(), action }
}

fn rules() -> Vec<Rule> {
    vec![
        rule("price:*", CleanAction::GiveTtl(Duration::from_secs(10))),
        rule("stale:**", CleanAction::Delete),
        rule("tick:*", CleanAction::TrimStream { max: 200 }),
        rule("recent:*", CleanAction::TrimList { max: 3, newest: ListEnd::Head }),
        rule("log:*", CleanAction::TrimList { max: 3, newest: ListEnd::Tail }),
        // Wider than what is permanent: that wins.
        rule("user:**", CleanAction::Delete),
        rule("queue:*", CleanAction::TrimStream { max: 1 }),
    ]
}

fn fill(redis: &Redis) {
    let mut conn = redis.conn();
    for line in [
        "HSET user:alice:strategy:s1 symbol IBM",
        "HSET {t}user:alice:strategy:s1 symbol IBM",
        "SADD active_strategies alice:s1",
        "SET price:IBM 1",
        "SET {t}price:IBM 1",
        "SET price:INFY 1 EX 100",
        "SET stale:a:b 1",
        "SET stale:c 1 EX 100",
        "RPUSH recent:x 1 2 3 4 5",
        "RPUSH log:x 1 2 3 4 5",
        "SET user:alice:note x",
        "XADD queue:exits * a 1",
        "XADD queue:exits * a 2",
        "SET other:1 x",
        "SET other:2 x",
    ] {
        conn.run(line);
    }
    for _ in 0..1_000 {
        conn.run("XADD tick:IBM * p 1");
    }
}

/// Runs to the end of a pass.
async fn pass<C: ConnectionLike + Clone + Send + Sync>(
    upkeep: &mut Upkeep<C>,
) -> (KeyReport, BTreeMap<String, (u64, u64)>) {
    let mut done = BTreeMap::new();
    for _ in 0..1_000 {
        let report = upkeep.run_once(NOW).await.unwrap();
        assert!(report.stopped_by.is_none(), "{report:?}");
        for outcome in report.cleaned {
            let sum: &mut (u64, u64) = done.entry(outcome.rule.pattern.to_string()).or_default();
            *sum = (sum.0 + outcome.keys, sum.1 + outcome.entries);
        }
        if let Some(report) = report.finished {
            done.retain(|_, sum| sum.0 > 0);
            return (report, done);
        }
    }
    panic!("a pass has an end");
}

#[tokio::test]
async fn a_report_groups_keys_without_a_time_to_live_and_names_the_big_ones() {
    for protocol in ["resp2", "resp3"] {
        let redis = Redis::with(Options::plain());
        fill(&redis);
        redis.conn().run(&format!("SET blob:1 {} EX 100", "x".repeat(100_000)));
        let settings =
            UpkeepSettings { big_key_bytes: 50_000, slice: 3, slices_per_run: 2, ..UpkeepSettings::default() };
        let mut upkeep = Upkeep::new(bare(&redis, protocol).await, settings).unwrap();
        let (report, done) = pass(&mut upkeep).await;
        assert!(done.is_empty());
        assert_eq!((report.scanned, report.permanent), (16, 4));
        let groups: BTreeMap<_, _> =
            report.without_ttl.iter().map(|group| (group.family.as_str(), group.keys)).collect();
        let expected = [
            ("log:*", 1),
            ("other:*", 2),
            ("price:*", 1),
            ("recent:*", 1),
            ("stale:*:*", 1),
            ("tick:*", 1),
            ("user:*:*", 1),
            ("{*}price:*", 1),
        ];
        assert_eq!(groups, BTreeMap::from(expected));
        assert_eq!((report.big.len(), report.big[0].key.as_str(), report.big[0].length), (1, "blob:1", Some(100_000)));
        assert!(report.big[0].bytes >= 100_000 && report.big[0].ttl.is_some());
    }
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_does_and_changes_nothing() {
    let redis = Redis::with(Options::plain());
    fill(&redis);
    let dry = UpkeepSettings { rules: rules(), ..UpkeepSettings::default() };
    let writes = || redis.info("persistence", "rdb_changes_since_last_save");
    let before = writes();
    let (_, would) = pass(&mut Upkeep::new(bare(&redis, "resp3").await, dry.clone()).unwrap()).await;
    assert_eq!(writes(), before);
    let (_, did) =
        pass(&mut Upkeep::new(bare(&redis, "resp2").await, UpkeepSettings { dry_run: false, ..dry }).unwrap()).await;
    let pick = |done: &BTreeMap<String, (u64, u64)>, name: &str| done.get(name).copied();
    for (name, expected) in [
        ("price:*", (1, 0)),
        ("stale:**", (1, 0)),
        ("recent:*", (1, 2)),
        ("log:*", (1, 2)),
        ("user:**", (1, 0)),
        ("tick:*", (1, 800)),
    ] {
        assert_eq!((pick(&would, name), pick(&did, name)), (Some(expected), Some(expected)), "{name}");
    }
    assert_eq!((pick(&would, "queue:*"), pick(&did, "queue:*")), (None, None));

    let mut conn = redis.conn();
    assert!((1..=10).contains(&conn.run("TTL price:IBM").int()));
    assert!(conn.run("TTL price:INFY").int() > 10, "what has a time to live keeps it");
    assert_eq!(conn.run("EXISTS stale:a:b user:alice:note").int(), 0);
    assert_eq!(conn.run("EXISTS stale:c user:alice:strategy:s1 {t}user:alice:strategy:s1 other:1 other:2").int(), 5);
    assert_eq!(conn.run("TTL {t}price:IBM").int(), -1, "another partition's");
    assert_eq!(conn.run("LRANGE recent:x 0 -1").texts(), ["1", "2", "3"]);
    assert_eq!(conn.run("LRANGE log:x 0 -1").texts(), ["3", "4", "5"]);
    assert_eq!((conn.run("XLEN tick:IBM").int(), conn.run("XLEN queue:exits").int()), (200, 2));
}

#[tokio::test]
async fn trimming_is_bounded_in_each_slice_and_goes_on_with_the_next_pass() {
    let redis = Redis::with(Options::plain());
    fill(&redis);
    for i in 0..500 {
        redis.conn().run(&format!("RPUSH log:x {i}"));
    }
    let settings = UpkeepSettings { rules: rules(), dry_run: false, trim_per_slice: 300, ..UpkeepSettings::default() };
    let mut upkeep = Upkeep::new(bare(&redis, "resp3").await, settings).unwrap();
    let report = upkeep.run_once(NOW).await.unwrap();
    let entries: u64 = report.cleaned.iter().map(|outcome| outcome.entries).sum();
    assert_eq!((entries, report.finished.is_some()), (300, true), "one slice holds all keys here");
    for _ in 0..10 {
        pass(&mut upkeep).await;
    }
    assert_eq!((redis.conn().run("XLEN tick:IBM").int(), redis.conn().run("LLEN log:x").int()), (200, 3));
}

#[tokio::test]
async fn one_tenants_upkeep_leaves_the_others_keys_alone() {
    let redis = Redis::with(Options::plain());
    let mut conn = redis.conn();
    conn.run("MSET {a}stale:1 x {b}stale:1 x stale:1 x {a}{b}stale:1 x {a*}stale:1 x");
    let settings =
        UpkeepSettings { prefix: "{a}".to_owned(), rules: rules(), dry_run: false, ..UpkeepSettings::default() };
    let (report, _) = pass(&mut Upkeep::new(bare(&redis, "resp3").await, settings).unwrap()).await;
    assert_eq!(report.scanned, 2);
    assert_eq!(conn.run("EXISTS {a}stale:1").int(), 0);
    assert_eq!(conn.run("EXISTS {b}stale:1 stale:1 {a}{b}stale:1 {a*}stale:1").int(), 4);
}

#[tokio::test]
async fn each_run_is_bounded_and_the_next_goes_on_from_its_cursor() {
    let redis = Redis::with(Options::plain());
    let mut conn = redis.conn();
    for i in 0..2_000 {
        conn.run(&format!("SET other:{i} x"));
    }
    let settings = UpkeepSettings { slice: 20, slices_per_run: 5, ..UpkeepSettings::default() };
    let connection = bare(&redis, "resp3").await;
    let mut upkeep = Upkeep::new(connection.clone(), settings.clone()).unwrap();
    let (mut scanned, mut runs) = (0, 0);
    loop {
        let report = upkeep.run_once(NOW).await.unwrap();
        assert!(report.scanned <= 200, "{} keys in one run", report.scanned);
        (scanned, runs) = (scanned + report.scanned, runs + 1);
        if report.finished.is_some() {
            break;
        }
        // Another one takes over in the middle.
        if runs == 3 {
            upkeep = Upkeep::new(connection.clone(), settings.clone()).unwrap().resume_at(upkeep.cursor());
        }
    }
    assert!(scanned >= 2_000 && runs >= 10, "{scanned} keys in {runs} runs");
    assert_eq!(upkeep.cursor(), 0);
}

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

#[tokio::test]
async fn memory_that_runs_short_is_an_event_once_and_published() {
    let redis = Redis::with(Options::plain().config("maxmemory-policy allkeys-lru"));
    let client = redis::Client::open(redis.url()).unwrap();
    let mut events = client.get_async_pubsub().await.unwrap();
    events.subscribe("events:admin").await.unwrap();
    let memory = MemoryThresholds { used_warn: 50, used_critical: 101, ..MemoryThresholds::default() };
    let settings = UpkeepSettings { memory, ..UpkeepSettings::default() };
    let mut upkeep = Upkeep::new(bare(&redis, "resp3").await, settings).unwrap();
    let mut kinds = async || {
        let events = upkeep.run_once(NOW).await.unwrap().events;
        events.into_iter().map(|event| (event.kind, event.to)).collect::<Vec<_>>()
    };
    redis.conn().run("CONFIG SET maxmemory 100mb");
    assert_eq!(kinds().await, []);
    let mut conn = redis.conn();
    conn.run("CONFIG SET maxmemory 6mb");
    for i in 0..80 {
        conn.run(&format!("SET other:{i} {}", "x".repeat(100_000)));
    }
    // Room enough that nothing more is deleted, and still more than half full.
    conn.run("CONFIG SET maxmemory 9mb");
    assert_eq!(kinds().await, [(MemoryKind::Used, Level::Warn), (MemoryKind::Evictions, Level::Warn)]);
    assert_eq!(kinds().await, [(MemoryKind::Evictions, Level::Normal)], "a level is told once");
    conn.run("CONFIG SET maxmemory 100mb");
    assert_eq!(kinds().await, [(MemoryKind::Used, Level::Normal)]);

    let mut published = Vec::new();
    for message in events.on_message().take(4).collect::<Vec<_>>().await {
        let event: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
        published.push(format!("{} {}", event["type"].as_str().unwrap(), event["data"]["to"].as_str().unwrap()));
    }
    let expected = ["MEMORY_USED WARN", "MEMORY_EVICTIONS WARN", "MEMORY_EVICTIONS NORMAL", "MEMORY_USED NORMAL"];
    assert_eq!(published, expected);
}
