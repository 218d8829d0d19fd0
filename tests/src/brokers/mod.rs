//! The engine trades at brokers' fakes, with the brokers' own market data: real Redis, real Postgres, real sockets.

mod accounts;
mod alpaca;
mod binance;
mod chaos;
mod day;
mod kite;

use crate::resp::Conn;
use crate::servers::engine::{self, Env};
use crate::servers::{Database, Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use strat_fakes::kite::Kite;
use strat_fakes::{Fake, Lie};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any test: the answer never comes.
const NEVER: Duration = Duration::from_secs(600);
const USER: &str = "al";
const KEY: &str = "user:al:strategy:s1";

/// A fake, and the engine's settings for it.
struct House {
    fake: Fake,
    symbol: &'static str,
    own: Vec<(&'static str, String)>,
    /// Of the files that the settings name.
    folder: Option<TempDir>,
}

/// An engine that trades one symbol at a fake.
struct Desk {
    // Dropped in this order: whoever asks goes before whoever answers.
    engine: Engine,
    books: Database,
    redis: Redis,
    fake: Fake,
    symbol: &'static str,
    secrets: Vec<String>,
    _folder: Option<TempDir>,
}

/// Settings that nobody may read in a log.
const SECRETS: [&str; 4] =
    ["STRAT_ALPACA_KEY_ID", "STRAT_ALPACA_SECRET_KEY", "STRAT_BINANCE_API_KEY", "STRAT_BINANCE_API_SECRET"];

/// The secrets among an engine's settings, and those that are in Kite's files.
fn secrets_of(own: &[(&str, String)]) -> Vec<String> {
    let set = own.iter().filter(|(name, _)| SECRETS.contains(name)).map(|(_, value)| value.clone());
    let kite = Kite::default();
    set.chain([kite.api_secret, kite.access_token].map(str::to_owned)).collect()
}

/// `strat-engine` with these words; whether it ends well, and what it prints.
fn engine_says(words: &[&str], own: &[(&str, String)]) -> (bool, String) {
    let env: Env = own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let output = engine::run(words, &env, LIMIT);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The doctor tries the account, and says `why` where the broker does not take `secret`.
fn the_doctor_tries_the_account(
    broker: &str,
    mut own: Vec<(&'static str, String)>,
    secret: (&'static str, &str),
    why: &str,
) {
    let (_, said) = engine_says(&["doctor"], &own);
    assert!(said.contains(&format!("OK    the account at {broker} at http://127.0.0.1:")), "{said}");
    let (name, wrong) = secret;
    own.push((name, wrong.to_owned()));
    let (_, said) = engine_says(&["doctor"], &own);
    assert!(said.contains(&format!("FAIL  the account at {broker}")) && said.contains(why), "{said}");
    assert!(!said.contains(wrong), "{said}");
}

impl Desk {
    /// With a Postgres of its own.
    fn start(house: House) -> Self {
        let books = Database::first(Arc::new(Postgres::start()));
        migrate(&books);
        Self::open(house, books, &[])
    }

    /// `books` have their tables already; `more` are further settings.
    fn open(house: House, books: Database, more: &[(&str, String)]) -> Self {
        let House { fake, symbol, own, folder } = house;
        let redis = Redis::with(Options::new().durable());
        let common = [
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", books.url()),
            ("STRAT_FEED_SUBSCRIBE", symbol.to_owned()),
            ("STRAT_BROKER_TIMEOUT_MS", "1000".to_owned()),
            ("STRAT_BROKER_SETTLE_MS", "1500".to_owned()),
            ("STRAT_LOG_FILTER", "debug".to_owned()),
        ];
        let secrets = secrets_of(&own);
        let all = common.iter().chain(&own).chain(more);
        let env: Env = all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let engine = Engine::launch(&["run"], env);
        Self { engine, books, redis, fake, symbol, secrets, _folder: folder }
    }

    /// An engine is healthy once it has heard a trade.
    fn wait_healthy(&self) {
        until("the engine is healthy", LIMIT, || {
            self.fake.set_price(self.symbol, "100");
            self.engine.get("/health").filter(|(status, _)| *status == 200)
        });
    }

    fn fields(&self) -> BTreeMap<String, String> {
        self.redis.conn().run(&format!("STRAT.GET {KEY}")).fields()
    }

    fn wait_field(&self, field: &str, wanted: &str) {
        let is = || (self.fields().get(field).map_or("", String::as_str) == wanted).then_some(());
        let started = std::time::Instant::now();
        while is().is_none() {
            let fields = self.fields();
            assert!(started.elapsed() < LIMIT, "{field} is never {wanted}: {fields:?}\n{}", self.engine.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The strategy, with its stop, is to buy now.
    fn order_entry(&self) {
        let (symbol, now) = (self.symbol, now_ms());
        let mut conn: Conn = self.redis.conn();
        conn.run(&format!("STRAT.SET {KEY} symbol {symbol} quantity 10 stop_loss 95 buy_at {now}"));
    }

    fn wait_bought(&self) {
        self.wait_field("filled_quantity", "10");
        self.wait_field("working", "");
    }

    /// The market falls below the stop. The trade is told until somebody has heard it and acts: a feed that has just
    /// connected missed those before.
    fn fall_until_orders(&self, orders: usize) {
        until("the stop's order", LIMIT, || {
            self.fake.set_price(self.symbol, "94.80");
            (self.orders() >= orders).then_some(())
        });
    }

    /// Orders at the broker, of either side.
    fn orders(&self) -> usize {
        self.fake.book(|book| book.orders().len())
    }

    /// The broker's next answer never comes, and the engine is killed while it waits for it.
    fn kill_once_placed(&mut self, orders: usize) {
        until("the order is placed", LIMIT, || (self.orders() >= orders).then_some(()));
        self.engine.kill_9();
        self.engine.start_again();
    }

    /// One order of each side, filled as it was asked, known to Postgres, and nothing left.
    fn check_the_end(&mut self) {
        self.wait_field("position", "EXITED_BY_SL");
        self.wait_field("status", "COMPLETED");
        let fields = self.fields();
        assert_eq!((fields["entry_price"].as_str(), fields["exit_price"].as_str()), ("100", "94.8"), "{fields:?}");
        assert_eq!((fields["filled_quantity"].as_str(), fields["exit_quantity"].as_str()), ("10", "10"));
        let orders: Vec<_> =
            self.fake.book(|book| book.orders().iter().map(|o| (o.asked.buy, o.filled.to_string())).collect());
        assert_eq!(orders, [(true, "10".to_owned()), (false, "10".to_owned())], "one order of each side");
        assert!(self.fake.book(|book| book.positions().is_empty()));
        let ids: BTreeSet<String> = self.fake.book(|book| book.orders().iter().map(|o| o.asked.id.clone()).collect());
        until("Postgres knows both", LIMIT, || {
            let known = self.books.sql("SELECT client_order_id FROM orders WHERE status = 'FILL'");
            (known.into_iter().collect::<BTreeSet<_>>() == ids).then_some(())
        });
        assert_eq!(self.engine.terminate(), Some(0), "{}", self.engine.log());
        let log = self.engine.log();
        let told: Vec<_> = self.secrets.iter().filter(|secret| log.contains(*secret)).collect();
        assert!(log.contains("DEBUG") && told.is_empty(), "in the log: {told:?}");
    }

    /// From the entry to the stop, with nothing in the way.
    fn trades_once(mut self) {
        self.wait_healthy();
        self.order_entry();
        self.wait_bought();
        self.fall_until_orders(2);
        self.check_the_end();
    }

    /// The same, with a kill -9 between each placement and its answer.
    fn trades_once_although_it_is_killed(mut self) {
        self.wait_healthy();
        self.fake.lie(Lie::AnswerLate(NEVER));
        self.order_entry();
        self.kill_once_placed(1);
        self.wait_bought();
        self.fake.lie(Lie::AnswerLate(NEVER));
        self.fall_until_orders(2);
        self.kill_once_placed(2);
        self.check_the_end();
    }
}

/// Makes the tables.
fn migrate(books: &Database) {
    let env = vec![("DATABASE_URL".to_owned(), books.url())];
    assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
}
