//! `kill -9` of the engine, of Redis, of Postgres, in the middle of trading. In the end every strategy
//! has ended as it should, the broker's ledger shows no order twice, and Postgres and Redis say the same.

mod ledger;

use crate::rng::Rng;
use crate::servers::engine::Env;
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis, engine};
use crate::support::{now_ms, until};
use ledger::{check_ledger, read_ledger};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const STRATEGIES: usize = 50;
const SYMBOLS: &[&str] = &["AAA", "BBB", "CCC", "DDD"];
const QUANTITY: i64 = 10;
/// Kills, in an order that the seed gives; each kind this often.
const KILLS_EACH: usize = 3;
/// Entries come between these seconds after the start, the timed exits between those.
const ENTRY_S: (i64, i64) = (4, 16);
const EXIT_S: (i64, i64) = (24, 32);

/// Everything that trades.
struct World {
    engine: Engine,
    redis: Redis,
    postgres: Postgres,
    ledger: PathBuf,
    _dir: TempDir,
}

/// Local times of a zone in which it is about noon, so that no time of the test crosses midnight.
struct LocalTime {
    zone: String,
    offset_s: i64,
}

impl LocalTime {
    fn about_noon() -> Self {
        let hour = now_ms() / 3_600_000 % 24;
        let ahead = 12 - hour;
        // The sign of these names is the other way round: Etc/GMT-5 is five hours ahead.
        let zone = format!("Etc/GMT{}{}", if ahead > 0 { '-' } else { '+' }, ahead.abs());
        Self { zone: if ahead == 0 { "UTC".to_owned() } else { zone }, offset_s: ahead * 3_600 }
    }

    fn text(&self, epoch_ms: i64) -> String {
        let second = (epoch_ms / 1_000 + self.offset_s).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }
}

/// One strategy per user, because the ledger knows users. Levels are near, so that many of them fire.
fn strategies_csv(rng: &mut Rng, start_ms: i64) -> String {
    let local = LocalTime::about_noon();
    let mut csv =
        "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit\n".to_owned();
    for number in 0..STRATEGIES {
        let entry = local.text(start_ms + 1_000 * rng.between(ENTRY_S.0, ENTRY_S.1));
        let exit = local.text(start_ms + 1_000 * rng.between(EXIT_S.0, EXIT_S.1));
        let long = rng.chance(50);
        let (side, buy, sell) = if long { ("LONG", &entry, &exit) } else { ("SHORT", &exit, &entry) };
        // In cents around the first price of 100.
        let mut level = |direction: i64| {
            if rng.chance(70) {
                let cents = 10_000 + direction * rng.between(5, 120);
                format!("{}.{:02}", cents / 100, cents % 100)
            } else {
                String::new()
            }
        };
        let (low, high) = (level(-1), level(1));
        let (stop, target) = if long { (low, high) } else { (high, low) };
        let (symbol, zone) = (SYMBOLS[number % SYMBOLS.len()], &local.zone);
        writeln!(csv, "user{number},s1,{symbol},{side},{QUANTITY},{buy},{sell},{zone},{stop},{target}").unwrap();
    }
    csv
}

fn start(rng: &mut Rng) -> World {
    let redis = Redis::with(Options::new().durable());
    let postgres = Postgres::durable();
    let dir = temp_dir();
    let ledger = dir.path().join("ledger.jsonl");
    let symbols: Vec<_> = SYMBOLS.iter().map(|symbol| format!("{symbol}=100")).collect();
    let env: Env = [
        ("REDIS_URL", redis.url()),
        ("DATABASE_URL", postgres.url()),
        ("STRAT_PAPER_LEDGER", ledger.display().to_string()),
        ("STRAT_PAPER_LATENCY_MS", "15".to_owned()),
        ("STRAT_PAPER_TIMEOUT_PERCENT", "10".to_owned()),
        ("STRAT_FEED_SYMBOLS", symbols.join(",")),
        ("STRAT_FEED_TICK_MS", "20".to_owned()),
        ("STRAT_FEED_STEP_BPS", "8".to_owned()),
        ("STRAT_FEED_SEED", rng.below(1_000_000).to_string()),
        ("STRAT_RECONCILE_INTERVAL_SECONDS", "2".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let csv = dir.path().join("strategies.csv");
    must_succeed(&["migrate"], &env);
    std::fs::write(&csv, strategies_csv(rng, now_ms())).unwrap();
    must_succeed(&["strategy", "import", &csv.display().to_string()], &env);
    let engine = Engine::start(&["run"], env);
    World { engine, redis, postgres, ledger, _dir: dir }
}

fn must_succeed(args: &[&str], env: &Env) {
    let output = engine::run(args, env, Duration::from_secs(60));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "strat-engine {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Kills in a seeded order, each after the broker has heard something new or a while has passed.
fn kill_around(world: &mut World, rng: &mut Rng) {
    let mut victims: Vec<_> = (0..3 * KILLS_EACH).map(|number| number % 3).collect();
    for last in (1..victims.len()).rev() {
        victims.swap(last, rng.below(last + 1));
    }
    println!("kills (0 engine, 1 Redis, 2 Postgres): {victims:?}");
    let first = read_ledger(&world.ledger).len();
    until("the first order", Duration::from_secs(30), || (read_ledger(&world.ledger).len() > first).then_some(()));
    for victim in victims {
        let (before, news) = (read_ledger(&world.ledger).len(), rng.below(8) + 1);
        let patience = std::time::Instant::now() + Duration::from_millis(1_500);
        until("orders or a while", Duration::from_secs(5), || {
            let enough = read_ledger(&world.ledger).len() >= before + news;
            (enough || std::time::Instant::now() > patience).then_some(())
        });
        match victim {
            0 => world.engine.kill_9(),
            1 => world.redis.kill_9(),
            _ => world.postgres.kill_9(),
        }
        match victim {
            0 => world.engine.start_again(),
            1 => world.redis.start_again(),
            _ => world.postgres.start_again(),
        }
        assert!(
            victim == 0 || !world.engine.has_ended(),
            "the engine ended when a server went away:\n{}",
            world.engine.log()
        );
        // Sometimes the next one goes before this one is healed.
        if rng.chance(60) {
            world.engine.wait_healthy();
        }
    }
    world.engine.wait_healthy();
}

type Fields = BTreeMap<String, String>;

fn hashes(redis: &Redis) -> BTreeMap<String, Fields> {
    let mut conn = redis.conn();
    let hash = |number: usize| {
        let key = format!("user:user{number}:strategy:s1");
        let fields = conn.run(&format!("HGETALL {key}")).fields();
        (format!("user{number}"), fields)
    };
    (0..STRATEGIES).map(hash).collect()
}

fn rows(postgres: &Postgres) -> BTreeMap<String, Fields> {
    let lines = postgres.sql("SELECT jsonb_build_array(user_id, fields) FROM strategies WHERE removed_at IS NULL");
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// An empty text and no text are the same.
fn given(fields: &Fields) -> Fields {
    fields.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

fn wait_for_the_end(world: &mut World) -> BTreeMap<String, Fields> {
    let limit = Duration::from_secs(90);
    let started = std::time::Instant::now();
    loop {
        let all = hashes(&world.redis);
        let open: Vec<_> = all
            .iter()
            .filter(|(_, fields)| {
                text(fields, "status") != "COMPLETED"
                    || !text(fields, "pending").is_empty()
                    || !text(fields, "working").is_empty()
            })
            .collect();
        if open.is_empty() {
            return all;
        }
        if started.elapsed() > limit {
            let shown: Vec<_> = open.iter().take(5).map(|(user, fields)| format!("{user}: {fields:?}")).collect();
            let log = world.engine.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
            panic!(
                "{} strategies have not ended after {limit:?}:\n{}\n{}",
                open.len(),
                shown.join("\n"),
                tail.join("\n")
            );
        }
        assert!(!world.engine.has_ended(), "the engine ended:\n{}", world.engine.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check_postgres(world: &World, ended: &BTreeMap<String, Fields>) {
    let started = std::time::Instant::now();
    let expected: BTreeMap<_, _> = ended.iter().map(|(user, fields)| (user.clone(), given(fields))).collect();
    loop {
        let found: BTreeMap<_, _> =
            rows(&world.postgres).iter().map(|(user, fields)| (user.clone(), given(fields))).collect();
        if found == expected {
            break;
        }
        let different = expected.iter().find(|(user, fields)| found.get(*user) != Some(fields));
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "Postgres ({} rows) and Redis differ: {different:?}\nPostgres has {:?}",
            found.len(),
            different.and_then(|(user, _)| found.get(user)),
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let accepted: BTreeSet<_> =
        read_ledger(&world.ledger).into_iter().filter(|line| line.event == "accept").map(|line| line.id).collect();
    let known: BTreeSet<_> =
        world.postgres.sql("SELECT client_order_id FROM orders WHERE status <> 'REJECTED'").into_iter().collect();
    let unknown: Vec<_> = accepted.difference(&known).collect();
    assert!(unknown.is_empty(), "orders of the broker that Postgres does not know: {unknown:?}");
    assert_eq!(world.postgres.sql("SELECT count(*) FROM journal_rejects"), ["0"]);
}

#[test]
fn no_order_is_lost_or_doubled_whatever_is_killed() {
    let mut rng = Rng::from_env("STRAT_CRASH_SEED");
    let mut world = start(&mut rng);
    kill_around(&mut world, &mut rng);
    let ended = wait_for_the_end(&mut world);
    check_ledger(&read_ledger(&world.ledger), &ended);
    check_postgres(&world, &ended);
    let mut conn = world.redis.conn();
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
    for queue in ["queue:orders", "queue:exits"] {
        assert_eq!(conn.run(&format!("XLEN {queue}")).int(), 0, "{queue} is worked off");
    }
    assert_eq!(world.engine.terminate(), Some(0), "a clean end on SIGTERM:\n{}", world.engine.log());
}
