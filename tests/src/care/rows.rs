//! Rows for answers: read once, and new as soon as they have changed.

use super::world::{LIMIT, World};
use crate::servers::Redis;
use crate::support::until;
use std::time::Duration;
use strat_engine::config::Settings;
use strat_engine::link::Link;
use strat_engine::store::{Rows, Store};

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
