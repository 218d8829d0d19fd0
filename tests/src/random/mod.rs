//! Thousands of random commands, raw ones and ours; then whatever may happen to a server. Each time the
//! book, the sets, LIST and SYMBOLS must be what a scan of the hashes gives.

mod actions;
mod fires;
mod model;
mod restarts;

use crate::dump::DATABASES;
use crate::resp::Conn;
use crate::support::until;
use std::time::Duration;

/// Mends of the sets are deferred by a turn of the event loop, so a checkpoint waits for them.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Databases that the actions use.
const DATABASES_USED: usize = 4;

/// Waits until nothing is about to change by itself, and checks everything.
fn checkpoint(conn: &mut Conn, what: &str) {
    until(&format!("{what}: keys with a short life have ended"), SETTLE_LIMIT, || no_short_life(conn).then_some(()));
    let mut last = Vec::new();
    let started = std::time::Instant::now();
    loop {
        let found = model::differences(conn);
        if found.is_empty() {
            break;
        }
        last.clone_from(&found);
        assert!(
            started.elapsed() < SETTLE_LIMIT,
            "{what}: {} differences, such as\n{}",
            last.len(),
            last[..last.len().min(15)].join("\n")
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let panics = crate::servers::redis::info_field(conn, "strat", "strat_panics");
    assert_eq!(panics, "0", "{what}: panics were caught");
}

/// No key is left whose time to live ends within the test.
fn no_short_life(conn: &mut Conn) -> bool {
    let mut quiet = true;
    for db in 0..DATABASES_USED {
        conn.run(&format!("SELECT {db}"));
        for key in crate::dump::keys(conn) {
            let ttl = conn.call(&[b"PTTL".as_slice(), &key]).int();
            let is_price = String::from_utf8_lossy(&key).contains("price:");
            quiet &= is_price || !(0..=600_000).contains(&ttl);
        }
    }
    conn.run("SELECT 0");
    quiet
}

/// Deletes whatever else than sets and streams stands under the names that strat needs.
fn clear_names(conn: &mut Conn) {
    for db in 0..DATABASES {
        conn.run(&format!("SELECT {db}"));
        for key in crate::dump::keys(conn) {
            let name = String::from_utf8_lossy(&key).into_owned();
            let bare = name.split_once('}').map_or(name.as_str(), |(_, bare)| bare);
            let expected = match bare {
                "active_strategies" => "set",
                "journal" | "queue:orders" | "queue:exits" => "stream",
                _ if bare.starts_with("trail:") => "hash",
                _ if bare.starts_with("symbol:") && bare.ends_with(":strategies") => "set",
                _ => continue,
            };
            if conn.call(&[b"TYPE".as_slice(), &key]).text() != expected {
                conn.call(&[b"DEL".as_slice(), &key]);
            }
        }
    }
    conn.run("SELECT 0");
}
