//! Sends commands over several connections, looks at every answer, and puts things right again.

use super::commands::{self, Known};
use super::script::{self, Line, Words};
use super::words;
use crate::resp::{Conn, Value};
use crate::rng::Rng;
use crate::servers::redis::info_field;
use crate::servers::{Options, Redis, paths};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

/// Connections that the commands go over.
const CONNECTIONS: usize = 6;
/// Most commands sent over one connection before its replies are read.
const PIPELINE_MAX: i64 = 48;
/// Steps between two times that the module is unloaded and loaded again, about.
const STEPS_PER_UNLOAD: usize = 100;
/// Commands remembered for the message of a failure.
const REMEMBERED: usize = 20_000;
/// No reply may take longer, with a debug build on a busy machine.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// What a server needs to put everything right by itself.
const HEAL_LIMIT: Duration = Duration::from_secs(20);
/// What may be left in memory after a flush: buffers of connections and of the allocator.
const LEFT_BYTES_MAX: i64 = 4 << 20;
/// First words of errors: the interface's own.
const OUR_CODES: &[&str] = &[
    "ERR",
    "BADFIELD",
    "BADPRICE",
    "BADVERSION",
    "BADTOKEN",
    "BUSY",
    "NOSTRAT",
    "UNSYNCED",
    "LOADING",
    "WRONGTYPE",
    "LIMIT",
];
/// First words of errors that Redis itself gives to any command.
const REDIS_CODES: &[&str] =
    &["ERR", "WRONGTYPE", "OOM", "EXECABORT", "NOSCRIPT", "BUSYKEY", "BUSYGROUP", "NOGROUP", "NOPROTO"];

pub(super) struct Runner {
    redis: Redis,
    connections: Vec<Conn>,
    known: Known,
    sent: VecDeque<Line>,
    log_read: u64,
    memory_at_start: i64,
    commands: u64,
    errors: BTreeMap<String, u64>,
    /// Of ours, how often each did what it is for.
    done: BTreeMap<String, u64>,
    slowest: (Duration, String),
}

impl Runner {
    /// A server with an append-only file, so that everything written is also replicated; few triggers per call.
    pub(super) fn start() -> Self {
        let options = Options::new()
            .config("appendonly yes")
            .config("appendfsync no")
            .config("enable-module-command local")
            .config("strat.max-fired-per-call 2");
        let redis = Redis::with(options);
        let mut runner = Self {
            redis,
            connections: Vec::new(),
            known: Known::default(),
            sent: VecDeque::new(),
            log_read: 0,
            memory_at_start: 0,
            commands: 0,
            errors: BTreeMap::new(),
            done: BTreeMap::new(),
            slowest: (Duration::ZERO, String::new()),
        };
        runner.connect();
        runner.memory_at_start = runner.used_memory();
        runner
    }

    fn connect(&mut self) {
        // The last one is for what must not be part of a transaction.
        self.connections = (0..=CONNECTIONS).map(|_| self.redis.conn()).collect();
        // Half of them speak the other version.
        for conn in self.connections.iter_mut().step_by(2) {
            conn.run("HELLO 3");
        }
    }

    fn used_memory(&self) -> i64 {
        self.redis.info("memory", "used_memory").parse().unwrap()
    }

    pub(super) fn commands(&self) -> u64 {
        self.commands
    }

    /// A line about the whole run.
    pub(super) fn summary(&self, seconds: f64) -> String {
        let (slowest, of) = &self.slowest;
        format!(
            "{} commands, {:.0} a second, slowest reply {slowest:.1?} ({of}), errors by code {:?}, of ours done {:?}",
            self.commands,
            self.commands as f64 / seconds,
            self.errors,
            self.done
        )
    }

    /// The server's log, with the report of a crash.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.redis.dir().join("redis.log")).unwrap()).into_owned()
    }

    /// What was sent last, as a script.
    pub(super) fn script(&self) -> String {
        self.sent.iter().map(script::format).collect::<Vec<_>>().join("\n")
    }

    /// Sends some random commands and looks at their replies.
    pub(super) fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        if rng.below(STEPS_PER_UNLOAD) == 0 {
            self.unload_and_load()?;
        }
        let first = rng.below(CONNECTIONS);
        let mut lines = Vec::new();
        for offset in 0..rng.between(1, 3) as usize {
            let connection = (first + offset) % CONNECTIONS;
            for _ in 0..rng.between(1, PIPELINE_MAX) {
                let batch = if rng.chance(6) { commands::fixed(rng, &self.known) } else { vec![self.random(rng)] };
                lines.extend(batch.into_iter().map(|words| Line { connection, words }));
            }
        }
        self.send(lines)
    }

    /// Takes the module away and brings it back.
    ///
    /// None of its commands is on its way or in a transaction meanwhile: servers look them up before their turn, and
    /// would call what the unload has freed (Valkey 9 does with what is pipelined).
    fn unload_and_load(&mut self) -> Result<(), String> {
        let module = paths::module().display().to_string();
        let discard = |connection| Line { connection, words: words::words("DISCARD") };
        self.send((0..CONNECTIONS).map(discard).collect())?;
        for line in ["MODULE UNLOAD strat".to_owned(), format!("MODULE LOAD {module}")] {
            self.send(vec![Line { connection: CONNECTIONS, words: words::words(&line) }])?;
        }
        Ok(())
    }

    fn random(&self, rng: &mut Rng) -> Words {
        let mut words = commands::any(rng, &self.known);
        if rng.chance(25) {
            words::mutate(rng, &mut words);
        }
        words
    }

    /// Sends commands without waiting, then reads and judges every reply.
    pub(super) fn send(&mut self, lines: Vec<Line>) -> Result<(), String> {
        let started = Instant::now();
        for line in &lines {
            if self.sent.len() == REMEMBERED {
                self.sent.pop_front();
            }
            self.sent.push_back(line.clone());
            self.connections[line.connection].send(&line.words).map_err(|error| self.lost(line, &error))?;
        }
        for line in lines {
            let reply = match self.connections[line.connection].receive() {
                Ok(reply) => reply,
                Err(error) => return Err(self.lost(&line, &error)),
            };
            self.commands += 1;
            self.judge(&line.words, &reply, started.elapsed())?;
            self.known.learn(&line.words, &reply);
        }
        Ok(())
    }

    fn lost(&self, line: &Line, error: &std::io::Error) -> String {
        format!("no reply to {}: {error}", script::format(line))
    }

    fn judge(&mut self, command: &Words, reply: &Value, took: Duration) -> Result<(), String> {
        let name = String::from_utf8_lossy(&command[0]).into_owned();
        if took > self.slowest.0 {
            self.slowest = (took, name.clone());
        }
        if took > REPLY_LIMIT {
            return Err(format!("{name} took {took:?}"));
        }
        let ours = name.to_ascii_uppercase().starts_with("STRAT.");
        let idle = matches!(reply, Value::Error(_) | Value::Nil | Value::Int(0) | Value::Status(_));
        if ours && !idle {
            *self.done.entry(name.to_ascii_uppercase()).or_default() += 1;
        }
        let mut wrong = None;
        each(reply, &mut |part| match part {
            Value::Error(text) => {
                let code = text.split(' ').next().unwrap_or_default();
                *self.errors.entry(code.to_owned()).or_default() += 1;
                let known = OUR_CODES.contains(&code) || REDIS_CODES.contains(&code);
                let clean = !ours || text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
                if !known || !clean {
                    wrong = Some(format!("{name} answers the error {text:?}"));
                }
            }
            Value::Scalar(kind, text) if !",#(".contains(*kind) => {
                wrong = Some(format!("{name} answers {kind:?}{text}"))
            }
            _ => {}
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Takes every hindrance away, deletes what does not parse, and waits until the module agrees with the keyspace.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        // Whatever was watched, begun or selected ends with the connections.
        self.connections.clear();
        let mut conn = self.redis.conn();
        for line in
            ["CLIENT UNPAUSE", "CONFIG SET maxmemory 0", "CONFIG SET maxmemory-policy noeviction", "SCRIPT FLUSH SYNC"]
        {
            conn.run(line);
        }
        if conn.raw("STRAT.EPOCH").is_error() {
            conn.run(&format!("MODULE LOAD {}", paths::module().display()));
        }
        let started = Instant::now();
        loop {
            let differences = conn.run("STRAT.DEBUG VERIFY").texts();
            if differences.is_empty() {
                break;
            }
            differences.iter().for_each(|line| delete_garbage(&mut conn, line));
            if started.elapsed() > HEAL_LIMIT {
                return Err(format!("after {HEAL_LIMIT:?} still not healed: {differences:#?}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let panics = info_field(&mut conn, "strat", "strat_panics");
        if panics != "0" || self.log_says_panic() {
            return Err(format!("panics were caught ({panics} since the module was loaded), see the log"));
        }
        drop(conn);
        self.connect();
        Ok(())
    }

    /// Whether a panic was logged since the last look: the module's own count ends when it is unloaded.
    fn log_says_panic(&mut self) -> bool {
        let mut log = std::fs::File::open(self.redis.dir().join("redis.log")).unwrap();
        log.seek(SeekFrom::Start(self.log_read)).unwrap();
        let mut bytes = Vec::new();
        self.log_read += log.read_to_end(&mut bytes).unwrap() as u64;
        String::from_utf8_lossy(&bytes).contains("internal error in ")
    }

    /// Healed, flushed: nothing is left but what was there at the start. Then the same after a kill.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.heal()?;
        self.redis.kill_9();
        self.connections.clear();
        self.redis.start_again();
        self.heal()?;
        let mut conn = self.redis.conn();
        conn.run("FLUSHALL SYNC");
        let started = Instant::now();
        loop {
            conn.run("MEMORY PURGE");
            let left = self.used_memory() - self.memory_at_start;
            if left < LEFT_BYTES_MAX {
                return Ok(());
            }
            if started.elapsed() > HEAL_LIMIT {
                return Err(format!("{left} bytes more than at the start after FLUSHALL"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Every part of a reply.
fn each(reply: &Value, look: &mut impl FnMut(&Value)) {
    look(reply);
    match reply {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.iter().for_each(|item| each(item, look)),
        Value::Map(pairs) => pairs.iter().for_each(|(name, value)| {
            each(name, look);
            each(value, look);
        }),
        _ => {}
    }
}

/// Deletes what a line of `STRAT.DEBUG VERIFY` says that a person must put right; the rest the module mends itself.
fn delete_garbage(conn: &mut Conn, line: &str) {
    let garbage =
        line.contains(": not guarded, the hash does not parse: ") || line.contains(": holds another type than a set");
    let parts = line.strip_prefix("db").and_then(|rest| rest.split_once(": "));
    let Some((db, rest)) = parts.filter(|_| garbage) else { return };
    let Some((key, _)) = rest.split_once(": ") else { return };
    conn.run(&format!("SELECT {db}"));
    conn.call(&["DEL", key]);
}
