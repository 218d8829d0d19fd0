//! Random levels, random ticks: what fires is exactly what each strategy would see with its own eyes, through kills,
//! restarts, promotions and storms in slices.

use super::restarts::{catch_up, follow};
use crate::resp::Conn;
use crate::rng::Rng;
use crate::servers::{Options, Redis};
use crate::support::until;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STRATEGIES: usize = 400;
const TICKS: usize = 1_500;
const SYMBOLS: &[&str] = &["IBM", "AIG", "{t}IBM"];
/// Ticks between two upsets.
const UPSET_EVERY: usize = 60;
const LIMIT: Duration = Duration::from_secs(20);

/// How far a stop stays behind the best price.
#[derive(Clone, Copy)]
enum Trail {
    /// In hundredths.
    Absolute(i64),
    /// In hundredths of a percent.
    Percent(i64),
}

/// What the model knows of a strategy; prices in hundredths.
struct Held {
    symbol: &'static str,
    long: bool,
    stop: Option<i64>,
    target: Option<i64>,
    trail: Option<Trail>,
    /// The best price that it saw.
    best: Option<i64>,
}

impl Held {
    /// The exit that a price fires; the stop is judged first, by the best price that this one may be.
    fn sees(&mut self, price: i64) -> Option<&'static str> {
        let beyond = |level: i64, falling: bool| if falling { price <= level } else { price >= level };
        let better = |best: i64| if self.long { best.max(price) } else { best.min(price) };
        let best = self.best.map_or(price, better);
        self.best = Some(best);
        if self.stop.is_some_and(|stop| beyond(stop, self.long)) || self.has_fallen(best, price) {
            Some("STOPLOSS")
        } else if self.target.is_some_and(|target| beyond(target, !self.long)) {
            Some("TAKEPROFIT")
        } else {
            None
        }
    }

    /// In units of 10⁻⁸, a hundredth being 10⁶ of them.
    fn has_fallen(&self, best: i64, price: i64) -> bool {
        let fallen = (best - price).abs() * 1_000_000;
        match self.trail {
            None => false,
            Some(Trail::Absolute(offset)) => fallen >= offset * 1_000_000,
            // At least the percentage, rounded up to a unit.
            Some(Trail::Percent(percent)) => fallen >= (best * 1_000_000 * percent + 9_999) / 10_000,
        }
    }
}

fn text(price: i64) -> String {
    format!("{}.{:02}", price / 100, price % 100)
}

/// What upsets the servers between ticks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upset {
    Nothing,
    /// kill -9, with an append-only file.
    Kill,
    /// Ends and begins again with an RDB file.
    Save,
    /// The replica goes on, and the old primary follows it.
    Promote,
}

struct World<'a> {
    rng: &'a mut Rng,
    upset: Upset,
    redis: Redis,
    replica: Option<Redis>,
    conn: Conn,
    held: BTreeMap<String, Held>,
    fired: usize,
}

impl<'a> World<'a> {
    fn new(rng: &'a mut Rng, upset: Upset, options: fn() -> Options) -> Self {
        let with = || match upset {
            Upset::Kill => options().durable(),
            Upset::Promote => options().tcp(),
            _ => options(),
        };
        let (redis, replica) = (Redis::with(with()), (upset == Upset::Promote).then(|| Redis::with(with())));
        if let Some(replica) = &replica {
            follow(replica, &redis);
        }
        let conn = redis.conn();
        let mut world = Self { rng, upset, redis, replica, conn, held: BTreeMap::new(), fired: 0 };
        (0..STRATEGIES).for_each(|number| world.arm(number));
        world
    }

    /// Opens or replaces a position; the stop is on the losing side of 100, the target on the other.
    fn arm(&mut self, number: usize) {
        self.held.retain(|key, _| !key.ends_with(&format!(":{number}")));
        let symbol = *self.rng.pick(SYMBOLS);
        let tag = symbol.split_once('}').map_or("", |_| "{t}");
        let bare = symbol.trim_start_matches("{t}");
        let key = format!("{tag}user:u:strategy:{number}");
        let long = self.rng.chance(50);
        let (side, position, away) = if long { ("LONG", "BOUGHT", -1) } else { ("SHORT", "SHORTED", 1) };
        let level = |rng: &mut Rng, direction: i64| rng.chance(60).then(|| 10_000 + direction * rng.between(1, 400));
        let (stop, target) = (level(self.rng, away), level(self.rng, -away));
        let offset = self.rng.between(1, 500);
        let kind = if self.rng.chance(50) { Trail::Absolute } else { Trail::Percent };
        let trail = self.rng.chance(60).then(|| kind(offset));
        let best = self.rng.chance(50).then(|| 10_000 + self.rng.between(-200, 200));
        let trail_text = trail.map(|trail| match trail {
            Trail::Absolute(offset) => text(offset),
            Trail::Percent(percent) => format!("{}%", text(percent)),
        });
        let entry = if self.rng.chance(50) { "entry_price" } else { "trail_ref" };
        let fields = [
            ("stop_loss", stop.map(text)),
            ("take_profit", target.map(text)),
            ("trail", trail_text),
            (entry, best.map(text)),
        ];
        let fields: String =
            fields.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", value?))).collect();
        // By a command or by a plain write: the book must not care.
        let verb = if self.rng.chance(50) { "STRAT.SET" } else { "HSET" };
        self.conn.run(&format!("DEL user:u:strategy:{number} {{t}}user:u:strategy:{number}"));
        self.conn.run(&format!("{verb} {key} symbol {bare} quantity 1 side {side} position {position}{fields}"));
        self.held.insert(key, Held { symbol, long, stop, target, trail, best });
    }

    /// What a price fires by everybody's own eyes.
    fn expect(&mut self, symbol: &str, price: i64) -> BTreeMap<String, &'static str> {
        let of_symbol = self.held.iter_mut().filter(|(_, held)| held.symbol == symbol);
        of_symbol.filter_map(|(key, held)| Some((key.clone(), held.sees(price)?))).collect()
    }

    fn price(&mut self) -> i64 {
        10_000 + self.rng.between(-405, 405) * self.rng.between(0, 100) / 100
    }

    /// What stands in a queue, by key.
    fn queued(&mut self, symbol: &str) -> Vec<(String, String)> {
        let queue = if symbol.starts_with('{') { "{t}queue:exits" } else { "queue:exits" };
        let entries = self.conn.run(&format!("XRANGE {queue} - +"));
        let orders = entries.items().iter().map(|entry| entry.items()[1].fields());
        let orders = orders.map(|order| (order["key"].clone(), order["action"].clone())).collect();
        self.conn.run(&format!("DEL {queue}"));
        orders
    }

    fn tick(&mut self, tick: usize) {
        let symbol = *self.rng.pick(SYMBOLS);
        let price = self.price();
        let expected: BTreeMap<_, _> =
            self.expect(symbol, price).into_iter().map(|(key, action)| (key, action.to_owned())).collect();
        let fired = self.conn.run(&format!("STRAT.SLCHECK {symbol} {} TS {tick}", text(price))).int();
        let found: BTreeMap<_, _> = self.queued(symbol).into_iter().collect();
        assert_eq!(found, expected, "tick {tick}: {symbol} at {}", text(price));
        assert_eq!(fired, i64::try_from(expected.len()).unwrap(), "tick {tick}");
        self.replace(expected.into_keys());
    }

    /// New positions in the place of the closed ones, and one that moves.
    fn replace(&mut self, fired: impl Iterator<Item = String>) {
        for key in fired {
            self.fired += 1;
            self.arm(key.rsplit(':').next().unwrap().parse().unwrap());
        }
        let number = self.rng.below(STRATEGIES);
        self.arm(number);
    }

    fn upset(&mut self) {
        match self.upset {
            Upset::Nothing => return,
            Upset::Kill => self.redis.kill_9(),
            Upset::Save => self.redis.shutdown("SAVE"),
            Upset::Promote => return self.promote(),
        }
        self.redis.start_again();
        self.conn = self.redis.conn();
        self.verify("after a restart");
    }

    fn promote(&mut self) {
        let replica = self.replica.as_mut().unwrap();
        catch_up(replica, &self.redis);
        let mut conn = replica.conn();
        assert_eq!(conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new(), "on a replica");
        conn.run("REPLICAOF NO ONE");
        std::mem::swap(&mut self.redis, replica);
        follow(replica, &self.redis);
        self.conn = conn;
        self.verify("after a promotion");
    }

    fn verify(&mut self, when: &str) {
        assert_eq!(self.conn.run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new(), "{when}");
    }
}

fn ticks_fire_what_they_cross(upset: Upset) {
    let mut rng = Rng::from_env("STRAT_RANDOM_SEED");
    let mut world = World::new(&mut rng, upset, Options::new);
    for tick in 0..TICKS {
        if tick % UPSET_EVERY == UPSET_EVERY - 1 {
            world.upset();
        }
        world.tick(tick);
    }
    assert!(world.fired > TICKS / 10, "only {} fired", world.fired);
    world.verify("in the end");
}

#[test]
fn a_tick_fires_exactly_what_it_crosses() {
    ticks_fire_what_they_cross(Upset::Nothing);
}

#[test]
fn a_tick_fires_exactly_what_it_crosses_through_kills() {
    ticks_fire_what_they_cross(Upset::Kill);
}

#[test]
fn a_tick_fires_exactly_what_it_crosses_through_restarts_from_rdb() {
    ticks_fire_what_they_cross(Upset::Save);
}

#[test]
fn a_tick_fires_exactly_what_it_crosses_through_promotions() {
    ticks_fire_what_they_cross(Upset::Promote);
}

/// Ticks in one transaction, so that no slice comes between them; an upset follows at once.
fn storms_fire_what_they_cross(upset: Upset) {
    let mut rng = Rng::from_env("STRAT_RANDOM_SEED");
    let mut world = World::new(&mut rng, upset, || Options::new().config("strat.max-fired-per-call 3"));
    for round in 0..60 {
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        world.conn.run("MULTI");
        for tick in 0..world.rng.between(2, 10) {
            let (symbol, price) = (*world.rng.pick(SYMBOLS), world.price());
            for (key, action) in world.expect(symbol, price) {
                expected.entry(key).or_default().insert(action.to_owned());
            }
            world.conn.run(&format!("STRAT.SLCHECK {symbol} {} TS {tick}", text(price)));
        }
        world.conn.run("EXEC");
        world.upset();
        until("the storms are over", LIMIT, || {
            (world.conn.run("EXISTS drain:IBM drain:AIG {t}drain:IBM").int() == 0).then_some(())
        });
        let found: Vec<_> = ["IBM", "{t}IBM"].iter().flat_map(|symbol| world.queued(symbol)).collect();
        let keys: BTreeSet<_> = found.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, expected.keys().cloned().collect(), "round {round}");
        assert_eq!(keys.len(), found.len(), "round {round}: each once");
        for (key, action) in &found {
            assert!(expected[key].contains(action), "round {round}: {key} fires {action}, not {:?}", expected[key]);
        }
        world.verify("after a storm");
        world.replace(keys.into_iter());
    }
    assert!(world.fired > 500, "only {} fired", world.fired);
}

#[test]
fn storms_fire_exactly_what_they_crossed() {
    storms_fire_what_they_cross(Upset::Nothing);
}

#[test]
fn storms_fire_exactly_what_they_crossed_through_kills() {
    storms_fire_what_they_cross(Upset::Kill);
}

#[test]
fn storms_fire_exactly_what_they_crossed_through_promotions() {
    storms_fire_what_they_cross(Upset::Promote);
}
