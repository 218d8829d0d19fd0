//! The harness itself, with small numbers: it must measure what it says, whatever the figures are. Its own checks (each
//! tick looked at, each stop fired once, the same strategies by Lua as by the module) end it where something is amiss.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use serde_json::Value;
use std::process::Command;

#[test]
fn a_small_run_measures_every_row_that_it_was_asked_for() {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--scale", "smoke", "--only", "ticks,update,storm,memory", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    let report: Value = serde_json::from_slice(&std::fs::read(out.path().join("report.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    for id in ["silent_set", "silent_lua", "silent_set_aof", "update_lua", "storm_rate", "storm_ping", "rdb_load"] {
        let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id}: {report}"));
        assert!(row["value"]["median"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert!(std::fs::read_to_string(out.path().join("report.md")).unwrap().contains("against the Lua function"));
    assert!(std::fs::read_to_string(out.path().join("report.svg")).unwrap().contains("</svg>"));
}
