//! Rows for answers: read once, and new as soon as they have changed.

use super::world::{LIMIT, World};
use crate::servers::Redis;
use crate::support::until;
use std::time::Duration;
use strat_engine::config::Settings;
use strat_engine::link::Link;
use strat_engine::store::{Rows, Store};
use strat_engine::sync::SyncHandle;

/// Another process that reads rows as the engine does.
fn reader(world: &World) -> Rows {
    let store = Store::lazy(&world.postgres.url(), "test").unwrap();
    let link = Link::lazy(&Settings { redis_url: world.redis.url(), ..Settings::default() }).unwrap();
    Rows::new(store, link.own().unwrap()).unwrap()
}

fn set(redis: &Redis, strategy: &str, more: &str) {
    redis.conn().run(&format!("STRAT.SET user:alice:strategy:{strategy} symbol IBM quantity 10 {more}"));
}

#[test]
fn a_row_is_read_once_and_new_as_soon_as_it_was_written() {
    let world = World::start(&[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // One that has nothing in its own memory, and so asks Redis.
    let fresh = || runtime.block_on(async { reader(&world) });
    let stop = |rows: &Rows| {
        let row = runtime.block_on(rows.get("alice", "s")).unwrap();
        row.map(|row| row.text("stop_loss").to_owned())
    };
    assert_eq!(stop(&fresh()), None);
    set(&world.redis, "s", "stop_loss 95");
    // That there is none would be remembered for five seconds, were it not dropped by the engine.
    until("the new row is read", Duration::from_secs(4), || (stop(&fresh()).as_deref() == Some("95")).then_some(()));
    let rows = fresh();
    let before = rows.stats();
    for _ in 0..10 {
        assert_eq!(stop(&rows).as_deref(), Some("95"));
    }
    assert_eq!(rows.stats().computes, before.computes, "Postgres is not asked again");
    let other = fresh();
    assert_eq!((stop(&other).as_deref(), other.stats().redis_hits), (Some("95"), 1), "nor by another process");
    assert_eq!(runtime.block_on(other.of_user("alice")).unwrap().len(), 1);
    world.redis.conn().run("STRAT.UPDATE user:alice:strategy:s stop_loss 96");
    set(&world.redis, "t", "");
    until("what Redis has is dropped", LIMIT, || {
        let fresh = fresh();
        let count = runtime.block_on(fresh.of_user("alice")).unwrap().len();
        (stop(&fresh).as_deref() == Some("96") && count == 2).then_some(())
    });
    assert!(world.count("cache_invalidations_total") >= 2);
    world.redis.conn().run("STRAT.UPDATE user:alice:strategy:s status STOPPED");
    world.redis.conn().run("STRAT.DEL user:alice:strategy:s");
    until("a row that was removed is none", LIMIT, || stop(&fresh()).is_none().then_some(()));
}

/// Calls of a command so far.
fn calls(redis: &Redis, command: &str) -> i64 {
    let text = redis.conn().run("INFO commandstats").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn while_nobody_reads_rows_redis_is_not_written_for_them() {
    let world = World::start(&[]);
    let (looks, drops, told) =
        (calls(&world.redis, "exists"), calls(&world.redis, "unlink"), calls(&world.redis, "publish"));
    for number in 0..50 {
        set(&world.redis, &format!("s{number}"), "");
    }
    until("Postgres has them", LIMIT, || {
        (world.postgres.sql("SELECT count(*) FROM strategies") == ["50"]).then_some(())
    });
    until("the engine has looked whether anybody holds one", LIMIT, || {
        (calls(&world.redis, "exists") > looks).then_some(())
    });
    assert_eq!((calls(&world.redis, "unlink"), calls(&world.redis, "publish")), (drops, told), "and that was all");
    assert_eq!(world.count("cache_invalidations_total"), 0);
}

#[test]
fn an_engine_that_holds_a_row_in_its_memory_hears_of_its_change() {
    let world = World::start(&[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    set(&world.redis, "s", "stop_loss 95");
    until("Postgres has it", LIMIT, || (world.postgres.sql("SELECT count(*) FROM strategies") == ["1"]).then_some(()));
    // Another engine, which does not read the journal.
    let other = runtime.block_on(async { reader(&world) });
    let link = runtime
        .block_on(async { Link::lazy(&Settings { redis_url: world.redis.url(), ..Settings::default() }).unwrap() });
    let silent = SyncHandle::default();
    let keeper =
        runtime.spawn(other.clone().run(link, silent.subscribe(), silent.subscribe_mended(), Default::default()));
    let followers = || world.redis.conn().run("PUBSUB NUMSUB cache:invalidate:strategies").items()[1].int();
    until("both engines listen", LIMIT, || (followers() == 2).then_some(()));
    let stop = || runtime.block_on(other.get("alice", "s")).unwrap().unwrap().text("stop_loss").to_owned();
    let mut expected = 95;
    assert_eq!(stop(), "95");
    for _ in 0..5 {
        // The last word on the change before may come behind the first that was read after it.
        until("it is read from memory", LIMIT, || {
            let before = other.stats().computes;
            (stop() == expected.to_string() && other.stats().computes == before).then_some(())
        });
        expected += 1;
        world.redis.conn().run(&format!("STRAT.UPDATE user:alice:strategy:s stop_loss {expected}"));
        // Its own life in memory is five seconds.
        let changed = std::time::Instant::now();
        until("the change is read", LIMIT, || (stop() == expected.to_string()).then_some(()));
        assert!(changed.elapsed() < Duration::from_secs(4), "{:?}", changed.elapsed());
    }
    keeper.abort();
}
