//! Everything that trades, each a process of its own, with a proxy on every link.

use super::clocks::Clocks;
use super::faults::Victim;
use super::market::{ENGINES_MAX, Market};
use super::proxy::{Proxy, Target};
use super::pulse::Pulse;
use super::store::{Finder, Store};
use super::strategies::Users;
use crate::resp::Conn;
use crate::rng::Rng;
use crate::servers::engine::{self, Env};
use crate::servers::{Engine, Postgres, SimBroker, paths};
use crate::support::skip;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Short, so that locks run out during the pauses.
pub(super) const LOCK_TTL_MS: i64 = 1_500;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Time between two new strategies.
const PACE: Duration = Duration::from_millis(130);
const NAMES: [&str; ENGINES_MAX] = ["e1", "e2"];
/// Who has a clock of its own: the engines, and the servers of Redis by their number.
pub(super) const CLOCKS: &[&str] = &["e1", "e2", "redis0", "redis1"];

/// What the broker does with a client order id that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Answers with the first order.
    Dedupes,
    /// Refuses it while that order is open, so it must be asked first.
    Queryable,
    /// Takes it as a new order; all that helps is its list of orders.
    None,
}

impl Class {
    /// As the simulated broker calls it.
    const fn letter(self) -> &'static str {
        match self {
            Self::Dedupes => "A",
            Self::Queryable => "B",
            Self::None => "C",
        }
    }

    /// As the engine's setting calls it.
    pub(super) const fn setting(self) -> &'static str {
        match self {
            Self::Dedupes => "dedupes",
            Self::Queryable => "queryable",
            Self::None => "none",
        }
    }
}

/// Percent of each lie when nothing special is going on. `refuse` refuses a repeat as well: some brokers look at the
/// margin before they look at the id.
pub(super) const USUAL_LIES: &str = "timeout_placed=3,timeout_late=3,timeout_lost=2,error_placed=3,error_lost=2,\
    garbage_placed=2,rate_limit=3,reject=1,refuse=1,not_found=3,duplicate_fill=6,late_fill=2,lost_terminal=3,\
    partial_then_cancel=4,slow=4,cancel_lost=3,cancel_unanswered=3,read_error=5";
/// How late the broker carries out what it did not answer, and how long it may deny an order, ms. One after the other
/// they end before the engine takes a denial for proof, with what a slow link adds.
const LATE_MS: &str = "100..800";
const NOT_FOUND_MS: &str = "800";
const SETTLE_MS: &str = "3500";

/// The links of one engine.
pub(super) struct Links {
    /// None where sentinels name the server.
    pub(super) redis: Option<Proxy>,
    pub(super) postgres: Proxy,
    pub(super) broker: Proxy,
    pub(super) feed: Proxy,
}

/// An engine and its links.
pub(super) struct Seat {
    pub(super) name: &'static str,
    pub(super) engine: Engine,
    pub(super) links: Links,
}

/// What trades. Dropped from the top: who asks goes before who answers.
pub(super) struct World {
    pub(super) class: Class,
    pub(super) users: Users,
    pub(super) pulse: Pulse,
    pub(super) seats: Vec<Seat>,
    pub(super) market: Market,
    pub(super) store: Store,
    pub(super) finder: Finder,
    pub(super) postgres: Postgres,
    pub(super) broker: SimBroker,
    /// None where they cannot be set.
    pub(super) clocks: Option<Clocks>,
    /// Whether disks can be filled.
    pub(super) fills_disks: bool,
}

impl World {
    pub(super) fn start(class: Class, sentinels: bool, rng: &mut Rng) -> Self {
        let clocks = Clocks::build();
        if clocks.is_none() {
            skip("chaos: clocks that jump", "a C compiler");
        }
        let fills_disks = paths::in_path("prlimit").is_some();
        if !fills_disks {
            skip("chaos: full disks", "prlimit (util-linux)");
        }
        let own_clock = |name: &str| clocks.as_ref().map(|clocks| clocks.env(name)).unwrap_or_default();
        let mut store = Store::start(sentinels, [own_clock(CLOCKS[2]), own_clock(CLOCKS[3])]);
        let finder = store.finder();
        let postgres = Postgres::durable();
        let broker = start_broker(class, rng);
        let market = Market::open(rng.split(), broker.port());
        let env: Env = [("REDIS_URL", store.server(0).url()), ("DATABASE_URL", postgres.url())].map(owned).into();
        must_succeed(&["migrate"], &env);
        let redis = (!sentinels).then(|| store.server(0).socket());
        let mut seats: Vec<_> = (0..ENGINES_MAX)
            .map(|number| {
                let links = Links::of(number, redis.as_deref(), &postgres, &broker, &market);
                let mut env = settings(number, class, &links, store.sentinel_url());
                env.extend(own_clock(NAMES[number]));
                let engine = Engine::launch(&["run"], env);
                Seat { name: NAMES[number], engine, links }
            })
            .collect();
        seats.iter_mut().for_each(|seat| seat.engine.wait_healthy());
        let pulse = Pulse::start(seats.iter().map(|seat| seat.engine.port()).collect(), market.view());
        let users = Users::start(rng.split(), PACE, finder.clone(), market.view());
        Self { class, users, pulse, seats, market, store, finder, postgres, broker, clocks, fills_disks }
    }

    /// Every link, by its proxy.
    pub(super) fn links(&self) -> Vec<&Proxy> {
        let of_seats = self.seats.iter().flat_map(|seat| seat.links.all());
        of_seats.chain(self.store.links()).collect()
    }

    /// What whoever supervises the engines does: one that ended by itself (it gives up at its start where Redis does not
    /// answer for long) is started again. Those `away` are somebody else's.
    pub(super) fn supervise(&mut self, away: &BTreeSet<Victim>) {
        for (engine, seat) in self.seats.iter_mut().enumerate() {
            if !away.contains(&Victim::Engine(engine)) && seat.engine.has_ended() {
                self.market.interrupt(engine);
                seat.engine.start_again();
            }
        }
    }

    /// A connection to the primary.
    pub(super) fn primary(&self) -> io::Result<Conn> {
        self.finder.open()
    }

    pub(super) fn name(&self, victim: Victim) -> &'static str {
        match victim {
            Victim::Engine(engine) => self.seats[engine].name,
            Victim::Redis(at) if at == self.store.primary() => "Redis",
            Victim::Redis(_) => "replica",
            Victim::Postgres => "Postgres",
            Victim::Broker => "broker",
        }
    }

    /// A link's trouble is one of ticks where it is a feed's.
    pub(super) fn interrupt_feed_of(&self, link: &str) {
        if let Some(engine) = self.seats.iter().position(|seat| seat.links.feed.name() == link) {
            self.market.interrupt(engine);
        }
    }

    /// Copies what tells the story into a folder that stays.
    pub(super) fn keep_evidence(&mut self, story: &str) -> PathBuf {
        let folder = tempfile::Builder::new().prefix("strat-chaos-").tempdir_in("/tmp").unwrap().keep();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("story.txt", story);
        write("postgres.log", &self.postgres.log());
        for seat in &self.seats {
            write(&format!("{}.log", seat.name), &seat.engine.log());
        }
        self.market.write_log(&folder.join("ticks.csv"));
        write("broker.log", &self.broker.log());
        let _ = std::fs::copy(self.broker.ledger(), folder.join("ledger.jsonl"));
        for at in 0..2 {
            let redis = self.store.server(at);
            std::fs::write(folder.join(format!("redis{at}.log")), redis.log()).unwrap();
            copy_folder(&redis.dir().join("appendonlydir"), &folder.join(format!("redis{at}")));
        }
        folder
    }
}

fn start_broker(class: Class, rng: &mut Rng) -> SimBroker {
    let seed = rng.below(1_000_000).to_string();
    let fixed = ["--lies", USUAL_LIES, "--late-ms", LATE_MS, "--not-found-ms", NOT_FOUND_MS, "--hang-ms", "2000"];
    SimBroker::start(&[&["--class", class.letter(), "--seed", &seed], &fixed[..]].concat())
}

impl Links {
    fn of(number: usize, redis: Option<&Path>, postgres: &Postgres, broker: &SimBroker, market: &Market) -> Self {
        let names =
            [["e1-redis", "e1-postgres", "e1-broker", "e1-feed"], ["e2-redis", "e2-postgres", "e2-broker", "e2-feed"]]
                [number];
        Self {
            redis: redis.map(|socket| Proxy::start(names[0], Target::Unix(socket.to_path_buf()))),
            postgres: Proxy::start(names[1], Target::Unix(postgres.socket())),
            broker: Proxy::start(names[2], Target::Tcp(broker.port())),
            feed: Proxy::start(names[3], Target::Tcp(market.port(number))),
        }
    }

    /// Every one.
    fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.redis.iter().chain([&self.postgres, &self.broker, &self.feed])
    }
}

fn owned((name, value): (&str, String)) -> (String, String) {
    (name.to_owned(), value)
}

fn settings(number: usize, class: Class, links: &Links, sentinels: Option<String>) -> Env {
    let local = |proxy: &Proxy| format!("127.0.0.1:{}", proxy.port());
    let redis = links.redis.as_ref().map(|link| format!("redis://{}/", local(link))).or(sentinels);
    [
        ("STRAT_ENGINE_NAME", NAMES[number].to_owned()),
        ("STRAT_ENGINE_LOCK_TTL_MS", LOCK_TTL_MS.to_string()),
        ("REDIS_URL", redis.expect("a link or sentinels")),
        ("DATABASE_URL", format!("postgres://strat@{}/strat", local(&links.postgres))),
        ("STRAT_RECONCILE_INTERVAL_SECONDS", "2".to_owned()),
        ("STRAT_BROKER_KIND", "bridge".to_owned()),
        ("STRAT_BROKER_URL", format!("http://{}", local(&links.broker))),
        ("STRAT_BROKER_CLASS", class.setting().to_owned()),
        ("STRAT_BROKER_TIMEOUT_MS", "500".to_owned()),
        ("STRAT_BROKER_SETTLE_MS", SETTLE_MS.to_owned()),
        ("STRAT_FEED_KIND", "lines".to_owned()),
        ("STRAT_FEED_ADDRESS", local(&links.feed)),
        // An engine that starts while its clock is behind would refuse what the feed says as of the future.
        ("STRAT_FEED_MAX_AHEAD_SECONDS", "300".to_owned()),
    ]
    .map(owned)
    .into()
}

fn must_succeed(args: &[&str], env: &Env) {
    let output = engine::run(args, env, START_LIMIT);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "strat-engine {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

fn copy_folder(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    let _ = std::fs::create_dir(to);
    for entry in entries.flatten() {
        let _ = std::fs::copy(entry.path(), to.join(entry.file_name()));
    }
}
