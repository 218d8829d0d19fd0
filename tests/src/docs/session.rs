//! Pages with commands for a shell: run as they stand, with a private Redis and Postgres and a running engine.
//!
//! Commands stand behind `$ ` in `console` blocks. What only looks (`strategy show`, `strategy list`, `redis-cli`, `psql`) is
//! asked again until it answers as printed: an engine works beside it.

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis, paths};
use crate::support::until;
use crate::transcript::{self, Step};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// What only looks, and may be asked again.
const LOOKS: [&str; 4] = ["strat-engine strategy show", "strat-engine strategy list", "redis-cli", "psql"];

/// What a step prints, both streams, without empty lines.
fn output(step: &Step, env: &Env) -> Vec<String> {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec 2>&1; {}", step.command)]).envs(env.iter().cloned()).current_dir(paths::root());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs every step of a page.
fn check(page: &str, env: &Env) {
    let markdown = std::fs::read_to_string(paths::root().join(page)).unwrap();
    let steps = transcript::steps(&markdown, &["$ "]);
    assert!(steps.len() >= 3, "only {} commands in {page}", steps.len());
    let mut known = BTreeMap::new();
    for step in &steps {
        let looks = LOOKS.iter().any(|look| step.command.starts_with(look));
        let started = Instant::now();
        let answer = until("the step ends", 2 * LIMIT, || {
            let found = output(step, env);
            match transcript::same(&step.expected(), &found, &mut known) {
                true => Some(Ok(())),
                false if looks && started.elapsed() < LIMIT => None,
                false => Some(Err(found)),
            }
        });
        if let Err(found) = answer {
            panic!("{page}: {}\nsays\n{}", step.command, found.join("\n"));
        }
    }
}

#[test]
fn getting_started_works_as_printed() {
    let redis = Redis::with(Options::new().durable());
    let postgres = Postgres::start();
    let dir = temp_dir();
    let folder = paths::engine().parent().unwrap().display().to_string();
    let env: Env = [
        ("REDIS_URL", redis.url()),
        ("REDIS_SOCKET", redis.socket().display().to_string()),
        ("DATABASE_URL", postgres.url()),
        ("STRAT_PAPER_LEDGER", dir.path().join("ledger.jsonl").display().to_string()),
        ("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
    let _engine = Engine::start(&["run"], env.clone());
    check("docs/getting-started.md", &env);
}
