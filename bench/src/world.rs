//! Private servers with a million strategies in them: made once as an RDB file, loaded by each server that needs them.

use crate::data::Dataset;
use crate::load::{self, Work};
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};
use strat_harness::servers::process::temp_dir;
use strat_harness::servers::{Options, Redis, paths};
use strat_harness::support::until;
use tempfile::TempDir;

/// Strategies written in one piece.
const CHUNK: usize = 20_000;
/// Longest comparison of the sets with the book after a load.
const REPAIR_LIMIT: Duration = Duration::from_secs(120);
/// Longest wait for a server that rewrites its append-only file.
const REWRITE_LIMIT: Duration = Duration::from_secs(180);

/// A running server and the folder of its data.
pub(crate) struct Server {
    // Dropped in this order.
    redis: Redis,
    dir: TempDir,
    /// From the start of the process to its first PONG.
    pub(crate) start_seconds: f64,
}

impl Deref for Server {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        &self.redis
    }
}

/// With the module or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Plain,
}

impl Server {
    /// A server with the repository's redis.conf, except for what would disturb a measurement by itself: snapshots and
    /// rewrites of the append-only file. That file is off until [`Server::make_durable`].
    pub(crate) fn start(kind: Kind, stored: Option<&Stored>) -> Self {
        let dir = temp_dir();
        if let Some(stored) = stored {
            std::fs::hard_link(stored.rdb(), dir.path().join("dump.rdb")).unwrap();
        }
        let options = if kind == Kind::Module { Options::new() } else { Options::plain() };
        let mut options = shipped(kind).iter().fold(options, |options, line| options.config(line));
        let folder = format!("dir {}", dir.path().display());
        for line in [folder.as_str(), "save \"\"", "appendonly no", "auto-aof-rewrite-percentage 0"] {
            options = options.config(line);
        }
        let started = Instant::now();
        let redis = Redis::with(options);
        let server = Self { redis, dir, start_seconds: started.elapsed().as_secs_f64() };
        if kind == Kind::Module {
            assert_eq!(server.info("strat", "strat_state"), "ready");
            // After a load the sets are compared with the book between commands: that is no tick's cost.
            until("the sets are compared", REPAIR_LIMIT, || (server.strat("strat_repairs") == 0).then_some(()));
        }
        server
    }

    /// Switches the append-only file on, as the shipped redis.conf has it.
    pub(crate) fn make_durable(&self) {
        let mut conn = self.conn();
        conn.run("CONFIG SET appendfsync always");
        conn.run("CONFIG SET appendonly yes");
        until("the append-only file is written", REWRITE_LIMIT, || {
            let done = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"];
            done.iter().all(|field| self.info("persistence", field) == "0").then_some(())
        });
        assert_eq!(self.info("persistence", "aof_last_bgrewrite_status"), "ok");
    }

    /// Loads the Lua functions, and arms the dataset's levels for them.
    pub(crate) fn load_lua(&self, data: &Dataset) {
        let code = include_str!("../peers/stops.lua");
        assert_eq!(self.conn().call(&["FUNCTION", "LOAD", code]).text(), "stops");
        for from in (0..data.strategies).step_by(CHUNK) {
            let range = from..(from + CHUNK).min(data.strategies);
            let work = Work::bulk(data.arm_lua(range.clone()), range.len() as u64 * 2);
            load::push(self, &work);
        }
    }

    /// A counter of `INFO strat`.
    pub(crate) fn strat(&self, field: &str) -> u64 {
        self.info("strat", field).parse().unwrap()
    }
}

/// The lines of the repository's redis.conf that are not about where this server lives.
fn shipped(kind: Kind) -> Vec<String> {
    let text = std::fs::read_to_string(paths::root().join("redis.conf")).unwrap();
    let elsewhere = ["loadmodule", "bind", "port", "dir", "logfile", "unixsocket", "save", "appendonly"];
    let kept = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or("#");
        !word.starts_with('#') && !elsewhere.contains(&word) && (kind == Kind::Module || !word.starts_with("strat."))
    };
    text.lines().filter(kept).map(str::to_owned).collect()
}

/// A dataset as an RDB file.
pub(crate) struct Stored {
    dir: TempDir,
}

impl Stored {
    /// Writes the dataset into a server without the module, and saves it.
    pub(crate) fn new(data: &Dataset) -> Self {
        let server = Server::start(Kind::Plain, None);
        for from in (0..data.strategies).step_by(CHUNK) {
            let range = from..(from + CHUNK).min(data.strategies);
            let work = Work::bulk(data.write(range.clone()), range.len() as u64 * 3);
            load::push(&server, &work);
        }
        let mut conn = server.conn();
        conn.limit(REWRITE_LIMIT);
        conn.run("SAVE");
        let dir = temp_dir();
        std::fs::rename(server.dir.path().join("dump.rdb"), dir.path().join("dump.rdb")).unwrap();
        Self { dir }
    }

    fn rdb(&self) -> impl AsRef<Path> {
        self.dir.path().join("dump.rdb")
    }
}
