//! What Redis, its replica and Postgres say at one moment, and whether anything is still to be done.

use super::strategies::{Fields, Life, Watched, has_ended};
use super::world::World;
use crate::resp::{Conn, Value};
use crate::support::now_ms;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Hashes by user.
pub(super) type Hashes = BTreeMap<String, Fields>;

/// Queues that must be worked off.
const QUEUES: [&str; 2] = ["queue:exits", "queue:orders"];

pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// Every hash there is, of these strategies.
pub(super) fn hashes(conn: &mut Conn, watched: &[Watched]) -> io::Result<Hashes> {
    let mut all = Hashes::new();
    // In portions: replies that nobody reads yet must fit into the socket.
    for portion in watched.chunks(100) {
        for one in portion {
            conn.send(&["HGETALL", &one.life.key])?;
        }
        for one in portion {
            let reply = conn.receive()?;
            if reply.is_error() {
                return Err(io::Error::other(format!("{reply:?}")));
            }
            let fields = reply.fields();
            if !fields.is_empty() {
                all.insert(one.life.user.clone(), fields);
            }
        }
    }
    Ok(all)
}

/// Rows of Postgres as hashes.
pub(super) fn rows(world: &World) -> Hashes {
    let lines =
        world.postgres.sql("SELECT jsonb_build_array(user_id, fields) FROM strategies WHERE removed_at IS NULL");
    let row = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    lines.iter().map(row).collect()
}

/// An empty text and no text are the same.
pub(super) fn given(hashes: &Hashes) -> Hashes {
    let given = |fields: &Fields| -> Fields {
        fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    hashes.iter().map(|(user, fields)| (user.clone(), given(fields))).collect()
}

/// Why a strategy is not at rest; a position that waits for its level is.
pub(super) fn unrest(life: &Life, fields: &Fields) -> Option<&'static str> {
    let [status, position, pending, working] =
        ["status", "position", "pending", "working"].map(|name| text(fields, name));
    if has_ended(status, position, pending, working) {
        return None;
    }
    let waits = life.exit_at.is_none()
        && status == "RUNNING"
        && matches!(position, "BOUGHT" | "SHORTED")
        && pending.is_empty()
        && working.is_empty();
    if waits { None } else { Some("not at rest") }
}

/// What is still to be done, apart from the strategies themselves; what `excused` users have there may stay.
pub(super) fn unfinished(conn: &mut Conn, watched: &[Watched], excused: &BTreeSet<String>) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for stream in QUEUES {
        let Value::Array(entries) = conn.try_call(&["XRANGE", stream, "-", "+"])? else { continue };
        let left: Vec<_> = entries.iter().map(entry).filter(|(_, user)| !excused.contains(user)).collect();
        if !left.is_empty() {
            let delivered = conn.try_call(&["XPENDING", stream, "engine", "-", "+", "10"])?;
            all.push(format!("{stream} has {left:?}, delivered are {delivered:?}"));
        }
    }
    let pending = conn.try_call(&["XPENDING", "journal", "sync"])?;
    if let Value::Array(items) = &pending
        && items.first() != Some(&Value::Int(0))
    {
        all.push(format!("pending in the journal: {pending:?}"));
    }
    for one in watched.iter().filter(|one| !excused.contains(&one.life.user)) {
        let lock = format!("lock:order:{}:s", one.life.user);
        let holder = conn.try_call(&["GET", &lock])?;
        if holder != Value::Nil {
            all.push(format!("{lock} is held: {holder:?}"));
        }
    }
    Ok(all)
}

/// Id and user of a queue's entry.
fn entry(entry: &Value) -> (String, String) {
    let [id, fields] = entry.items() else { return (format!("{entry:?}"), String::new()) };
    let fields = fields.fields();
    (id.text(), text(&fields, "key").split(':').nth(1).unwrap_or_default().to_owned())
}

/// Everything that is known about one strategy, for whoever has to find out what went wrong.
pub(super) fn dossier(world: &World, one: &Watched, hash: Option<&Fields>, ledger: &[String]) -> String {
    let mut lines = vec![format!("--- {one:?}"), format!("at {}: hash {hash:?}", now_ms())];
    lines.extend(ledger.iter().map(|line| format!("  ledger {line}")));
    let user = format!("user:{}:", one.life.user);
    for seat in &world.seats {
        let log = seat.engine.log();
        let own: Vec<_> = log.lines().filter(|line| line.contains(&user)).collect();
        lines.extend(own.iter().rev().take(20).rev().map(|line| format!("  {} {line}", seat.name)));
    }
    if let Ok(mut conn) = world.primary() {
        let lock = conn.raw(&format!("GET lock:order:{}:s", one.life.user));
        lines.push(format!("  lock {lock:?}"));
    }
    let journal = format!(
        "SELECT version, type, ts_ms, data FROM strategy_events WHERE user_id = '{}' ORDER BY version",
        one.life.user
    );
    lines.extend(world.postgres.sql(&journal).iter().map(|line| format!("  journal {line}")));
    lines.join("\n")
}
