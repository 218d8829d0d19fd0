//! The engine between Kite's ticker and a broker, with its servers.

use super::{PER_SECOND, Road};
use crate::load::{self, Work};
use crate::wire::words;
use crate::world::{Kind, Server};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strat_fakes::alpaca::{Alpaca, KEY_ID, SECRET_KEY, STREAM};
use strat_fakes::kite::{Day, Kite, Level, Script};
use strat_fakes::{Fake, THREAD};
use strat_harness::cpu;
use strat_harness::resp::Conn;
use strat_harness::servers::engine::{self, Env};
use strat_harness::servers::{Engine, Postgres};
use strat_harness::support::{now_ms, until};
use tempfile::TempDir;

const USER: &str = "day";
/// Between two durable SETs beside the day.
const SET_EVERY: Duration = Duration::from_millis(100);
/// Longest wait for anything before the day and after it.
const LIMIT: Duration = Duration::from_secs(120);
/// More than the engine takes Alpaca's clock to be off, and Kite's, ms.
const CLOCK_SKEW_MS: i64 = 2_500;
/// A share beside those of the day, whose stop shows that everything is awake.
const FIRST: &str = "IBM";

/// An engine that trades by Kite's ticker.
pub(super) struct Desk {
    // Dropped in this order: whoever asks goes before whoever answers.
    engine: Engine,
    redis: Server,
    postgres: Postgres,
    market: Fake,
    /// `None` where the market takes the orders, too.
    broker: Option<Fake>,
    pub(super) day: Arc<Day>,
    _folder: TempDir,
}

/// What was counted at a moment.
pub(super) struct Counts {
    pub(super) at: Instant,
    /// Ticks that the engine has taken.
    pub(super) taken: u64,
    /// Prices that it has sent to Redis, and in how many calls.
    pub(super) sent: u64,
    pub(super) calls: u64,
    /// CPU seconds, by who used them.
    pub(super) cpu: BTreeMap<String, f64>,
}

impl Desk {
    /// `seconds` of a day of so many symbols, with as many stops met as the broker takes orders.
    pub(super) fn open(road: Road, symbols: usize, seconds: usize) -> Self {
        let script = Script { symbols, per_second: PER_SECOND, seconds, stops_per_second: road.stops_per_second() };
        let (kite, day) = Kite::with_day(script);
        let (market, folder) = (Fake::start(kite.clone()), tempfile::tempdir().unwrap());
        let broker = (road == Road::Alpaca).then(|| Fake::start(Alpaca::paper()));
        day.opening().iter().for_each(|(symbol, price)| market.set_price(symbol, price));
        let redis = Server::start(Kind::Module, None);
        redis.make_durable();
        let postgres = Postgres::durable();
        wait_until_old(&redis);
        arm(&redis, &day.levels());
        let symbols: Vec<_> = day.opening().into_iter().map(|(symbol, _)| symbol).chain([FIRST.to_owned()]).collect();
        let common = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", postgres.url()),
            ("STRAT_FEED_SUBSCRIBE", symbols.join(",")),
            ("STRAT_BROKER_SETTLE_MS", "1500".to_owned()),
            ("STRAT_FEED_SILENCE_SECONDS", "0".to_owned()),
            ("STRAT_RECONCILE_INTERVAL_SECONDS", "86400".to_owned()),
            ("STRAT_LOG_FILTER", "warn".to_owned()),
            ("STRAT_KITE_API_SECRET", kite.api_secret.to_owned()),
        ];
        let kites = kite.settings(&market, USER, folder.path());
        // The last of a name counts.
        let own = common.into_iter().chain(kites).chain(broker.iter().flat_map(at_alpaca));
        let env: Env = own.map(|(name, value)| (name.to_owned(), value)).collect();
        for words in [&["migrate"][..], &["kite", "login", "--request-token", kite.request_token]] {
            let done = engine::run(words, &env, LIMIT);
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let mut engine = Engine::launch(&["run"], env);
        engine.wait_healthy();
        let desk = Self { engine, redis, postgres, market, broker, day, _folder: folder };
        desk.wake(symbols.len());
        desk
    }

    /// Who takes the orders.
    fn broker(&self) -> &Fake {
        self.broker.as_ref().unwrap_or(&self.market)
    }

    /// Waits until everything is known everywhere and a first stop has gone all the way.
    fn wake(&self, symbols: usize) {
        let strategies = self.day.levels().len() + 1;
        until("Postgres has every strategy", LIMIT, || {
            (self.postgres.sql("SELECT count(*) FROM strategies") == [strategies.to_string()]).then_some(())
        });
        let mut told = 0;
        until("the first stop's order", LIMIT, || {
            self.market.set_price(FIRST, "94");
            told += 1;
            (self.orders() > 0).then_some(())
        });
        // Whoever subscribes is told each price twice: Kite begins with one mode and is then asked for another.
        let first = (2 * symbols + told) as u64;
        until("every first price is taken", LIMIT, || (self.metric("strat_ticks_total") == first).then_some(()));
    }

    fn orders(&self) -> usize {
        self.broker().book(|book| book.orders().len())
    }

    pub(super) fn metric(&self, name: &str) -> u64 {
        let (_, body) = self.engine.get("/metrics").unwrap();
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    pub(super) fn counts(&self) -> Counts {
        let calls = self.redis.info("commandstats", "cmdstat_strat.slcheck");
        let calls = calls.split(',').find_map(|part| part.strip_prefix("calls=")).unwrap().parse().unwrap();
        let engine = cpu::by_thread(self.engine.id()).into_iter().map(|(name, used)| (format!("engine/{name}"), used));
        let fake = cpu::by_thread(std::process::id())[THREAD];
        let others = [
            ("fake".to_owned(), fake),
            ("redis".to_owned(), cpu::of_family(self.redis.id())),
            ("postgres".to_owned(), cpu::of_family(self.postgres.id())),
            ("all".to_owned(), cpu::of_all()),
        ];
        Counts {
            at: Instant::now(),
            taken: self.metric("strat_ticks_total"),
            sent: self.redis.strat("strat_ticks"),
            calls,
            cpu: engine.chain(others).collect(),
        }
    }

    /// Plays the day; answers how many microseconds durable SETs took beside it.
    pub(super) fn play(&self) -> Vec<f64> {
        let mut conn = self.redis.conn();
        let begun = self.day.begin();
        let mut sets = Vec::new();
        for n in 0.. {
            let due = begun + SET_EVERY * n;
            if due > begun + self.day.length() {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            conn.run(&format!("SET bench:probe {n}"));
            sets.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        until("the day is told to its end", LIMIT, || self.day.is_over().then_some(()));
        sets
    }

    /// Waits until everything has come of it; answers the microseconds from each tick to its order.
    pub(super) fn settle(&self, before: &Counts) -> Vec<f64> {
        let told = self.day.told_ticks() as u64;
        until("every tick is taken", LIMIT, || (self.metric("strat_ticks_total") == before.taken + told).then_some(()));
        let touched = self.day.touched();
        until("every stop that was met has its order", LIMIT, || (self.orders() > touched.len()).then_some(()));
        let mut conn = self.redis.conn();
        until("no exit waits", LIMIT, || (conn.run("XLEN queue:exits").int() == 0).then_some(()));
        for level in self.day.levels() {
            check_end(&mut conn, &level, touched.contains_key(&level));
        }
        // One that Redis was too late for was sent by the engine's guard, and may never have fired there.
        assert!(self.redis.strat("strat_fired") <= touched.len() as u64 + 1, "nothing else fired");
        assert_eq!(self.metric("strat_exit_calls_over_limit_total"), 0, "Kite's own limits held nothing up");
        let roads = if self.broker.is_some() { 2 } else { 3 };
        assert_eq!(self.market.hub.opened(), roads, "no connection was made anew");
        let waits = self.broker().book(|book| self.day.waits(book.orders()));
        waits.iter().map(|wait| wait.as_secs_f64() * 1e6).collect()
    }
}

/// Orders go to Alpaca's fake.
fn at_alpaca(fake: &Fake) -> Vec<(&'static str, String)> {
    vec![
        ("STRAT_BROKER_KIND", "alpaca".to_owned()),
        ("STRAT_ALPACA_USER", USER.to_owned()),
        ("STRAT_ALPACA_URL", fake.rest_url()),
        ("STRAT_ALPACA_STREAM_URL", format!("{}{STREAM}", fake.socket_url())),
        ("STRAT_ALPACA_KEY_ID", KEY_ID.to_owned()),
        ("STRAT_ALPACA_SECRET_KEY", SECRET_KEY.to_owned()),
    ]
}

/// Of a cycle that may have begun before the server did, as far as clocks differ, nobody knows whether Redis has forgotten
/// anything: its exit is looked up before it is sent. Cycles of a usual day are younger.
fn wait_until_old(redis: &Server) {
    let epoch = redis.conn().run("STRAT.EPOCH").text();
    let began: i64 = epoch.split('-').next().and_then(|ms| ms.parse().ok()).expect("epochs begin with epoch ms");
    until("the server is older than clocks differ", LIMIT, || (now_ms() - began > CLOCK_SKEW_MS).then_some(()));
}

/// Writes the strategies, and the first one.
fn arm(redis: &Server, levels: &[Level]) {
    let first = format!(
        "STRAT.SET user:{USER}:strategy:first symbol {FIRST} quantity 1 position BOUGHT entry_price 95 stop_loss 95"
    );
    let commands: Vec<_> =
        levels.iter().map(|level| level.command(USER)).chain([first]).map(|line| words(&line)).collect();
    load::push(redis, &Work::new(&commands, 1));
}

/// A strategy whose stop was met has ended by it; any other is as it was.
fn check_end(conn: &mut Conn, level: &Level, met: bool) {
    let held = if level.buys { "SHORTED" } else { "BOUGHT" };
    let wanted = if met { ["COMPLETED", "EXITED_BY_SL"] } else { ["RUNNING", held] };
    let fields = conn.run(&format!("HMGET {} status position", level.key(USER))).texts();
    assert_eq!(fields, wanted, "{level:?}");
}
