//! The engine trades through failovers: positions entered before, stops hit after, each order once.

use super::Fault;
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Watched};
use crate::support::{loudly, now_ms, until};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Entered before the fault.
const HELD: usize = 6;
/// Due at about the time of the promotion.
const DUE: usize = 4;
/// The promotion is about so far away.
const DUE_MS: i64 = 2_000;
/// From the promotion until all stops have been hit; about a second or two, on a busy machine more.
const BOUND: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(90);

struct World {
    // Dropped in this order: first the engine, then its servers.
    engine: Engine,
    watched: Watched,
    postgres: Postgres,
    env: Env,
    ledger: PathBuf,
    _dir: TempDir,
    users: Vec<String>,
}

fn key(user: &str) -> String {
    format!("user:{user}:strategy:s1")
}

impl World {
    fn start() -> Self {
        let watched = Watched::start(&Options::new().durable());
        let (postgres, dir) = (Postgres::start(), temp_dir());
        let ledger = dir.path().join("ledger.jsonl");
        let env: Env = [
            ("REDIS_URL", watched.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_PAPER_LEDGER", ledger.display().to_string()),
            ("STRAT_FEED_SYMBOLS", "AAA=100,BBB=100".to_owned()),
            ("STRAT_FEED_TICK_MS", "50".to_owned()),
            ("STRAT_RECONCILE_INTERVAL_SECONDS", "2".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let migrated = engine::run(&["migrate"], &env, LIMIT);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let engine = Engine::start(&["run"], env.clone());
        Self { engine, watched, postgres, env, ledger, _dir: dir, users: Vec::new() }
    }

    /// Strategies whose entries come at `at_ms`, with stops far away.
    fn add(&mut self, primary: usize, count: usize, at_ms: i64) -> Vec<String> {
        let mut conn = self.watched.conn(primary);
        let users: Vec<_> = (0..count).map(|number| format!("u{}", self.users.len() + number)).collect();
        for (number, user) in users.iter().enumerate() {
            let symbol = ["AAA", "BBB"][number % 2];
            conn.run(&format!("STRAT.SET {} symbol {symbol} quantity 10 buy_at {at_ms} stop_loss 1", key(user)));
        }
        // Replication is asynchronous: what the replica has not got is nobody's promise.
        assert_eq!(conn.run("WAIT 1 5000").int(), 1, "the replica has it");
        self.users.extend(users.iter().cloned());
        users
    }

    /// Waits until all of them say so in the hashes of `primary`.
    fn wait(&mut self, primary: usize, users: &[String], field: &str, wanted: &str) {
        let mut conn = self.watched.conn(primary);
        for user in users {
            let started = Instant::now();
            loop {
                let fields = conn.run(&format!("HGETALL {}", key(user))).fields();
                if fields.get(field).is_some_and(|found| found == wanted) {
                    break;
                }
                let log = self.engine.log();
                let tail: Vec<_> = log.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect();
                assert!(!self.engine.has_ended(), "the engine ended:\n{}", tail.join("\n"));
                assert!(started.elapsed() < LIMIT, "{user} not {wanted}: {fields:?}\n{}", tail.join("\n"));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Puts their stops above the market: the next tick of the engine's hits them.
    fn hit(&mut self, primary: usize, users: &[String]) {
        for user in users {
            self.watched.conn(primary).run(&format!("STRAT.UPDATE {} stop_loss 150", key(user)));
        }
        self.wait(primary, users, "position", "EXITED_BY_SL");
        self.wait(primary, users, "status", "COMPLETED");
    }

    fn fail(&mut self, fault: Fault) {
        let old = until("the sentinels agree", LIMIT, || self.watched.primary());
        let held = self.add(old, HELD, now_ms());
        self.wait(old, &held, "position", "BOUGHT");
        let due = self.add(old, DUE, now_ms() + DUE_MS);
        let begun = Instant::now();
        match fault {
            Fault::Kill => self.watched.redis(old).kill_9(),
            Fault::Silence => self.watched.redis(old).pause(),
            Fault::Planned => self.watched.order_failover(),
        }
        let primary = self.watched.wait_failover(old);
        let promoted = begun.elapsed();
        self.hit(primary, &held);
        let hit = begun.elapsed().saturating_sub(promoted);
        assert!(hit < BOUND, "stops hit {hit:?} after the promotion");
        self.wait(primary, &due, "position", "BOUGHT");
        self.hit(primary, &due);
        loudly(&format!(
            "failover ({fault:?}) under the engine: promoted after {promoted:?}, all {HELD} stops exited {hit:?} later"
        ));
        match fault {
            Fault::Kill => self.watched.start_again(old, primary),
            Fault::Silence => {
                self.watched.redis(old).resume();
                self.watched.follow(old, primary);
            }
            Fault::Planned => self.watched.wait_synced(old),
        }
        self.watched.wait_replica_known();
        self.engine.wait_healthy();
        self.check_shown(primary);
    }

    /// Whoever looks is told which server it is.
    fn check_shown(&self, primary: usize) {
        let address = self.watched.address(primary);
        let (_, health) = self.engine.get("/health/redis").unwrap();
        let health: Json = serde_json::from_str(&health).unwrap();
        assert_eq!(health["address"], address.as_str(), "{health}");
        let doctor = engine::run(&["doctor"], &self.env, LIMIT);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(said.contains(&format!("answers at {address}")), "{said}");
    }
}

/// Every user's two orders, each accepted and filled once.
fn check_ledger(path: &Path, users: &[String]) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut counts: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for line in text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()) {
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        let event = field("event");
        if event == "accept" {
            assert!(ids.insert(field("client_order_id")), "an order was accepted twice: {line}");
        }
        if event == "fill" {
            assert_eq!(field("quantity"), "10", "{line}");
        }
        *counts.entry((field("user"), event, field("side"))).or_default() += 1;
    }
    for user in users {
        for event in ["accept", "fill"] {
            for side in ["BUY", "SELL"] {
                let count = counts.get(&(user.clone(), event.to_owned(), side.to_owned())).copied();
                assert_eq!(count, Some(1), "{user} {event} {side}:\n{text}");
            }
        }
    }
    assert_eq!(ids.len(), 2 * users.len(), "no order of anybody else's");
}

#[test]
fn the_engine_trades_through_failovers_and_sends_each_order_once() {
    let mut world = World::start();
    for fault in [Fault::Kill, Fault::Silence, Fault::Planned] {
        world.fail(fault);
    }
    check_ledger(&world.ledger, &world.users);
    let ended = world.users.len().to_string();
    until("Postgres has the ends", LIMIT, || {
        let sql = "SELECT count(*) FROM strategies WHERE removed_at IS NULL AND fields->>'status' = 'COMPLETED'";
        (world.postgres.sql(sql) == [ended.as_str()]).then_some(())
    });
    assert_eq!(world.postgres.sql("SELECT count(*) FROM journal_rejects"), ["0"]);
    let primary = world.watched.primary().unwrap();
    let mut conn = world.watched.conn(primary);
    assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
    for queue in ["queue:orders", "queue:exits"] {
        assert_eq!(conn.run(&format!("XLEN {queue}")).int(), 0, "{queue} is worked off");
    }
    assert_eq!(world.engine.terminate(), Some(0), "a clean end:\n{}", world.engine.log());
}
