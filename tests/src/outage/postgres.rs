//! Postgres is away: exits go on, entries wait, and the journal keeps everything until it is back.

use super::world::{LIMIT, World};
use crate::support::until;

#[test]
fn while_postgres_is_away_exits_go_on_entries_wait_and_nothing_is_lost() {
    let mut world = World::start(&[]);
    let crossed = world.buy("held", 3, "95");
    world.guarded();
    world.postgres.kill_9();
    until("the engine has noticed", LIMIT, || (!world.is_healthy()).then_some(()));

    let waiting = world.enter("waits", "IBM", 2, "50");
    let queued = |world: &World| world.redis.conn().run("XLEN queue:orders").int();
    until("the entries are queued", LIMIT, || (queued(&world) == waiting.len() as i64).then_some(()));
    world.feed.push("IBM", "94");
    world.feed.push("IBM", "100");
    world.ends(&crossed, &["EXITED_BY_SL"]);
    // By its key: those that were bought before may have waited a moment for Postgres as well.
    let says_why = |line: &str| line.contains(&waiting[0]) && line.contains("Postgres has not heard of it");
    until("an entry says why it waits", LIMIT, || world.engine.log().lines().any(says_why).then_some(()));
    assert_eq!((queued(&world), world.orders("BUY").len()), (2, crossed.len()), "no entry goes out");

    world.postgres.start_again();
    let bought = |key: &String| world.field(key, "position") == "BOUGHT";
    until("the entries go out", LIMIT, || waiting.iter().all(bought).then_some(()));
    world.agrees();
    // What happened meanwhile is in the histories, and each order once.
    let orders = world.postgres.sql("SELECT leg, count(*) FROM orders WHERE status = 'FILL' GROUP BY leg ORDER BY leg");
    assert_eq!(orders, ["ENTRY|5", "EXIT|3"]);
    let fired = world.postgres.sql("SELECT count(*) FROM strategy_events WHERE type = 'SL_TRIGGERED'");
    assert_eq!(fired, ["3"]);
    world.end();
}
