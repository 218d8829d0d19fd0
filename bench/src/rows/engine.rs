//! The whole way: from a tick to the broker, from a due time to Postgres, and a day in one go.

use crate::data::{Dataset, text};
use crate::load::{self, Work};
use crate::report::{Goal, Report, Row};
use crate::scale::Scale;
use crate::stats::{Spread, percentile};
use crate::wire::words;
use crate::world::{Kind, Server};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strat_harness::oracle::calc::play;
use strat_harness::oracle::replay::{compare, replay};
use strat_harness::oracle::{generate, input};
use strat_harness::resp::{Conn, Value};
use strat_harness::rng::Rng;
use strat_harness::servers::{Engine, Postgres, engine, paths};
use strat_harness::support::{now_ms, until};
use tempfile::TempDir;

/// Longest wait for one order, and for all of a burst.
const ORDER_LIMIT: Duration = Duration::from_secs(20);
const BURST_LIMIT: Duration = Duration::from_secs(900);
/// Blocks of the latency: each gives one ratio.
const BLOCKS: usize = 5;
/// Time between two prices of the burst's symbol, and between two stops that fire meanwhile.
const TICK_EVERY: Duration = Duration::from_millis(5);
const EXIT_EVERY: Duration = Duration::from_millis(50);
/// Between two looks at the ledger.
const LOOK_EVERY: Duration = Duration::from_micros(15);
/// Until the burst is due, so that all of it is known before.
const DUE_IN_MS: i64 = 4_000;

/// An engine with its servers, and the feed that it reads.
struct Desk {
    // Dropped in this order.
    engine: Option<Engine>,
    redis: Server,
    postgres: Postgres,
    listener: TcpListener,
    folder: TempDir,
}

impl Desk {
    /// The servers; the engine starts with [`Desk::open`], when its strategies are there.
    fn new() -> Self {
        let redis = Server::start(Kind::Module, None);
        redis.make_durable();
        // The paper broker stands for one far away: its own disk is not what is measured.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self { engine: None, redis, postgres: Postgres::durable(), listener, folder }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.jsonl")
    }

    /// Starts the engine, and answers its connection to the feed.
    fn open(&mut self) -> TcpStream {
        let set = |name: &str, value: String| (name.to_owned(), value);
        let env = vec![
            set("REDIS_URL", self.redis.url()),
            set("DATABASE_URL", self.postgres.url()),
            set("STRAT_PAPER_LEDGER", self.ledger().display().to_string()),
            // It makes believe 20 ms otherwise.
            set("STRAT_PAPER_LATENCY_MS", "0".to_owned()),
            set("STRAT_FEED_KIND", "lines".to_owned()),
            set("STRAT_FEED_ADDRESS", self.listener.local_addr().unwrap().to_string()),
            set("STRAT_FEED_SILENCE_SECONDS", "0".to_owned()),
            set("STRAT_FEED_IDLE_SECONDS", "0".to_owned()),
            set("STRAT_SCHEDULE_GRACE_SECONDS", "86400".to_owned()),
            set("STRAT_RECONCILE_INTERVAL_SECONDS", "86400".to_owned()),
            set("STRAT_LOG_FILTER", "warn".to_owned()),
        ];
        let migrated = engine::run(&["migrate"], &env, Duration::from_secs(60));
        assert!(migrated.status.success(), "migrate: {}", String::from_utf8_lossy(&migrated.stderr));
        let engine = self.engine.insert(Engine::launch(&["run"], env));
        let (mut feed, _) = self.listener.accept().unwrap();
        feed.set_nodelay(true).unwrap();
        // Healthy is who has heard a price.
        feed.write_all(b"FIRST,1.00\n").unwrap();
        engine.wait_healthy();
        feed
    }

    /// Writes strategies; each command must succeed.
    fn set(&self, commands: &[String]) {
        load::push(&self.redis, &Work::new(&commands.iter().map(|line| words(line)).collect::<Vec<_>>(), 1));
    }

    /// Waits until Postgres has heard of everything in the journal.
    fn settle(&self, strategies: usize) {
        until("Postgres has every strategy", BURST_LIMIT, || {
            let count = self.postgres.sql("SELECT count(*) FROM strategies");
            (count == [strategies.to_string()]).then_some(())
        });
    }
}

/// A long position that waits for its stop.
fn held(id: &str, symbol: &str, stop: i64) -> String {
    format!(
        "STRAT.SET user:bench:strategy:{id} symbol {symbol} quantity 1 position BOUGHT entry_price 3000 stop_loss {}",
        text(stop)
    )
}

/// From a tick to the order at the broker, against a durable SET on the same server.
pub(crate) fn latency(report: &mut Report, scale: &Scale) {
    look_sharp();
    let mut desk = Desk::new();
    let count = BLOCKS * scale.latencies;
    // One level after the other fires; the others lie far below.
    let level = |n: usize| 250_000 - n as i64;
    let below = Dataset::full(scale.engine_armed, 1);
    let far = (0..scale.engine_armed).map(|n| held(&format!("far{n}"), "LAT", below.stop(n) - 150_000));
    desk.set(&(0..count).map(|n| held(&format!("s{n}"), "LAT", level(n))).chain(far).collect::<Vec<_>>());
    let mut feed = desk.open();
    desk.settle(count + scale.engine_armed);
    let (mut medians, mut tails, mut notes) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    let mut conn = desk.redis.conn();
    for block in 0..BLOCKS {
        let (mut orders, mut sets) = (Vec::new(), Vec::new());
        for n in block * scale.latencies..(block + 1) * scale.latencies {
            let sent = Instant::now();
            conn.run(&format!("SET bench:probe {n}"));
            sets.push(sent.elapsed().as_secs_f64() * 1e6);
            orders.push(one_order(&desk, &mut feed, &mut conn, level(n)));
        }
        medians.push(percentile(&orders, 50.0) / percentile(&sets, 50.0));
        tails.push(percentile(&orders, 99.0) / percentile(&sets, 99.0));
        notes.0.extend(orders);
        notes.1.extend(sets);
    }
    let fired = desk.redis.strat("strat_fired");
    assert_eq!(fired, count as u64, "each tick fired one stop");
    for (name, percent, ratios, most) in [("p50", 50.0, medians, 3.0), ("p99", 99.0, tails, 4.0)] {
        let what = format!("tick to order at the broker, {name}, against a durable SET");
        let row = Row::figure(&format!("latency_{name}"), &what, "x", Some(Goal::AtMost(most)), Spread::of(&ratios));
        let (order, set) = (percentile(&notes.0, percent), percentile(&notes.1, percent));
        report.add(row.note(format!("{order:.0} µs against {set:.0} µs")));
    }
}

/// A sleep of this thread may last this much longer than it should, ns: 50 µs unless said, which is a fifth of a durable SET.
const TIMER_SLACK_NS: &str = "1000";

/// Has the kernel end this thread's sleeps in time. Where it does not take that, orders look later than they are.
pub(super) fn look_sharp() {
    let _ = std::fs::write("/proc/thread-self/timerslack_ns", TIMER_SLACK_NS);
}

/// One stop: microseconds from its tick to its order in the broker's ledger. Then the order fills and is settled.
fn one_order(desk: &Desk, feed: &mut TcpStream, conn: &mut Conn, level: i64) -> f64 {
    let ledger = desk.ledger();
    let length = || std::fs::metadata(&ledger).map_or(0, |data| data.len());
    let before = length();
    let line = format!("LAT,{}\n", text(level));
    let sent = Instant::now();
    feed.write_all(line.as_bytes()).unwrap();
    while length() == before {
        assert!(sent.elapsed() < ORDER_LIMIT, "no order for the stop at {}", text(level));
        // Short of keeping a processor from the engine.
        std::thread::sleep(LOOK_EVERY);
    }
    let took = sent.elapsed().as_secs_f64() * 1e6;
    until("the exit has filled", ORDER_LIMIT, || {
        feed.write_all(line.as_bytes()).unwrap();
        (conn.run("XLEN queue:exits").int() == 0).then_some(())
    });
    took
}

/// Entries due at the same moment, until each is filled and in Postgres; stops that fire meanwhile go first.
pub(crate) fn burst(report: &mut Report, scale: &Scale) {
    let mut desk = Desk::new();
    let exits = (scale.burst / 100).clamp(5, 50);
    let entry =
        |n: usize| format!("STRAT.SET user:u{}:strategy:s{n} symbol BURST quantity 1 buy_at 4000000000000", n % 1_000);
    let stops = (0..exits).map(|n| held(&format!("exit{n}"), "EXIT", 250_000 - n as i64));
    desk.set(&(0..scale.burst).map(entry).chain(stops).collect::<Vec<_>>());
    let feed = desk.open();
    desk.settle(scale.burst + exits);
    // A plain HSET: the book follows, and the journal, which Postgres would have to read first, stays as it is.
    let due_ms = now_ms() + DUE_IN_MS;
    let due = |n: usize| format!("HSET user:u{}:strategy:s{n} buy_at {due_ms}", n % 1_000);
    desk.set(&(0..scale.burst).map(due).collect::<Vec<_>>());
    assert!(now_ms() < due_ms, "all times are set before the first comes");
    let over = AtomicBool::new(false);
    let (seconds, sent) = std::thread::scope(|scope| {
        let market = scope.spawn(|| market(feed, due_ms, exits, &over));
        let mut conn = desk.redis.conn();
        let done = until("every entry is filled and in Postgres", BURST_LIMIT, || {
            (now_ms() > due_ms && worked_off(&mut conn, &desk.redis)).then(now_ms)
        });
        over.store(true, Ordering::Relaxed);
        ((done - due_ms) as f64 / 1_000.0, market.join().unwrap())
    });
    let rows = desk.postgres.sql("SELECT count(*) FROM orders WHERE symbol = 'BURST' AND status = 'FILL'");
    assert_eq!(rows, [scale.burst.to_string()], "every entry is filled, in Postgres");
    let what = format!("{} entries due at once, filled and in Postgres", scale.burst);
    let rate = Spread::of(&[scale.burst as f64 / seconds]);
    report.add(Row::figure("burst", &what, "orders/s", Some(Goal::AtLeast(10_000.0)), rate));
    let waits = exit_waits(&desk.ledger(), &sent);
    let what = "an exit's way to the broker while they are worked off";
    report.add(Row::figure("burst_exit", what, "ms", None, Spread::of(&waits)));
}

/// Whether nothing is due or queued any more, and Postgres has the whole journal: it is acknowledged after the commit.
/// Cheap looks first, for this is asked often.
fn worked_off(conn: &mut Conn, redis: &Server) -> bool {
    if conn.run("XLEN queue:orders").int() > 0 {
        return false;
    }
    let field = |reply: &Value, name: &str| {
        let pairs = reply.pairs();
        let found = pairs.into_iter().find(|(known, _)| known.text() == name);
        found.unwrap_or_else(|| panic!("no {name} in {reply:?}")).1
    };
    let last = field(&conn.run("XINFO STREAM journal"), "last-generated-id");
    let group = conn.run("XINFO GROUPS journal").items()[0].clone();
    let read = field(&group, "last-delivered-id") == last && field(&group, "pending") == Value::Int(0);
    read && redis.strat("strat_times") == 0
}

/// Prices while the burst is worked off: its symbol all the time, and a stop now and then. Answers when each stop's
/// tick was sent.
fn market(mut feed: TcpStream, due_ms: i64, exits: usize, over: &AtomicBool) -> Vec<i64> {
    let (mut sent, mut last) = (Vec::new(), Instant::now());
    while !over.load(Ordering::Relaxed) {
        feed.write_all(b"BURST,100.00\n").unwrap();
        if now_ms() > due_ms && sent.len() < exits && last.elapsed() > EXIT_EVERY {
            feed.write_all(format!("EXIT,{}\n", text(250_000 - sent.len() as i64)).as_bytes()).unwrap();
            sent.push(now_ms());
            last = Instant::now();
        }
        std::thread::sleep(TICK_EVERY);
    }
    sent
}

/// Milliseconds from each stop's tick to its order.
fn exit_waits(ledger: &Path, sent: &[i64]) -> Vec<f64> {
    let text = std::fs::read_to_string(ledger).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let orders = lines.filter(|line| line["event"] == "submit" && line["symbol"] == "EXIT");
    let mut at: Vec<_> = orders.map(|line| line["ts"].as_i64().unwrap()).collect();
    at.sort_unstable();
    assert_eq!(at.len(), sent.len(), "every stop that fired has its order before the burst is over");
    at.iter().zip(sent).map(|(at, sent)| (at - sent) as f64).collect()
}

/// A real day with many strategies, equal to the oracle's calculation.
pub(crate) fn replay_day(report: &mut Report, scale: &Scale) {
    const WHAT: &str = "replay of the real day, equal to the oracle";
    const GOAL: Goal = Goal::AtLeast(20_000.0);
    let folder =
        std::env::var_os("STRAT_TEST_DATA").map_or_else(|| paths::root().join("../shared/data"), PathBuf::from);
    let ticks = folder.join("us-trades-2013-10-08.csv.gz");
    if scale.replayed == 0 || !ticks.is_file() {
        let why =
            if scale.replayed == 0 { "only in the full run" } else { "no data; name their folder in STRAT_TEST_DATA" };
        report.add(Row::missing("replay", WHAT, GOAL, why));
        return;
    }
    let day = input::day(&ticks);
    let csv = generate::strategies_csv(&day, scale.replayed, &mut Rng::new(20_131_008));
    let plans = input::plans(&csv, day.ticks[0].ts_ms, generate::offset_min);
    let expected: Vec<_> = plans.iter().map(|plan| play(plan, &day)).collect();
    let dir = tempfile::tempdir().unwrap();
    let strategies = dir.path().join("strategies.csv");
    std::fs::write(&strategies, csv).unwrap();
    let (lines, took) = replay(&ticks, &strategies);
    compare(&plans, &expected, &lines);
    let rate = Spread::of(&[day.ticks.len() as f64 / took.as_secs_f64()]);
    let row = Row::figure("replay", WHAT, "ticks/s", Some(GOAL), rate);
    report.add(row.note(format!("{} strategies, {:.0} s from start to report", scale.replayed, took.as_secs_f64())));
}
