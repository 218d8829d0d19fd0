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

/// How to start a server.
#[derive(Debug, Clone)]
struct Options {
    synchronous_commit: &'static str,
    /// Of its socket; where it has a certificate, of the loopback as well.
    port: u16,
    /// Folder with `server.crt` and `server.key`.
    tls: Option<PathBuf>,
    connections_max: u32,
}

impl Options {
    fn new() -> Self {
        Self { synchronous_commit: "off", port: 5432, tls: None, connections_max: 100 }
    }
}

/// A running Postgres with a database `strat`.
pub struct Postgres {
    options: Options,
    // Dropped in this order: first the process, then its folder.
    process: Process,
    dir: TempDir,
    _template: Arc<TempDir>,
}

impl Postgres {
    /// Starts one with an empty database, fast rather than durable.
    pub fn start() -> Self {
        Self::with(Options::new())
    }

    /// Starts one that keeps what it has committed when it is killed (a power cut is not tested).
    pub fn durable() -> Self {
        Self::with(Options { synchronous_commit: "on", ..Options::new() })
    }

    /// Starts one that listens on the loopback too, with the `server.crt` and `server.key` of a folder.
    pub fn encrypted(certificates: &Path) -> Self {
        let port = super::process::free_port();
        Self::with(Options { port, tls: Some(certificates.to_path_buf()), ..Options::new() })
    }

    /// Starts one for many engines, each of which has a [`Database`] of its own.
    pub fn crowded() -> Self {
        Self::with(Options { connections_max: 1_000, ..Options::new() })
    }

    fn with(options: Options) -> Self {
        let template = template();
        let dir = owned_dir();
        run(as_owner("cp").arg("-a").arg(template.path().join("data")).arg(dir.path()), "copy of the template");
        if let Some(folder) = &options.tls {
            own_certificates(folder, dir.path());
        }
        let process = launch(dir.path(), &options);
        let started = Self { options, process, dir, _template: template };
        started.sql_in("postgres", "CREATE DATABASE strat");
        started
    }

    /// URL of the database.
    pub fn url(&self) -> String {
        self.url_of("strat")
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://strat@localhost/{database}?host={}&port={}", self.dir.path().display(), self.options.port)
    }

    /// Port of the loopback, where it listens there.
    pub fn port(&self) -> u16 {
        self.options.port
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(format!(".s.PGSQL.{}", self.options.port))
    }

    /// Number of its postmaster.
    pub fn id(&self) -> u32 {
        self.process.id()
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
        self.process = launch(self.dir.path(), &self.options);
    }

    /// Runs a statement; lines of the result, columns separated by `|`.
    pub fn sql(&self, statement: &str) -> Vec<String> {
        self.sql_in("strat", statement)
    }

    fn sql_in(&self, database: &str, statement: &str) -> Vec<String> {
        let output = psql(self.dir.path(), self.options.port, database, statement);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{statement}\n{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }
}

/// One of a server's databases. The server lives as long as any of them.
pub struct Database {
    server: Arc<Postgres>,
    name: String,
}

impl Database {
    /// The one that a server begins with.
    pub fn first(server: Arc<Postgres>) -> Self {
        Self { server, name: "strat".to_owned() }
    }

    /// A further one, with what the first one holds: nobody may be using that now.
    pub fn copy(server: &Arc<Postgres>, name: &str) -> Self {
        server.sql_in("postgres", &format!("CREATE DATABASE {name} TEMPLATE strat"));
        Self { server: Arc::clone(server), name: name.to_owned() }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// Runs a statement, as [`Postgres::sql`] does.
    pub fn sql(&self, statement: &str) -> Vec<String> {
        self.server.sql_in(&self.name, statement)
    }
}

fn psql(dir: &Path, port: u16, database: &str, statement: &str) -> Output {
    let mut command = clean("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "strat", "-d", database, "-c", statement]);
    command.arg("-h").arg(dir).args(["-p", &port.to_string()]).output().unwrap()
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

fn launch(dir: &Path, options: &Options) -> Process {
    // After kill -9 the children of the last one may take a moment to let go of the shared memory.
    for _ in 0..50 {
        let mut process = spawn(dir, options);
        let ready = crate::support::until("Postgres is ready", READY_LIMIT, || {
            if process.ended().is_some() {
                return Some(false);
            }
            psql(dir, options.port, "postgres", "SELECT 1").status.success().then_some(true)
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

/// Postgres takes no key that others may read, or that is somebody else's.
fn own_certificates(from: &Path, dir: &Path) {
    let user = owner().map_or_else(Vec::new, |user| vec!["-o", user]);
    for file in ["server.crt", "server.key"] {
        let mut command = Command::new("install");
        run(command.args(["-m", "600"]).args(&user).arg(from.join(file)).arg(dir.join(file)), "the certificates");
    }
}

fn spawn(dir: &Path, options: &Options) -> Process {
    let program: PathBuf = paths::postgres_bin().join("postgres");
    let log = dir.join("postgres.log");
    Process::start("postgres", &program, &log, owner(), |command| {
        command.arg("-D").arg(dir.join("data")).current_dir("/");
        let mut settings = vec![
            format!("unix_socket_directories={}", dir.display()),
            format!("synchronous_commit={}", options.synchronous_commit),
            format!("port={}", options.port),
            format!("max_connections={}", options.connections_max),
        ];
        settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        if options.tls.is_some() {
            let file = |name: &str, file: &str| format!("{name}={}", dir.join(file).display());
            let files = [file("ssl_cert_file", "server.crt"), file("ssl_key_file", "server.key")];
            settings.extend(["listen_addresses=127.0.0.1".to_owned(), "ssl=on".to_owned()].into_iter().chain(files));
        } else {
            settings.push("listen_addresses=".to_owned());
        }
        for setting in &settings {
            command.args(["-c", setting]);
        }
    })
}
