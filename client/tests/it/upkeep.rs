//! Reports, clean-up and the watch on memory, on servers with all kinds of keys.

mod memory;
mod trouble;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use std::collections::BTreeMap;
use std::time::Duration;
use strat_client::upkeep::{CleanAction, KeyPattern, KeyReport, ListEnd, Rule, Upkeep, UpkeepSettings};
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
