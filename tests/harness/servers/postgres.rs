//! A private Postgres. `initdb` takes seconds, so its result is made once and copied.

use super::paths;
use super::process::{Process, temp_dir};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tempfile::TempDir;

const READY_LIMIT: Duration = Duration::from_secs(60);

/// An initialised data folder. Lives as long as some guard uses it: statics are never dropped.
static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());

/// A running Postgres with a database `strat`.
pub struct Postgres {
    synchronous_commit: &'static str,
    // Dropped in this order: first the process, then its folder.
    process: Process,
    dir: TempDir,
    _template: Arc<TempDir>,
}

impl Postgres {
    /// Starts one with an empty database, fast rather than durable.
    pub fn start() -> Self {
        Self::with("off")
    }

    /// Starts one that keeps what it has committed when it is killed (a power cut is not tested).
    pub fn durable() -> Self {
        Self::with("on")
    }

    fn with(synchronous_commit: &'static str) -> Self {
        let template = template();
        let dir = owned_dir();
        run(as_owner("cp").arg("-a").arg(template.path().join("data")).arg(dir.path()), "copy of the template");
        let process = launch(dir.path(), synchronous_commit);
        let started = Self { synchronous_commit, process, dir, _template: template };
        started.sql_in("postgres", "CREATE DATABASE strat");
        started
    }

    /// URL of the database.
    pub fn url(&self) -> String {
        format!("postgres://strat@localhost/strat?host={}&port=5432", self.dir.path().display())
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// kill -9 of the postmaster; its children notice and end.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it again after a kill, with its data.
    pub fn start_again(&mut self) {
        self.process = launch(self.dir.path(), self.synchronous_commit);
    }

    /// Runs a statement; lines of the result, columns separated by `|`.
    pub fn sql(&self, statement: &str) -> Vec<String> {
        self.sql_in("strat", statement)
    }

    fn sql_in(&self, database: &str, statement: &str) -> Vec<String> {
        let output = psql(self.dir.path(), database, statement);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{statement}\n{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }
}

fn psql(dir: &Path, database: &str, statement: &str) -> Output {
    let mut command = clean("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "strat", "-d", database, "-c", statement]);
    command.arg("-h").arg(dir).output().unwrap()
}

/// One of Postgres' programs, not confused by the user's PG* settings.
fn clean(program: &str) -> Command {
    let mut command = Command::new(paths::postgres_bin().join(program));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command
}

/// Postgres refuses to run as root: root's runs as the account that the package made.
fn owner() -> Option<&'static str> {
    let output = Command::new("id").arg("-u").output().unwrap();
    (output.stdout.trim_ascii() == b"0").then_some("postgres")
}

fn as_owner(program: &str) -> Command {
    let Some(user) = owner() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", "--", program]).current_dir("/");
    command
}

fn owned_dir() -> TempDir {
    let dir = temp_dir();
    if let Some(user) = owner() {
        run(Command::new("chown").arg(user).arg(dir.path()), "chown");
    }
    dir
}

fn run(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn template() -> Arc<TempDir> {
    // A test that panicked in here left nothing half made behind: the folder went with it.
    let mut known = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(template) = known.upgrade() {
        return template;
    }
    let dir = owned_dir();
    let initdb = paths::postgres_bin().join("initdb");
    let mut command = as_owner(&initdb.display().to_string());
    command.arg("-D").arg(dir.path().join("data"));
    run(command.args(["-U", "strat", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]), "initdb");
    let template = Arc::new(dir);
    *known = Arc::downgrade(&template);
    template
}

fn launch(dir: &Path, synchronous_commit: &str) -> Process {
    // After kill -9 the children of the last one may take a moment to let go of the shared memory.
    for _ in 0..50 {
        let mut process = spawn(dir, synchronous_commit);
        let ready = crate::support::until("Postgres is ready", READY_LIMIT, || {
            if process.ended().is_some() {
                return Some(false);
            }
            psql(dir, "postgres", "SELECT 1").status.success().then_some(true)
        });
        if ready {
            return process;
        }
        let output = process.output();
        assert!(output.contains("shared memory block"), "Postgres does not start:\n{output}");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the last Postgres in {} does not end", dir.display());
}

fn spawn(dir: &Path, synchronous_commit: &str) -> Process {
    let program: PathBuf = paths::postgres_bin().join("postgres");
    let log = dir.join("postgres.log");
    Process::start("postgres", &program, &log, owner(), |command| {
        command.arg("-D").arg(dir.join("data")).current_dir("/");
        let sockets = format!("unix_socket_directories={}", dir.display());
        let commit = format!("synchronous_commit={synchronous_commit}");
        for setting in ["listen_addresses=", &sockets, "fsync=off", &commit, "full_page_writes=off"] {
            command.args(["-c", setting]);
        }
    })
}
