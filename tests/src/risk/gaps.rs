//! Prices that jump: over a stop, or before there was one.

use super::world::{LIMIT, World};
use crate::support::until;
use serde_json::Value as Json;
use std::time::Duration;
use strat_core::Price;

#[test]
fn a_stop_that_is_crossed_already_exits_at_once() {
    let world = World::start(&[]);
    world.buys("alice", "late", "", "100");
    world.redis.conn().run("STRAT.UPDATE user:alice:strategy:late stop_loss 105").int();
    world.until_field(("alice", "late"), ("position", "EXITED_BY_SL"), "100");
}

#[test]
fn what_a_gap_cost_is_told_from_the_fill_not_from_the_stop() {
    let world = World::start(&[]);
    world.buys("alice", "gap", "stop_loss 95", "100");
    world.until_field(("alice", "gap"), ("position", "EXITED_BY_SL"), "80");
    assert_eq!(
        (world.field("alice", "gap", "stop_loss"), world.field("alice", "gap", "exit_price")),
        ("95".into(), "80".into())
    );
    until("Postgres has the fill", LIMIT, || {
        let (_, risk) = world.asks("GET", "/api/v1/risk?user_id=alice", &Json::Null);
        (risk["user"]["day"]["realised"] == "-200" && risk["user"]["day"]["open"] == "0").then_some(())
    });
}

/// Steps of 1 and 10 %, and little patience.
const PROTECTED: [(&str, &str); 2] = [("STRAT_BROKER_EXIT_PROTECTION", "1,10"), ("STRAT_BROKER_EXIT_REST_MS", "200")];

#[test]
fn a_gap_beyond_the_protection_widens_it_step_by_step() {
    let world = World::start(&PROTECTED);
    world.buys("alice", "gap", "stop_loss 95", "100");
    // The stop is crossed at 94; the market is at 90 before the exit can trade.
    world.tick("IBM", "94");
    until("the exit works", LIMIT, || (world.field("alice", "gap", "working") == "STOPLOSS").then_some(()));
    until("the first attempt has given up", LIMIT, || {
        world.tick("IBM", "90");
        (world.field("alice", "gap", "attempt") == "1").then_some(())
    });
    assert!(world.field("alice", "gap", "error").starts_with("STOPLOSS CANCELED"), "its owner is told");
    world.until_field(("alice", "gap"), ("position", "EXITED_BY_SL"), "90");
    assert_eq!((world.field("alice", "gap", "exit_price"), world.used_up()), ("90".into(), 0));
}

#[test]
fn a_market_that_runs_away_from_every_step_is_an_alarm_and_the_exit_goes_on() {
    let world = World::start(&PROTECTED);
    world.buys("alice", "gap", "stop_loss 95", "100");
    let mut units = 9_400_000_000_i64;
    until("every step was tried", Duration::from_secs(60), || {
        // Each tick leaves the one before behind by more than the widest step, as long as an exit works.
        if world.field("alice", "gap", "working") == "STOPLOSS" || units == 9_400_000_000 {
            world.tick("IBM", &Price::from_units(units).to_string());
            units -= units / 5;
        }
        (world.used_up() > 0).then_some(())
    });
    let last = Price::from_units(units).to_string();
    world.until_field(("alice", "gap"), ("position", "EXITED_BY_SL"), &last);
    assert_eq!(world.field("alice", "gap", "exit_price"), last);
}
