//! The examples run as they stand, with clients that know nothing of strat.

use crate::servers::{Redis, paths};
use crate::support::skip;
use std::process::Command;

/// Runs an example to its end; it must say that everything was as expected and leave nothing behind.
fn check(redis: &Redis, command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    for line in
        ["stop_loss: 2500.00", "updated: 2490.50", "refused: BADPRICE", "unlock: 1", "removed: 1", "all as expected"]
    {
        assert!(out.lines().any(|found| found == line), "no line '{line}' in\n{out}");
    }
    let mut conn = redis.conn();
    assert_eq!(conn.run("STRAT.LIST").items()[1].items().len(), 0);
    let types = conn.run("XRANGE journal - +");
    let types: Vec<_> = types.items().iter().map(|entry| entry.items()[1].fields()["type"].clone()).collect();
    assert_eq!(types, ["STRATEGY_STARTED", "STRATEGY_UPDATED", "STRATEGY_REMOVED"]);
}

#[test]
fn redis_py_does_it_all_with_execute_command() {
    let Some(python) = paths::python() else {
        skip("the redis-py example", "Python with redis-py (.run/venv or STRAT_PYTHON)");
        return;
    };
    let script = paths::root().join("examples/python/quickstart.py");
    let code: String = std::fs::read_to_string(&script).unwrap();
    let helpers = [".hset(", ".hget(", ".set(", ".publish("];
    assert!(helpers.iter().all(|call| !code.contains(call)), "execute_command only");
    let redis = Redis::start();
    check(&redis, Command::new(&python).arg(&script).env("REDIS_URL", redis.url()));
    // The newer protocol, where maps are maps.
    let redis = Redis::start();
    let url = format!("unix://{}?protocol=3", redis.socket().display());
    check(&redis, Command::new(&python).arg(&script).env("REDIS_URL", url));
}

#[test]
fn node_redis_does_it_all_with_send_command() {
    let Some(modules) = paths::node_modules() else {
        skip("the node-redis example", "Node with node-redis (.run/node or STRAT_NODE_MODULES)");
        return;
    };
    // Beside its modules, where Node looks for them.
    let dir = crate::servers::process::temp_dir();
    std::os::unix::fs::symlink(modules, dir.path().join("node_modules")).unwrap();
    for file in ["quickstart.mjs", "package.json"] {
        std::fs::copy(paths::root().join("examples/node").join(file), dir.path().join(file)).unwrap();
    }
    let redis = Redis::start();
    check(&redis, Command::new("node").arg(dir.path().join("quickstart.mjs")).env("REDIS_URL", redis.url()));
}

/// Runs an example to its end; it says itself whether everything was as expected.
fn check_other(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let done = output.status.success() && out.lines().last() == Some("all as expected");
    assert!(done, "{command:?} ended with {}\n{out}\n{err}", output.status);
}

#[test]
fn redis_py_executes_orders() {
    let Some(python) = paths::python() else {
        skip("the redis-py executor", "Python with redis-py (.run/venv or STRAT_PYTHON)");
        return;
    };
    let script = paths::root().join("examples/python/executor.py");
    for protocol in ["2", "3"] {
        let redis = Redis::start();
        let url = format!("unix://{}?protocol={protocol}", redis.socket().display());
        check_other(Command::new(&python).arg(&script).env("REDIS_URL", url));
        assert!(redis.conn().run("STRAT.DEBUG VERIFY").items().is_empty());
    }
}

#[test]
fn redis_cli_fires_a_stop_and_an_alert() {
    let redis = Redis::start();
    let script = paths::root().join("examples/redis-cli/stop.sh");
    check_other(Command::new("bash").arg(script).arg("-s").arg(redis.socket()).env_remove("REDISCLI_AUTH"));
    assert_eq!(redis.conn().run("XLEN queue:exits").int(), 0);
}

#[test]
fn redis_cli_does_it_all() {
    let redis = Redis::start();
    let script = paths::root().join("examples/redis-cli/quickstart.sh");
    check(&redis, Command::new("bash").arg(script).arg("-s").arg(redis.socket()).env_remove("REDISCLI_AUTH"));
}
