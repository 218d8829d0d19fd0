//! The users of `deploy/redis/users.acl`: each may do what its work needs, and nothing else.

use super::{LIMIT, SYMBOL, done, env, migrate, said, wait_field};
use crate::resp::{Conn, Value};
use crate::servers::process::{Process, temp_dir};
use crate::servers::{Engine, Options, Postgres, Redis, engine, paths};
use crate::support::{now_ms, until};
use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

const USERS: [&str; 7] = ["admin", "engine", "feed", "monitor", "replica", "sentinel", "alice"];

/// A server with these users, as an operator sets it up.
struct World {
    redis: Redis,
    passwords: BTreeMap<String, String>,
    dir: TempDir,
}

impl World {
    fn start() -> Self {
        Self::with(Options::new())
    }

    fn with(options: Options) -> Self {
        let dir = temp_dir();
        let file = dir.path().join("users.acl");
        std::fs::copy(paths::root().join("deploy/redis/users.acl"), &file).unwrap();
        let printed = done(Command::new(paths::root().join("scripts/passwords.sh")).arg(&file).args(USERS));
        let passwords: BTreeMap<_, _> = printed
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(u, p)| (u.to_owned(), p.to_owned()))
            .collect();
        assert_eq!(passwords.len(), USERS.len());
        let redis = Redis::with(options.tcp().config(&format!("aclfile {}", file.display())));
        Self { redis, passwords, dir }
    }

    fn login(&self, user: &str) -> Conn {
        let mut conn = self.redis.conn();
        conn.run(&format!("AUTH {user} {}", self.passwords[user]));
        conn
    }

    fn engine_url(&self) -> String {
        format!("redis://engine:{}@127.0.0.1:{}/", self.passwords["engine"], self.redis.port())
    }

    /// What was refused for want of a right since the last look, but for what is expected.
    fn refusals(&self) -> Vec<String> {
        let mut admin = self.login("admin");
        let log = admin.run("ACL LOG");
        admin.run("ACL LOG RESET");
        log.items().iter().map(|entry| format!("{:?}", entry.fields())).collect()
    }
}

/// Whoever follows one page gets what whoever follows the other gets.
#[test]
fn every_page_gives_an_owner_of_strategies_the_same_rights() {
    let read = |file: &str| std::fs::read_to_string(paths::root().join(file)).unwrap();
    let rights = |text: &str, user: &str| {
        let start = text.find(&format!("~user:{user}:*")).unwrap_or_else(|| panic!("no {user} in {text}"));
        text[start..].lines().next().unwrap().replace(user, "NAME")
    };
    let file = rights(&read("deploy/redis/users.acl"), "alice");
    assert_eq!(file, rights(&read("README.md"), "alice"));
    assert_eq!(file, rights(&read("docs/operations.md"), "bob"));
}

#[test]
fn nobody_comes_in_without_a_name() {
    let world = World::start();
    let mut nobody = world.redis.conn();
    for command in ["PING", "STRAT.LIST", "AUTH default x", "AUTH alice x", "AUTH wrong"] {
        assert!(["NOAUTH", "WRONGPASS"].contains(&nobody.code(command).as_str()), "{command}");
    }
}

#[test]
fn each_user_does_its_work_and_nothing_else() {
    works(&World::start());
}

#[test]
fn each_user_does_its_work_and_nothing_else_on_other_servers() {
    for place in ["redis8/bin/redis-server", "valkey/bin/valkey-server"] {
        let server = paths::root().join(".run/servers").join(place);
        if server.is_file() {
            works(&World::with(Options::new().server(&server)));
        } else {
            crate::support::skip("the users", &server.display().to_string());
        }
    }
}

fn works(world: &World) {
    let mut admin = world.login("admin");
    admin.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 10 position BOUGHT stop_loss 90");
    admin.run("STRAT.SET user:bob:strategy:s1 symbol IBM quantity 10 position BOUGHT stop_loss 80");
    let before = crate::dump::dump(&mut admin);
    for (user, allowed) in [
        ("feed", &["PING", "STRAT.SLCHECK AIG 95"][..]),
        ("monitor", &["PING", "INFO", "SLOWLOG LEN", "LATENCY LATEST", "MEMORY STATS"]),
        ("replica", &["PING", "REPLCONF ack 0"]),
        ("sentinel", &["PING", "INFO", "ROLE"]),
        ("alice", &["PING", "STRAT.GET user:alice:strategy:s1", "STRAT.LIST", "STRAT.ALERTS alice"]),
        ("engine", &["PING", "INFO strat", "TIME", "STRAT.EPOCH", "STRAT.SYMBOLS", "XLEN journal", "SCAN 0"]),
    ] {
        let mut conn = world.login(user);
        for command in allowed {
            // `REPLCONF` is a message; everything else is answered.
            if command.starts_with("REPLCONF") {
                conn.send(&command.split(' ').collect::<Vec<_>>()).unwrap();
            } else {
                let reply = conn.try_call(&command.split(' ').collect::<Vec<_>>()).unwrap();
                assert!(!reply.is_error(), "{user} {command}: {reply:?}");
            }
        }
        refused(world, user);
    }
    admin.run("DEL price:AIG");
    let after = crate::dump::dump(&mut admin);
    assert!(before == after, "{}", crate::dump::difference(&before, &after));
}

/// What none but the administrator may do, and what is another's work.
fn refused(world: &World, user: &str) {
    let (trades, own) = (user == "engine", user == "alice");
    let mut conn = world.login(user);
    for command in [
        "ACL LIST",
        "ACL WHOAMI",
        "CONFIG SET maxmemory 1",
        "CONFIG GET *",
        "SHUTDOWN",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "KEYS *",
        "MONITOR",
        "DEBUG SLEEP 0",
        "MODULE LIST",
        "CLIENT LIST",
        "CLIENT KILL ID 1",
        "REPLICAOF NO ONE",
        "SAVE",
        "BGREWRITEAOF",
        "CLUSTER INFO",
        "FAILOVER",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "STRAT.DEBUG VERIFY",
        "MIGRATE h 1 k 0 1",
        "RESTORE k 0 x",
        "SUBSCRIBE other",
        "PSUBSCRIBE *",
        "PUBLISH other x",
    ] {
        let sentinels = ["CLIENT KILL", "REPLICAOF"].iter().any(|theirs| command.starts_with(theirs));
        if user != "sentinel" || !sentinels {
            assert_eq!(conn.code(command), "NOPERM", "{user}: {command}");
        }
    }
    for command in [
        "STRAT.SET user:bob:strategy:s9 symbol IBM quantity 1",
        "STRAT.GET user:bob:strategy:s1",
        "STRAT.UPDATE user:bob:strategy:s1 stop_loss 1",
        "STRAT.DEL user:bob:strategy:s1",
        "HGETALL user:bob:strategy:s1",
        "XRANGE journal - +",
        "GET price:IBM",
        "EVAL return(1) 0",
    ] {
        if !trades {
            assert_eq!(conn.code(command), "NOPERM", "{user}: {command}");
        }
    }
    if !trades && user != "feed" {
        assert_eq!(conn.code("STRAT.SLCHECK IBM 1"), "NOPERM", "{user}");
    }
    if !trades && !own {
        assert_eq!(conn.code("STRAT.LIST"), "NOPERM", "{user}");
        assert_eq!(conn.code("SUBSCRIBE events:alice"), "NOPERM", "{user}");
    }
}

/// The real engine, with its user's rights alone, trades a position from its entry to its stop.
#[test]
fn the_engines_user_has_what_the_engine_needs() {
    let (world, postgres, dir) = (World::start(), Postgres::start(), temp_dir());
    let ledger = dir.path().join("ledger.jsonl").display().to_string();
    let env = env(&[
        ("REDIS_URL", &world.engine_url()),
        ("DATABASE_URL", &postgres.url()),
        ("STRAT_PAPER_LEDGER", &ledger),
        ("STRAT_RECONCILE_INTERVAL_SECONDS", "1"),
    ]);
    migrate(&env);
    let mut engine = Engine::start(&["run"], env.clone());
    let mut alice = world.login("alice");
    let key = "user:alice:strategy:s1";
    let mut admin = world.login("admin");
    alice.run(&format!("STRAT.SET {key} symbol {SYMBOL} quantity 10 trail 500 buy_at {}", now_ms()));
    wait_field(&mut admin, key, "position", "BOUGHT");
    alice.run(&format!("STRAT.UPDATE {key} stop_loss 9000"));
    wait_field(&mut admin, key, "position", "EXITED_BY_SL");
    // Rebuilt from Postgres: the longest way that an engine goes.
    admin.run("FLUSHALL");
    alice.run(&format!("STRAT.SET user:alice:strategy:s2 symbol {SYMBOL} quantity 10 buy_at {}", now_ms()));
    wait_field(&mut admin, "user:alice:strategy:s2", "position", "BOUGHT");
    for path in ["/health", "/health/redis", "/metrics", "/api/v1/prices"] {
        let (status, body) = engine.get(path).unwrap();
        assert!(status < 500, "{path}: {status} {body}");
    }
    until("Postgres has both", LIMIT, || (postgres.sql("SELECT count(*) FROM strategies") == ["2"]).then_some(()));
    let listed = engine::run(&["strategy", "list"], &env, LIMIT);
    assert!(listed.status.success() && said(&listed).contains("s2"), "{}", said(&listed));
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
    assert_eq!(world.refusals(), Vec::<String>::new(), "nothing that it needs was refused");
}

/// A replica, and the sentinel that promotes it, with the users that are made for them.
#[test]
fn the_users_of_replicas_and_sentinels_are_enough_for_a_failover() {
    let world = World::start();
    let users = format!("aclfile {}", world.dir.path().join("users.acl").display());
    let login = format!("masterauth {}", world.passwords["replica"]);
    let options = Options::new().tcp().config(&users).config("masteruser replica").config(&login);
    let replica = World { redis: Redis::with(options), passwords: world.passwords.clone(), dir: temp_dir() };
    let mut admin = replica.login("admin");
    let mut there = world.login("admin");
    for setting in ["masteruser replica", &login] {
        there.run(&format!("CONFIG SET {setting}"));
    }
    admin.run(&format!("REPLICAOF 127.0.0.1 {}", world.redis.port()));
    there.run("STRAT.SET user:a:strategy:s symbol IBM quantity 1");
    until("the replica has the strategy", LIMIT, || (admin.run("EXISTS user:a:strategy:s").int() == 1).then_some(()));

    let dir = temp_dir();
    let (config, socket) = (dir.path().join("sentinel.conf"), dir.path().join("sentinel.sock"));
    let lines = [
        "port 0".to_owned(),
        format!("unixsocket {}\ndir {}", socket.display(), dir.path().display()),
        format!("sentinel monitor strat 127.0.0.1 {} 1", world.redis.port()),
        "sentinel auth-user strat sentinel".to_owned(),
        format!("sentinel auth-pass strat {}", world.passwords["sentinel"]),
    ];
    std::fs::write(&config, lines.join("\n")).unwrap();
    let program = paths::redis_server();
    let mut sentinel = Process::start("sentinel", &program, &dir.path().join("log"), None, |command| {
        command.arg(&config).arg("--sentinel");
    });
    let mut asked = sentinel.wait_ready(LIMIT, || Conn::open(&socket).ok());
    until("the sentinel hands over", LIMIT, || {
        // It has to find the replica first.
        let reply = asked.try_call(&["SENTINEL", "FAILOVER", "strat"]).ok()?;
        (reply == Value::Status("OK".into())).then_some(())
    });
    for (conn, role) in [(&mut admin, "master"), (&mut there, "slave")] {
        until(&format!("one is the {role}"), LIMIT, || {
            // Its clients are sent away when a server becomes a replica.
            if conn.try_call(&["PING"]).is_err() {
                *conn = if role == "master" { replica.login("admin") } else { world.login("admin") };
            }
            (crate::servers::redis::info_field(conn, "replication", "role") == role).then_some(())
        });
    }
    until("the old one follows", LIMIT, || {
        (crate::servers::redis::info_field(&mut world.login("admin"), "replication", "master_link_status") == "up")
            .then_some(())
    });
    assert_eq!(replica.login("admin").run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
    for server in [&world, &replica] {
        assert_eq!(server.refusals(), Vec::<String>::new());
    }
}
