//! `doctor`: what is missing, and how to get it.

use crate::broker::{Bridge, Broker as _};
use crate::config::{BrokerKind, Settings};
use crate::failure::sentence;
use crate::link::Link;
use crate::store::{Store, tls_step};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strat_client::Connection;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It works, but something may be lost.
    Warn,
    /// It does not work.
    Fail,
}

impl Mark {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the doctor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub mark: Mark,
    /// What was looked at, and what was found.
    pub what: String,
    /// How to get it right; empty where it is.
    pub fix: String,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, what: what.into(), fix: String::new() }
    }

    fn warn(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { mark: Mark::Warn, what: what.into(), fix: fix.into() }
    }

    fn fail(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { mark: Mark::Fail, what: what.into(), fix: fix.into() }
    }

    /// As it is printed.
    #[must_use]
    pub fn line(&self) -> String {
        let line = format!("{:4}  {}", self.mark.as_str(), self.what);
        if self.fix.is_empty() { line } else { format!("{line}\n      fix: {}", self.fix) }
    }
}

/// Looks at everything that the engine needs.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let server_ms = redis(settings, &mut findings).await;
    postgres(settings, &mut findings).await;
    findings.push(match settings.broker.kind {
        BrokerKind::Paper => ledger(&settings.paper_ledger),
        BrokerKind::Bridge => bridge(settings).await,
    });
    findings.push(zones());
    findings.push(clock(server_ms));
    findings
}

async fn redis(settings: &Settings, findings: &mut Vec<Finding>) -> Option<i64> {
    let link = match Link::lazy(settings) {
        Ok(link) => link,
        Err(error) => {
            findings.push(Finding::fail(
                format!("Redis: {}", sentence(&error)),
                "set redis.url (REDIS_URL) to redis://host:6379/, or to redis+sentinel://host,host,host/service; rediss:// \
                 wants redis.ca_file where no public authority signs",
            ));
            return None;
        }
    };
    let mut connection = link.connection();
    let time: Result<(i64, i64), String> = ask(&mut connection, redis::cmd("TIME")).await;
    let (seconds, micros) = match time {
        Ok(time) => time,
        Err(error) => {
            let fix =
                "start it with the module (redis-server redis.conf, or make run), or set REDIS_URL to where it runs";
            findings.push(Finding::fail(format!("Redis at {} is not reachable: {error}", link.address()), fix));
            return None;
        }
    };
    match connection.health().await {
        Ok(health) => {
            findings.push(version(&health.server_name, &health.redis_version, &link.address()));
            findings.push(Finding::ok(format!(
                "module strat {} is loaded, {} strategies",
                health.module_version, health.strategies
            )));
        }
        Err(error) => findings.push(Finding::fail(
            format!("module strat: {error}"),
            "make build, then start the server with: loadmodule /path/to/libstrat.so",
        )),
    }
    for (name, wanted, fix) in PERSISTENCE {
        findings.push(setting(&mut connection, name, wanted, fix).await);
    }
    Some(seconds * 1_000 + micros / 1_000)
}

/// Settings without which a crash of Redis loses acknowledged writes or guards.
const PERSISTENCE: [(&str, &str, &str); 3] = [
    (
        "appendonly",
        "yes",
        "CONFIG SET appendonly yes, and put it into redis.conf: a restart loses everything otherwise",
    ),
    (
        "appendfsync",
        "always",
        "CONFIG SET appendfsync always, and put it into redis.conf: a crash loses the last second otherwise",
    ),
    (
        "maxmemory-policy",
        "noeviction",
        "CONFIG SET maxmemory-policy noeviction: an evicted strategy is a position without its stop",
    ),
];

async fn setting(connection: &mut Connection, name: &str, wanted: &str, fix: &str) -> Finding {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg(name);
    let found: Result<std::collections::HashMap<String, String>, String> = ask(connection, command).await;
    match found.map(|map| map.get(name).cloned()) {
        Ok(Some(value)) if value == wanted => Finding::ok(format!("Redis {name} is {value}")),
        Ok(Some(value)) => Finding::warn(format!("Redis {name} is {value}, not {wanted}"), fix),
        Ok(None) => Finding::warn(format!("Redis does not say its {name}"), format!("make sure that it is {wanted}")),
        Err(error) => {
            Finding::warn(format!("Redis does not tell its {name}: {error}"), format!("make sure that it is {wanted}"))
        }
    }
}

fn version(server: &str, version: &str, address: &str) -> Finding {
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let what = format!("{server} {version} answers at {address}");
    if major >= 7 { Finding::ok(what) } else { Finding::fail(what, "Redis 7.0 or newer, or Valkey, is needed") }
}

async fn ask<T: redis::FromRedisValue>(connection: &mut Connection, command: redis::Cmd) -> Result<T, String> {
    match tokio::time::timeout(TIMEOUT, command.query_async(connection)).await {
        Ok(reply) => reply.map_err(|error| strat_client::Error::from(error).to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn postgres(settings: &Settings, findings: &mut Vec<Finding>) {
    let fix = "start it, or set database.url (DATABASE_URL) to postgres://user@host/database";
    let store = match Store::lazy(&settings.database_url, "strat-engine doctor") {
        Ok(store) => store,
        Err(error) => return findings.push(Finding::fail(format!("Postgres: {}", sentence(&error)), fix)),
    };
    let ping = match store.reach().await {
        Ok(()) => store.ping().await,
        Err(error) => Err(error),
    };
    match ping {
        Ok(ping) => {
            let major: u32 = ping.version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0);
            let what = format!("Postgres {} answers", ping.version);
            findings.push(if major >= 13 {
                Finding::ok(what)
            } else {
                Finding::fail(what, "Postgres 13 or newer is needed")
            });
        }
        Err(error) => {
            let fix = tls_step(&error).unwrap_or(fix);
            return findings.push(Finding::fail(format!("Postgres is not reachable: {error}"), fix));
        }
    }
    findings.push(match store.migrations_due().await {
        Ok(due) if due.is_empty() => Finding::ok("the database schema is up to date"),
        Ok(due) => Finding::fail(format!("the database lacks migrations: {}", due.join(", ")), "strat-engine migrate"),
        Err(error) => {
            Finding::fail(format!("the database schema: {}", sentence(&error)), "does the URL's user own the tables?")
        }
    });
}

/// Asks the bridge for the positions: that changes nothing, and needs all of it.
async fn bridge(settings: &Settings) -> Finding {
    let broker = &settings.broker;
    let fix = "start the bridge, or set broker.url (STRAT_BROKER_URL) to where it listens";
    let bridge = match Bridge::new(broker.bridge(settings.concurrency)) {
        Ok(bridge) => bridge,
        Err(error) => return Finding::fail(format!("the broker's bridge: {error}"), fix),
    };
    match bridge.positions().await {
        Ok(positions) => {
            Finding::ok(format!("the broker's bridge at {} answers, {} positions", broker.url, positions.len()))
        }
        Err(error) => Finding::fail(format!("the broker's bridge at {}: {error}", broker.url), fix),
    }
}

fn ledger(path: &Path) -> Finding {
    let name = path.display();
    let opened = std::fs::OpenOptions::new().append(true).open(path);
    let writable = match &opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Nothing is left behind: the file is only tried where it would be.
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            tempfile_in(folder)
        }
        _ => opened.map(drop),
    };
    match writable {
        Ok(()) => Finding::ok(format!("the paper broker's ledger {name} can be written")),
        Err(error) => Finding::fail(
            format!("the paper broker's ledger {name} cannot be written: {error}"),
            "set paper.ledger (STRAT_PAPER_LEDGER) to a file in a folder of yours",
        ),
    }
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".strat-doctor-{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)
}

fn zones() -> Finding {
    match jiff::tz::TimeZone::get("America/New_York") {
        Ok(_) => Finding::ok("the time zone database is there"),
        Err(error) => Finding::fail(
            format!("no time zone database: {error}"),
            "apt-get install tzdata, or set TZDIR to where it is",
        ),
    }
}

/// The engine's clock decides what is due, the server's what is recorded.
fn clock(server_ms: Option<i64>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let fix = "let NTP set the clock: timedatectl set-ntp true";
    // 2025: this program did not exist before.
    if now < 1_735_689_600_000 {
        return Finding::fail("the clock stands before 2025", fix);
    }
    match server_ms.map(|server| (server - now).abs()) {
        Some(apart) if apart > 2_000 => {
            Finding::warn(format!("the clocks of this machine and of Redis are {apart} ms apart"), fix)
        }
        Some(_) => Finding::ok("the clocks of this machine and of Redis agree"),
        None => Finding::ok("the clock is set"),
    }
}
