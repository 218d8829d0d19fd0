//! What the server says about itself.

use crate::error::{Error, Result};
use crate::reply;
use redis::aio::ConnectionLike;
use std::time::{Duration, Instant};

/// Version of this client. Module and client work together where major and minor number are the same.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the server is, in the numbers that matter to whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Round trip of a `PING`.
    pub latency: Duration,
    /// Clients connected to the server.
    pub connected_clients: u64,
    /// Memory in use, as the server prints it: `1.05M`.
    pub used_memory_human: String,
    /// Seconds since the server started.
    pub uptime_in_seconds: u64,
    /// Version of the server. Valkey gives the Redis version that it is compatible with.
    pub redis_version: String,
    /// `redis` or `valkey`.
    pub server_name: String,
    /// Version of the module.
    pub module_version: String,
    /// Strategies that the module knows.
    pub strategies: u64,
    /// Price triggers armed.
    pub armed: u64,
    /// Stops and targets fired since the server started.
    pub fired: u64,
    /// Ticks since then that crossed more than one call fires.
    pub drains: u64,
    /// Symbols of which something is still being fired.
    pub draining: u64,
    /// Hashes that do not parse: they guard nothing.
    pub unparseable: u64,
}

/// Answers with the module's version, if this client can talk to it.
///
/// # Errors
/// [`Error::ModuleMissing`] or [`Error::ModuleVersion`], each saying what to do. `NOPERM` where the ACL does not give `INFO`.
pub async fn check_module<C: ConnectionLike + Send>(connection: &mut C) -> Result<String> {
    let info = info(connection, &["strat"]).await?;
    module_version(&info)
}

/// Asks the server how it is.
///
/// # Errors
/// Any; each means that the server cannot be called healthy.
pub async fn health<C: ConnectionLike + Send>(connection: &mut C) -> Result<Health> {
    let before = Instant::now();
    let pong: redis::Value = redis::cmd("PING").query_async(connection).await?;
    reply::plain(pong)?;
    let latency = before.elapsed();
    read_health(&info(connection, &["server", "clients", "memory", "strat"]).await?, latency)
}

async fn info<C: ConnectionLike + Send>(connection: &mut C, sections: &[&str]) -> Result<String> {
    let value: redis::Value = redis::cmd("INFO").arg(sections).query_async(connection).await?;
    reply::text(value, "INFO")
}

pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Several fields in one pass: `INFO` is long.
#[cfg(feature = "upkeep")]
pub(crate) fn fields<'a, const N: usize>(info: &'a str, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut found = [None; N];
    let mut missing = N;
    for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
        let at = names.iter().position(|wanted| *wanted == name).filter(|at| found[*at].is_none());
        if let Some(at) = at {
            found[at] = Some(value.trim());
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    found
}

pub(crate) fn read_health(info: &str, latency: Duration) -> Result<Health> {
    let text = |name: &str| {
        field(info, name).map(str::to_owned).ok_or_else(|| Error::BadReply(format!("INFO does not say {name}")))
    };
    let count = |name: &str| reply::count_of_text(&text(name)?, name);
    Ok(Health {
        latency,
        module_version: module_version(info)?,
        connected_clients: count("connected_clients")?,
        used_memory_human: text("used_memory_human")?,
        uptime_in_seconds: count("uptime_in_seconds")?,
        redis_version: text("redis_version")?,
        server_name: field(info, "server_name").unwrap_or("redis").to_owned(),
        strategies: count("strat_strategies")?,
        armed: count("strat_armed")?,
        fired: count("strat_fired")?,
        drains: count("strat_drains")?,
        draining: count("strat_draining")?,
        unparseable: count("strat_unparseable")?,
    })
}

fn module_version(info: &str) -> Result<String> {
    let found = field(info, "strat_version").ok_or(Error::ModuleMissing)?;
    let (wanted, _) = VERSION.rsplit_once('.').unwrap_or((VERSION, ""));
    let fits = found.strip_prefix(wanted).is_some_and(|patch| patch.is_empty() || patch.starts_with('.'));
    if fits {
        Ok(found.to_owned())
    } else {
        Err(Error::ModuleVersion { found: found.to_owned(), wanted: format!("{wanted}.x") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:42\r\n\r\n# Clients\r\nconnected_clients:3\r\n\r\n\
        # Memory\r\nused_memory:1\r\nused_memory_human:1.05M\r\n\r\n# strat_strat\r\nstrat_version:0.1.7\r\n\
        strat_strategies:12\r\nstrat_armed:20\r\nstrat_fired:7\r\nstrat_drains:2\r\nstrat_draining:1\r\nstrat_unparseable:3\r\n";

    #[test]
    fn health_is_read_from_info() {
        let health = read_health(INFO, Duration::from_millis(1)).unwrap();
        assert_eq!(
            (health.connected_clients, health.uptime_in_seconds, health.strategies, health.armed),
            (3, 42, 12, 20)
        );
        assert_eq!((health.fired, health.drains, health.draining, health.unparseable), (7, 2, 1, 3));
        assert_eq!((health.used_memory_human.as_str(), health.redis_version.as_str()), ("1.05M", "7.0.15"));
        assert_eq!((health.module_version.as_str(), health.server_name.as_str()), ("0.1.7", "redis"));
    }

    #[test]
    fn a_missing_module_and_another_version_say_what_to_do() {
        assert!(matches!(module_version("# Server\r\nredis_version:7.0.15\r\n"), Err(Error::ModuleMissing)));
        for (found, fits) in [("0.1.0", true), ("0.1.99", true), ("0.10.0", false), ("0.2.0", false), ("1.1.0", false)]
        {
            let version = module_version(&format!("strat_version:{found}\r\n"));
            assert_eq!(version.is_ok(), fits, "{found}");
        }
        let error = module_version("strat_version:0.2.0").unwrap_err().to_string();
        assert!(error.contains("0.2.0") && error.contains("0.1.x") && error.contains("install"), "{error}");
    }
}
