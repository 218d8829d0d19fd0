//! One child process: output into a file, killed on drop, and by the kernel if the test dies first.

use crate::support::until;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`, as `user` if given.
    ///
    /// `setpriv` has the kernel kill it when the test's thread ends without having dropped it, so
    /// start it from the test's own thread.
    pub fn start(
        name: &str,
        program: &Path,
        log: &Path,
        user: Option<&str>,
        set_up: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new("setpriv");
        if let Some(user) = user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        set_up(&mut command);
        let output = open_log(log);
        command.stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name} by setpriv: {error}"));
        Self { name: name.to_owned(), child, log: log.to_path_buf() }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal by name: `TERM`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        // The shell's own kill: the program of that name is not on every machine.
        let script = format!("kill -{signal} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "kill -{signal} of {} failed", self.name);
    }

    /// From now on none of its files may grow beyond this; `None` takes the limit away.
    pub fn limit_files(&self, bytes: Option<u64>) {
        // With the colon the hard limit stays, so that nobody needs a right to raise it again.
        let limit = bytes.map_or("--fsize=unlimited:".to_owned(), |bytes| format!("--fsize={bytes}:"));
        let status = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), &limit]).status().unwrap();
        assert!(status.success(), "prlimit {limit} of {} failed", self.name);
    }

    /// Kills it as a power cut would.
    pub fn kill_9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("end of {} (log: {})", self.name, self.log.display());
        until(&what, limit, || self.ended())
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for `ready`; a program that ends meanwhile fails the test at once, with its output.
    pub fn wait_ready<T>(&mut self, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
        let name = self.name.clone();
        until(&format!("{name} ready (log: {})", self.log.display()), limit, || {
            if let Some(status) = self.ended() {
                panic!("{name} ended with {status} instead of getting ready:\n{}", self.output());
            }
            ready()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<_> = output.lines().rev().take(25).collect();
            println!("--- last lines of {} ---", self.name);
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// A TCP port that is free now, and that no connection of anybody's is going to be given: below what the system hands out.
/// Nor is it given twice in this process: who got it first may not listen yet, or be dead until it is started again.
pub fn free_port() -> u16 {
    use std::hash::{BuildHasher as _, RandomState};
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let random = || (RandomState::new().hash_one(std::process::id()) % 20_000) as u16;
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |port: &u16| !given.contains(port) && std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (0..1_000).map(|_| 10_000 + random()).find(free).expect("a free port between 10000 and 30000");
    given.insert(port);
    port
}

/// A private folder with a short name: socket paths end at 107 bytes.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("strat-").tempdir_in("/tmp").unwrap()
}
