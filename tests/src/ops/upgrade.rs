//! A new module, server by server: first the replica, then a planned failover, then what was the primary.

use super::LIMIT;
use crate::resp::{Conn, Value};
use crate::servers::process::temp_dir;
use crate::servers::{Options, Redis, paths};
use crate::support::until;
use std::path::Path;

const STRATEGIES: usize = 500;

fn key(number: usize) -> String {
    format!("user:u{}:strategy:s{number}", number % 7)
}

fn verify(redis: &Redis) {
    assert_eq!(redis.conn().run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
}

/// Where the module of a running server lies.
fn module(conn: &mut Conn) -> String {
    let listed = conn.run("MODULE LIST");
    let path = |module: &Value| {
        let field = |wanted: &str| module.pairs().into_iter().find(|(name, _)| name.text() == wanted).unwrap().1.text();
        (field("name") == "strat").then(|| field("path"))
    };
    listed.items().iter().find_map(path).unwrap()
}

fn wait_synced(replica: &Redis, primary: &Redis) {
    until("the replica has everything", LIMIT, || {
        let up = replica.info("replication", "master_link_status") == "up";
        let place = |redis: &Redis, field: &str| redis.info("replication", field);
        (up && place(replica, "slave_repl_offset") == place(primary, "master_repl_offset")).then_some(())
    });
}

/// Restarts a replica with another module, as a package's upgrade does.
fn upgrade(replica: &mut Redis, options: &Options, module: &Path, primary: &Redis) {
    replica.shutdown("SAVE");
    let mut options = options.clone().config(&format!("replicaof 127.0.0.1 {}", primary.port()));
    options.module = Some(module.to_path_buf());
    replica.set_options(options);
    replica.start_again();
    wait_synced(replica, primary);
    verify(replica);
}

#[test]
fn a_module_is_upgraded_on_the_replica_first_and_nothing_is_lost() {
    let dir = temp_dir();
    let new = dir.path().join("libstrat-new.so");
    std::fs::copy(paths::module(), &new).unwrap();
    let options = || Options::new().durable().tcp();
    let (mut first, mut second) = (Redis::with(options()), Redis::with(options()));
    second.conn().run(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    let mut conn = first.conn();
    for number in 0..STRATEGIES {
        let level = 100 + number % 50;
        conn.run(&format!("STRAT.SET {} symbol IBM quantity 1 position BOUGHT stop_loss {level}", key(number)));
    }
    // A storm, an order in flight and a lock: what is half done must go over as well.
    conn.run("STRAT.SET user:t:strategy:t symbol AIG quantity 1 position BOUGHT entry_price 100 trail 5");
    conn.run("STRAT.SLCHECK IBM 148 AIG 120");
    let token = conn.run(&format!("STRAT.LOCK {} SQUAREOFF engine 600000", key(0))).text();
    wait_synced(&second, &first);
    let before = crate::dump::dump(&mut conn);

    let port = second.port();
    upgrade(&mut second, &options().port(port), &new, &first);
    assert_eq!(module(&mut second.conn()), new.display().to_string());
    // Both stop for a moment until the replica has the last write: nobody's is lost.
    conn.run(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", second.port()));
    until("the replica is the primary", LIMIT, || (second.info("replication", "role") == "master").then_some(()));
    let mut promoted = second.conn();
    let after = crate::dump::dump(&mut promoted);
    assert!(before == after, "{}", crate::dump::difference(&before, &after));
    verify(&second);

    let port = first.port();
    upgrade(&mut first, &options().port(port), &new, &second);
    assert_eq!(module(&mut first.conn()), new.display().to_string());
    // What was armed, followed and claimed before counts after.
    assert_eq!(promoted.run(&format!("STRAT.UNLOCK {} {token}", key(0))).int(), 1);
    assert_eq!(promoted.run("STRAT.SLCHECK AIG 115").int(), 1, "the trailing stop knows its best price");
    let armed = promoted.run("STRAT.SLCHECK IBM 1").int();
    assert!(armed > 0, "stops fire on the new primary");
    let wanted = i64::try_from(STRATEGIES + 1).unwrap();
    until("every stop has fired, once", LIMIT, || (promoted.run("XLEN queue:exits").int() == wanted).then_some(()));
    wait_synced(&first, &second);
    verify(&first);
    verify(&second);
}
