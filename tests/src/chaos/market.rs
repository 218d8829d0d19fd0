//! The market: prices that walk, sent to the engines as lines, told to the broker, and written into the tick log.
//!
//! The log remembers which life of which engine each tick was sent to. What happens to a tick after that (a kill, a
//! cut link) is [`Market::interrupt`]ed: the life ends, and nothing is claimed of what it got last.

use crate::rng::Rng;
use crate::servers::simbroker::set_price;
use crate::support::now_ms;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(super) const SYMBOLS: &[&str] = &["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"];
/// Most engines that listen.
pub(super) const ENGINES_MAX: usize = 2;
/// First price, in cents, and how far it walks from there.
pub(super) const CENTRE: i64 = 10_000;
const REACH: i64 = 100;
const STEP: i64 = 7;
/// Between these prices a sweep goes down and up, so that every level is crossed.
const SWEEP: (i64, i64) = (CENTRE - 4 * REACH, CENTRE + 4 * REACH);
const SWEEP_STEP: i64 = 12;
const TICK_EVERY: Duration = Duration::from_millis(30);
const TELL_EVERY: Duration = Duration::from_millis(300);
/// An engine that does not read for so long loses its connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// A life of an engine, as far as ticks go: 0 for none.
pub(super) type Life = u32;

/// A tick that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) at_ms: i64,
    pub(super) symbol: usize,
    pub(super) cents: i64,
    /// The life of each engine that it was sent to.
    pub(super) to: [Life; ENGINES_MAX],
}

/// A market that is open.
pub(super) struct Market {
    floor: Arc<Floor>,
    ports: Vec<u16>,
    threads: Vec<JoinHandle<()>>,
}

struct Floor {
    prices: Mutex<Vec<i64>>,
    ticks: Mutex<Vec<Tick>>,
    lives: [AtomicU32; ENGINES_MAX],
    /// Of each engine, with the life that connected.
    connections: [Mutex<Vec<(TcpStream, Life)>>; ENGINES_MAX],
    sweeping: AtomicBool,
    closed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cents as a price.
pub(super) fn price(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl Market {
    /// Opens with a port for each engine; the broker that listens on `broker` trades at its prices.
    pub(super) fn open(rng: Rng, broker: u16) -> Self {
        let floor = Arc::new(Floor {
            prices: Mutex::new(vec![CENTRE; SYMBOLS.len()]),
            ticks: Mutex::default(),
            lives: [1, 1].map(AtomicU32::new),
            connections: Default::default(),
            sweeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let listen = |engine: usize| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let floor = Arc::clone(&floor);
            thread::spawn(move || floor.admit(&listener, engine));
            port
        };
        let ports = (0..ENGINES_MAX).map(listen).collect();
        let (trader, teller) = (Arc::clone(&floor), Arc::clone(&floor));
        let threads = vec![thread::spawn(move || trader.trade(rng)), thread::spawn(move || teller.tell(broker))];
        Self { floor, ports, threads }
    }

    /// Where an engine's lines come from.
    pub(super) fn port(&self, engine: usize) -> u16 {
        self.ports[engine]
    }

    /// The view that other threads share.
    pub(super) fn view(&self) -> MarketView {
        MarketView(Arc::clone(&self.floor))
    }

    /// What the engine got last may be lost: a new life begins.
    pub(super) fn interrupt(&self, engine: usize) {
        self.floor.lives[engine].fetch_add(1, Ordering::SeqCst);
    }

    /// Lets every price go down and up so far that every level is crossed; returns at once.
    pub(super) fn sweep(&self) {
        self.floor.sweeping.store(true, Ordering::SeqCst);
    }

    /// Every tick so far.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        lock(&self.floor.ticks).clone()
    }

    /// Writes the tick log: time, symbol, price, and the life of each engine that it was sent to.
    pub(super) fn write_log(&self, path: &Path) {
        let mut text = "ts,symbol,price,lives\n".to_owned();
        for tick in self.ticks() {
            let _ = writeln!(text, "{},{},{},{:?}", tick.at_ms, SYMBOLS[tick.symbol], price(tick.cents), tick.to);
        }
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.floor.closed.store(true, Ordering::SeqCst);
        for port in &self.ports {
            // Wakes the listeners up, so that they end.
            let _ = TcpStream::connect(("127.0.0.1", *port));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What other threads see of the market.
#[derive(Clone)]
pub(super) struct MarketView(Arc<Floor>);

impl MarketView {
    /// The last price of a symbol, in cents.
    pub(super) fn cents(&self, symbol: usize) -> i64 {
        lock(&self.0.prices)[symbol]
    }

    /// The life that an engine is in.
    pub(super) fn life(&self, engine: usize) -> Life {
        self.0.lives[engine].load(Ordering::SeqCst)
    }
}

impl Floor {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn admit(&self, listener: &TcpListener, engine: usize) {
        for stream in listener.incoming().flatten() {
            if self.is_closed() {
                return;
            }
            let life = self.lives[engine].load(Ordering::SeqCst);
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(PATIENCE));
            lock(&self.connections[engine]).push((stream, life));
        }
    }

    fn trade(&self, mut rng: Rng) {
        let mut sweep: Vec<Option<Phase>> = vec![None; SYMBOLS.len()];
        while !self.is_closed() {
            if self.sweeping.swap(false, Ordering::SeqCst) {
                sweep.fill(Some(Phase::Down));
            }
            let prices = {
                let mut prices = lock(&self.prices);
                for (price, sweep) in prices.iter_mut().zip(&mut sweep) {
                    *price = next_price(*price, sweep, &mut rng);
                }
                prices.clone()
            };
            self.send(&prices);
            thread::sleep(TICK_EVERY);
        }
    }

    /// Tells the broker the prices, now and then; while it is away it keeps its last ones.
    fn tell(&self, broker: u16) {
        while !self.is_closed() {
            let prices = lock(&self.prices).clone();
            for (symbol, cents) in SYMBOLS.iter().zip(prices) {
                set_price(broker, symbol, &price(cents));
            }
            thread::sleep(TELL_EVERY);
        }
    }

    /// One line for each symbol to every engine that listens, and into the log.
    fn send(&self, prices: &[i64]) {
        let at_ms = now_ms();
        let lines: String =
            SYMBOLS.iter().zip(prices).map(|(symbol, cents)| format!("{symbol},{},{at_ms}\n", price(*cents))).collect();
        let mut to = [0; ENGINES_MAX];
        for (engine, connections) in self.connections.iter().enumerate() {
            lock(connections).retain_mut(|(stream, life)| {
                let sent = stream.write_all(lines.as_bytes()).is_ok();
                if sent {
                    to[engine] = *life;
                }
                sent
            });
        }
        let ticks = prices.iter().enumerate().map(|(symbol, &cents)| Tick { at_ms, symbol, cents, to });
        lock(&self.ticks).extend(ticks);
    }
}

#[derive(Clone, Copy)]
enum Phase {
    Down,
    Up,
}

fn next_price(price: i64, sweep: &mut Option<Phase>, rng: &mut Rng) -> i64 {
    match sweep {
        Some(Phase::Down) if price > SWEEP.0 => price - SWEEP_STEP,
        Some(Phase::Down) => {
            *sweep = Some(Phase::Up);
            price
        }
        Some(Phase::Up) if price < SWEEP.1 => price + SWEEP_STEP,
        Some(Phase::Up) => {
            *sweep = None;
            CENTRE
        }
        None => {
            // Comes back as a whole step where it would go too far.
            let step = rng.between(-STEP, STEP);
            if (price + step - CENTRE).abs() > REACH { price - step } else { price + step }
        }
    }
}
