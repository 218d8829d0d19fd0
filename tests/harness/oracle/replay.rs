//! Runs the engine's replay, and compares its report with the calculation.

use super::calc::{Outcome, Plan};
use super::decimal;
use crate::servers::process::temp_dir;
use crate::servers::{Options, Postgres, Redis, engine};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the replay of the large day may take with a release build.
pub const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Runs the engine's replay on servers of its own; the report's lines and the time it took.
pub fn replay(ticks: &Path, strategies: &Path) -> (Vec<Value>, Duration) {
    let redis = Redis::with(Options::new());
    let postgres = Postgres::start();
    let dir = temp_dir();
    let report = dir.path().join("report.jsonl");
    let env = vec![
        ("REDIS_URL".to_owned(), redis.url()),
        ("DATABASE_URL".to_owned(), postgres.url()),
        ("STRAT_PAPER_LEDGER".to_owned(), dir.path().join("ledger.jsonl").display().to_string()),
    ];
    let migrated = engine::run(&["migrate"], &env, Duration::from_secs(60));
    assert!(migrated.status.success(), "migrate: {}", String::from_utf8_lossy(&migrated.stderr));
    let text = |path: &Path| path.display().to_string();
    let args = ["replay", "--ticks", &text(ticks), "--strategies", &text(strategies), "--report", &text(&report)];
    let started = Instant::now();
    let output = engine::run(&args, &env, RUN_LIMIT * 5);
    let took = started.elapsed();
    assert!(
        output.status.success(),
        "replay ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = std::fs::read_to_string(&report).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), took)
}

/// Compares every field of every line; the report may come in any order.
pub fn compare(plans: &[Plan], expected: &[Outcome], report: &[Value]) {
    let id = |line: &Value| format!("{}/{}", field(line, "user_id"), field(line, "strategy_id"));
    let lines: BTreeMap<_, _> = report.iter().map(|line| (id(line), line)).collect();
    assert_eq!(lines.len(), report.len(), "a strategy is reported twice");
    assert_eq!(lines.len(), plans.len(), "number of strategies in the report");
    let mut different = Vec::new();
    for (plan, expected) in plans.iter().zip(expected) {
        let line = lines.get(&format!("{}/{}", plan.user, plan.id));
        let line = line.unwrap_or_else(|| panic!("{}/{} is not in the report", plan.user, plan.id));
        let wrong = differences(expected, line);
        if !wrong.is_empty() {
            different.push(format!("{plan:?}\n  {}", wrong.join("\n  ")));
        }
    }
    let shown = different.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {} strategies differ, such as\n{shown}", different.len(), plans.len());
}

fn differences(expected: &Outcome, line: &Value) -> Vec<String> {
    let decimal = |name: &str| match field(line, name).as_str() {
        "" => String::new(),
        given => decimal::normal(given),
    };
    let fields = [
        ("position", expected.position, field(line, "position")),
        ("status", expected.status, field(line, "status")),
        ("entry_price", &expected.entry_price, decimal("entry_price")),
        ("entry_ts_ms", &expected.entry_ts_ms, field(line, "entry_ts_ms")),
        ("exit_price", &expected.exit_price, decimal("exit_price")),
        ("exit_ts_ms", &expected.exit_ts_ms, field(line, "exit_ts_ms")),
        ("exit_reason", expected.exit_reason, field(line, "exit_reason")),
        ("quantity", &expected.quantity, decimal("quantity")),
        ("pnl", &expected.pnl, decimal("pnl")),
    ];
    let wrong = fields.into_iter().filter(|(_, expected, found)| expected != found);
    wrong.map(|(name, expected, found)| format!("{name}: expected '{expected}', reported '{found}'")).collect()
}

/// A field of a report's line as text; `null` is empty, a missing field an error.
fn field(line: &Value, name: &str) -> String {
    match line.get(name) {
        Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        other => panic!("{name} is {other:?} in {line}"),
    }
}
