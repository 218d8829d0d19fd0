//! A short day of many symbols at Kite's fake: prices that last for a single tick fire what they meet, once, and nothing else.
//! How fast that goes is measured by `make bench ARGS='--only day'`.

use super::LIMIT;
use super::kite::log_in;
use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{loudly, until};
use std::sync::Arc;
use strat_fakes::Fake;
use strat_fakes::kite::{Day, Kite, Level, Script};
use tempfile::TempDir;

const USER: &str = "al";
/// A share beside those of the day.
const FIRST: &str = "IBM";

struct World {
    // Dropped in this order: whoever asks goes before whoever answers.
    engine: Engine,
    _postgres: Postgres,
    redis: Redis,
    fake: Fake,
    day: Arc<Day>,
    _folder: TempDir,
}

impl World {
    fn open(script: Script) -> Self {
        let (kite, day) = Kite::with_day(script);
        let (fake, folder) = (Fake::start(kite.clone()), tempfile::tempdir().unwrap());
        day.opening().iter().for_each(|(symbol, price)| fake.set_price(symbol, price));
        let (redis, postgres) = (Redis::with(Options::new().durable()), Postgres::start());
        let mut conn = redis.conn();
        day.levels().iter().for_each(|level| drop(conn.run(&level.command(USER))));
        conn.run(&format!(
            "STRAT.SET user:{USER}:strategy:first symbol {FIRST} quantity 1 position BOUGHT entry_price 95 stop_loss 95"
        ));
        let symbols: Vec<_> = day.opening().into_iter().map(|(symbol, _)| symbol).chain([FIRST.to_owned()]).collect();
        let own = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_FEED_SUBSCRIBE", symbols.join(",")),
            ("STRAT_BROKER_SETTLE_MS", "1500".to_owned()),
        ];
        let own: Vec<_> = own.into_iter().chain(kite.settings(&fake, USER, folder.path())).collect();
        let (done, said) = log_in(&own, kite.request_token);
        assert!(done, "{said}");
        let env: Env = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
        let mut engine = Engine::launch(&["run"], env);
        engine.wait_healthy();
        let world = Self { engine, _postgres: postgres, redis, fake, day, _folder: folder };
        until("a first stop has gone all the way: it trades", LIMIT, || {
            world.fake.set_price(FIRST, "94");
            (world.orders() == 1).then_some(())
        });
        world
    }

    fn orders(&self) -> usize {
        self.fake.book(|book| book.orders().len())
    }

    fn fields(&self, conn: &mut Conn, level: &Level) -> Vec<String> {
        conn.run(&format!("HMGET {} status position", level.key(USER))).texts()
    }
}

#[test]
fn no_price_of_a_single_tick_is_lost_and_nothing_fires_that_was_not_met() {
    // Two connections, and as many stops in a second as Kite takes calls for in the long run.
    let mut world = World::open(Script { symbols: 3_100, per_second: 1, seconds: 10, stops_per_second: 3 });
    assert_eq!(world.fake.hub.opened(), 3, "two for prices, one for news of orders");
    world.day.begin();
    until("the day is told to its end", world.day.length() + LIMIT, || world.day.is_over().then_some(()));
    let touched = world.day.touched();
    assert!(touched.len() > 20, "{} stops were met", touched.len());
    until("every stop that was met has its order", LIMIT, || (world.orders() > touched.len()).then_some(()));
    let mut conn = world.redis.conn();
    until("no exit waits", LIMIT, || (conn.run("XLEN queue:exits").int() == 0).then_some(()));
    for level in world.day.levels() {
        let held = if level.buys { "SHORTED" } else { "BOUGHT" };
        let wanted = if touched.contains_key(&level) { ["COMPLETED", "EXITED_BY_SL"] } else { ["RUNNING", held] };
        assert_eq!(world.fields(&mut conn, &level), wanted, "{level:?}");
    }
    // One that Redis was too late for was sent by the engine's guard, and may never have fired there.
    let fired: usize = world.redis.info("strat", "strat_fired").parse().unwrap();
    assert!(fired <= touched.len() + 1, "{fired} fired");
    let waits = world.fake.book(|book| world.day.waits(book.orders()));
    let slowest = waits.iter().max().unwrap();
    loudly(&format!(
        "{} stops of {} met, each by one tick; slowest order after {slowest:?}",
        waits.len(),
        world.day.levels().len()
    ));
    assert_eq!(world.engine.terminate(), Some(0), "{}", world.engine.log());
}
