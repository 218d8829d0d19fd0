//! What a seed stands for: who trades what, how the market moves, and everything that goes wrong.

use std::sync::OnceLock;
use strat_core::Ladder;
use strat_engine::broker::Idempotency;
use strat_engine::random::SplitMix;

/// Epoch ms at which every schedule starts.
pub(crate) const START_MS: i64 = 1_760_000_000_000;

/// Something that goes wrong, or that a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of an engine, which is started again after `ms`.
    Crash { engine: usize, ms: i64 },
    /// SIGSTOP, and SIGCONT after `ms`.
    Pause { engine: usize, ms: i64 },
    /// An engine's clock is set.
    Clock { engine: usize, ms: i64 },
    /// Redis dies and comes back with everything.
    Restart { ms: i64 },
    /// A replica takes a picture of what it has.
    Replica,
    /// It is promoted: what came after the picture is lost.
    Failover { ms: i64 },
    /// `FLUSHALL`.
    Flush,
    /// Redis refuses writes.
    Refuse { ms: i64 },
    /// An engine is cut off from Redis.
    Cut { engine: usize, ms: i64 },
    /// Postgres is away.
    Postgres { ms: i64 },
    /// The broker is away.
    Broker { ms: i64 },
    /// A user stops a strategy.
    Stop { strategy: usize },
    /// A user moves a stop.
    Move { strategy: usize },
    /// A user starts an idle strategy again.
    Again { strategy: usize },
}

/// A strategy to be traded.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) key: String,
    pub(crate) symbol: &'static str,
    pub(crate) short: bool,
    pub(crate) leave: bool,
    pub(crate) quantity: String,
    /// In hundredths.
    pub(crate) stop: Option<i64>,
    pub(crate) target: Option<i64>,
    pub(crate) enter_ms: i64,
    pub(crate) exit_ms: Option<i64>,
}

/// Percentages of what is drawn for every single request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odds {
    /// A request to Redis, or its answer, is lost.
    pub(crate) redis_lost: u8,
    /// The same of the broker.
    pub(crate) broker_lost: u8,
    /// A request to the broker arrives late.
    pub(crate) broker_late: u8,
    /// An execution report is lost, doubled or late.
    pub(crate) report_lost: u8,
    /// The engine dies between an effect and its answer, in thousandths.
    pub(crate) crash_thousandth: u64,
    /// A request is slow.
    pub(crate) slow: u8,
}

/// Everything that a seed decides beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) class: Idempotency,
    pub(crate) engines: usize,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) odds: Odds,
    pub(crate) faults: Vec<(i64, Fault)>,
    pub(crate) settle_ms: i64,
    /// How exits are protected: those that rest are cancelled and sent anew.
    pub(crate) ladder: Ladder,
    pub(crate) grace_ms: Option<i64>,
    /// When everything is healed, from the start.
    pub(crate) heal_ms: i64,
    pub(crate) tick_ms: i64,
}

const SYMBOLS: [&str; 2] = ["IBM", "X"];

const CLASSES: [Idempotency; 3] = [Idempotency::Dedupes, Idempotency::Queryable, Idempotency::None];

/// What is left out, to see what a broken promise needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// Only brokers of this class.
    pub(crate) class: Option<Idempotency>,
    /// One engine.
    pub(crate) alone: bool,
    /// The engine does not watch stops while Redis is away.
    pub(crate) unguarded: bool,
    /// No clock is set.
    pub(crate) steady: bool,
}

static LIMITS: OnceLock<Limits> = OnceLock::new();

impl Limits {
    /// From the words of the command line.
    pub(crate) fn of(class: Option<char>, without: &[String]) -> Self {
        let left_out = |what: &str| without.iter().any(|word| word == what);
        Self {
            class: class.and_then(|class| CLASSES.get(usize::from((class as u8).wrapping_sub(b'a'))).copied()),
            alone: left_out("second"),
            unguarded: left_out("guard"),
            steady: left_out("clock"),
        }
    }

    /// Holds for every plan that is drawn from now on.
    pub(crate) fn keep(self) {
        drop(LIMITS.set(self));
    }

    pub(crate) fn get() -> &'static Self {
        LIMITS.get_or_init(Self::default)
    }
}

impl Plan {
    pub(crate) fn draw(random: &mut SplitMix) -> Self {
        let limits = Limits::get();
        let drawn = CLASSES[random.below(3) as usize];
        let class = limits.class.unwrap_or(drawn);
        let engines = 1 + usize::from(random.chance(50) && !limits.alone);
        let strategies = 1 + random.below(3) as usize;
        let heal_ms = 6_000 + random.below(14_000) as i64;
        let odds = if random.chance(25) { Odds::default() } else { Odds::draw(random) };
        let wishes = (0..strategies).map(|n| Wish::draw(n, random)).collect();
        let mut faults = Vec::new();
        for _ in 0..random.below(7) {
            draw_fault(random, heal_ms, (engines, strategies), &mut faults);
        }
        faults.retain(|(_, fault)| !(limits.steady && matches!(fault, Fault::Clock { .. })));
        Self {
            class,
            engines,
            wishes,
            odds,
            faults,
            settle_ms: [500, 2_000, 5_000][random.below(3) as usize],
            grace_ms: [None, Some(60_000), Some(6_000)][random.below(3) as usize],
            heal_ms,
            tick_ms: 200 + random.below(800) as i64,
            ladder: if random.chance(50) { "1,5".parse().unwrap_or_default() } else { Ladder::NONE },
        }
    }
}

impl Odds {
    fn draw(random: &mut SplitMix) -> Self {
        let mut some = |limit: u64| if random.chance(50) { random.below(limit) as u8 } else { 0 };
        Self {
            redis_lost: some(8),
            broker_lost: some(40),
            broker_late: some(40),
            report_lost: some(60),
            slow: some(20),
            crash_thousandth: u64::from(some(15)),
        }
    }
}

impl Wish {
    fn draw(n: usize, random: &mut SplitMix) -> Self {
        let user = if random.chance(50) { "a" } else { "b" };
        let short = random.chance(35);
        let away = |random: &mut SplitMix| 50 + random.below(300) as i64;
        let (below, above) = (10_000 - away(random), 10_000 + away(random));
        let (stop, target) = if short { (above, below) } else { (below, above) };
        let quantity = match random.below(4) {
            0 => "1".to_owned(),
            1 => "2.5".to_owned(),
            _ => (2 + random.below(20)).to_string(),
        };
        Self {
            key: format!("user:{user}:strategy:s{n}"),
            symbol: SYMBOLS[random.below(2) as usize],
            short,
            leave: random.chance(25),
            quantity,
            stop: random.chance(85).then_some(stop),
            target: random.chance(50).then_some(target),
            enter_ms: 300 + random.below(2_500) as i64,
            exit_ms: random.chance(60).then(|| 2_000 + random.below(18_000) as i64),
        }
    }
}

fn draw_fault(random: &mut SplitMix, until: i64, (engines, strategies): (usize, usize), all: &mut Vec<(i64, Fault)>) {
    let at = 400 + random.below(until.unsigned_abs()) as i64;
    let engine = random.below(engines as u64) as usize;
    let strategy = random.below(strategies as u64) as usize;
    let short = 50 + random.below(2_000) as i64;
    let long = 500 + random.below(9_000) as i64;
    let fault = match random.below(15) {
        0 | 1 => Fault::Crash { engine, ms: short },
        2 | 3 => Fault::Pause { engine, ms: long + random.below(6_000) as i64 },
        4 => Fault::Clock { engine, ms: random.around(20_000) },
        5 => Fault::Restart { ms: short },
        6 => {
            all.push(((at - 20 - random.below(1_500) as i64).max(1), Fault::Replica));
            Fault::Failover { ms: short }
        }
        7 => Fault::Flush,
        8 => Fault::Refuse { ms: long },
        9 => Fault::Cut { engine, ms: long },
        10 => Fault::Postgres { ms: long },
        11 => Fault::Broker { ms: long },
        12 => Fault::Stop { strategy },
        13 => Fault::Move { strategy },
        _ => Fault::Again { strategy },
    };
    all.push((at, fault));
}
