//! The exit code says what kind of failure it was, the message what to do.

use super::{Bench, objects, run, said, with};
use crate::servers::engine::{self, Env};
use crate::servers::paths;
use serde_json::Value as Json;

/// A command must end so, and say these words.
fn check(line: &str, env: &Env, code: i32, words: &[&str]) {
    let output = run(line, env);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(code), "{line}: {text}");
    for word in words {
        assert!(text.contains(word), "{line}: no '{word}' in {text}");
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let bench = Bench::new();
    let env = bench.env();
    check("strategy add alice s1 symbol=IBM quantity=10", &env, 0, &["added (version 1)"]);
    for (line, words) in [
        ("strategy add alice s1 symbol=IBM quantity=10", &["already", "hint: strat-engine strategy update"][..]),
        ("strategy add alice s2 symbol=IBM quantity=10 stop_loss=1e5", &["plain decimal", "hint"]),
        ("strategy add alice s2 symbol=IBM quantity=10 timezone=Mars/Base", &["Mars/Base"]),
        ("strategy add a:b s2 symbol=IBM quantity=10", &["user id"]),
        ("strategy show alice nothing", &["no strategy nothing", "hint: strat-engine strategy list"]),
        ("strategy stop alice nothing", &["no strategy nothing"]),
        ("strategy update alice s1 --if-version 7 note=x", &["BADVERSION", "hint"]),
        ("strategy import /nowhere/strategies.csv", &["/nowhere/strategies.csv"]),
    ] {
        check(line, &env, 3, words);
    }
    for (line, words) in [
        ("strategy add alice", &["Usage"][..]),
        ("fly", &["unrecognized"]),
        ("doctor --set paper.latency_ms=soon", &["paper.latency_ms", "0 to 60000"]),
        ("doctor --set no.such=1", &["no.such", "hint"]),
        ("top --interval-ms 5", &["100..=60000"]),
        ("completions tcsh", &["bash"]),
    ] {
        check(line, &env, 2, words);
    }
    let away = with(&env, "REDIS_URL", "redis+unix:///nowhere/redis.sock");
    check("strategy list", &away, 4, &["Redis", "hint"]);
    let away = with(&env, "DATABASE_URL", "postgres://strat@localhost/strat?host=/nowhere&port=5432");
    for line in ["strategy list", "migrate"] {
        check(line, &away, 4, &["Postgres", "hint"]);
    }
}

#[test]
fn programs_are_told_in_json() {
    let bench = Bench::new();
    let added = bench.run("--output json strategy add alice s1 symbol=IBM quantity=10 note=x");
    assert_eq!(objects(&added)[0]["version"], 1, "{}", said(&added));
    let listed = objects(&bench.run("strategy list --output json"));
    assert_eq!((listed.len(), &listed[0]["symbol"], &listed[0]["strategy_id"]), (1, &"IBM".into(), &"s1".into()));
    assert_eq!(objects(&bench.run("strategy show alice s1 --output json"))[0]["note"], "x");
    let settings = objects(&bench.run("settings --output json"));
    assert!(settings.iter().any(|setting| setting["name"] == "redis.url" && setting["source"] == "REDIS_URL"));
    let findings = objects(&bench.run("doctor --output json"));
    assert!(findings.len() > 8 && findings.iter().all(|finding| finding["mark"] != "FAIL"), "{findings:?}");
    let refused = bench.run("strategy show alice nothing --output json");
    assert_eq!(refused.status.code(), Some(3));
    let error = String::from_utf8_lossy(&refused.stderr).lines().last().map(str::to_owned).unwrap();
    let error: Json = serde_json::from_str(&error).unwrap();
    assert!(error["exit_code"] == 3 && error["hint"].as_str().is_some_and(|hint| hint.contains("strategy list")));
}

#[test]
fn the_help_and_the_page_say_the_exit_codes() {
    let help = said(&engine::run(&["--help"], &Env::new(), super::LIMIT));
    let page = std::fs::read_to_string(paths::root().join("docs/cli.md")).unwrap();
    for code in 0..=4 {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}: {help}");
        assert!(page.lines().any(|line| line.starts_with(&format!("| {code} | "))), "{code} in docs/cli.md");
    }
}
