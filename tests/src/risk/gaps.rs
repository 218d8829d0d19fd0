//! Prices that jump: over a stop, or before there was one.

use super::world::{LIMIT, World};
use crate::support::until;
use serde_json::Value as Json;

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
