//! The engine as a process.

use super::paths;
use super::process::{Process, temp_dir};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Settings of the environment, as `(name, value)`.
pub type Env = Vec<(String, String)>;

/// A running `strat-engine run`.
pub struct Engine {
    args: Vec<String>,
    env: Env,
    port: u16,
    // Dropped in this order: first the process, then its folder.
    process: Process,
    dir: TempDir,
}

impl Engine {
    /// Starts the engine and waits until `/health` answers 200.
    pub fn start(args: &[&str], env: Env) -> Self {
        let mut engine = Self::launch(args, env);
        engine.wait_healthy();
        engine
    }

    /// Starts the engine, healthy or not.
    pub fn launch(args: &[&str], env: Env) -> Self {
        let dir = temp_dir();
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let port = super::process::free_port();
        let process = launch(&args, &env, port, dir.path());
        Self { args, env, port, process, dir }
    }

    /// Waits until `/health` answers 200.
    pub fn wait_healthy(&mut self) {
        let port = self.port;
        self.process
            .wait_ready(Duration::from_secs(60), || http_get(port, "/health").filter(|(status, _)| *status == 200));
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.port, path)
    }

    /// kill -9.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it again after a kill. It may take a while until it is healthy.
    pub fn start_again(&mut self) {
        self.process = launch(&self.args, &self.env, self.port, self.dir.path());
    }

    /// Starts it again, this time with one more variable.
    pub fn start_again_with(&mut self, name: &str, value: &str) {
        let mut env = self.env.clone();
        env.push((name.to_owned(), value.to_owned()));
        self.process = launch(&self.args, &env, self.port, self.dir.path());
    }

    /// Holds it where it stands, as a machine that swaps or a debugger does.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Port of its HTTP answers.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// SIGTERM; answers the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait(Duration::from_secs(30)).code()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }
}

fn launch(args: &[String], env: &Env, port: u16, dir: &Path) -> Process {
    Process::start("strat-engine", &paths::engine(), &dir.join("engine.log"), None, |command| {
        command
            .args(args)
            .envs(env.iter().cloned())
            .env("STRAT_HTTP_ADDR", format!("127.0.0.1:{port}"))
            .current_dir(dir);
    })
}

/// Runs the engine to its end.
pub fn run(args: &[&str], env: &Env, limit: Duration) -> Output {
    let folder = temp_dir();
    let (out, err): (PathBuf, PathBuf) = (folder.path().join("out"), folder.path().join("err"));
    let file = |path: &Path| std::fs::File::create(path).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(paths::engine()).args(args).envs(env.iter().cloned());
    // Into files, so that a full pipe cannot stop it.
    command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).current_dir(folder.path());
    let mut child = command.spawn().unwrap();
    let started = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            let text = std::fs::read_to_string(&err).unwrap_or_default();
            panic!("strat-engine {args:?} takes longer than {limit:?}:\n{text}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: std::fs::read(&out).unwrap(), stderr: std::fs::read(&err).unwrap() }
}

/// Status and body of a GET on the loopback; `None` where nobody answers properly.
pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    http(port, "GET", path, "", Duration::from_secs(10))
}

/// Status and body of a request on the loopback with a JSON body; `None` where nobody answers properly in time.
pub fn http(port: u16, method: &str, path: &str, body: &str, limit: Duration) -> Option<(u16, String)> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
