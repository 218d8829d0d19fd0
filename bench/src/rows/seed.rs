//! The algorithm of the usual Python service: for each tick read every active strategy.

use crate::data::{Dataset, quiet_prices, text};
use crate::load::{Run, paired};
use crate::report::{Report, Row};
use crate::scale::Scale;
use crate::wire::Tally;
use crate::world::{Kind, Server, Stored};
use std::process::Command;
use std::time::Instant;
use strat_core::Price;
use strat_harness::servers::paths;

/// Ticks of the module for each tick of the loop.
const TICKS: usize = 65_536;

pub(crate) fn run(report: &mut Report, scale: &Scale) {
    let data = Dataset::full(scale.seed, 1);
    let stored = Stored::new(&data);
    let (module, plain) = (Server::start(Kind::Module, Some(&stored)), Server::start(Kind::Plain, Some(&stored)));
    let ticks = super::ticks::Ticks::new(TICKS.min(scale.ticks), 1);
    let ours = |_| super::quiet(&module, &ticks.slcheck);
    let what = format!("a tick at {} strategies, against the loop in Rust", scale.seed);
    let in_rust = paired(scale.pairs, ours, |pair| in_rust(&plain, scale.seed, pair));
    report.add(Row::ratio("seed_rust", &what, Some(100_000.0), in_rust));
    let Some(python) = paths::python() else {
        eprintln!("  seed_python: left out, no Python with redis-py (make setup-test)");
        return;
    };
    let in_python = paired(scale.pairs, ours, |_| in_python(&plain, &python));
    let what = format!("a tick at {} strategies, against the loop in Python", scale.seed);
    report.add(Row::ratio("seed_python", &what, Some(100_000.0), in_python));
}

/// One tick of the loop.
fn in_rust(server: &Server, strategies: usize, pair: usize) -> Run {
    let mut conn = server.conn();
    let before = crate::load::cpu_seconds(server);
    let price = text(quiet_prices(pair + 1)[pair]);
    let started = Instant::now();
    conn.run(&format!("SET price:RELIANCE {price} PX 10000"));
    let price = Price::parse(price.as_bytes()).unwrap();
    let (mut looked_at, mut crossed) = (0, 0);
    for member in conn.run("SMEMBERS active_strategies").texts() {
        let (user, strategy) = member.split_once(':').unwrap();
        let hash = conn.call(&["HGETALL", &format!("user:{user}:strategy:{strategy}")]).fields();
        looked_at += 1;
        if hash["status"] != "RUNNING" || hash["position"] != "BOUGHT" || !hash["pending"].is_empty() {
            continue;
        }
        let level = |name: &str| hash.get(name).and_then(|text| Price::parse(text.as_bytes()).ok());
        let hit =
            level("stop_loss").is_some_and(|stop| price <= stop) || level("take_profit").is_some_and(|t| price >= t);
        crossed += i64::from(hit);
    }
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!((looked_at, crossed), (strategies, 0), "every strategy is looked at, none is crossed");
    let cpu = (crate::load::cpu_seconds(server) - before).max(1e-6);
    Run { rate: 1.0 / seconds, cpu_rate: 1.0 / cpu, tally: Tally::default() }
}

fn in_python(server: &Server, python: &std::path::Path) -> Run {
    let script = paths::root().join("bench/peers/seed.py");
    let before = crate::load::cpu_seconds(server);
    let output = Command::new(python).arg(script).arg(server.socket()).arg("1").output().unwrap();
    assert!(output.status.success(), "seed.py: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (seconds, crossed) = text.trim().split_once(' ').unwrap();
    assert_eq!(crossed, "0", "nothing is crossed");
    let cpu = (crate::load::cpu_seconds(server) - before).max(1e-6);
    Run { rate: 1.0 / seconds.parse::<f64>().unwrap(), cpu_rate: 1.0 / cpu, tally: Tally::default() }
}
