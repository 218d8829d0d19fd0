//! Users with accounts of their own, traded by one engine.

use super::LIMIT;
use super::alpaca::account;
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use strat_fakes::alpaca::Alpaca;
use strat_fakes::{Fake, Updates};
use tempfile::TempDir;

const SYMBOL: &str = "IBM";

/// The settings of a user's account at a fake, in a file that nobody else may read.
fn write_account(folder: &Path, user: &str, fake: &Fake) {
    use std::io::Write as _;
    let mut text = "[broker]\nkind = \"alpaca\"\n[alpaca]\n".to_owned();
    for (name, value) in account(fake, user) {
        let name = name.strip_prefix("STRAT_ALPACA_").map(str::to_lowercase);
        let Some(name) = name.filter(|name| name != "data_url") else { continue };
        writeln!(text, "{name} = \"{value}\"").unwrap();
    }
    let path = folder.join(format!("{user}.toml"));
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];

fn key(user: &str) -> String {
    format!("user:{user}:strategy:s1")
}

/// An engine with accounts of Alice and Bob; everybody else trades on paper.
struct World {
    // Dropped in this order: whoever asks goes before whoever answers.
    engine: Engine,
    redis: Redis,
    _postgres: Postgres,
    alice: Fake,
    bob: Fake,
    ledger: PathBuf,
    _dir: TempDir,
}

impl World {
    fn start() -> Self {
        let (redis, postgres, dir) = (Redis::with(Options::new().durable()), Postgres::start(), temp_dir());
        let (alice, bob) = (Fake::start(Alpaca::paper()), Fake::start(Alpaca::paper()));
        let folder = dir.path().join("accounts.d");
        std::fs::create_dir(&folder).unwrap();
        write_account(&folder, "alice", &alice);
        write_account(&folder, "bob", &bob);
        let ledger = dir.path().join("ledger.jsonl");
        let mut env: Env =
            account(&alice, "nobody").into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.extend(
            [
                ("REDIS_URL", redis.url()),
                ("DATABASE_URL", postgres.url()),
                ("STRAT_FEED_KIND", "alpaca".to_owned()),
                ("STRAT_FEED_SUBSCRIBE", SYMBOL.to_owned()),
                ("STRAT_BROKER_ACCOUNTS_DIR", folder.display().to_string()),
                ("STRAT_PAPER_LEDGER", ledger.display().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        assert!(engine::run(&["migrate"], &env, LIMIT).status.success());
        let engine = Engine::launch(&["run"], env);
        let world = Self { engine, redis, _postgres: postgres, alice, bob, ledger, _dir: dir };
        until("the engine is healthy", LIMIT, || {
            world.price("100");
            world.engine.get("/health").filter(|(status, _)| *status == 200)
        });
        world
    }

    fn fakes(&self) -> [&Fake; 2] {
        [&self.alice, &self.bob]
    }

    fn price(&self, price: &str) {
        self.fakes().iter().for_each(|fake| fake.set_price(SYMBOL, price));
    }

    /// Everybody buys.
    fn buy(&self) {
        for user in USERS {
            let now = now_ms();
            let set = format!("STRAT.SET {} symbol {SYMBOL} quantity 10 stop_loss 95 buy_at {now}", key(user));
            self.redis.conn().run(&set).int();
        }
        self.until_all_are(&USERS, "BOUGHT", "100");
    }

    fn position(&self, user: &str) -> String {
        self.redis.conn().run(&format!("HGET {} position", key(user))).text()
    }

    fn until_all_are(&self, users: &[&str], position: &str, at: &str) {
        until(&format!("{users:?} are {position}"), LIMIT, || {
            self.price(at);
            users.iter().all(|user| self.position(user) == position).then_some(())
        });
    }

    /// Each account has one order of each side.
    fn check_orders(&self) {
        for fake in self.fakes() {
            let sides: Vec<_> =
                fake.book(|book| book.orders().iter().map(|o| (o.asked.buy, o.filled.to_string())).collect());
            assert_eq!(sides, [(true, "10".to_owned()), (false, "10".to_owned())], "one order of each side");
        }
    }
}

#[test]
fn each_user_trades_in_his_own_account_and_a_crash_mixes_nothing_up() {
    let mut world = World::start();
    world.buy();
    // What becomes of the exits is not told, and the engine dies: it looks each of them up where it was sent.
    world.fakes().iter().for_each(|fake| fake.set_updates(Updates::Dropped));
    until("both exits are at their accounts", LIMIT, || {
        world.price("94");
        world.fakes().iter().all(|fake| fake.book(|book| book.orders().len()) == 2).then_some(())
    });
    world.engine.kill_9();
    world.fakes().iter().for_each(|fake| fake.set_updates(Updates::Once));
    world.engine.start_again();
    world.until_all_are(&USERS, "EXITED_BY_SL", "94");
    world.check_orders();
    // Whoever has no account of his own trades where the main settings say.
    let ledger = std::fs::read_to_string(&world.ledger).unwrap();
    assert!(ledger.lines().all(|line| line.contains("\"user\":\"carol\"")), "{ledger}");
    assert_eq!(ledger.matches("\"event\":\"accept\"").count(), 2);
    assert_eq!(world.engine.terminate(), Some(0), "{}", world.engine.log());
}

#[test]
fn an_account_that_does_not_answer_at_the_start_holds_up_nobody_else() {
    let mut world = World::start();
    world.buy();
    world.engine.kill_9();
    // Everything else it answers: nothing but the engine holds his exit back.
    world.bob.set_lists_nothing(true);
    world.engine.start_again();
    world.until_all_are(&["alice", "carol"], "EXITED_BY_SL", "94");
    let health = |world: &World| {
        until("health names the account", LIMIT, || {
            let (status, body) = world.engine.get("/health")?;
            (status == 503 && body.contains("account of bob")).then_some(body)
        })
    };
    let body = health(&world);
    assert!(!body.contains("account of alice"), "{body}");
    let waits = |world: &World| {
        assert_eq!((world.position("bob").as_str(), world.bob.book(|book| book.orders().len())), ("BOUGHT", 1));
    };
    waits(&world);
    assert!(world.engine.log().contains("EXIT NOT SENT"), "{}", world.engine.log());
    // The next engine finds it where it was, and as new.
    until("his exit is put back", LIMIT, || {
        let pending = world.redis.conn().run("XPENDING queue:exits engine - + 10");
        (pending.items().len() == 1 && pending.items()[0].items()[3].int() == 0).then_some(())
    });
    world.engine.kill_9();
    world.engine.start_again();
    health(&world);
    waits(&world);
    world.bob.set_lists_nothing(false);
    // The market has come back meanwhile: what has fired is sent all the same.
    world.until_all_are(&["bob"], "EXITED_BY_SL", "100");
    world.check_orders();
    assert_eq!(world.engine.terminate(), Some(0), "{}", world.engine.log());
}
