//! The life of a strategy, from SET to its last fill: hash, queues, journal, events, lock and sets.

use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis};
use serde_json::Value as Json;
use std::collections::BTreeMap;

mod exits;
mod story;
mod ticks;
mod trails;

const KEY: &str = "user:alice:strategy:s1";

/// A server, a trader and a listener to alice's events.
struct Stage {
    redis: Redis,
    conn: Conn,
    events: Conn,
}

impl Stage {
    fn new() -> Self {
        Self::with(Options::new())
    }

    fn with(options: Options) -> Self {
        let redis = Redis::with(options);
        let (mut conn, mut events) = (redis.conn(), redis.conn());
        for queue in ["queue:orders", "queue:exits"] {
            conn.run(&format!("XGROUP CREATE {queue} engine 0 MKSTREAM"));
        }
        events.run("SUBSCRIBE events:alice");
        Self { redis, conn, events }
    }

    fn fields(&mut self) -> BTreeMap<String, String> {
        self.conn.run(&format!("STRAT.GET {KEY}")).fields()
    }

    /// Checks some fields of the hash.
    fn expect(&mut self, expected: &[(&str, &str)]) {
        let fields = self.fields();
        for (name, value) in expected {
            assert_eq!(fields.get(*name).map_or("", String::as_str), *value, "{name} of {fields:?}");
        }
    }

    /// The next event must be of this type; its data.
    fn event(&mut self, kind: &str) -> Json {
        let (channel, text) = self.events.message();
        let event: Json = serde_json::from_str(&text).unwrap();
        assert_eq!((channel.as_str(), event["type"].as_str()), ("events:alice", Some(kind)), "{text}");
        assert_eq!(event["strategy_id"], "s1", "{text}");
        let time = event["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
        event["data"].clone()
    }

    /// Reads one entry as consumer of the group: its id and fields.
    fn take(&mut self, queue: &str) -> (String, BTreeMap<String, String>) {
        let reply = self.conn.run(&format!("XREADGROUP GROUP engine c1 COUNT 1 STREAMS {queue} >"));
        let entry = reply.items()[0].items()[1].items()[0].clone();
        (entry.items()[0].text(), entry.items()[1].fields())
    }

    fn lock(&mut self, action: &str) -> String {
        self.conn.run(&format!("STRAT.LOCK {KEY} {action} engine 60000")).text()
    }

    fn report(&mut self, token: &str, tail: &str) -> i64 {
        self.conn.run(&format!("STRAT.REPORT {KEY} {token} {tail}")).int()
    }

    /// Opens a position of 10 by hand and forgets the events of that.
    fn hold(&mut self, side: &str, levels: &str) {
        let entry = if side == "LONG" { "BUY" } else { "SELL" };
        self.conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 10 side {side} {levels}"));
        let token = self.lock(entry);
        self.report(&token, "FILL CUMQTY 10 AVGPX 100 ORDER e1");
        self.event("STRATEGY_STARTED");
        self.event("ORDER_EXECUTED");
    }

    /// The journal, and whether its data folded together give the hash.
    fn check_journal(&mut self, types: &[&str]) {
        let entries = self.conn.run("XRANGE journal - +");
        let entries: Vec<_> = entries.items().iter().map(|entry| entry.items()[1].fields()).collect();
        let found: Vec<_> = entries.iter().map(|entry| entry["type"].as_str()).collect();
        assert_eq!(found, types);
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        for (number, entry) in entries.iter().enumerate() {
            assert_eq!((entry["key"].as_str(), entry["version"].as_str()), (KEY, (number + 1).to_string().as_str()));
            assert!(entry["ts"].parse::<i64>().is_ok_and(|ts| ts > 0), "{entry:?}");
            let data: BTreeMap<String, String> = serde_json::from_str(&entry["data"]).unwrap();
            assert_eq!(data["version"], entry["version"]);
            if entry.get("replace").is_some_and(|replace| replace == "1") {
                folded.clear();
            }
            folded.extend(data);
        }
        assert_eq!(folded, self.fields(), "the journal's data lead to the hash");
        assert_eq!(self.conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
    }
}

fn fields(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
