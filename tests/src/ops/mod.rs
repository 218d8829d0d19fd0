//! Running it for real: encrypted, installed, with users of their own, backed up, upgraded.

mod backup;
mod certificates;
mod install;
mod tls;
mod upgrade;
mod users;

use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::support::until;
use std::process::{Command, Output};
use std::time::Duration;

/// For whatever an engine has to do; a second or so on a quiet machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Of the simulated market.
const SYMBOL: &str = "RELIANCE";

fn env(settings: &[(&str, &str)]) -> Env {
    settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Brings the schema up to date, by whatever way the settings say.
fn migrate(env: &Env) {
    let done = engine::run(&["migrate"], env, LIMIT);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Waits until a field of a strategy's hash has a value.
fn wait_field(conn: &mut Conn, key: &str, field: &str, wanted: &str) {
    let mut last = String::new();
    until(&format!("{field} of {key} is {wanted}"), LIMIT, || {
        last = conn.run(&format!("HGET {key} {field}")).text();
        (last == wanted).then_some(())
    });
}

/// Runs a program that has to succeed; answers what it printed.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Everything that a program that ended printed.
fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
