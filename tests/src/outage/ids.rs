//! A failover gives the id of a queue entry to another order, while the engine works on the first one.

use super::world::{LIMIT, World};
use crate::servers::Redis;
use crate::support::{now_ms, until};
use strat_client::{Config, Connection, discard_own};
use tokio::runtime::Runtime;

#[test]
fn an_entry_with_the_id_of_another_order_is_carried_out_after_a_flush() {
    carried_out_after("FLUSHALL");
}

/// The first order's job goes on as if nothing had been: it is its report that names the other's entry.
#[test]
fn a_report_does_not_take_the_entry_of_another_order_away() {
    carried_out_after("DEL queue:orders");
}

fn carried_out_after(loss: &str) {
    let mut world = World::start(&[]);
    // Nobody trades its symbol yet: its order works at the broker, and its entry stands in the queue.
    let late = world.enter("late", "LATE", 1, "95");
    until("the first order is at the broker", LIMIT, || (world.orders("BUY").len() == 1).then_some(()));
    until("it is reported", LIMIT, || (world.field(&late[0], "working") == "BUY").then_some(()));

    let mut conn = world.redis.conn();
    let id = conn.run("XRANGE queue:orders - +").items()[0].items()[0].text();
    let (other, now) = (world.adopt("other"), now_ms());
    let lines = [
        "MULTI".to_owned(),
        loss.to_owned(),
        format!(
            "HSET {other} user_id other0 id s symbol SLOW side LONG quantity 10 status RUNNING position NONE pending BUY \
             cycle 1 cycle_at {now} version 2 updated_at {now} stop_loss 50"
        ),
        format!("XADD queue:orders {id} key {other} action BUY cycle 1 version 2 price '' ts {now}"),
        "EXEC".to_owned(),
    ];
    let replies: Vec<_> = lines.iter().map(|line| conn.run(line)).collect();
    assert_eq!(replies.last().unwrap().items()[2].text(), id, "{replies:?}");

    until("the order with the same id is at the broker", LIMIT, || (world.orders("BUY").len() == 2).then_some(()));

    // Its report must neither be refused for the entry that is the other's now, nor take that entry away.
    let bought = |symbol: &str, key: &str| {
        until(&format!("{symbol} is bought"), LIMIT, || {
            world.feed.push(symbol, "100");
            (world.field(key, "position") == "BOUGHT").then_some(())
        });
    };
    bought("LATE", &late[0]);
    assert_eq!(conn.run("XLEN queue:orders").int(), 1, "the entry of the order that still works");
    bought("SLOW", &other);
    world.agrees();
    assert_eq!(world.orders("BUY").len(), 2, "each order was sent once");
    world.end();
}

#[test]
fn an_entry_with_the_id_of_another_order_is_not_discarded() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    let id = conn.run("XADD queue:orders * key user:al:strategy:s action BUY cycle 1 version 2").text();
    let config = Config::from_url(&redis.url()).unwrap();
    Runtime::new().unwrap().block_on(async {
        let mut connection = Connection::open(&config).await.unwrap();
        discard_own(&mut connection, "queue:orders", &id, "user:bo:strategy:s").await.unwrap();
        assert_eq!(conn.run("XLEN queue:orders").int(), 1, "another strategy's order");
        discard_own(&mut connection, "queue:orders", &id, "user:al:strategy:s").await.unwrap();
        assert_eq!(conn.run("XLEN queue:orders").int(), 0, "its own");
        discard_own(&mut connection, "queue:orders", &id, "user:al:strategy:s").await.unwrap();
    });
}
