//! The simulated broker as a process of its own.

use super::engine::http;
use super::process::{Process, free_port, temp_dir};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const READY_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A running broker. Its ledger outlives a kill, and so do its orders.
pub(crate) struct SimBroker {
    args: Vec<String>,
    port: u16,
    // Dropped in this order: first the process, then its folder.
    process: Process,
    dir: TempDir,
}

impl SimBroker {
    /// Starts it with these arguments, besides those for the port and the ledger.
    pub(crate) fn start(args: &[&str]) -> Self {
        let (dir, port) = (temp_dir(), free_port());
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let process = launch(&args, port, dir.path());
        let mut broker = Self { args, port, process, dir };
        broker.wait_ready();
        broker
    }

    /// Its ledger, JSON lines.
    pub(crate) fn ledger(&self) -> PathBuf {
        ledger(self.dir.path())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// kill -9.
    pub(crate) fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it again after a kill, with its ledger.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.args, self.port, self.dir.path());
        self.wait_ready();
    }

    /// Changes how it behaves from now on, until it is killed; whether that was done.
    pub(crate) fn control(&self, path: &str, body: &str) -> bool {
        control(self.port, path, body)
    }

    /// From now on it lies so often: `name=percent,…`, empty for not at all.
    pub(crate) fn set_lies(&self, lies: &str) -> bool {
        self.control("/control/lies", lies)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.output()
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        self.process.wait_ready(READY_LIMIT, || http(port, "GET", "/v1/positions", "", ANSWER_LIMIT));
    }
}

/// Sets a price of the broker that listens on this port; whether it was there.
pub(crate) fn set_price(port: u16, symbol: &str, price: &str) -> bool {
    control(port, "/control/price", &format!(r#"{{"symbol":"{symbol}","price":"{price}"}}"#))
}

fn control(port: u16, path: &str, body: &str) -> bool {
    http(port, "PUT", path, body, ANSWER_LIMIT).is_some_and(|(status, _)| (200..300).contains(&status))
}

fn ledger(dir: &Path) -> PathBuf {
    dir.join("ledger.jsonl")
}

fn launch(args: &[String], port: u16, dir: &Path) -> Process {
    let program = Path::new(env!("CARGO_BIN_EXE_simbroker"));
    Process::start("simbroker", program, &dir.join("simbroker.log"), None, |command| {
        command.arg("--port").arg(port.to_string()).arg("--ledger").arg(ledger(dir)).args(args).current_dir(dir);
    })
}
