//! Redis: whether it answers, has the module, and would lose nothing.

use super::{Finding, TIMEOUT, rights};
use crate::config::Settings;
use crate::failure::sentence;
use crate::link::Link;
use strat_client::Connection;

pub(super) async fn examine(settings: &Settings, findings: &mut Vec<Finding>) -> Option<i64> {
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
    let info = info(&mut connection).await;
    for (name, wanted, fix) in PERSISTENCE {
        let told = info.as_ref().ok().and_then(|info| Info(info).setting(name));
        findings.push(setting(&mut connection, name, told, wanted, fix).await);
    }
    match info {
        Ok(info) => findings.extend(judge(&Info(&info))),
        Err(error) => findings.push(Finding::warn(
            format!("Redis does not tell how it is: {error}"),
            "let the engine's ACL user ask: ACL SETUSER <user> +info",
        )),
    }
    findings.push(exposure(&mut connection).await);
    findings.push(rights::examine(&mut connection).await);
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

/// What INFO tells needs no right to CONFIG, which the engine's user ought not to have.
async fn setting(connection: &mut Connection, name: &str, told: Option<String>, wanted: &str, fix: &str) -> Finding {
    let found = match told {
        Some(value) => Ok(Some(value)),
        None => {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(name);
            let map: Result<std::collections::HashMap<String, String>, String> = ask(connection, command).await;
            map.map(|mut map| map.remove(name))
        }
    };
    match found {
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

pub(super) async fn ask<T: redis::FromRedisValue>(
    connection: &mut Connection,
    command: redis::Cmd,
) -> Result<T, String> {
    match tokio::time::timeout(TIMEOUT, command.query_async(connection)).await {
        Ok(reply) => reply.map_err(|error| strat_client::Error::from(error).to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn info(connection: &mut Connection) -> Result<String, String> {
    let mut command = redis::cmd("INFO");
    command.arg(&["persistence", "replication", "memory", "strat"]);
    ask(connection, command).await
}

/// The text of `INFO`.
struct Info<'a>(&'a str);

impl Info<'_> {
    fn text(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map_or("", str::trim)
    }

    /// The value of a setting that INFO tells too.
    fn setting(&self, name: &str) -> Option<String> {
        let value = match (name, self.text("aof_enabled")) {
            ("appendonly", "1") => "yes",
            ("appendonly", "0") => "no",
            ("maxmemory-policy", _) => self.text("maxmemory_policy"),
            _ => "",
        };
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn count(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

/// What is wrong by the server's own account; one line that nothing is, where nothing is.
fn judge(info: &Info<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if info.text("role") == "slave" {
        let fix = "name the primary in redis.url, or the sentinels: redis+sentinel://host,host,host/service";
        findings.push(Finding::fail("this Redis is a replica: nothing can be written", fix));
    }
    if info.count("connected_slaves") >= 2 && info.text("min_slaves_good_slaves").is_empty() {
        let fix = "CONFIG SET min-replicas-to-write 1: a primary that is cut off takes writes that will be lost";
        findings.push(Finding::warn("there are replicas, and min-replicas-to-write is not set", fix));
    }
    for (name, what) in [
        ("aof_last_write_status", "the append-only file could not be written"),
        ("aof_last_bgrewrite_status", "the append-only file could not be rewritten"),
        ("rdb_last_bgsave_status", "the last snapshot could not be saved"),
    ] {
        if info.text(name) == "err" {
            findings.push(Finding::fail(what, "make room on Redis' disk; its log has the reason"));
        }
    }
    let (used, max) = (info.count("used_memory"), info.count("maxmemory"));
    if max > 0 && u128::from(used) * 10 > u128::from(max) * 9 {
        let fix = "CONFIG SET maxmemory to more: a full Redis refuses new strategies";
        findings.push(Finding::warn(format!("Redis uses {used} of {max} bytes"), fix));
    }
    if !matches!(info.text("strat_state"), "" | "ready") {
        let what = format!("the module's books are {}", info.text("strat_state"));
        findings.push(Finding::warn(what, "wait; if it lasts, Redis' log has the reason"));
    }
    for (name, what, fix) in MODULE {
        let count = info.count(name);
        if count > 0 {
            findings.push(Finding::warn(format!("{count} {what}"), fix));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("Redis and the module complain of nothing"));
    }
    findings
}

/// Counters of the module that ought to be 0.
const MODULE: [(&str, &str, &str); 3] = [
    (
        "strat_unparseable",
        "hashes of strategies or alerts do not parse and are NOT GUARDED",
        "STRAT.DEBUG VERIFY names them; put the field right with HSET",
    ),
    ("strat_write_errors", "writes of the module failed since Redis started", "Redis' log has the reason"),
    (
        "strat_panics",
        "internal errors of the module since Redis started; its books were rebuilt",
        "report what Redis' log says of them as a bug",
    ),
];

/// Whoever can send commands can trade.
async fn exposure(connection: &mut Connection) -> Finding {
    let mut protected = redis::cmd("CONFIG");
    protected.arg("GET").arg("protected-mode").arg("bind");
    let mut default = redis::cmd("ACL");
    default.arg("GETUSER").arg("default");
    let settings: Result<std::collections::HashMap<String, String>, String> = ask(connection, protected).await;
    let user: Result<redis::Value, String> = ask(connection, default).await;
    let (Ok(settings), Ok(user)) = (settings, user) else {
        return Finding::ok("this user of Redis may not see who else may connect");
    };
    let open = format!("{user:?}").contains("nopass");
    let unprotected = settings.get("protected-mode").is_some_and(|value| value == "no");
    let beyond = settings.get("bind").is_none_or(|bind| bind.split(' ').any(|address| !is_loopback(address)));
    if open && unprotected && beyond {
        return Finding::warn(
            "Redis takes commands from other machines without a password: whoever reaches it can trade",
            "ACL SETUSER default off, and a user for each client (README.md has the rules); or protected-mode yes",
        );
    }
    Finding::ok("Redis asks who connects, or listens to this machine only")
}

fn is_loopback(address: &str) -> bool {
    let address = address.trim_start_matches('-');
    address.is_empty() || address.starts_with("127.") || address == "::1"
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    #[test]
    fn what_the_server_says_of_itself_is_judged() {
        let told = |info: &str| {
            let found = judge(&Info(info));
            (found[0].mark, found.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>().join("; "))
        };
        assert_eq!(told("role:master\r\nconnected_slaves:0\r\nstrat_state:ready\r\n").0, Mark::Ok);
        for (info, mark, words) in [
            ("role:slave", Mark::Fail, "replica"),
            ("role:master\r\nconnected_slaves:2", Mark::Warn, "min-replicas"),
            ("aof_last_write_status:err", Mark::Fail, "append-only file could not be written"),
            ("rdb_last_bgsave_status:err", Mark::Fail, "snapshot"),
            ("used_memory:95\r\nmaxmemory:100", Mark::Warn, "95 of 100"),
            ("strat_state:rebuilding", Mark::Warn, "rebuilding"),
            ("strat_unparseable:3", Mark::Warn, "3 hashes"),
            ("strat_panics:1", Mark::Warn, "1 internal"),
        ] {
            let (found, what) = told(info);
            assert!(found == mark && what.contains(words), "{info}: {what}");
        }
        let guarded = "role:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:2";
        assert_eq!(told(guarded).0, Mark::Ok);
    }

    #[test]
    fn old_servers_are_refused() {
        assert_eq!(version("redis", "6.2.14", "h:1").mark, Mark::Fail);
        assert_eq!(version("redis", "7.0.15", "h:1").mark, Mark::Ok);
        assert_eq!(version("valkey", "nonsense", "h:1").mark, Mark::Fail);
    }

    #[test]
    fn loopback_is_known_with_and_without_its_minus() {
        for (address, here) in
            [("127.0.0.1", true), ("-::1", true), ("*", false), ("0.0.0.0", false), ("10.0.0.1", false)]
        {
            assert_eq!(is_loopback(address), here, "{address}");
        }
    }
}
