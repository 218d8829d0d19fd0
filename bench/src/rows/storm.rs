//! One tick that fires a tenth of all stops, while another client asks for PONGs.

use super::TS;
use super::ticks::Peers;
use crate::data::{text, units};
use crate::load::{Run, cpu_seconds, paired};
use crate::report::{Goal, Report, Row};
use crate::scale::Scale;
use crate::stats::Spread;
use crate::wire::Tally;
use crate::world::Server;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a storm.
const LIMIT: Duration = Duration::from_secs(300);
/// Pause between two PINGs: a client that is there now and then, not a load of its own.
const PING_EVERY: Duration = Duration::from_micros(200);
/// Pause between two looks whether the storm is over.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// What another client waits, at most.
const PING_MS: f64 = 10.0;

pub(crate) fn run(report: &mut Report, scale: &Scale, peers: &Peers) {
    let (our_pings, lua_pings) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let crossing = |pair: usize| peers.data.crossing((pair + 1) * scale.storm);
    let ours = |pair: usize| {
        let (run, ping) = storm(&peers.module, scale.storm, (pair + 1) * scale.storm, |server| {
            let reply = server.conn().run(&format!("STRAT.SLCHECK RELIANCE {}", text(crossing(pair))));
            assert!(reply.int() > 0, "the first of them fire in the call");
        });
        our_pings.borrow_mut().push(ping);
        run
    };
    let theirs = |pair: usize| {
        let price = crossing(pair);
        let keys = "price:RELIANCE falls:RELIANCE rises:RELIANCE";
        let command = format!("FCALL tick 3 {keys} {} {} {TS}", text(price), units(price));
        let (run, ping) = storm(&peers.lua, scale.storm, (pair + 1) * scale.storm, |server| {
            let mut conn = server.conn();
            conn.limit(LIMIT);
            assert_eq!(conn.run(&command).int(), scale.storm as i64);
        });
        lua_pings.borrow_mut().push(ping);
        run
    };
    let compared = paired(scale.pairs, ours, theirs);
    assert_eq!(fired_keys(&peers.module), fired_keys(&peers.lua), "both fire the same strategies");
    let what = format!("storm of {}, AOF on, against Lua", scale.storm);
    report.add(Row::ratio("storm_rate", &what, Some(3.0), compared));
    let worst = |pings: RefCell<Vec<f64>>| Spread::of(&pings.into_inner());
    let goal = Some(Goal::AtMost(PING_MS));
    report.add(Row::figure("storm_ping", "worst PING of others meanwhile", "ms", goal, worst(our_pings)));
    report.add(Row::figure("storm_ping_lua", "worst PING while Lua does it", "ms", None, worst(lua_pings)));
}

/// One storm: from the tick until the last exit is queued, and the longest PING meanwhile in ms.
fn storm(server: &Server, count: usize, queued: usize, tick: impl FnOnce(&Server)) -> (Run, f64) {
    let over = AtomicBool::new(false);
    let before = cpu_seconds(server);
    let (seconds, worst) = std::thread::scope(|scope| {
        let pinger = scope.spawn(|| worst_ping(server, &over));
        let mut conn = server.conn();
        conn.limit(LIMIT);
        let started = Instant::now();
        tick(server);
        while conn.run("XLEN queue:exits").int() < queued as i64 {
            assert!(started.elapsed() < LIMIT, "not every stop has fired");
            std::thread::sleep(LOOK_EVERY);
        }
        let seconds = started.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (seconds, pinger.join().unwrap())
    });
    assert_eq!(server.conn().run("XLEN queue:exits").int(), queued as i64, "each stop fired once");
    let cpu = (cpu_seconds(server) - before).max(1e-6);
    let tally = Tally { replies: 1, sum: count as i64 };
    (Run { rate: count as f64 / seconds, cpu_rate: count as f64 / cpu, tally }, worst)
}

fn worst_ping(server: &Server, over: &AtomicBool) -> f64 {
    let mut conn = server.conn();
    conn.limit(LIMIT);
    let mut worst = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        // After 5 s of a script Redis answers BUSY, which serves nobody: the client still waits.
        while conn.raw("PING").is_error() && sent.elapsed() < LIMIT {
            std::thread::sleep(PING_EVERY);
        }
        worst = worst.max(sent.elapsed());
        std::thread::sleep(PING_EVERY);
    }
    worst.as_secs_f64() * 1_000.0
}

/// Key and action of everything in the queue of exits, sorted.
fn fired_keys(server: &Server) -> Vec<(String, String)> {
    let mut conn = server.conn();
    let entries = conn.run("XRANGE queue:exits - +");
    let fields = entries.items().iter().map(|entry| entry.items()[1].fields());
    let mut keys: Vec<_> = fields.map(|fields| (fields["key"].clone(), fields["action"].clone())).collect();
    keys.sort();
    keys
}
