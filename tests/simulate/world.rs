//! The world of one seed: a logical clock, everything that is going to happen, and who it happens to.

use crate::broker::Broker;
use crate::data::{Data, Health};
use crate::engine::{Engine, Life, Work};
use crate::faults::{Fault, Plan, START_MS};
use crate::invariants::Watch;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::trace::Trace;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use strat_core::Price;
use strat_engine::broker::Idempotency;
use strat_engine::broker::{OrderRequest, OrderState};
use strat_engine::random::SplitMix;

/// Time between two looks whether everything is quiet, ms.
const LOOK_MS: i64 = 500;
/// Everything must have been quiet for so long, ms: longer than the time between two reconciliations.
const QUIET_MS: i64 = 6_500;
/// As long again, where an account holds what no strategy does: only a difference that lasts is told.
const TOLD_MS: i64 = 6_500;
/// How long a dead holder's right to trade keeps others from it, ms.
const LEASE_MS: i64 = 10_500;
/// After the healing everything must be quiet within this, ms.
const PATIENCE_MS: i64 = 90_000;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    Tick,
    Fault(Fault),
    /// Redis comes back, with what it had, or with what its replica had.
    RedisUp(Option<Box<Data>>),
    RedisTakesWrites,
    Joined(usize),
    PostgresUp,
    BrokerUp,
    SessionEnds((usize, u64)),
    Start(usize),
    /// In an engine.
    Engine(usize, u64, Life),
    /// At a server, for an engine.
    Arrive(usize, u64, Box<Work>),
    /// A request arrives at the broker whose sender does not wait any more: when it was sent, and whether without Redis.
    Late(Box<OrderRequest>, (i64, bool)),
    /// An order makes progress.
    Progress(usize),
    /// An order is to be cancelled.
    Cancel(usize),
    Heal,
    Look,
}

#[derive(Debug)]
struct Due(Event);

impl PartialEq for Due {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// What came of a seed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) broken: Vec<String>,
    pub(crate) events: u64,
    pub(crate) crashes: u64,
    pub(crate) faults: u64,
    pub(crate) orders: u64,
    /// Cycles that met a limit of docs/guarantees.md.
    pub(crate) limits: u64,
}

pub(crate) struct World {
    pub(crate) now_ms: i64,
    pub(crate) random: SplitMix,
    pub(crate) plan: Plan,
    pub(crate) redis: Redis,
    pub(crate) replica: Option<Box<Data>>,
    pub(crate) postgres: Postgres,
    pub(crate) broker: Broker,
    pub(crate) engines: Vec<Engine>,
    pub(crate) prices: BTreeMap<&'static str, i64>,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    pub(crate) outcome: Outcome,
    pub(crate) healed: bool,
    quiet_since: Option<i64>,
    events: BinaryHeap<(Reverse<(i64, u64)>, Due)>,
    numbered: u64,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = SplitMix::new(seed);
        let plan = Plan::draw(&mut random);
        let engines = (0..plan.engines).map(|_| Engine::default()).collect();
        let mut world = Self {
            now_ms: START_MS,
            redis: Redis::new(START_MS),
            replica: None,
            postgres: Postgres::default(),
            broker: Broker::new(plan.class, plan.settle_ms),
            engines,
            prices: BTreeMap::from([("IBM", 10_000), ("X", 10_000)]),
            watch: Watch::default(),
            trace: Trace::new(traced),
            outcome: Outcome::default(),
            healed: false,
            quiet_since: None,
            events: BinaryHeap::new(),
            numbered: 0,
            random,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let plan = self.plan.clone();
        self.trace.say(0, || format!("{plan:#?}"));
        for wish in &plan.wishes {
            let fields = wish.fields();
            if let Err(refusal) = self.redis.set(&wish.key, &fields, false, self.now_ms) {
                self.watch.wrong(format!("set {}: {refusal}", wish.key));
            }
        }
        for (at, fault) in plan.faults {
            self.at(START_MS + at, Event::Fault(fault));
        }
        for engine in 0..plan.engines {
            let at = self.now_ms + self.draw(50);
            self.at(at, Event::Start(engine));
        }
        self.at(START_MS + plan.tick_ms, Event::Tick);
        self.at(START_MS + plan.heal_ms, Event::Heal);
    }

    /// Runs until everything is quiet, or has had the time for it.
    pub(crate) fn run(mut self) -> (Outcome, Trace) {
        while let Some((Reverse((at, _)), Due(event))) = self.events.pop() {
            self.now_ms = at;
            self.outcome.events += 1;
            let looked = matches!(event, Event::Look);
            self.happen(event);
            self.notice();
            let over = looked && self.is_over();
            if over {
                self.check_end();
            }
            if over || !self.watch.broken.is_empty() {
                break;
            }
        }
        self.outcome.orders = self.broker.orders.len() as u64;
        self.outcome.limits = self.watch.limits_met();
        self.outcome.broken = std::mem::take(&mut self.watch.broken);
        (self.outcome, self.trace)
    }

    fn is_over(&mut self) -> bool {
        let since_heal = self.now_ms - START_MS - self.plan.heal_ms;
        let quiet = self.unrest().is_none();
        self.quiet_since = if quiet { self.quiet_since.or(Some(self.now_ms)) } else { None };
        // The right to trade may have to run out first.
        let lease_ms = if self.plan.class == Idempotency::Dedupes { 0 } else { LEASE_MS + self.plan.settle_ms };
        let told_ms = if self.watch.anew_on_a_loss() { TOLD_MS } else { 0 };
        if self.quiet_since.is_some_and(|since| self.now_ms - since >= QUIET_MS + told_ms + lease_ms) {
            return true;
        }
        if since_heal > PATIENCE_MS + lease_ms {
            let why = self.unrest().unwrap_or_else(|| "it goes to and fro".to_owned());
            self.watch.wrong(format!("L: not quiet {PATIENCE_MS} ms after everything was healed: {why}"));
            return true;
        }
        let next = self.now_ms + LOOK_MS;
        self.at(next, Event::Look);
        false
    }

    /// Plans an event.
    pub(crate) fn at(&mut self, at_ms: i64, event: Event) {
        self.numbered += 1;
        self.events.push((Reverse((at_ms, self.numbered)), Due(event)));
    }

    /// Plans something in an engine.
    pub(crate) fn later(&mut self, engine: usize, ms: i64, what: Life) {
        let life = self.engines[engine].life;
        self.at(self.now_ms + ms, Event::Engine(engine, life, what));
    }

    /// Sends a request on its way.
    pub(crate) fn send(&mut self, engine: usize, work: Work) {
        let slow = self.random.chance(self.plan.odds.slow);
        let ms = if slow { 1 + self.draw(400) } else { 1 + self.draw(4) };
        let life = self.engines[engine].life;
        self.at(self.now_ms + ms, Event::Arrive(engine, life, Box::new(work)));
    }

    /// A number of ms below `limit`.
    pub(crate) fn draw(&mut self, limit: u64) -> i64 {
        self.random.below(limit) as i64
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        self.trace.say(self.now_ms - START_MS, line);
    }

    pub(crate) fn price(&self, symbol: &str) -> Price {
        let cents = self.prices.get(symbol).copied().unwrap_or(10_000);
        price_text(cents).parse().unwrap_or_default()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick => self.tick(),
            Event::Fault(fault) if !self.healed => self.fault(fault),
            Event::Fault(_) => {}
            Event::RedisUp(data) => self.redis_up(data),
            Event::RedisTakesWrites => {
                if self.redis.health == Health::Refusing {
                    self.redis.health = Health::Up;
                }
            }
            Event::Joined(engine) => self.engines[engine].cut = false,
            Event::PostgresUp => self.postgres.down = false,
            Event::BrokerUp => self.broker.down = false,
            Event::SessionEnds(session) => self.postgres.forget(session),
            Event::Start(engine) => self.start(engine),
            Event::Engine(engine, life, what) => self.in_engine(engine, life, what),
            Event::Arrive(engine, life, work) => self.arrive(engine, life, *work),
            Event::Late(request, sent) => drop(self.place(&request, sent)),
            Event::Progress(order) => self.progress(order),
            Event::Cancel(order) => self.cancel_now(order),
            Event::Heal => self.heal(),
            Event::Look => {}
        }
    }

    fn tick(&mut self) {
        let symbols: Vec<_> = self.prices.keys().copied().collect();
        let symbol = symbols[self.random.below(symbols.len() as u64) as usize];
        let jump = if self.random.chance(15) { 500 } else { 120 };
        let price = (self.prices[symbol] + self.random.around(jump)).clamp(5_000, 15_000);
        self.prices.insert(symbol, price);
        self.say(|| format!("tick {symbol} {}", price_text(price)));
        for engine in 0..self.engines.len() {
            if self.engines[engine].up {
                let ms = self.draw(5);
                self.later(engine, ms, Life::Tick(symbol, price));
            }
        }
        // The market goes on while everything heals, and a little beyond; then it stands still.
        if !self.healed || self.now_ms < START_MS + self.plan.heal_ms + 8_000 {
            self.at(self.now_ms + self.plan.tick_ms, Event::Tick);
        }
    }

    /// Passes an order's news on to every engine that listens.
    pub(crate) fn emit(&mut self, order: usize) {
        let state: OrderState = self.broker.orders[order].state.clone();
        self.say(|| format!("broker: {} {} {}", state.client_order_id, state.status, state.cum_qty));
        let odds = if self.healed { 0 } else { self.plan.odds.report_lost };
        for engine in 0..self.engines.len() {
            if !self.engines[engine].up {
                continue;
            }
            let times = if self.random.chance(odds) { self.random.below(3) } else { 1 };
            for _ in 0..times {
                let late = self.random.chance(odds / 2);
                let ms = if late { self.draw(3_000) } else { 1 + self.draw(20) };
                self.later(engine, ms, Life::News(state.clone()));
            }
        }
    }
}

/// Hundredths as a price.
pub(crate) fn price_text(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
