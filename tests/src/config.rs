//! Settings, INFO, and loading and unloading the module while the server runs.

use crate::resp::{Conn, Value};
use crate::servers::{Options, Redis, paths};
use crate::support::until;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);

/// Name, default, a value to set, and values out of bounds.
const SETTINGS: &[(&str, &str, &str, &[&str])] = &[
    ("strat.price-ttl-ms", "10000", "5000", &["0", "-1", "x", "86400001"]),
    ("strat.max-fired-per-call", "200", "7", &["0", "-1", "x"]),
    ("strat.journal-maxlen", "1000000", "5000", &["-1", "x"]),
    ("strat.alert-kept-ms", "86400000", "1000", &["0", "x"]),
    ("strat.max-alerts-per-user", "1000", "5", &["0", "x", "1000001"]),
    ("strat.retry-backoff-ms", "500", "250", &["0", "x"]),
    ("strat.retry-backoff-max-ms", "30000", "60000", &["0", "x"]),
];

fn get(conn: &mut Conn, name: &str) -> String {
    conn.run(&format!("CONFIG GET {name}")).fields().remove(name).unwrap_or_else(|| panic!("no setting {name}"))
}

fn verify(conn: &mut Conn) {
    let mut last = Value::Nil;
    until("the sets are mended", LIMIT, || {
        last = conn.run("STRAT.DEBUG VERIFY");
        last.items().is_empty().then_some(())
    });
}

#[test]
fn settings_have_defaults_and_bounds_and_survive_a_rewrite() {
    let mut redis = Redis::start();
    let mut conn = redis.conn();
    for (name, default, value, bad) in SETTINGS {
        assert_eq!(get(&mut conn, name), *default, "{name}");
        for bad in *bad {
            let reply = conn.raw(&format!("CONFIG SET {name} {bad}"));
            assert!(reply.is_error(), "{name} {bad}: {reply:?}");
        }
        assert_eq!(get(&mut conn, name), *default, "{name} is left alone by a refusal");
        conn.run(&format!("CONFIG SET {name} {value}"));
        assert_eq!(get(&mut conn, name), *value, "{name}");
    }
    conn.run("CONFIG REWRITE");
    redis.kill_9();
    // Without writing the configuration anew, as a plain restart does it.
    let rewritten = std::fs::read_to_string(redis.dir().join("redis.conf")).unwrap();
    for (name, _, value, _) in SETTINGS {
        assert!(rewritten.lines().any(|line| line == format!("{name} {value}")), "{name} in\n{rewritten}");
    }
    let options =
        SETTINGS.iter().fold(Options::new(), |options, (name, _, value, _)| options.config(&format!("{name} {value}")));
    redis.set_options(options);
    redis.start_again();
    let mut conn = redis.conn();
    for (name, _, value, _) in SETTINGS {
        assert_eq!(get(&mut conn, name), *value, "{name} of redis.conf");
    }
}

#[test]
fn the_repositorys_redis_conf_is_accepted() {
    let file = paths::root().join("redis.conf");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(text.lines().any(|line| line.starts_with("loadmodule ")), "it loads the module");
    // The guard's own lines say where and which module.
    let own = ["loadmodule ", "port ", "bind ", "dir ", "unixsocket"];
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let kept = lines.filter(|line| !own.iter().any(|start| line.starts_with(start)));
    let redis = Redis::with(kept.fold(Options::new(), |options, line| options.config(line)));
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 1");
    for (name, value) in [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")] {
        assert_eq!(get(&mut conn, name), value, "{name}");
    }
}

#[test]
fn info_counts_what_is_there() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 1 position BOUGHT stop_loss 90 take_profit 110 sell_at 5000");
    conn.run("STRAT.SET user:alice:strategy:s2 symbol AIG quantity 1 buy_at 1000");
    conn.run("STRAT.SET user:alice:strategy:s3 symbol AIG quantity 1 status STOPPED");
    conn.run("HSET user:alice:strategy:s4 symbol AIG quantity none");
    let expect = |field: &str, value: &str| assert_eq!(redis.info("strat", field), value, "{field}");
    expect("strat_version", "0.1.0");
    expect("strat_strategies", "3");
    expect("strat_running", "2");
    expect("strat_armed", "2");
    expect("strat_times", "2");
    expect("strat_unparseable", "1");
    expect("strat_fired", "0");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 80").int(), 1);
    let expect = |field: &str, value: &str| assert_eq!(redis.info("strat", field), value, "{field}");
    expect("strat_fired", "1");
    expect("strat_ticks", "1");
    expect("strat_armed", "0");
    expect("strat_panics", "0");
    let lines = conn.run("STRAT.DEBUG VERIFY").texts();
    assert!(lines.len() == 1 && lines[0].contains("user:alice:strategy:s4"), "{lines:?}");
    assert_eq!(redis.info("strat", "strat_mismatches"), "1");
    assert!(redis.log().contains("user:alice:strategy:s4"), "and it is logged");
}

#[test]
fn the_module_can_be_loaded_over_existing_hashes_and_unloaded() {
    let redis = Redis::with(Options::plain().config("enable-module-command local"));
    let mut conn = redis.conn();
    let module = paths::module();
    let load = format!("MODULE LOAD {}", module.display());
    conn.run("HSET user:alice:strategy:s1 symbol IBM quantity 10 position BOUGHT stop_loss 99.50");
    conn.run("HSET {t}user:bob:strategy:s2 symbol AIG quantity 10 buy_at 1000");
    conn.run("SADD active_strategies nobody:1");
    conn.run("SELECT 5");
    conn.run("HSET user:alice:strategy:s5 symbol IBM quantity 10");
    conn.run("SELECT 0");
    conn.run(&load);
    verify(&mut conn);
    assert_eq!(conn.run("SMEMBERS active_strategies").texts(), ["alice:s1"]);
    assert_eq!(conn.run("SMEMBERS {t}symbol:AIG:strategies").texts(), ["bob:s2"]);
    assert_eq!(conn.run("STRAT.LIST TAG t").items()[1].texts(), ["{t}user:bob:strategy:s2"]);
    let epoch = conn.run("STRAT.EPOCH").text();

    conn.run("MODULE UNLOAD strat");
    assert_eq!(conn.code("STRAT.GET user:alice:strategy:s1"), "ERR");
    conn.run("HSET user:alice:strategy:s1 stop_loss 95.00");
    conn.run("DEL {t}user:bob:strategy:s2");
    conn.run("HSET user:carol:strategy:s3 symbol IBM quantity 1");
    conn.run(&load);
    verify(&mut conn);
    assert_ne!(conn.run("STRAT.EPOCH").text(), epoch);
    assert_eq!(conn.run("EXISTS {t}active_strategies {t}symbol:AIG:strategies").int(), 0);
    assert_eq!(conn.run("STRAT.SYMBOLS").pairs(), [(Value::Bulk(b"IBM".to_vec()), Value::Int(2))]);
    assert_eq!(conn.run("STRAT.SLCHECK IBM 96").int(), 0, "the stop moved while the module was away");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 95").int(), 1);
    conn.run("SELECT 5");
    assert_eq!(conn.run("STRAT.LIST").items()[1].texts(), ["user:alice:strategy:s5"]);
}

#[test]
fn the_journal_is_bounded() {
    let redis = Redis::with(Options::new().config("strat.journal-maxlen 1000"));
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 1");
    for number in 0..3_000 {
        conn.run(&format!("STRAT.UPDATE user:alice:strategy:s1 note {number}"));
    }
    let length = conn.run("XLEN journal").int();
    // Redis trims whole nodes of about a hundred entries.
    assert!((1_000..=1_200).contains(&length), "{length}");
}
