//! The engine's own limits of calls to the broker.

use super::world::{LIMIT, World};
use crate::servers::engine;
use crate::support::now_ms;
use crate::support::until;
use std::time::{Duration, Instant};

fn enter(world: &World, user: &str, count: usize) {
    let mut conn = world.redis.conn();
    let at = now_ms();
    for number in 0..count {
        let key = format!("user:{user}:strategy:s{number}");
        conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 buy_at {at} stop_loss 95"));
    }
}

/// Whose entries the broker has accepted.
fn wait_for_orders(world: &mut World, side: &str, user: &str, count: usize) {
    until(&format!("{count} orders to {side} of {user}"), LIMIT, || {
        world.tick("IBM", if side == "BUY" { "100" } else { "94" });
        (world.orders(side).iter().filter(|owner| *owner == user).count() >= count).then_some(())
    });
}

#[test]
fn entries_stop_at_the_limit_and_exits_go_on() {
    let mut world = World::start(&[("STRAT_BROKER_CALLS_PER_MINUTE", "6"), ("STRAT_BROKER_EXIT_SHARE", "50")]);
    enter(&world, "alice", 6);
    wait_for_orders(&mut world, "BUY", "alice", 1);
    until("the others wait", LIMIT, || (world.count("strat_entries_put_off_total") >= 3).then_some(()));
    // Another account has limits of its own, and is not held up by those that wait.
    enter(&world, "bob", 1);
    wait_for_orders(&mut world, "BUY", "bob", 1);
    // More exits than there is room for.
    let mut conn = world.redis.conn();
    for number in 0..8 {
        let key = format!("user:alice:strategy:held{number}");
        conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 position BOUGHT entry_price 100 stop_loss 95"));
    }
    let before = Instant::now();
    wait_for_orders(&mut world, "SELL", "alice", 8);
    assert!(before.elapsed() < Duration::from_secs(10), "no exit waits for room that is a minute away");
    let entries = world.orders("BUY").iter().filter(|user| *user == "alice").count();
    assert!(entries <= 3, "{entries} entries: no more than their share");
    let over = world.count("strat_exit_calls_over_limit_total");
    assert!(over >= 3, "{over} of eight exits and an entry or more, six calls a minute");
    assert_eq!(world.count("strat_lock_refusals_total{reason=\"trouble\"}"), 0, "what waits asks for no lock");
}

#[test]
fn entries_that_wait_for_a_second_follow() {
    let mut world = World::start(&[("STRAT_BROKER_CALLS_PER_SECOND", "4"), ("STRAT_BROKER_EXIT_SHARE", "0")]);
    let began = Instant::now();
    enter(&world, "alice", 12);
    wait_for_orders(&mut world, "BUY", "alice", 12);
    assert!(began.elapsed() >= Duration::from_secs(2), "four a second: {:?}", began.elapsed());
    assert!(world.count("strat_entries_put_off_total") >= 8);
}

#[test]
fn an_account_at_its_limit_takes_no_room_from_the_others() {
    // Room for sixteen entries at a time.
    let settings =
        [("STRAT_BROKER_CALLS_PER_MINUTE", "6"), ("STRAT_BROKER_EXIT_SHARE", "50"), ("STRAT_ENGINE_CONCURRENCY", "2")];
    let mut world = World::start(&settings);
    enter(&world, "alice", 60);
    until("more wait than there is room for", LIMIT, || {
        world.tick("IBM", "100");
        (world.count("strat_entries_put_off_total") > 40).then_some(())
    });
    let before = Instant::now();
    enter(&world, "bob", 1);
    wait_for_orders(&mut world, "BUY", "bob", 1);
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

#[test]
fn limits_that_no_entry_fits_are_refused_at_the_start() {
    let mut world = World::start(&[]);
    world.engine.terminate();
    let env = [
        ("REDIS_URL", world.redis.url()),
        ("DATABASE_URL", world.postgres.url()),
        ("STRAT_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("STRAT_BROKER_KIND", "bridge".to_owned()),
        ("STRAT_BROKER_CALLS_PER_SECOND", "2".to_owned()),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let ended = engine::run(&["run"], &env, LIMIT);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("leave no room for entries"), "{said}");
}
