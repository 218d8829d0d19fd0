//! Two engines and a broker that would take an order twice: one trades at a time, whatever becomes of its connections to
//! Postgres, and the other takes over.

use super::world::{LIMIT, World, health};
use crate::servers::Engine;
use crate::support::{loudly, until};
use std::time::{Duration, Instant};

/// Postgres keeps others out for so long after the last renewal.
const LIFE: Duration = Duration::from_secs(10);
/// And its holder counts on it for so long.
const KEPT: Duration = Duration::from_secs(8);
/// The longest that a takeover takes after that: a look each second, and what was sent last must show at the broker.
const TAKEOVER: Duration = Duration::from_secs(4);

fn trades(engine: &Engine) -> bool {
    engine.log().contains("this engine trades")
}

fn watches(engine: &Engine) -> bool {
    health(engine)["guard"]["watching"] == "engine"
}

/// Ends sessions in Postgres; answers how many.
fn end_sessions(world: &World, of: &str) -> String {
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity";
    world.postgres.sql(&format!("{ended} WHERE application_name = 'strat-engine' AND {of}")).remove(0)
}

fn row(world: &World, column: &str) -> String {
    world.postgres.sql(&format!("SELECT {column} FROM leases WHERE name = 'trade'")).remove(0)
}

#[test]
fn a_holder_whose_sessions_break_keeps_its_right_and_nobody_else_gets_it() {
    let mut world = World::pair();
    let crossed = world.buy("broken", 2, "95");
    world.guarded();
    let holder = row(&world, "owner");
    for _ in 0..3 {
        let renewed = row(&world, "expires_at");
        assert_ne!(end_sessions(&world, "true"), "0");
        until("it is renewed in a new session", LIMIT, || (row(&world, "expires_at") > renewed).then_some(()));
    }
    assert_eq!(row(&world, "owner"), holder);
    let both = [trades(&world.engine), trades(world.other.as_ref().unwrap())];
    assert_eq!(both.iter().filter(|trades| **trades).count(), 1);
    world.feed.push("IBM", "94");
    world.ends(&crossed, &["EXITED_BY_SL", "SOLD"]);
    world.agrees();
    world.end();
}

#[test]
fn one_who_is_cut_off_from_postgres_stops_before_the_other_begins() {
    let mut world = World::pair_apart();
    let crossed = world.buy("apart", 2, "95");
    world.guarded();
    assert!(trades(&world.engine));
    world.redis.kill_9();
    until("the holder watches", LIMIT, || watches(&world.engine).then_some(()));
    world.postgres.sql("ALTER ROLE apart NOLOGIN");
    assert_ne!(end_sessions(&world, "usename = 'apart'"), "0");
    let cut = Instant::now();
    world.feed.push("IBM", "94");
    world.feed.push("IBM", "100");
    let other = world.other.as_ref().unwrap();
    let mut alone = cut;
    until("the other watches", LIMIT, || {
        // In this order: who acts now and acted before the other was asked did so together with it.
        let begun = watches(other);
        let still = watches(&world.engine);
        assert!(!(begun && still), "both act");
        if still {
            alone = Instant::now();
        }
        begun.then_some(())
    });
    loudly(&format!(
        "lease: cut off, the holder acted for {} ms more, the other from {} ms",
        (alone - cut).as_millis(),
        cut.elapsed().as_millis()
    ));
    assert!(alone > cut, "it goes on without Postgres for a while");
    assert!(cut.elapsed() >= KEPT, "the holder may act for so long after its last renewal");
    world.postgres.sql("ALTER ROLE apart LOGIN");
    world.redis.start_again();
    world.ends(&crossed, &["EXITED_BY_SL", "SOLD"]);
    world.agrees();
    world.end();
}

#[test]
fn the_other_trades_soon_after_the_holder_is_killed_and_at_once_after_it_is_stopped() {
    let mut world = World::pair_apart();
    let killed = world.buy("killed", 2, "95");
    let stopped = world.buy("stopped", 2, "90");
    world.guarded();
    assert!(trades(&world.engine) && !trades(world.other.as_ref().unwrap()));
    world.engine.kill_9();
    let began = Instant::now();
    world.feed.push("IBM", "94");
    world.feed.push("IBM", "100");
    world.ends(&killed, &["EXITED_BY_SL"]);
    loudly(&format!("lease: {} ms from kill -9 of the holder to the other's exits", began.elapsed().as_millis()));
    assert!(began.elapsed() < LIFE + TAKEOVER, "{:?}", began.elapsed());
    world.engine.start_again();
    world.engine.wait_healthy();
    until("the first stands by", LIMIT, || world.engine.log().contains("another engine trades").then_some(()));
    assert_eq!(world.other.as_mut().unwrap().terminate(), Some(0));
    let began = Instant::now();
    world.feed.push("IBM", "89");
    world.feed.push("IBM", "100");
    world.ends(&stopped, &["EXITED_BY_SL"]);
    loudly(&format!("lease: {} ms from the holder's clean end to the other's exits", began.elapsed().as_millis()));
    assert!(began.elapsed() < TAKEOVER, "{:?}", began.elapsed());
    world.other = None;
    world.agrees();
    world.end();
}
