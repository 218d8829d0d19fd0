//! A primary that goes away behind sentinels: killed, silent, or handed over as planned. Whoever was connected is at
//! its successor in bounded time, without a restart.

mod client;
mod engine;
mod readers;

use crate::resp::Conn;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::time::Duration;

/// The fault that takes the primary away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// kill -9: its sockets close.
    Kill,
    /// SIGSTOP: its sockets stay open and nothing comes.
    Silence,
    /// `SENTINEL FAILOVER`: it lives on, and takes writes until the sentinels get round to it.
    Planned,
}

/// What the watch and its tests rest on: a read as a member of a group is a write, so a replica refuses it, and a
/// reader that blocks while its server becomes a replica is told.
#[test]
fn a_replica_neither_keeps_nor_takes_blocked_readers() {
    let (primary, turned) = (Redis::with(Options::new().tcp()), Redis::start());
    turned.conn().run("XGROUP CREATE queue:exits engine 0 MKSTREAM");
    let read = "XREADGROUP GROUP engine w COUNT 1 BLOCK 20000 STREAMS queue:exits >";
    let mut blocked = turned.conn();
    blocked.send(&read.split(' ').collect::<Vec<_>>()).unwrap();
    let mut conn = turned.conn();
    until("the reader blocks", Duration::from_secs(10), || {
        (crate::servers::redis::info_field(&mut conn, "clients", "blocked_clients") == "1").then_some(())
    });
    conn.run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    assert_eq!(blocked.receive().unwrap().code(), "UNBLOCKED");
    assert!(blocked.receive().is_err(), "and its connection is closed");
    let mut again = Conn::open(&turned.socket()).unwrap();
    assert_eq!(again.code(read), "READONLY");
}
