//! The examples run as they stand.

use std::path::PathBuf;
use std::process::Command;
use strat_harness::servers::Redis;
use strat_harness::support::skip;

/// Where cargo puts the examples of this build; it builds them with the tests, unless one test target was asked for.
fn example(name: &str) -> Option<PathBuf> {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent()?.parent()?.join("examples").join(name);
    path.exists().then_some(path)
}

/// Runs an example to its end on a server of its own; it must print this.
fn check(name: &str, expected: &[&str]) {
    let Some(path) = example(name) else {
        skip(&format!("the example {name}"), "cargo test -p strat-client, which builds the examples too");
        return;
    };
    let redis = Redis::start();
    redis.conn().run("HSET user:alice:strategy:s quantity 1 symbol IBM position BOUGHT stop_loss 90");
    redis.conn().run("STRAT.SLCHECK IBM 100");
    let output = Command::new(&path).env("REDIS_URL", redis.url()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}\n{out}\n{err}", output.status);
    for words in expected {
        assert!(out.contains(words), "{name} does not print '{words}':\n{out}\n{err}");
    }
}

#[test]
fn each_family_has_an_example_that_works() {
    for (name, expected) in [
        ("cache", &["second"][..]),
        ("candles", &["minute"]),
        ("limits", &["wait"]),
        ("market", &["symbols"]),
        ("positions", &["10 from the stop at 90", "1 open"]),
        ("quickstart", &["event"]),
        ("resilience", &["pool"]),
        ("sealed", &["opened"]),
        ("sessions", &["logged out"]),
        ("upkeep", &["no ttl"]),
    ] {
        check(name, expected);
    }
}
