//! Strategies that begin again, and positions that are squared off before the broker does it.

use super::world::{LIMIT, World};
use crate::support::{now_ms, until};

const DAY_MS: i64 = 86_400_000;
const SECOND_MS: i64 = 1_000;

/// Time of day by UTC, `HH:MM:SS`.
fn clock(at_ms: i64) -> String {
    let seconds = at_ms.rem_euclid(DAY_MS) / SECOND_MS;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn number(world: &World, id: &str, field: &str) -> i64 {
    world.field("alice", id, field).parse().unwrap_or_default()
}

#[test]
fn a_strategy_that_repeats_waits_for_tomorrow_once_it_is_over() {
    let mut world = World::start(&[]);
    // A moment from which there is room before midnight: with less, the exit would be of the next day.
    let start = until("it is not midnight", LIMIT * 4, || Some(now_ms()).filter(|now| now % DAY_MS < DAY_MS - 60_000));
    let (buy, sell) = (start / SECOND_MS * SECOND_MS + 2_000, start / SECOND_MS * SECOND_MS + 50_000);
    let times = format!("buy_time {} sell_time {}", clock(buy), clock(sell));
    let set = format!("STRAT.SET user:alice:strategy:daily symbol IBM quantity 10 stop_loss 90 repeat daily {times}");
    world.redis.conn().run(&set).int();
    world.until_field(("alice", "daily"), ("position", "BOUGHT"), "100");
    assert_eq!((number(&world, "daily", "buy_at"), number(&world, "daily", "sell_at")), (buy, sell));
    // Stopped out within the grace of its own entry time: not again today.
    until("it waits for tomorrow", LIMIT, || {
        world.tick("IBM", "89");
        (number(&world, "daily", "buy_at") == buy + DAY_MS).then_some(())
    });
    let is = |world: &World| ["status", "position", "cycle"].map(|field| world.field("alice", "daily", field));
    assert_eq!(is(&world), ["RUNNING", "NONE", "1"]);
    assert_eq!(number(&world, "daily", "sell_at"), sell + DAY_MS);
    world.restart();
    world.until_price("100");
    assert_eq!(is(&world), ["RUNNING", "NONE", "1"]);
    assert_eq!(number(&world, "daily", "buy_at"), buy + DAY_MS, "a restart changes nothing");
    // One that is stopped stays stopped.
    world.redis.conn().run("STRAT.UPDATE user:alice:strategy:daily status STOPPED").int();
    world.restart();
    assert_eq!(is(&world), ["STOPPED", "NONE", "1"]);
}

#[test]
fn one_that_completed_while_no_engine_ran_begins_again_too() {
    let mut world = World::start(&[]);
    world.engine.kill_9();
    let set = "STRAT.SET user:alice:strategy:daily symbol IBM quantity 10 buy_time 00:00:00 repeat daily status COMPLETED position SOLD cycle 4";
    world.redis.conn().run(set).int();
    world.restart();
    until("it waits for tomorrow", LIMIT, || {
        world.tick("IBM", "100");
        (number(&world, "daily", "buy_at") > now_ms() && world.field("alice", "daily", "status") == "RUNNING")
            .then_some(())
    });
    assert_eq!(world.field("alice", "daily", "position"), "NONE");
}

#[test]
fn what_is_held_is_squared_off_at_its_calendars_time() {
    let at = now_ms() / SECOND_MS * SECOND_MS + 15_000;
    let square_off = format!("24x7={}", clock(at));
    let world = World::start(&[("STRAT_SCHEDULE_SQUARE_OFF", &square_off)]);
    // It names no exit; its calendar has one.
    world.enter("alice", "held", "");
    world.until_field(("alice", "held"), ("position", "SOLD"), "100");
    assert_eq!(clock(number(&world, "held", "sell_at")), clock(at));
    assert!(now_ms() >= at, "not before its time");
    assert_eq!(world.field("alice", "held", "last_action"), "SELL");
}
