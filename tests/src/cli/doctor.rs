//! The doctor finds each fault where it was set, on real servers, and says how to mend it.

use super::{Bench, objects, run, said, with};
use crate::servers::engine::Env;
use crate::servers::process::temp_dir;
use crate::servers::{Options, Redis, paths};
use serde_json::Value as Json;

/// What the doctor finds of this kind.
fn findings(env: &Env, mark: &str) -> Vec<Json> {
    let all = objects(&run("doctor --output json", env));
    all.into_iter().filter(|finding| finding["mark"] == mark).collect()
}

/// A finding of this kind must have these words, and a way to mend it.
fn expect(env: &Env, mark: &str, words: &str) {
    let found = findings(env, mark);
    let hit = found.iter().find(|finding| finding["what"].as_str().is_some_and(|what| what.contains(words)));
    let hit = hit.unwrap_or_else(|| panic!("no {mark} '{words}' among {found:?}"));
    assert!(hit["fix"].as_str().is_some_and(|fix| fix.len() > 10), "what to do is said: {hit}");
    let output = run("doctor", env);
    assert_eq!(output.status.success(), mark == "WARN", "{}", said(&output));
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let bench = Bench::new();
    bench.redis.conn().run("CONFIG SET maxmemory-policy noeviction");
    let env = bench.env();
    assert!(findings(&env, "FAIL").is_empty());
    // The test's Postgres does without fsync.
    let warned: Vec<_> = findings(&env, "WARN").iter().map(|finding| finding["what"].to_string()).collect();
    assert!(warned.iter().all(|what| what.contains("fsync")), "{warned:?}");
}

#[test]
fn settings_of_redis_that_lose_data_are_found() {
    let bench = Bench::new();
    let env = bench.env();
    let mut conn = bench.redis.conn();
    for (name, bad, good) in [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ] {
        conn.run(&format!("CONFIG SET {name} {bad}"));
        expect(&env, "WARN", &format!("{name} is {bad}"));
        conn.run(&format!("CONFIG SET {name} {good}"));
    }
    conn.run("HSET user:alice:strategy:broken symbol IBM quantity none");
    expect(&env, "WARN", "do not parse");
    conn.run("DEL user:alice:strategy:broken");
    conn.run("CONFIG SET maxmemory 1");
    expect(&env, "WARN", "of 1 bytes");
    conn.run("CONFIG SET maxmemory 0");
    for settings in ["bind 0.0.0.0", "protected-mode no"] {
        conn.run(&format!("CONFIG SET {settings}"));
    }
    expect(&env, "WARN", "without a password");
}

#[test]
fn what_the_user_of_redis_may_not_do_is_named() {
    let bench = Bench::new();
    let mut conn = bench.redis.conn();
    conn.run("ACL SETUSER engine on >secret ~* &* +@all -@admin +info");
    let login = |user: &str| format!("{}?user={user}&pass=secret", bench.redis.url());
    let env = with(&bench.env(), "REDIS_URL", &login("engine"));
    assert!(findings(&env, "FAIL").is_empty(), "the rules of the README are enough");
    let file = std::fs::read_to_string(paths::root().join("deploy/redis/users.acl")).unwrap();
    let rules = file.lines().find_map(|line| line.strip_prefix("user engine off ")).unwrap();
    conn.run(&format!("ACL SETUSER engine reset on >secret {rules}"));
    assert!(findings(&env, "FAIL").is_empty(), "so are those of deploy/redis/users.acl");
    conn.run("ACL SETUSER engine -strat.lock -xreadgroup");
    expect(&env, "FAIL", "may not: STRAT.LOCK, XREADGROUP");
    conn.run("ACL SETUSER engine +strat.lock +xreadgroup resetkeys ~user:alice:*");
    expect(&env, "FAIL", "STRAT.GET");
    let wrong = with(&bench.env(), "REDIS_URL", &login("nobody"));
    expect(&wrong, "FAIL", "WRONGPASS");
}

#[test]
fn a_replica_and_a_primary_that_may_lose_writes_are_told_apart() {
    let bench = Bench::with(Options::new().durable().tcp());
    let replicas: Vec<_> = (0..2).map(|_| Redis::with(Options::new().durable())).collect();
    for replica in &replicas {
        replica.conn().run(&format!("REPLICAOF 127.0.0.1 {}", bench.redis.port()));
        crate::support::until("the replica follows", super::LIMIT, || {
            (replica.info("replication", "master_link_status") == "up").then_some(())
        });
    }
    expect(&bench.env(), "WARN", "min-replicas-to-write");
    bench.redis.conn().run("CONFIG SET min-replicas-to-write 1");
    let warned = findings(&bench.env(), "WARN");
    assert!(warned.iter().all(|finding| !finding.to_string().contains("min-replicas")), "{warned:?}");
    expect(&with(&bench.env(), "REDIS_URL", &replicas[0].url()), "FAIL", "replica");
}

#[test]
fn what_is_missing_around_redis_is_found() {
    let bench = Bench::new();
    let env = bench.env();
    expect(&with(&env, "REDIS_URL", "redis+unix:///nowhere/redis.sock"), "FAIL", "not reachable");
    let plain = Redis::with(Options::plain().durable());
    expect(&with(&env, "REDIS_URL", &plain.url()), "FAIL", "module");
    expect(&with(&env, "DATABASE_URL", "postgres://strat@localhost/strat?host=/nowhere&port=5432"), "FAIL", "Postgres");
    expect(&with(&env, "STRAT_PAPER_LEDGER", "/nowhere/ledger.jsonl"), "FAIL", "ledger");
    expect(&with(&env, "STRAT_SCHEDULE_CALENDARS_DIR", "/nowhere"), "FAIL", "calendars");
    let bridge = with(&with(&env, "STRAT_BROKER_KIND", "bridge"), "STRAT_BROKER_URL", "http://127.0.0.1:1");
    expect(&bridge, "FAIL", "bridge");
    assert!(run("strategy add alice s1 symbol=IBM quantity=1 timezone=Asia/Kolkata", &env).status.success());
    bench.postgres.sql("UPDATE strategies SET fields = jsonb_set(fields, '{timezone}', '\"Mars/Base\"')");
    expect(&env, "FAIL", "Mars/Base");
    bench.postgres.sql("UPDATE strategies SET removed_at = now()");
    bench.postgres.sql("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)");
    expect(&env, "FAIL", "lacks migrations");
}

#[test]
fn a_clock_that_is_apart_is_found() {
    let Some(clocks) = crate::chaos::clocks::Clocks::build() else {
        return crate::support::skip("the doctor's clock", "a C compiler");
    };
    let bench = Bench::new();
    let shifted: Env = bench.env().into_iter().chain(clocks.env("engine")).collect();
    clocks.set("engine", 90_000);
    expect(&shifted, "WARN", "ms apart");
    // What is there before the zones are looked for elsewhere counts.
    let empty = temp_dir();
    let zoneless = with(&bench.env(), "TZDIR", &empty.path().display().to_string());
    let found = findings(&zoneless, "FAIL");
    assert!(found.iter().all(|finding| finding["what"].to_string().contains("zone")), "{found:?}");
}
