//! A failover gives the id of a queue entry to another order, while the engine works on the first one.

use super::world::{LIMIT, World};
use crate::support::{now_ms, until};

#[test]
fn an_entry_with_the_id_of_another_order_is_carried_out() {
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
        "FLUSHALL".to_owned(),
        format!(
            "HSET {other} user_id other0 id s symbol IBM side LONG quantity 10 status RUNNING position NONE pending BUY \
             cycle 1 cycle_at {now} version 2 updated_at {now} stop_loss 50"
        ),
        format!("XADD queue:orders {id} key {other} action BUY cycle 1 version 2 price '' ts {now}"),
        "EXEC".to_owned(),
    ];
    let replies: Vec<_> = lines.iter().map(|line| conn.run(line)).collect();
    assert_eq!(replies.last().unwrap().items()[2].text(), id, "{replies:?}");

    until("the order with the same id is carried out", LIMIT, || {
        (world.field(&other, "position") == "BOUGHT").then_some(())
    });
    until("the first one as well", LIMIT, || {
        world.feed.push("LATE", "100");
        (world.field(&late[0], "position") == "BOUGHT").then_some(())
    });
    world.agrees();
    assert_eq!(world.orders("BUY").len(), 2, "each order was sent once");
    world.end();
}
