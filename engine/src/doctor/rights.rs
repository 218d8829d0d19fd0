//! What the engine's user of Redis may do.
//!
//! Each command that the engine needs is sent in a form that changes nothing, whatever it answers: the ACL is asked before
//! the arguments are looked at.

use super::{Finding, TIMEOUT};
use strat_client::{Connection, Error};

/// A strategy that is not there, for what wants a key.
const NOBODY: &str = "user:strat-doctor:strategy:none";

/// Commands in a form that changes nothing.
const HARMLESS: &[&[&str]] = &[
    &["STRAT.GET", NOBODY],
    &["STRAT.SET", NOBODY, "symbol", ""],
    &["STRAT.UPDATE", NOBODY, "note", "x"],
    &["STRAT.DEL", NOBODY],
    &["STRAT.LIST", "COUNT", "1"],
    &["STRAT.SYMBOLS"],
    &["STRAT.SLCHECK", "STRAT-DOCTOR", "nan"],
    &["STRAT.DUE", "0", "LIMIT", "0"],
    &["STRAT.LOCK", NOBODY, "BUY", "strat-doctor", "1"],
    &["STRAT.EXTEND", NOBODY, "0-0", "1"],
    &["STRAT.UNLOCK", NOBODY, "0-0"],
    &["STRAT.REPORT", NOBODY, "0-0", "NEW"],
    &["STRAT.TAKE", "queue:exits", "strat-doctor", "1", "EPOCH", "none"],
    &["STRAT.ALERT", "user:strat-doctor:alert:none", "STRAT-DOCTOR", "BESIDE", "1"],
    &["STRAT.ALERTS", "strat-doctor", "COUNT", "1"],
    &["STRAT.EPOCH"],
    &["XREAD", "COUNT", "1", "STREAMS", "queue:exits", "$"],
    &["XREADGROUP", "GROUP", "strat-doctor", "none", "COUNT", "1", "STREAMS", "queue:exits", "0"],
    &["XAUTOCLAIM", "queue:exits", "strat-doctor", "none", "0", "0"],
    &["XCLAIM", "queue:exits", "strat-doctor", "none", "0", "0-1", "JUSTID"],
    &["XACK", "queue:exits", "strat-doctor", "0-1"],
    &["XDEL", "queue:exits", "0-1"],
    &["XPENDING", "queue:exits", "strat-doctor"],
    &["XGROUP", "DESTROY", "queue:exits", "strat-doctor"],
    &["XINFO", "STREAM", "journal"],
    &["XRANGE", "journal", "-", "-", "COUNT", "1"],
    &["XLEN", "journal"],
    &["XTRIM", "journal", "MINID", "0-0"],
    &["EXISTS", NOBODY],
    &["HGETALL", "trail:STRAT-DOCTOR"],
    &["SCAN", "0", "COUNT", "1"],
];

pub(super) async fn examine(connection: &mut Connection) -> Finding {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for command in HARMLESS {
        pipeline.cmd(command[0]).arg(&command[1..]);
    }
    let ask = pipeline.query_async(connection);
    let replies: Vec<redis::RedisResult<redis::Value>> = match tokio::time::timeout(TIMEOUT, ask).await {
        Ok(Ok(replies)) => replies,
        Ok(Err(error)) => return Finding::warn(format!("what this user of Redis may do: {error}"), "see the cause"),
        Err(_) => return Finding::warn("what this user of Redis may do: no answer in time", "ask again"),
    };
    let denied: Vec<_> =
        HARMLESS.iter().zip(replies).filter(|(_, reply)| is_denied(reply)).map(|(command, _)| command[0]).collect();
    if denied.is_empty() {
        return Finding::ok("this user of Redis may do what the engine needs");
    }
    Finding::fail(
        format!("this user of Redis may not: {}", denied.join(", ")),
        "ACL SETUSER <user> ~* &* +@all -@admin +info, or log in as another: redis://user:password@host:6379/",
    )
}

fn is_denied(reply: &redis::RedisResult<redis::Value>) -> bool {
    let error = match reply {
        Ok(redis::Value::ServerError(error)) => redis::RedisError::from(error.clone()),
        Ok(_) => return false,
        Err(error) => error.clone(),
    };
    matches!(Error::from(error), Error::Server { code, .. } if code == "NOPERM")
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::manual::COMMANDS;

    #[test]
    fn every_command_of_the_module_is_asked_for() {
        // `STRAT.DEBUG` is for administrators, who are not the engine.
        for command in COMMANDS.iter().filter(|command| command.name != "STRAT.DEBUG") {
            assert!(HARMLESS.iter().any(|harmless| harmless[0] == command.name), "{}", command.name);
        }
    }
}
