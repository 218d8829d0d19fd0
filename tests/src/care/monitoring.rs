//! The dashboard and the alert rules of `deploy/monitoring` speak of what a running engine exports.

use super::world::{LIMIT, World};
use crate::servers::paths;
use crate::support::{skip, until};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What our metrics' names begin with; everything else in an expression is PromQL.
const OURS: [&str; 4] = ["strat_", "redis_", "postgres_", "cache_"];

fn folder() -> PathBuf {
    paths::root().join("deploy/monitoring")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// Every expression of both files.
fn expressions() -> Vec<String> {
    let rules = read("alerts.yml");
    let rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    let dashboard: Json = serde_json::from_str(&read("grafana-strat.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    rules.chain(targets.map(|target| target["expr"].as_str().unwrap().to_owned())).collect()
}

/// The metrics that an expression names, with the labels that it selects by.
fn named(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |end| start + end);
        let name = &rest[start..end];
        rest = &rest[end..];
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            let selector =
                rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
            let labels = selector.split(',').filter_map(|part| part.split_once(['=', '!'])).map(|(label, _)| label);
            found.push((name.to_owned(), labels.map(str::to_owned).collect()));
        }
    }
    found
}

/// The names of series, each with its labels.
fn exported(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in world.metrics().into_keys() {
        let (name, labels) = series.split_once('{').unwrap_or((&series, ""));
        let labels = labels.split(',').filter_map(|part| part.split_once('=')).map(|(label, _)| label.to_owned());
        all.entry(name.to_owned()).or_default().extend(labels);
    }
    all
}

#[test]
fn what_the_dashboard_and_the_alarms_name_is_exported() {
    let world = World::start(&[]);
    let expressions = expressions();
    assert!(expressions.len() > 60, "{}", expressions.len());
    let exported = until("the engine has looked at everything once", LIMIT, || {
        Some(exported(&world)).filter(|names| names.contains_key("redis_memory_used_bytes"))
    });
    let mut names = BTreeSet::new();
    for expression in &expressions {
        let found = named(expression);
        assert!(!found.is_empty(), "{expression} names none of our metrics");
        for (name, labels) in found {
            let known = exported.get(&name).unwrap_or_else(|| panic!("{name} is not exported: {expression}"));
            for label in labels.iter().filter(|label| *label != "instance") {
                assert!(known.contains(label), "{name} has no label {label}: {expression}");
            }
            names.insert(name);
        }
    }
    assert!(names.len() > 40, "{names:?}");
}

#[test]
fn promtool_finds_nothing_wrong() {
    let promtool = paths::root().join(".run/bin/promtool");
    if !promtool.is_file() {
        return skip("promtool_finds_nothing_wrong", "promtool");
    }
    let rules = Command::new(&promtool).args(["check", "rules"]).arg(folder().join("alerts.yml")).output().unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    let world = World::start(&[]);
    let (_, text) = until("/metrics answers", LIMIT, || world.engine.get("/metrics"));
    let mut check = Command::new(&promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(checked.status.success(), "{said}");
}
