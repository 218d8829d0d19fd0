//! Users with accounts of their own, traded by one engine.

use super::LIMIT;
use super::alpaca::account;
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::{now_ms, until};
use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use strat_fakes::alpaca::Alpaca;
use strat_fakes::{Fake, Updates};

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

#[test]
fn each_user_trades_in_his_own_account_and_a_crash_mixes_nothing_up() {
    let (redis, postgres, dir) = (Redis::with(Options::new().durable()), Postgres::start(), temp_dir());
    let (alice, bob) = (Fake::start(Alpaca::paper()), Fake::start(Alpaca::paper()));
    let folder = dir.path().join("accounts.d");
    std::fs::create_dir(&folder).unwrap();
    write_account(&folder, "alice", &alice);
    write_account(&folder, "bob", &bob);
    let ledger = dir.path().join("ledger.jsonl");
    let mut env: Env = account(&alice, "nobody").into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
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
    let mut engine = Engine::launch(&["run"], env);
    let price = |price: &str| [&alice, &bob].iter().for_each(|fake| fake.set_price(SYMBOL, price));
    let healthy = |engine: &Engine| {
        until("the engine is healthy", LIMIT, || {
            price("100");
            engine.get("/health").filter(|(status, _)| *status == 200)
        });
    };
    healthy(&engine);
    let users = ["alice", "bob", "carol"];
    let key = |user: &str| format!("user:{user}:strategy:s1");
    for user in users {
        let now = now_ms();
        redis
            .conn()
            .run(&format!("STRAT.SET {} symbol {SYMBOL} quantity 10 stop_loss 95 buy_at {now}", key(user)))
            .int();
    }
    let all_are = |field: &str, wanted: &str, at: &str| {
        until(&format!("{field} of all is {wanted}"), LIMIT, || {
            price(at);
            let fields = |user: &&str| redis.conn().run(&format!("STRAT.GET {}", key(user))).fields();
            users.iter().all(|user| fields(user).get(field).is_some_and(|text| text == wanted)).then_some(())
        });
    };
    all_are("position", "BOUGHT", "100");
    // What becomes of the exits is not told, and the engine dies: it looks each of them up where it was sent.
    [&alice, &bob].iter().for_each(|fake| fake.set_updates(Updates::Dropped));
    until("both exits are at their accounts", LIMIT, || {
        price("94");
        [&alice, &bob].iter().all(|fake| fake.book(|book| book.orders().len()) == 2).then_some(())
    });
    engine.kill_9();
    [&alice, &bob].iter().for_each(|fake| fake.set_updates(Updates::Once));
    engine.start_again();
    all_are("position", "EXITED_BY_SL", "94");
    for fake in [&alice, &bob] {
        let sides: Vec<_> =
            fake.book(|book| book.orders().iter().map(|o| (o.asked.buy, o.filled.to_string())).collect());
        assert_eq!(sides, [(true, "10".to_owned()), (false, "10".to_owned())], "one order of each side");
    }
    // Whoever has no account of his own trades where the main settings say.
    let ledger = std::fs::read_to_string(&ledger).unwrap();
    assert!(ledger.lines().all(|line| line.contains("\"user\":\"carol\"")), "{ledger}");
    assert_eq!(ledger.matches("\"event\":\"accept\"").count(), 2);
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}
