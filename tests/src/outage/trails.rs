//! Trailing stops go on while Redis is away, and Redis is told afterwards what it has missed.

use super::world::{LIMIT, World};
use crate::support::until;

impl World {
    /// Longs at 100 with a stop 5 behind the best price.
    fn trailing(&mut self, name: &str, count: usize) -> Vec<String> {
        let keys = self.buy_symbol(name, "AIG", count, "10");
        let mut conn = self.redis.conn();
        keys.iter().for_each(|key| drop(conn.run(&format!("STRAT.UPDATE {key} trail 5"))));
        self.guarded();
        keys
    }

    /// Waits until Redis has taken a price as the best.
    fn best_is(&self, price: &str) {
        let mut conn = self.redis.conn();
        until(&format!("trailing stops follow {price}"), LIMIT, || {
            let followed = conn.raw("HVALS trail:AIG");
            (!followed.is_error() && followed.texts().iter().any(|value| value.starts_with(&format!("{price} "))))
                .then_some(())
        });
    }

    fn exits_are_sent(&self, count: usize) {
        until("the exits are at the broker", LIMIT, || (self.orders("SELL").len() >= count).then_some(()));
        // A price that fills them.
        self.feed.push("AIG", "114");
    }

    /// Everything has ended by its stop, and nothing is amiss.
    fn ends_stopped(&mut self, keys: &[String]) {
        self.ends(keys, &["EXITED_BY_SL"]);
        self.agrees();
        self.end();
    }
}

/// A world whose trailing stops follow 120.
fn risen(name: &str) -> (World, Vec<String>) {
    let mut world = World::start(&[]);
    let keys = world.trailing(name, 3);
    world.feed.push("AIG", "120");
    world.best_is("120");
    (world, keys)
}

#[test]
fn a_trailing_stop_goes_on_from_the_best_price_while_redis_is_dead() {
    let (mut world, keys) = risen("best");
    world.redis.kill_9();
    // The best price goes on as well; what falls 5 behind it fires.
    for price in ["124", "119.01", "119", "130"] {
        world.feed.push("AIG", price);
    }
    world.exits_are_sent(keys.len());
    world.redis.start_again();
    world.ends_stopped(&keys);
}

#[test]
fn an_engine_that_has_just_started_learns_what_is_followed() {
    let (mut world, keys) = risen("new");
    world.engine.kill_9();
    world.engine.start_again();
    world.engine.wait_healthy();
    world.guarded();
    world.redis.kill_9();
    world.feed.push("AIG", "115");
    world.exits_are_sent(keys.len());
    world.redis.start_again();
    world.ends_stopped(&keys);
}

#[test]
fn a_redis_that_lost_everything_is_told_what_was_followed() {
    let (mut world, keys) = risen("lost");
    // Postgres has it all: what only the journal held would be lost.
    world.agrees();
    world.redis.conn().run("FLUSHALL");
    world.best_is("120");
    world.agrees();
    assert_eq!(world.orders("SELL").len(), 0, "{}", world.log_tail());
    let mut conn = world.redis.conn();
    world.feed.push("AIG", "115.01");
    until("the price has come", LIMIT, || (conn.run("GETRANGE price:AIG 0 -1").text() == "115.01").then_some(()));
    assert_eq!(world.orders("SELL").len(), 0);
    world.feed.push("AIG", "115");
    world.exits_are_sent(keys.len());
    world.ends_stopped(&keys);
}

#[test]
fn a_path_that_redis_has_not_taken_is_followed_in_its_order() {
    let mut world = World::start(&[]);
    let keys = world.trailing("order", 3);
    world.redis.pause();
    // Never 5 behind the best so far, though the last is 8 above the lowest.
    for price in ["100", "98", "101", "106"] {
        world.feed.push("AIG", price);
    }
    until("the engine watches", LIMIT, || (world.health()["guard"]["watching"] == "engine").then_some(()));
    world.feed.push("AIG", "110");
    world.feed.push("AIG", "107");
    world.redis.resume();
    world.engine.wait_healthy();
    world.best_is("110");
    world.agrees();
    assert_eq!(world.orders("SELL").len(), 0, "{}", world.log_tail());
    world.feed.push("AIG", "105");
    world.exits_are_sent(keys.len());
    world.ends_stopped(&keys);
}
