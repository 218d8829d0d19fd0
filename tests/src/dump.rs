//! The whole data set in a form that can be compared: what a restart, a replica or another server must keep.

use crate::resp::{Conn, Value};
use std::collections::BTreeMap;

/// `db/key` → type and content.
pub(crate) type Dump = BTreeMap<String, String>;

/// Number of databases that a server has by default.
pub(crate) const DATABASES: usize = 16;

/// Everything but the last prices, which are not replicated on purpose. Leaves db 0 selected.
pub(crate) fn dump(conn: &mut Conn) -> Dump {
    let mut all = Dump::new();
    for db in 0..DATABASES {
        conn.run(&format!("SELECT {db}"));
        for key in keys(conn) {
            let shown = String::from_utf8_lossy(&key).into_owned();
            let is_price = shown.starts_with("price:") || shown.contains("}price:");
            // A key may expire between the scan and the read.
            if let Some(content) = content(conn, &key).filter(|_| !is_price) {
                all.insert(format!("{db}/{shown}"), content);
            }
        }
    }
    conn.run("SELECT 0");
    all
}

/// What differs between two data sets, for a message.
pub(crate) fn difference(before: &Dump, after: &Dump) -> String {
    let mut lines = Vec::new();
    for (key, content) in before {
        match after.get(key) {
            None => lines.push(format!("{key} is gone: {content}")),
            Some(other) if other != content => lines.push(format!("{key} was {content}\n   is {other}")),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|(key, _)| !before.contains_key(*key));
    lines.extend(added.map(|(key, content)| format!("{key} is new: {content}")));
    lines.truncate(20);
    lines.join("\n")
}

/// Every key of the selected database.
pub(crate) fn keys(conn: &mut Conn) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = conn.run(&format!("SCAN {cursor} COUNT 1000"));
        keys.extend(page.items()[1].items().iter().map(Value::bytes));
        cursor = page.items()[0].text();
        if cursor == "0" {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

fn content(conn: &mut Conn, key: &[u8]) -> Option<String> {
    let kind = conn.call(&[b"TYPE", key]).text();
    let read: &[&[u8]] = match kind.as_str() {
        "hash" => &[b"HGETALL", key],
        "set" => &[b"SMEMBERS", key],
        "string" => &[b"GET", key],
        "stream" => &[b"XRANGE", key, b"-", b"+"],
        "list" => &[b"LRANGE", key, b"0", b"-1"],
        "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        _ => return None,
    };
    let reply = conn.call(read);
    let shown = match kind.as_str() {
        "hash" => format!("{:?}", sorted(reply.pairs().iter().map(|pair| format!("{pair:?}")))),
        "set" => format!("{:?}", sorted(reply.items().iter().map(|item| format!("{item:?}")))),
        _ => format!("{reply:?}"),
    };
    Some(format!("{kind} {shown}"))
}

fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}
