//! The engine's command line: how it ends, what it prints, `top`, `doctor`, completions.

mod completions;
mod doctor;
mod exits;
mod top;

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Options, Postgres, Redis};
use serde_json::Value as Json;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// Servers for the commands.
struct Bench {
    redis: Redis,
    postgres: Postgres,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(Options::new().durable())
    }

    fn with(options: Options) -> Self {
        let bench = Self { redis: Redis::with(options), postgres: Postgres::durable(), dir: temp_dir() };
        let migrated = engine::run(&["migrate"], &bench.env(), LIMIT);
        assert!(migrated.status.success(), "{}", said(&migrated));
        bench
    }

    fn env(&self) -> Env {
        let ledger = self.dir.path().join("ledger.jsonl").display().to_string();
        let settings =
            [("REDIS_URL", self.redis.url()), ("DATABASE_URL", self.postgres.url()), ("STRAT_PAPER_LEDGER", ledger)];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Runs a command of blank-separated words.
    fn run(&self, line: &str) -> Output {
        run(line, &self.env())
    }
}

/// Runs a command of blank-separated words.
fn run(line: &str, env: &Env) -> Output {
    engine::run(&line.split(' ').collect::<Vec<_>>(), env, LIMIT)
}

/// The environment with another value of a variable.
fn with(env: &Env, name: &str, value: &str) -> Env {
    let others = env.iter().filter(|(known, _)| known != name).cloned();
    others.chain([(name.to_owned(), value.to_owned())]).collect()
}

/// Both streams.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The JSON objects of stdout, one a line.
fn objects(output: &Output) -> Vec<Json> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
