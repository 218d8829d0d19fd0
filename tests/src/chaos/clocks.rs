//! Wall clocks of single processes, which the test sets.
//!
//! Not by libfaketime: under it a Redis with jemalloc, as Debian has it, does not start (the allocator asks for the time
//! before the library is ready). `clock.c` needs nothing but a C compiler, and what it is told counts with the next look
//! at the clock.

use crate::servers::engine::Env;
use crate::servers::process::temp_dir;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/chaos/clock.c");

/// Clocks, by the names of the processes.
pub(crate) struct Clocks {
    dir: TempDir,
    /// Until then something may wait for a time that a clock named while it was ahead.
    pub(crate) settled: Instant,
}

impl Clocks {
    /// None without a C compiler.
    pub(crate) fn build() -> Option<Self> {
        let clocks = Self { dir: temp_dir(), settled: Instant::now() };
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        let output = command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(clocks.library()).arg(SOURCE).output().ok()?;
        assert!(output.status.success(), "{SOURCE}: {}", String::from_utf8_lossy(&output.stderr));
        Some(clocks)
    }

    /// What gives a process a clock of its own.
    pub(crate) fn env(&self, name: &str) -> Env {
        std::fs::write(self.file(name), 0_i64.to_ne_bytes()).unwrap();
        [("LD_PRELOAD", self.library()), ("CHAOS_CLOCK", self.file(name))]
            .map(|(variable, path)| (variable.to_owned(), path.display().to_string()))
            .into()
    }

    /// From now on this clock is so far from the right time, ms.
    pub(crate) fn set(&self, name: &str, offset_ms: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.file(name)).unwrap();
        file.write_all_at(&offset_ms.to_ne_bytes(), 0).unwrap();
    }

    /// Sets a clock right that was so far ahead.
    pub(crate) fn set_right(&mut self, name: &str, offset_ms: i64) {
        self.set(name, 0);
        let ahead = Duration::from_millis(offset_ms.max(0).unsigned_abs());
        self.settled = self.settled.max(Instant::now() + ahead);
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn a_clock_is_set_for_one_process_only() {
    let Some(mut clocks) = Clocks::build() else { return crate::support::skip("chaos clocks", "a C compiler") };
    let env = clocks.env("date");
    let seconds = |env: &Env| -> i64 {
        let output = Command::new("date").arg("+%s").envs(env.iter().cloned()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    for offset_ms in [0, 90_000, -3_600_500] {
        clocks.set("date", offset_ms);
        let away = seconds(&env) - seconds(&Env::new());
        assert!((away - offset_ms / 1_000).abs() <= 2, "{away} s instead of {offset_ms} ms");
    }
    clocks.set_right("date", 90_000);
    assert!((seconds(&env) - seconds(&Env::new())).abs() <= 2);
    assert!(clocks.settled > Instant::now() + Duration::from_secs(80));
}
