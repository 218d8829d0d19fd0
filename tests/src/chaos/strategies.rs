//! The users: they create short-lived strategies all the time, and watch what becomes of them.

use super::market::{CENTRE, MarketView, SYMBOLS, price};
use super::store::Finder;
use crate::resp::{Conn, Value};
use crate::rng::Rng;
use crate::support::now_ms;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two looks at the strategies.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// Entries come so long after the strategy was made, timed exits so long after the entry, ms.
const ENTRY_AFTER: (i64, i64) = (100, 1_500);
const EXIT_AFTER: (i64, i64) = (1_500, 7_000);
/// Levels lie so many cents away from the price when the strategy is made.
const LEVEL: (i64, i64) = (4, 60);

pub(super) type Fields = BTreeMap<String, String>;

/// A strategy as its user wanted it. Each has a user of its own, because the broker's ledger knows users only.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) user: String,
    pub(super) key: String,
    pub(super) symbol: usize,
    pub(super) long: bool,
    quantity: i64,
    entry_at: i64,
    /// None for those that only a level ends.
    pub(super) exit_at: Option<i64>,
    /// In cents.
    pub(super) stop: Option<i64>,
    target: Option<i64>,
    /// Also has a stop that follows the price from too far away to fire: what is followed must outlive everything too.
    trails: bool,
}

/// What was seen of it.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) life: Life,
    /// When Redis said that it has it.
    pub(super) made_ms: Option<i64>,
    /// When it was first seen in the market with its levels armed; a tick after that must fire them.
    pub(super) armed_ms: Option<i64>,
    ended: bool,
}

/// Everybody who trades.
pub(super) struct Users {
    floor: Arc<Floor>,
    work: Option<JoinHandle<()>>,
}

struct Floor {
    watched: Mutex<Vec<Watched>>,
    making: AtomicBool,
    gone: AtomicBool,
    finder: Finder,
    market: MarketView,
}

impl Life {
    fn draw(number: usize, rng: &mut Rng, market: &MarketView) -> Self {
        let (symbol, long) = (rng.below(SYMBOLS.len()), rng.chance(50));
        let now = market.cents(symbol);
        let entry_at = now_ms() + rng.between(ENTRY_AFTER.0, ENTRY_AFTER.1);
        // Behind the price for a stop, before it for a target; never so far that a sweep would miss it.
        let mut level = |percent: usize, sign: i64| {
            let away = rng.between(LEVEL.0, LEVEL.1);
            rng.chance(percent)
                .then(|| (now + if long { sign } else { -sign } * away).clamp(CENTRE - 200, CENTRE + 200))
        };
        let (stop, target) = (level(75, -1), level(40, 1));
        let timed = stop.is_none() || rng.chance(60);
        let exit_at = timed.then(|| entry_at + rng.between(EXIT_AFTER.0, EXIT_AFTER.1));
        let quantity = rng.between(1, 20);
        let user = format!("u{number}");
        let key = format!("user:{user}:strategy:s");
        let trails = number.is_multiple_of(3);
        Self { user, key, symbol, long, quantity, entry_at, exit_at, stop, target, trails }
    }

    /// The command that makes it; a repeat changes nothing.
    fn command(&self) -> Vec<String> {
        let (entry, exit) = if self.long { ("buy_at", "sell_at") } else { ("sell_at", "buy_at") };
        let side = if self.long { "LONG" } else { "SHORT" };
        let quantity = self.quantity.to_string();
        let mut words: Vec<String> = ["STRAT.SET", &self.key, "NX", "symbol", SYMBOLS[self.symbol], "side", side]
            .into_iter()
            .chain(["quantity", &quantity])
            .map(str::to_owned)
            .collect();
        let mut field = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        field(entry, Some(self.entry_at.to_string()));
        field(exit, self.exit_at.map(|at| at.to_string()));
        field("stop_loss", self.stop.map(price));
        field("take_profit", self.target.map(price));
        field("trail", self.trails.then(|| "99.9%".to_owned()));
        words
    }

    pub(super) fn entry_side(&self) -> &'static str {
        if self.long { "BUY" } else { "SELL" }
    }

    /// Whether a price is beyond the stop.
    pub(super) fn is_stopped_at(&self, cents: i64) -> bool {
        self.stop.is_some_and(|stop| if self.long { cents <= stop } else { cents >= stop })
    }
}

impl Users {
    /// Makes a strategy about every `pace`.
    pub(super) fn start(rng: Rng, pace: Duration, finder: Finder, market: MarketView) -> Self {
        let floor = Arc::new(Floor {
            watched: Mutex::default(),
            making: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            finder,
            market,
        });
        let shared = Arc::clone(&floor);
        let work = Some(thread::spawn(move || shared.work(rng, pace)));
        Self { floor, work }
    }

    /// From now on nothing new; what is not made yet is still made.
    pub(super) fn stop_making(&self) {
        self.floor.making.store(false, Ordering::SeqCst);
    }

    /// What was seen so far.
    pub(super) fn watched(&self) -> Vec<Watched> {
        lock(&self.floor.watched).clone()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.floor.gone.store(true, Ordering::SeqCst);
        if let Some(work) = self.work.take() {
            let _ = work.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Floor {
    fn work(&self, mut rng: Rng, pace: Duration) {
        let mut conn = None;
        let (mut next, mut look) = (Instant::now(), Instant::now());
        while !self.gone.load(Ordering::SeqCst) {
            if self.making.load(Ordering::SeqCst) && Instant::now() >= next {
                let mut watched = lock(&self.watched);
                let life = Life::draw(watched.len(), &mut rng, &self.market);
                watched.push(Watched { life, made_ms: None, armed_ms: None, ended: false });
                next = Instant::now() + pace.mul_f64(rng.between(20, 180) as f64 / 100.0);
            }
            if Instant::now() >= look {
                look = Instant::now() + LOOK_EVERY;
                if conn.is_none() {
                    conn = self.finder.open().ok();
                }
                if conn.as_mut().is_some_and(|conn| self.look(conn).is_err()) {
                    conn = None;
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes what is not made, and looks at what has not ended.
    fn look(&self, conn: &mut Conn) -> io::Result<()> {
        let unmade: Vec<_> = self.chosen(|watched| watched.made_ms.is_none());
        for (at, life) in unmade {
            // Any refusal is a trouble of the server's, which passes; nil says that it is there already.
            match conn.try_call(&life.command())? {
                Value::Error(text) if text.starts_with("READONLY") => return Err(io::ErrorKind::NotConnected.into()),
                Value::Error(_) => {}
                _ => lock(&self.watched)[at].made_ms = Some(now_ms()),
            }
        }
        let open = self.chosen(|watched| watched.made_ms.is_some() && !watched.ended);
        for (_, life) in &open {
            conn.send(&["HMGET", &life.key, "status", "position", "pending", "retry_at", "working"])?;
        }
        for (at, _) in open {
            let reply = conn.receive()?;
            let Value::Array(values) = reply else { continue };
            let text = |value: &Value| if *value == Value::Nil { String::new() } else { value.text() };
            let values: Vec<_> = values.iter().map(text).collect();
            let [status, position, pending, retry_at, working] = values.as_slice() else { continue };
            let in_market = matches!(position.as_str(), "BOUGHT" | "SHORTED");
            let watched = &mut lock(&self.watched)[at];
            if in_market && status == "RUNNING" && [pending, retry_at].iter().all(|text| text.is_empty()) {
                watched.armed_ms.get_or_insert(now_ms());
            }
            watched.ended = has_ended(status, position, pending, working);
        }
        Ok(())
    }

    /// Copies of what is chosen, with their places: the lock is not held while a server is asked.
    fn chosen(&self, choice: impl Fn(&Watched) -> bool) -> Vec<(usize, Life)> {
        let watched = lock(&self.watched);
        let chosen = watched.iter().enumerate().filter(|(_, watched)| choice(watched));
        chosen.map(|(at, watched)| (at, watched.life.clone())).collect()
    }
}

/// Whether a strategy's hash says that nothing more will happen.
pub(super) fn has_ended(status: &str, position: &str, pending: &str, working: &str) -> bool {
    let out = matches!(position, "" | "NONE" | "SOLD" | "COVERED" | "EXITED_BY_SL" | "EXITED_BY_TP");
    matches!(status, "COMPLETED" | "FAILED" | "STOPPED") && out && pending.is_empty() && working.is_empty()
}
