//! A private redis-server, with or without the module.

use super::engine::Env;
use super::paths;
use super::process::{Process, free_port, temp_dir};
use crate::resp::{Conn, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Loading what a test writes takes milliseconds; this is for a million strategies on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program.
    pub server: PathBuf,
    /// The module, if it is to be loaded.
    pub module: Option<PathBuf>,
    /// Also listen on a free TCP port of the loopback, for replication.
    pub tcp: bool,
    /// The port that it has to be then, where others know it by it.
    pub port: Option<u16>,
    /// Further lines of redis.conf.
    pub config: Vec<String>,
    /// Further variables of its environment.
    pub env: Env,
    /// A file that may not grow any more is an error to it, as a full disk is, and not the end by a signal.
    pub sees_full_disk: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The machine's server with the module; nothing durable.
    pub fn new() -> Self {
        Self { module: Some(paths::module()), ..Self::plain() }
    }

    /// The machine's server without the module.
    pub fn plain() -> Self {
        Self {
            server: paths::redis_server(),
            module: None,
            tcp: false,
            port: None,
            config: vec!["save \"\"".into()],
            env: Env::new(),
            sees_full_disk: false,
        }
    }

    /// Adds a line of redis.conf.
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// With an append-only file that loses nothing.
    pub fn durable(self) -> Self {
        self.config("appendonly yes").config("appendfsync always")
    }

    /// For [`Redis::fill_disk`].
    pub fn sees_full_disk(mut self) -> Self {
        self.sees_full_disk = true;
        self
    }

    /// With these variables in its environment.
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// With a TCP port.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// With this TCP port and no other.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self.tcp()
    }

    /// Another program.
    pub fn server(mut self, server: &Path) -> Self {
        self.server = server.to_path_buf();
        self
    }
}

/// A running server in a folder of its own.
pub struct Redis {
    options: Options,
    port: u16,
    // Dropped in this order: first the process, then its folder.
    process: Process,
    dir: TempDir,
}

impl Redis {
    /// The machine's server with the module.
    pub fn start() -> Self {
        Self::with(Options::new())
    }

    /// A server as asked for.
    pub fn with(options: Options) -> Self {
        let dir = temp_dir();
        let (process, port) = launch(&options, dir.path());
        Self { options, port, process, dir }
    }

    /// Number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its folder, with the RDB and AOF files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.dir.path())
    }

    /// URL of its Unix socket.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its TCP port; 0 where it has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    pub fn conn(&self) -> Conn {
        Conn::open(&self.socket()).unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.url()))
    }

    /// A new connection that speaks RESP3.
    pub fn conn3(&self) -> Conn {
        let mut conn = self.conn();
        conn.run("HELLO 3");
        conn
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// A field of INFO.
    pub fn info(&self, section: &str, field: &str) -> String {
        info_field(&mut self.conn(), section, field)
    }

    /// Changes the options for the next start.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// kill -9.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Holds it where it stands: its sockets stay open, and nothing is answered.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// From now on the append-only file has room for so many bytes more. The server was started so that it
    /// [sees it](Options::sees_full_disk).
    pub fn fill_disk(&self, bytes: u64) {
        assert!(self.options.sees_full_disk, "a signal would end this server");
        let files = std::fs::read_dir(self.dir().join("appendonlydir")).into_iter().flatten().flatten();
        let grows = |name: &str| name.ends_with(".incr.aof");
        let growing = files.filter(|file| file.file_name().to_str().is_some_and(grows));
        let newest = growing.filter_map(|file| file.metadata().ok()).max_by_key(|data| data.modified().ok());
        self.process.limit_files(Some(newest.map_or(0, |data| data.len()) + bytes));
    }

    /// There is room again.
    pub fn free_disk(&self) {
        self.process.limit_files(None);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Ends it by `SHUTDOWN SAVE` or `SHUTDOWN NOSAVE`.
    pub fn shutdown(&mut self, save: &str) {
        // The connection closes instead of a reply.
        let reply = self.conn().try_call(&["SHUTDOWN", save]);
        assert!(reply.is_err(), "SHUTDOWN {save}: {reply:?}");
        let status = self.process.wait(READY_LIMIT);
        assert!(status.success(), "redis-server ended with {status}:\n{}", self.log());
    }

    /// Starts it again after a kill or a shutdown, with the data of its folder.
    pub fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the server still runs");
        (self.process, self.port) = launch(&self.options, self.dir.path());
    }
}

/// A field of INFO, over a connection.
pub fn info_field(conn: &mut Conn, section: &str, field: &str) -> String {
    let text = conn.run(&format!("INFO {section}")).text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO {section} has no {field}:\n{text}")).trim().to_owned()
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

/// Starts a server and waits for its PONG. A port that somebody else took meanwhile is tried anew.
fn launch(options: &Options, dir: &Path) -> (Process, u16) {
    for _ in 0..5 {
        let port = options.port.unwrap_or_else(|| if options.tcp { free_port() } else { 0 });
        let mut process = spawn(options, dir, port);
        let answer = process_answers(&mut process, dir);
        if answer.is_ok() {
            return (process, port);
        }
        let output = process.output();
        assert!(output.contains("Address already in use"), "redis-server does not start:\n{output}");
    }
    panic!("no free port in five tries");
}

fn spawn(options: &Options, dir: &Path, port: u16) -> Process {
    let mut lines = vec![
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("unixsocket {}", socket(dir).display()),
        format!("dir {}", dir.display()),
        "enable-debug-command local".to_owned(),
        // Replication in tests shall not wait for further replicas.
        "repl-diskless-sync-delay 0".to_owned(),
    ];
    lines.extend(options.module.iter().map(|module| format!("loadmodule {}", module.display())));
    lines.extend(options.config.iter().cloned());
    let config = dir.join("redis.conf");
    std::fs::write(&config, lines.join("\n")).unwrap();
    let _ = std::fs::remove_file(socket(dir));
    // The shell makes way for the server, which keeps that it ignores the signal.
    let ignore = ["-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let program = if options.sees_full_disk { Path::new("/bin/sh") } else { &options.server };
    Process::start("redis-server", program, &dir.join("redis.log"), None, |command| {
        if options.sees_full_disk {
            command.args(ignore).arg(&options.server);
        }
        command.arg(&config).envs(options.env.iter().cloned());
    })
}

/// `Err` where the process ended.
fn process_answers(process: &mut Process, dir: &Path) -> Result<(), ()> {
    let pong = || Conn::open(&socket(dir)).and_then(|mut conn| conn.try_call(&["PING"])).ok();
    crate::support::until("redis-server answers PING", READY_LIMIT, || {
        if process.ended().is_some() {
            return Some(Err(()));
        }
        // One whose users log in says so, and is as ready.
        let ready = pong().is_some_and(|answer| answer == Value::Status("PONG".into()) || answer.code() == "NOAUTH");
        ready.then_some(Ok(()))
    })
}
