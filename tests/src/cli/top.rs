//! `strat-engine top`: one snapshot without a terminal, live on one.

use super::{Bench, LIMIT, objects, run, said, with};
use crate::servers::{Engine, paths};
use crate::support::{skip, until};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

/// A long position, watched by a running engine.
fn prepared() -> (Bench, Engine, super::Env) {
    let bench = Bench::new();
    let engine = Engine::start(&["run"], bench.env());
    let env = with(&bench.env(), "STRAT_HTTP_ADDR", &format!("127.0.0.1:{}", engine.port()));
    let mut conn = bench.redis.conn();
    conn.run("STRAT.SET user:alice:strategy:near symbol IBM quantity 10 position BOUGHT entry_price 100 stop_loss 99 take_profit 120");
    conn.run("STRAT.SET user:bob:strategy:far symbol IBM quantity 10 position BOUGHT entry_price 100 stop_loss 50");
    conn.run("STRAT.SET user:carol:strategy:bare symbol IBM quantity 10 position BOUGHT entry_price 100");
    conn.run("CONFIG SET strat.price-ttl-ms 600000");
    conn.run("STRAT.SLCHECK IBM 101.00");
    (bench, engine, env)
}

#[test]
fn a_snapshot_says_health_rates_and_what_is_near_its_stop() {
    let (mut bench, _engine, env) = prepared();
    let output = run("top --interval-ms 500", &env);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "no terminal, no escapes: {text:?}");
    assert!(text.contains("stops watched by redis") && text.contains("ticks/s") && text.contains("exits"), "{text}");
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |user: &str| {
        rows.iter().position(|row: &Vec<&str>| row.first() == Some(&user)).unwrap_or_else(|| panic!("{user}: {text}"))
    };
    assert!(row("alice") < row("bob") && row("bob") < row("carol"), "nearest first:\n{text}");
    assert_eq!(rows[row("alice")], ["alice", "near", "IBM", "LONG", "10", "100", "101.00", "10", "99", "1.98%"]);
    assert!(rows[row("carol")].contains(&"NONE"), "no stop is said:\n{text}");
    let looks = objects(&run("top --interval-ms 500 --output json", &env));
    let look = &looks[0];
    // The simulated market ticks five symbols four times a second.
    assert!(look["ticks_per_second"].as_u64().is_some_and(|rate| rate > 0), "{look}");
    assert_eq!((&look["positions"][0]["id"], &look["positions"][0]["stop_left"]), (&"near".into(), &"2".into()));
    assert_eq!(look["engine"]["guard"]["watching"], "redis");
    bench.redis.kill_9();
    let output = run("top --interval-ms 100", &env);
    let text = said(&output);
    assert!(output.status.success() && text.contains("! ") && text.contains("cannot connect"), "{text}");
    let nowhere = with(&env, "STRAT_HTTP_ADDR", "127.0.0.1:1");
    let output = run("top --interval-ms 100", &nowhere);
    assert_eq!(output.status.code(), Some(4), "nobody answers: {}", said(&output));
}

/// Ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn on_a_terminal_it_draws_until_q_and_leaves_it_as_it_was() {
    let Some(script) = paths::in_path("script") else { return skip("top on a terminal", "the program script") };
    let (bench, _engine, env) = prepared();
    let log = bench.dir.path().join("terminal");
    let mut command = Command::new(script);
    command.args(["-qfec", &format!("{} top --interval-ms 100", paths::engine().display())]).arg(&log);
    command
        .envs(env.iter().cloned())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = Ends(command.spawn().unwrap());
    let mut keys = child.0.stdin.take().unwrap();
    let drawn = || std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    until("the position is drawn", LIMIT, || drawn().contains("near").then_some(()));
    assert!(drawn().contains("\u{1b}[?1049h"), "on a screen of its own");
    keys.write_all(b"q").unwrap();
    keys.flush().unwrap();
    let status = until("q ends it", LIMIT, || child.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(drawn().contains("\u{1b}[?1049l"), "the screen is given back");
}
