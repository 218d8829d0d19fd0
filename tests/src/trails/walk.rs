//! Random prices, entries and changes, next to stops that keep their own best price; restarts of every kind in between.

use super::{KEY, LIMIT, field, verify};
use crate::resp::Conn;
use crate::rng::Rng;
use crate::servers::paths;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::collections::BTreeMap;

const STOPS: usize = 40;
/// Steps between two restarts.
const STEPS: usize = 400;

/// Prices in cents; the distance in cents, or in hundredths of a percent.
struct Naive {
    long: bool,
    distance: i64,
    percent: bool,
    best: i64,
}

impl Naive {
    fn trail(&self) -> String {
        let text = cents(self.distance);
        if self.percent { format!("{text}%") } else { text }
    }

    /// In units of 10⁻⁸.
    fn level(&self) -> i64 {
        let best = self.best * 1_000_000;
        // 100 % is 10,000 hundredths.
        let away = if self.percent { (best * self.distance + 9_999) / 10_000 } else { self.distance * 1_000_000 };
        if self.long { best - away } else { best + away }
    }

    fn tick(&mut self, price: i64) -> bool {
        self.best = if self.long { self.best.max(price) } else { self.best.min(price) };
        let at = price * 1_000_000;
        if self.long { at <= self.level() } else { at >= self.level() }
    }
}

fn cents(price: i64) -> String {
    format!("{}.{:02}", price / 100, price % 100)
}

struct Walk {
    rng: Rng,
    price: i64,
    stops: BTreeMap<usize, Naive>,
    fired: usize,
    moved: usize,
}

impl Walk {
    fn step(&mut self, conn: &mut Conn) {
        let number = self.rng.below(STOPS);
        let key = format!("user:u:strategy:{number}");
        match self.rng.below(10) {
            0 | 1 if !self.stops.contains_key(&number) => self.enter(conn, number, &key),
            2 => {
                if let Some(stop) = self.stops.get_mut(&number) {
                    stop.distance = self.rng.between(1, 300);
                    conn.run(&format!("STRAT.UPDATE {key} trail {}", stop.trail()));
                    // A tighter distance may put the stop beyond the price: the next tick shows.
                }
            }
            3 if self.rng.chance(20) => {
                conn.run(&format!("STRAT.DEL {key}"));
                self.stops.remove(&number);
            }
            _ => self.tick(conn),
        }
    }

    fn enter(&mut self, conn: &mut Conn, number: usize, key: &str) {
        let rng = &mut self.rng;
        let stop = Naive {
            long: rng.chance(60),
            percent: rng.chance(40),
            distance: rng.between(1, 300),
            best: self.price + rng.between(-50, 50),
        };
        let (side, position) = if stop.long { ("LONG", "BOUGHT") } else { ("SHORT", "SHORTED") };
        let (trail, best) = (stop.trail(), cents(stop.best));
        conn.run(&format!("DEL {key}"));
        conn.run(&format!(
            "STRAT.SET {key} symbol IBM quantity 1 side {side} position {position} entry_price {best} trail {trail}"
        ));
        self.stops.insert(number, stop);
    }

    fn tick(&mut self, conn: &mut Conn) {
        // Trends, so that there are new highs and lows.
        let drift = if self.moved % 60 < 30 { 6 } else { -6 };
        self.price += self.rng.between(-30, 30) + drift;
        self.moved += 1;
        let expected = self.stops.iter_mut().filter_map(|(number, stop)| stop.tick(self.price).then_some(*number));
        let expected = expected.collect::<Vec<_>>();
        let fired = conn.run(&format!("STRAT.SLCHECK IBM {}", cents(self.price))).int();
        for number in &expected {
            let pending = field(conn, &format!("user:u:strategy:{number}"), "pending");
            assert_eq!(pending, "STOPLOSS", "{number} at {}", cents(self.price));
            self.stops.remove(number);
        }
        assert_eq!(fired as usize, expected.len(), "{expected:?} at {}", cents(self.price));
        self.fired += expected.len();
    }

    fn run(&mut self, conn: &mut Conn) {
        for _ in 0..STEPS {
            self.step(conn);
        }
        verify(conn);
    }
}

fn walk() -> Walk {
    Walk { rng: Rng::from_env("STRAT_TRAILS_SEED"), price: 10_000, stops: BTreeMap::new(), fired: 0, moved: 0 }
}

fn follow(replica: &Redis, primary: &Redis) {
    replica.conn().run(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    until("the replica follows", LIMIT, || (replica.info("replication", "master_link_status") == "up").then_some(()));
}

fn options() -> Options {
    Options::new().config("enable-module-command local").config("enable-debug-command local")
}

#[test]
fn stops_are_where_their_own_ticks_brought_them_after_restarts_from_an_rdb() {
    let mut walk = walk();
    let mut redis = Redis::with(options());
    for _ in 0..3 {
        walk.run(&mut redis.conn());
        redis.shutdown("SAVE");
        redis.start_again();
        verify(&mut redis.conn());
    }
    walk.run(&mut redis.conn());
    assert!(walk.fired > 20, "only {} stops fired", walk.fired);
}

#[test]
fn stops_are_where_their_own_ticks_brought_them_whatever_restarts_in_between() {
    let mut walk = walk();
    let mut redis = Redis::with(options().durable());
    walk.run(&mut redis.conn());
    redis.kill_9();
    redis.start_again();
    verify(&mut redis.conn());
    walk.run(&mut redis.conn());
    redis.conn().run("BGREWRITEAOF");
    until("the AOF is rewritten", LIMIT, || {
        (redis.info("persistence", "aof_rewrite_in_progress") == "0").then_some(())
    });
    walk.run(&mut redis.conn());
    redis.shutdown("SAVE");
    redis.start_again();
    verify(&mut redis.conn());
    walk.run(&mut redis.conn());
    let mut conn = redis.conn();
    conn.run("MODULE UNLOAD strat");
    conn.run(&format!("MODULE LOAD {}", paths::module().display()));
    verify(&mut conn);
    walk.run(&mut conn);
    conn.run("DEBUG RELOAD");
    verify(&mut conn);
    walk.run(&mut conn);
    assert!(walk.fired > 50, "only {} stops fired", walk.fired);
}

#[test]
fn stops_are_where_their_own_ticks_brought_them_after_a_promotion() {
    let mut walk = walk();
    let redis = [(); 2].map(|()| Redis::with(Options::new().tcp()));
    let (mut primary, mut replica) = (&redis[0], &redis[1]);
    follow(replica, primary);
    for round in 0..4 {
        walk.run(&mut primary.conn());
        let sent = || primary.info("replication", "master_repl_offset");
        until("the replica has everything", LIMIT, || {
            (replica.info("replication", "slave_repl_offset") == sent()).then_some(())
        });
        if round % 2 == 1 {
            verify(&mut replica.conn());
        }
        replica.conn().run("REPLICAOF NO ONE");
        verify(&mut replica.conn());
        follow(primary, replica);
        (primary, replica) = (replica, primary);
    }
    walk.run(&mut primary.conn());
    assert!(walk.fired > 50, "only {} stops fired", walk.fired);
    let mut conn = primary.conn();
    conn.run(&format!("STRAT.SET {KEY} symbol IBM quantity 1"));
    for number in 0..STOPS {
        conn.run(&format!("DEL user:u:strategy:{number}"));
    }
    until("nobody follows", LIMIT, || (conn.run("EXISTS trail:IBM").int() == 0).then_some(()));
    verify(&mut conn);
}
