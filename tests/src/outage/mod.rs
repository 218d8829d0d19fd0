//! Stops go on while Redis is away: killed, stopped, flushed, or refusing writes. The exit is at the broker while Redis is
//! still away; once it is back, everything agrees and there was one exit order.

mod ids;
mod lease;
mod metrics;
mod postgres;
mod trails;
mod world;

use crate::resp::Value;
use crate::servers::redis::info_field;
use crate::support::{loudly, now_ms, until};
use std::cell::RefCell;
use std::time::{Duration, Instant};
use world::{LIMIT, World, health};

/// Longest time from the tick to the order at the broker where the loss of Redis shows at once.
const SHARP: Duration = Duration::from_millis(1_500);

/// Takes Redis away, lets a price cross the stops once and come back, waits for the exits, and brings Redis back.
fn outage(world: &mut World, name: &str, away: impl FnOnce(&mut World), back: impl FnOnce(&mut World)) {
    let crossed = world.buy(name, 4, "95");
    let spared = world.buy(&format!("{name}-spared"), 1, "50");
    world.guarded();
    let before = world.orders("SELL").len();
    away(world);
    let started = Instant::now();
    world.feed.push("IBM", "94");
    world.feed.push("IBM", "100");
    until(&format!("{name}: the exits are at the broker while Redis is away"), LIMIT, || {
        (world.orders("SELL").len() >= before + crossed.len()).then_some(())
    });
    let took = started.elapsed();
    loudly(&format!("outage: {name}: {} exits at the broker {} ms after the tick", crossed.len(), took.as_millis()));
    assert!(took < SHARP, "{name}: {took:?}");
    back(world);
    world.ends(&crossed, &["EXITED_BY_SL"]);
    world.agrees();
    assert_eq!(world.field(&spared[0], "position"), "BOUGHT", "{name}: a stop that was not crossed does not fire");
}

#[test]
fn stops_go_on_while_redis_is_dead() {
    let mut world = World::start(&[]);
    outage(&mut world, "killed", |world| world.redis.kill_9(), |world| world.redis.start_again());
    outage(&mut world, "stopped", |world| world.redis.pause(), |world| world.redis.resume());
    assert!(world.engine.log().contains("the engine watches"), "{}", world.engine.log());
    world.end();
}

#[test]
fn stops_go_on_while_redis_refuses_writes() {
    let mut world = World::start(&[]);
    let run = |world: &mut World, lines: &[&str]| {
        let mut conn = world.redis.conn();
        lines.iter().for_each(|line| drop(conn.run(line)));
    };
    outage(
        &mut world,
        "NOREPLICAS",
        |world| run(world, &["CONFIG SET min-replicas-to-write 1"]),
        |world| run(world, &["CONFIG SET min-replicas-to-write 0"]),
    );
    // Nobody is behind that port: it stays as it is, and refuses writes.
    outage(
        &mut world,
        "READONLY",
        |world| run(world, &["REPLICAOF 127.0.0.1 1"]),
        |world| run(world, &["REPLICAOF NO ONE"]),
    );
    let rdb = world.redis.dir().join("dump.rdb");
    outage(
        &mut world,
        "MISCONF",
        |world| {
            // A folder in the place of the file: not even root can save.
            std::fs::create_dir_all(rdb.join("in-the-way")).unwrap();
            let mut conn = world.redis.conn();
            assert!(!conn.call(&["CONFIG", "SET", "save", "3600 1"]).is_error());
            conn.run("CONFIG SET stop-writes-on-bgsave-error yes");
            conn.run("BGSAVE");
            until("saving fails", LIMIT, || {
                (info_field(&mut conn, "persistence", "rdb_last_bgsave_status") == "err").then_some(())
            });
        },
        |world| run(world, &["CONFIG SET stop-writes-on-bgsave-error no"]),
    );
    // Commands that make something bigger are refused; what has to do with a stop is not.
    outage(
        &mut world,
        "OOM",
        |world| {
            let mut conn = world.redis.conn();
            conn.run("CONFIG SET maxmemory 1");
            let refused = conn.raw("STRAT.SET user:o:strategy:s symbol IBM quantity 1");
            assert!(matches!(&refused, Value::Error(text) if text.starts_with("OOM")), "{refused:?}");
        },
        |world| run(world, &["CONFIG SET maxmemory 0"]),
    );
    world.end();
}

#[test]
fn stops_go_on_while_redis_loads_its_data() {
    let mut world = World::start(&[]);
    let loading = RefCell::new(None);
    outage(
        &mut world,
        "LOADING",
        |world| {
            let mut conn = world.redis.conn();
            // At it for longer than the exits may take: a fifth of a second for each key, and a look at the clients after it.
            (0..20).for_each(|n| drop(conn.run(&format!("SET filler:{n} {}", "x".repeat(2_000)))));
            conn.run("CONFIG SET rdbcompression no");
            conn.run("CONFIG SET loading-process-events-interval-bytes 1024");
            conn.run("CONFIG SET key-load-delay 200000");
            *loading.borrow_mut() = Some(std::thread::spawn(move || {
                conn.limit(LIMIT);
                conn.raw("DEBUG RELOAD")
            }));
            let mut asks = world.redis.conn();
            until("it is loading", LIMIT, || asks.raw("GET filler:0").is_error().then_some(()));
        },
        |_| {
            let loading = loading.borrow_mut().take().unwrap();
            assert!(!loading.is_finished(), "it was loading all the time");
            let done = loading.join().unwrap();
            assert!(!done.is_error(), "{done:?}");
        },
    );
    world.redis.conn().run("CONFIG SET key-load-delay 0");
    world.end();
}

#[test]
fn stops_go_on_while_the_disk_is_full() {
    let mut world = World::start(&[]);
    let status = |world: &World| info_field(&mut world.redis.conn(), "persistence", "aof_last_write_status");
    outage(
        &mut world,
        "MISCONF-disk",
        |world| {
            let mut conn = world.redis.conn();
            // With `always` the server would end itself.
            conn.run("CONFIG SET appendfsync everysec");
            world.redis.fill_disk(3);
            // Taken, unless a write of the engine's has failed before.
            drop(conn.try_call(&["SET", "one-more", "write"]));
            until("writing fails", LIMIT, || (status(world) == "err").then_some(()));
            let refused = conn.try_call(&["SET", "another", "write"]).unwrap();
            assert!(matches!(&refused, Value::Error(text) if text.starts_with("MISCONF")), "{refused:?}");
        },
        |world| {
            world.redis.free_disk();
            until("writing works", LIMIT, || (status(world) == "ok").then_some(()));
            world.redis.conn().run("CONFIG SET appendfsync always");
        },
    );
    world.end();
}

#[test]
fn a_stop_crossed_between_a_flush_and_the_reconciliation_is_not_lost() {
    let mut world = World::start(&[]);
    outage(&mut world, "FLUSHALL", |world| drop(world.redis.conn().run("FLUSHALL")), |_| ());
    world.end();
}

#[test]
fn a_stop_crossed_between_a_swap_and_the_reconciliation_is_not_lost() {
    let mut world = World::start(&[]);
    outage(&mut world, "SWAPDB", |world| drop(world.redis.conn().run("SWAPDB 0 1")), |_| ());
    world.end();
}

#[test]
fn a_tick_in_flight_when_redis_dies_fires_once() {
    let mut world = World::start(&[]);
    for (round, head_start_us) in [0, 300, 700, 1_500, 3_000, 8_000].into_iter().enumerate() {
        let crossed = world.buy(&format!("r{round}"), 3, "95");
        world.guarded();
        world.feed.push("IBM", "94");
        world.feed.push("IBM", "100");
        // The moment of the death is what the test is about.
        std::thread::sleep(Duration::from_micros(head_start_us));
        world.redis.kill_9();
        world.redis.start_again();
        world.ends(&crossed, &["EXITED_BY_SL"]);
        world.agrees();
    }
    world.end();
}

#[test]
fn a_time_that_comes_while_redis_is_away_is_kept() {
    let mut world = World::start(&[]);
    let timed = world.buy("timed", 2, "50");
    let mut conn = world.redis.conn();
    let at = now_ms() + 2_500;
    for key in &timed {
        conn.run(&format!("STRAT.UPDATE {key} sell_at {at}"));
    }
    drop(conn);
    world.guarded();
    world.redis.kill_9();
    until("the timed exits are at the broker", LIMIT, || (world.orders("SELL").len() == timed.len()).then_some(()));
    let late = now_ms() - at;
    loudly(&format!("outage: timed exits at the broker {late} ms after their time"));
    assert!((0..1_500).contains(&late), "{late} ms");
    world.redis.start_again();
    world.ends(&timed, &["SOLD"]);
    world.agrees();
    world.end();
}

#[test]
fn what_is_bought_while_redis_is_away_is_guarded_too() {
    let mut world = World::start(&[]);
    // Nobody trades the symbol yet: the order waits at the broker.
    let keys = world.enter("late", "LATE", 2, "95");
    until("the entries are at the broker", LIMIT, || (world.orders("BUY").len() == keys.len()).then_some(()));
    world.redis.kill_9();
    world.feed.push("LATE", "100");
    let started = Instant::now();
    until("the exits are at the broker while Redis is away", LIMIT, || {
        world.feed.push("LATE", "94");
        (world.orders("SELL").len() == keys.len()).then_some(())
    });
    loudly(&format!("outage: bought and stopped out within {} ms", started.elapsed().as_millis()));
    world.feed.push("LATE", "100");
    world.redis.start_again();
    world.ends(&keys, &["EXITED_BY_SL"]);
    world.agrees();
    world.end();
}

#[test]
fn where_the_broker_would_take_an_order_twice_only_one_engine_acts() {
    let mut world = World::pair();
    let crossed = world.buy("pair", 3, "95");
    world.guarded();
    let before = world.orders("SELL").len();
    world.redis.kill_9();
    world.feed.push("IBM", "94");
    world.feed.push("IBM", "100");
    until("the exits are at the broker while Redis is away", LIMIT, || {
        (world.orders("SELL").len() >= before + crossed.len()).then_some(())
    });
    let guards = [health(&world.engine), health(world.other.as_ref().unwrap())].map(|health| health["guard"].clone());
    let mut said: Vec<_> =
        guards.iter().map(|guard| format!("{} {} {}", guard["watching"], guard["exits"], guard["alarms"])).collect();
    said.sort();
    assert_eq!(said, [r#""engine" 3 0"#, r#""nobody" 0 3"#]);
    world.redis.start_again();
    // Whichever engine comes first tells Redis: one knows why it sold, the other only finds that it was sold.
    world.ends(&crossed, &["EXITED_BY_SL", "SOLD"]);
    world.agrees();
    world.end();
}

#[test]
fn a_price_of_0_and_an_unconfirmed_jump_fire_nothing() {
    let mut world = World::start(&[("STRAT_FEED_MAX_JUMP_PERCENT", "20")]);
    let held = world.buy("jump", 1, "95");
    world.feed.push("IBM", "0");
    world.feed.push("IBM", "-1");
    world.feed.push("IBM", "1");
    world.feed.push("IBM", "100");
    world.feed.push("IBM", "rubbish");
    until("the refusals are counted", LIMIT, || {
        let market = &world.health()["market"];
        (market["refused_prices"] == 2 && market["dropped_jumps"] == 1).then_some(())
    });
    assert_eq!((world.field(&held[0], "position").as_str(), world.orders("SELL").len()), ("BOUGHT", 0));
    assert_eq!(info_field(&mut world.redis.conn(), "strat", "strat_fired"), "0");
    world.feed.push("IBM", "70");
    world.feed.push("IBM", "71");
    world.ends(&held, &["EXITED_BY_SL"]);
    world.end();
}

#[test]
fn silence_about_an_open_position_is_told_once_and_so_is_its_end() {
    let mut world = World::start(&[("STRAT_FEED_SILENCE_BY_SYMBOL", "QUIET=1")]);
    let mut events = world.redis.conn();
    events.run("SUBSCRIBE events:quiet0");
    let held = world.buy_symbol("quiet", "QUIET", 1, "50");
    let wait_for = |events: &mut crate::resp::Conn| loop {
        let (_, text) = events.message();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        if event["type"] == "STRATEGY_ERROR" {
            return event;
        }
    };
    let event = wait_for(&mut events);
    assert_eq!(
        (event["strategy_id"].as_str(), event["data"]["symbol"].as_str()),
        (Some("s"), Some("QUIET")),
        "{event}"
    );
    assert!(event["data"]["age_ms"].as_u64().is_some_and(|age| (1_000..5_000).contains(&age)), "{event}");
    let market = world.health()["market"].clone();
    assert_eq!((market["status"].as_str(), market["silent_symbols"][0].as_str()), (Some("unhealthy"), Some("QUIET")));
    world.feed.push("QUIET", "100");
    until("the end of the silence shows", LIMIT, || (world.health()["market"]["silent"] == 0).then_some(()));
    // A second silence is another one.
    assert_eq!(wait_for(&mut events)["data"]["symbol"], "QUIET");
    assert_eq!(world.field(&held[0], "position"), "BOUGHT");
    world.end();
}
