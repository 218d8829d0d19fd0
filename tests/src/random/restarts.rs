//! What may happen to a server after the random commands: restarts from RDB and AOF, replication,
//! promotion, and a server that does not know the module.

use super::actions::Actor;
use super::checkpoint;
use crate::dump::{Dump, difference, dump};
use crate::resp::Conn;
use crate::rng::Rng;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SEED: &str = "STRAT_RANDOM_SEED";
const LIMIT: Duration = Duration::from_secs(30);
/// Commands between two checkpoints.
const ACTIONS: usize = 4_000;

fn check_same(before: &Dump, after: &Dump, what: &str) {
    assert!(before == after, "{what}:\n{}", difference(before, after));
    assert!(before.len() > 20, "{what}: only {} keys to compare", before.len());
}

/// With the module, so few triggers per call that storms are drained in slices, and a journal that is trimmed.
fn options() -> Options {
    Options::new().config("strat.max-fired-per-call 2").config("strat.journal-maxlen 1000")
}

fn act(rng: &mut Rng, conn: Conn) {
    Actor::new(rng, conn, true).act(ACTIONS);
}

/// As [`act`], on a server that others or an append-only file follow.
fn act_followed(rng: &mut Rng, conn: Conn) {
    Actor::new(rng, conn, false).act(ACTIONS);
}

/// Some strategies that exist for sure: a FLUSHALL may have been the last command.
fn refill(redis: &Redis) {
    let mut conn = redis.conn();
    for number in 0..25 {
        conn.raw(&format!("STRAT.SET user:keep:strategy:{number} symbol IBM quantity 5 position BOUGHT stop_loss 90"));
    }
}

/// The data files of a server in a server without the module.
fn load_without_module(redis: &Redis, options: Options, before: &Dump) {
    let plain = Redis::with(options.config("dbfilename other.rdb"));
    drop(plain.conn());
    let mut plain = plain;
    plain.shutdown("NOSAVE");
    copy_data(redis.dir(), plain.dir());
    plain.start_again();
    check_same(before, &dump(&mut plain.conn()), "in a server without the module");
}

fn copy_data(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to.join("appendonlydir"));
    for name in ["dump.rdb", "appendonlydir"] {
        let source = from.join(name);
        if source.exists() {
            let target = if name == "dump.rdb" { to.join("other.rdb") } else { to.join(name) };
            let copied = Command::new("cp").arg("-a").arg(source).arg(target).status().unwrap();
            assert!(copied.success());
        }
    }
}

#[test]
fn random_commands_survive_a_restart_from_rdb() {
    let mut rng = Rng::from_env(SEED);
    let mut redis = Redis::with(options());
    for round in 0..3 {
        act(&mut rng, redis.conn());
        refill(&redis);
        checkpoint(&mut redis.conn(), &format!("round {round}, live"));
        let before = dump(&mut redis.conn());
        redis.shutdown("SAVE");
        load_without_module(&redis, Options::plain(), &before);
        redis.start_again();
        checkpoint(&mut redis.conn(), &format!("round {round}, after the restart"));
        check_same(&before, &dump(&mut redis.conn()), "after a restart from RDB");
    }
}

#[test]
fn random_commands_survive_a_kill_with_an_append_only_file() {
    let mut rng = Rng::from_env(SEED);
    let mut redis = Redis::with(options().durable());
    for round in 0..3 {
        act_followed(&mut rng, redis.conn());
        refill(&redis);
        checkpoint(&mut redis.conn(), &format!("round {round}, live"));
        if round > 0 {
            // The rewritten file, with what came after it.
            redis.conn().run("BGREWRITEAOF");
            act_followed(&mut rng, redis.conn());
            refill(&redis);
            until("the rewrite ends", LIMIT, || {
                let idle = |field| redis.info("persistence", field) == "0";
                (idle("aof_rewrite_in_progress") && idle("aof_rewrite_scheduled")).then_some(())
            });
            checkpoint(&mut redis.conn(), &format!("round {round}, after the rewrite"));
        }
        let before = dump(&mut redis.conn());
        redis.kill_9();
        load_without_module(&redis, Options::plain().durable(), &before);
        redis.start_again();
        checkpoint(&mut redis.conn(), &format!("round {round}, after kill -9"));
        check_same(&before, &dump(&mut redis.conn()), "after kill -9 with appendfsync always");
    }
}

pub(super) fn follow(replica: &Redis, primary: &Redis) {
    replica.conn().run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    until("the replica is linked", LIMIT, || (replica.info("replication", "master_link_status") == "up").then_some(()));
}

/// Waits until the replica has everything that the primary has sent.
pub(super) fn catch_up(replica: &Redis, primary: &Redis) {
    until("the replica has caught up", LIMIT, || {
        let sent = primary.info("replication", "master_repl_offset");
        let got = replica.info("replication", "slave_repl_offset");
        let linked = replica.info("replication", "master_link_status") == "up";
        (linked && sent == got).then_some(())
    });
}

fn check_replica(replica: &Redis, primary: &Redis, what: &str) {
    catch_up(replica, primary);
    checkpoint(&mut replica.conn(), what);
    check_same(&dump(&mut primary.conn()), &dump(&mut replica.conn()), what);
}

#[test]
fn random_commands_reach_replicas_and_survive_a_promotion() {
    let mut rng = Rng::from_env(SEED);
    let (primary, replica) = (Redis::with(options().tcp()), Redis::with(options().tcp()));
    act(&mut rng, replica.conn());
    follow(&replica, &primary);
    let (mut primary, mut replica) = (primary, replica);
    for round in 0..2 {
        act_followed(&mut rng, primary.conn());
        refill(&primary);
        checkpoint(&mut primary.conn(), &format!("round {round}, primary"));
        check_replica(&replica, &primary, &format!("round {round}, live replica"));

        let late = Redis::with(options().config(["repl-diskless-load disabled", "repl-diskless-load swapdb"][round]));
        refill(&late);
        follow(&late, &primary);
        check_replica(&late, &primary, &format!("round {round}, full resync"));

        // Promoted in the middle of things; the old primary follows it then.
        let epoch = replica.conn().run("STRAT.EPOCH").text();
        replica.conn().run("REPLICAOF NO ONE");
        assert_ne!(replica.conn().run("STRAT.EPOCH").text(), epoch, "promotion makes a new epoch");
        checkpoint(&mut replica.conn(), &format!("round {round}, promoted"));
        act_followed(&mut rng, replica.conn());
        refill(&replica);
        checkpoint(&mut replica.conn(), &format!("round {round}, promoted, after writes"));
        follow(&primary, &replica);
        check_replica(&primary, &replica, &format!("round {round}, the old primary as a replica"));
        std::mem::swap(&mut primary, &mut replica);
    }
}

#[test]
fn hashes_changed_while_the_module_was_away_are_right_when_it_is_back() {
    let mut rng = Rng::from_env(SEED);
    let mut redis = Redis::with(options());
    act(&mut rng, redis.conn());
    refill(&redis);
    checkpoint(&mut redis.conn(), "with the module");
    redis.shutdown("SAVE");
    redis.set_options(Options::plain());
    redis.start_again();
    let mut conn = redis.conn();
    for number in 0..10 {
        conn.run(&format!("HSET user:keep:strategy:{number} status STOPPED"));
        conn.run(&format!("DEL user:keep:strategy:{}", number + 10));
        conn.run(&format!("HSET user:keep:strategy:{} symbol AIG quantity 1", number + 100));
    }
    conn.run("SREM active_strategies keep:20");
    conn.run("SADD symbol:IBM:strategies nobody:1");
    drop(conn);
    redis.shutdown("SAVE");
    redis.set_options(options());
    redis.start_again();
    checkpoint(&mut redis.conn(), "with the module again");
}
