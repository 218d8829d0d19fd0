//! Hostile commands against a live server: whatever is sent, it lives, it answers in the protocol with known codes,
//! nothing panics, and when the hindrances are gone the books and the sets are what the hashes say.
//!
//! | variable | meaning |
//! |---|---|
//! | `STRAT_FUZZ_SECONDS` | how long, 5 by default |
//! | `STRAT_FUZZ_COMMANDS` | at least so many commands, however long that takes |
//! | `STRAT_FUZZ_SEED` | repeat a run |
//! | `STRAT_FUZZ_REPLAY` | a script to send instead: what a failed run wrote |

mod commands;
mod found;
mod plain;
mod runner;
mod script;
mod words;

use crate::rng::Rng;
use crate::servers::paths;
use crate::support::loudly;
use runner::Runner;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SEED: &str = "STRAT_FUZZ_SEED";
/// Commands between two looks at whether everything heals.
const ROUND: u64 = 20_000;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: '{text}'")))
}

/// Writes what was sent, so that it can be sent again, and fails.
fn fail(runner: &Runner, seed: u64, why: &str) -> ! {
    let folder = paths::root().join("target/fuzz");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("failed-{seed}.txt"));
    let script = runner.script();
    std::fs::write(&file, &script).unwrap();
    std::fs::write(file.with_extension("log"), runner.log()).unwrap();
    let last: Vec<_> = script.lines().rev().take(30).collect();
    panic!(
        "{why}\nseed {seed}, after {} commands; send them again with STRAT_FUZZ_REPLAY={}\nthe last ones, newest first:\n{}",
        runner.commands(),
        file.display(),
        last.join("\n")
    );
}

fn corpus() -> Vec<PathBuf> {
    let folder = paths::root().join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

/// Sends a script line by line.
fn replay(runner: &mut Runner, file: &std::path::Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    script::parse(&text).into_iter().try_for_each(|line| runner.send(vec![line])).and_then(|()| runner.heal())
}

#[test]
fn hostile_commands_leave_a_live_and_healthy_server() {
    let mut runner = Runner::start();
    if let Some(file) = std::env::var_os("STRAT_FUZZ_REPLAY") {
        replay(&mut runner, file.as_ref()).unwrap_or_else(|why| panic!("{why}"));
        return runner.finish().unwrap();
    }
    let seed = number(SEED, Rng::new(crate::support::now_ms() as u64).between(0, 999_999_999) as u64);
    let mut rng = Rng::new(seed);
    let limit = Duration::from_secs(number("STRAT_FUZZ_SECONDS", 5));
    let wanted = number("STRAT_FUZZ_COMMANDS", 0);
    for file in corpus() {
        replay(&mut runner, &file).unwrap_or_else(|why| fail(&runner, seed, &format!("{}: {why}", file.display())));
    }
    let started = Instant::now();
    while started.elapsed() < limit || runner.commands() < wanted {
        let round_ends = runner.commands() + ROUND;
        while runner.commands() < round_ends && (started.elapsed() < limit || runner.commands() < wanted) {
            runner.step(&mut rng).unwrap_or_else(|why| fail(&runner, seed, &why));
        }
        runner.heal().unwrap_or_else(|why| fail(&runner, seed, &why));
    }
    let seconds = started.elapsed().as_secs_f64();
    runner.finish().unwrap_or_else(|why| fail(&runner, seed, &why));
    loudly(&format!("fuzz: seed {seed}, {}", runner.summary(seconds)));
}
