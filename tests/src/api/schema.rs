//! Requests made from the OpenAPI document by schemathesis: whatever is sent, no answer is a failure of the engine.

use super::strategies::{buys_now, quiet_market};
use super::tenants::{SECRET, issue};
use super::*;
use crate::support::skip;
use std::path::PathBuf;
use std::process::Command;

/// Requests for each route, of those that fit it and of those that do not.
const EXAMPLES: &str = "12";

/// The program, where `make setup-test` put it.
fn schemathesis() -> Option<PathBuf> {
    let program = crate::servers::paths::python()?.with_file_name("schemathesis");
    program.is_file().then_some(program)
}

#[test]
fn no_request_that_the_document_allows_or_forbids_makes_the_engine_fail() {
    let Some(program) = schemathesis() else {
        skip("the requests made from the OpenAPI document", "schemathesis (.run/venv)");
        return;
    };
    let often = [("STRAT_HTTP_READS_PER_MINUTE", "600000"), ("STRAT_HTTP_WRITES_PER_MINUTE", "600000")];
    let world = quiet_market(&often);
    assert_eq!(world.asks(&issue(SECRET, "alice", &[]), "POST", "/api/v1/strategies", &buys_now("s1")).status, 201);
    let folder = temp_dir();
    for role in ["user", "admin"] {
        let token = issue(SECRET, "alice", &["--role", role]);
        let mut command = Command::new(&program);
        command.arg("run").arg(format!("http://127.0.0.1:{}/api/openapi.json", world.engine.port()));
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        command.args([
            "--checks",
            "not_a_server_error,response_schema_conformance",
            "--phases",
            "examples,coverage,fuzzing",
        ]);
        command.args(["--max-examples", EXAMPLES, "--seed", "1", "--no-color", "--workers", "1"]);
        // A stream does not end, and a token that was revoked lets nobody ask on.
        command.args(["--exclude-path", "/api/v1/events", "--exclude-path", "/api/v1/token"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{role}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(world.asks(OPERATOR, "GET", "/api/v1/admin/engine", "").status, 200);
    assert!(!world.engine.log().contains("by a mistake of ours"));
}
