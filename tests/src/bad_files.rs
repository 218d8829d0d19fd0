//! Bad files, a Redis without the module, a Postgres that is away: a clear word, an exit code, nothing half done.

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Options, Postgres, Redis};
use std::io::Write;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const HEADER: &str = "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit";
const GOOD: &str = "alice,s1,IBM,LONG,10,09:30:00,09:31:00,America/New_York,150.00,";
/// 2013-10-08 09:30:00 in New York.
const OPEN_MS: i64 = 1_381_239_000_000;

/// Servers and files for replays.
struct Bench {
    redis: Redis,
    postgres: Postgres,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { redis: Redis::start(), postgres: Postgres::start(), dir: temp_dir() };
        bench.migrate();
        bench
    }

    fn migrate(&self) {
        let migrated = engine::run(&["migrate"], &self.env(), LIMIT);
        assert!(migrated.status.success(), "migrate: {}", said(&migrated));
    }

    /// As new: a replay wants empty servers.
    fn clear(&self) {
        self.redis.conn().run("FLUSHALL");
        self.postgres.sql("DROP SCHEMA public CASCADE");
        self.postgres.sql("CREATE SCHEMA public");
        self.migrate();
    }

    fn env(&self) -> Env {
        let ledger = self.dir.path().join("ledger.jsonl").display().to_string();
        let settings =
            [("REDIS_URL", self.redis.url()), ("DATABASE_URL", self.postgres.url()), ("STRAT_PAPER_LEDGER", ledger)];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn report(&self) -> PathBuf {
        self.dir.path().join("report.jsonl")
    }

    fn replay(&self, ticks: &str, strategies: &str, more: &[&str]) -> Output {
        let ticks = self.file("ticks.csv", ticks);
        let strategies = self.file("strategies.csv", strategies);
        let report = self.report().display().to_string();
        let mut args = vec!["replay", "--ticks", &ticks, "--strategies", &strategies, "--report", &report];
        args.extend(more);
        engine::run(&args, &self.env(), LIMIT)
    }
}

/// Four ticks of IBM around the strategy's times.
fn ticks() -> String {
    let lines = [(-1, "151.00"), (1, "151.25"), (30_000, "151.30"), (60_000, "151.75")];
    let lines = lines.map(|(offset, price)| format!("{},IBM,{price},100,Q,0", OPEN_MS + offset));
    format!("ts_ms,symbol,price,size,exchange,suspicious\n{}\n", lines.join("\n"))
}

fn strategies(more: &str) -> String {
    format!("{HEADER}\n{GOOD}\n{more}\n")
}

/// Everything that was printed.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// It must end by itself with an error, naming all of `words`, and without a panic.
fn check_refused(output: &Output, words: &[&str]) {
    let text = said(output);
    let code = output.status.code();
    assert!(code.is_some_and(|code| code != 0 && code != 101), "exit code {code:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "no '{word}' in: {text}");
    }
}

#[test]
fn a_good_replay_is_the_measure_of_the_bad_ones() {
    let bench = Bench::new();
    let output = bench.replay(&ticks(), &strategies(""), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let report = std::fs::read_to_string(bench.report()).unwrap();
    let line: serde_json::Value = serde_json::from_str(report.trim()).unwrap();
    assert_eq!(
        (line["exit_reason"].as_str(), line["entry_ts_ms"].as_i64()),
        (Some("SELL"), Some(OPEN_MS + 1)),
        "{report}"
    );
}

#[test]
fn a_bad_strategy_is_named_by_file_line_column_and_reason() {
    let bench = Bench::new();
    let cases = [
        ("alice,s2,IBM,LONG,0,09:30,15:00,UTC,,", "quantity"),
        ("alice,s2,IBM,LONG,-1,09:30,15:00,UTC,,", "quantity"),
        ("alice,s2,IBM,LONG,1e5,09:30,15:00,UTC,,", "quantity"),
        ("alice,s2,IBM,long,1,09:30,15:00,UTC,,", "side"),
        ("alice,s2,I BM,LONG,1,09:30,15:00,UTC,,", "symbol"),
        ("al ice,s2,IBM,LONG,1,09:30,15:00,UTC,,", "user_id"),
        ("alice,s:2,IBM,LONG,1,09:30,15:00,UTC,,", "strategy_id"),
        ("alice,s2,IBM,LONG,1,9:30,15:00,UTC,,", "buy_time"),
        ("alice,s2,IBM,LONG,1,09:30,24:00,UTC,,", "sell_time"),
        ("alice,s2,IBM,LONG,1,09:30,15:00,Mars/Olympus,,", "timezone"),
        ("alice,s2,IBM,LONG,1,09:30,15:00,UTC,nan,", "stop_loss"),
        ("alice,s2,IBM,LONG,1,09:30,15:00,UTC,,1.123456789", "take_profit"),
        ("alice,s1,IBM,LONG,1,09:30,15:00,UTC,,", "strategy_id"),
        ("alice,s2,IBM", "line 3"),
    ];
    for (bad, column) in cases {
        let output = bench.replay(&ticks(), &strategies(bad), &[]);
        check_refused(&output, &["strategies.csv", "line 3", column]);
        assert_eq!(bench.redis.conn().run("DBSIZE").int(), 0, "{bad}: nothing was written");
        assert_eq!(bench.postgres.sql("SELECT count(*) FROM strategies"), ["0"], "{bad}");
        assert!(!bench.report().exists(), "{bad}: no report of a replay that never began");
    }
    check_refused(&bench.replay(&ticks(), "user_id,strategy_id\na,b\n", &[]), &["strategies.csv", "column"]);
}

#[test]
fn a_bad_tick_is_named_by_file_line_column_and_reason() {
    let bench = Bench::new();
    let at = OPEN_MS + 61_000;
    let cases = [
        (format!("{at},IBM,abc,1,Q,0"), "price"),
        (format!("{at},IBM,nan,1,Q,0"), "price"),
        (format!("{at},IBM,1e5,1,Q,0"), "price"),
        (format!("{at},IBM,1.123456789,1,Q,0"), "price"),
        ("noon,IBM,150,1,Q,0".to_owned(), "ts_ms"),
        (format!("{at},I BM,150,1,Q,0"), "symbol"),
        (format!("{at},IBM"), "line 6"),
        // Behind the tick before it.
        (format!("{},IBM,150,1,Q,0", OPEN_MS), "ts_ms"),
    ];
    for (bad, column) in cases {
        bench.clear();
        let output = bench.replay(&format!("{}{bad}\n", ticks()), &strategies(""), &[]);
        check_refused(&output, &["ticks.csv", "line 6", column]);
    }
    bench.clear();
    check_refused(&bench.replay("when,what\n1,2\n", &strategies(""), &[]), &["ticks.csv", "ts_ms"]);
    let missing = engine::run(
        &["replay", "--ticks", "/nowhere/t.csv", "--strategies", "/nowhere/s.csv", "--report", "/tmp/r"],
        &bench.env(),
        LIMIT,
    );
    check_refused(&missing, &["/nowhere/"]);
}

#[test]
fn a_gzip_file_that_ends_too_early_is_refused() {
    let bench = Bench::new();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(ticks().as_bytes()).unwrap();
    let whole = zipped.finish().unwrap();
    let path = bench.dir.path().join("cut.csv.gz");
    let strategies = bench.file("strategies.csv", &strategies(""));
    let report = bench.report().display().to_string();
    let args = ["replay", "--ticks", &path.display().to_string(), "--strategies", &strategies, "--report", &report];
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    check_refused(&engine::run(&args, &bench.env(), LIMIT), &["cut.csv.gz", "line"]);
    bench.clear();
    std::fs::write(&path, &whole).unwrap();
    let output = engine::run(&args, &bench.env(), LIMIT);
    assert!(output.status.success(), "{}", said(&output));
    assert!(bench.report().exists());
}

#[test]
fn lines_may_end_as_on_windows() {
    let bench = Bench::new();
    let windows = |text: String| text.replace('\n', "\r\n");
    let output = bench.replay(&windows(ticks()), &windows(strategies("")), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(std::fs::read_to_string(bench.report()).unwrap().contains("\"SELL\""));
}

#[test]
fn skip_bad_counts_and_goes_on() {
    let bench = Bench::new();
    let clean = bench.replay(&ticks(), &strategies(""), &[]);
    assert!(clean.status.success(), "{}", said(&clean));
    let expected = std::fs::read_to_string(bench.report()).unwrap();
    let bench = Bench::new();
    // Bad ones of each kind between the good ones.
    let mut lines: Vec<_> = ticks().lines().map(str::to_owned).collect();
    lines.insert(3, format!("{},IBM,abc,1,Q,0", OPEN_MS + 2));
    lines.insert(4, format!("{},IBM,150,1,Q,0", OPEN_MS - 60_000));
    let bad_strategies =
        strategies("alice,s2,IBM,LONG,0,09:30,15:00,UTC,,\nbob,s3,IBM,LONG,1,09:30,15:00,Mars/Olympus,,");
    let output = bench.replay(&format!("{}\n", lines.join("\n")), &bad_strategies, &["--skip-bad"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        std::fs::read_to_string(bench.report()).unwrap(),
        expected,
        "the good ones are as if the bad were not there"
    );
    let text = said(&output);
    assert!(text.to_lowercase().contains("skipped") && text.contains('2'), "it says how many: {text}");
}

#[test]
fn an_import_of_a_bad_file_writes_nothing() {
    let bench = Bench::new();
    let file = bench.file("import.csv", &strategies("alice,s2,IBM,LONG,0,09:30,15:00,UTC,,"));
    check_refused(
        &engine::run(&["strategy", "import", &file], &bench.env(), LIMIT),
        &["import.csv", "line 3", "quantity"],
    );
    assert_eq!(bench.postgres.sql("SELECT count(*) FROM strategies"), ["0"]);
    let output = engine::run(&["strategy", "import", &file, "--skip-bad"], &bench.env(), LIMIT);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(bench.postgres.sql("SELECT user_id || '/' || strategy_id FROM strategies"), ["alice/s1"]);
}

/// Replaces a setting of the environment.
fn with(env: &Env, name: &str, value: &str) -> Env {
    let mut env = env.clone();
    env.retain(|(known, _)| known != name);
    env.push((name.to_owned(), value.to_owned()));
    env
}

#[test]
fn a_redis_without_the_module_is_refused_with_a_hint() {
    let bench = Bench::new();
    let plain = Redis::with(Options::plain());
    let env = with(&bench.env(), "REDIS_URL", &plain.url());
    let (ticks, strategies) = (bench.file("t.csv", &ticks()), bench.file("s.csv", &strategies("")));
    let replay = ["replay", "--ticks", &ticks, "--strategies", &strategies, "--report", "/tmp/none"];
    for args in [&["run"][..], &replay] {
        let output = engine::run(args, &env, LIMIT);
        check_refused(&output, &["module", "libstrat.so"]);
    }
    assert_eq!(plain.conn().run("DBSIZE").int(), 0);
    let doctor = engine::run(&["doctor"], &env, LIMIT);
    check_refused(&doctor, &["module"]);
}

#[test]
fn servers_that_are_away_are_named() {
    let bench = Bench::new();
    let nowhere = "postgres://strat@localhost/strat?host=/nowhere&port=5432";
    let env = with(&bench.env(), "DATABASE_URL", nowhere);
    for args in [&["run"][..], &["migrate"]] {
        let started = Instant::now();
        check_refused(&engine::run(args, &env, LIMIT), &["Postgres", "hint"]);
        assert!(started.elapsed() < Duration::from_secs(60), "{args:?} waits too long");
    }
    let env = with(&bench.env(), "REDIS_URL", "redis+unix:///nowhere/redis.sock");
    check_refused(&engine::run(&["run"], &env, LIMIT), &["Redis", "hint"]);
}

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    let bench = Bench::new();
    let env = with(&bench.env(), "STRAT_FEED_TICK_MS", "soon");
    check_refused(&engine::run(&["run"], &env, LIMIT), &["feed.tick_ms", "soon"]);
}

#[test]
fn the_doctor_finds_nothing_wrong_where_all_is_there() {
    let bench = Bench::new();
    let output = engine::run(&["doctor"], &bench.env(), LIMIT);
    assert!(output.status.success(), "{}", said(&output));
}
