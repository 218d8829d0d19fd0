//! Candles of every symbol of the feed, built from its ticks and kept in Redis.
//!
//! A tick costs a look-up and no wait. Once a second what has changed is written, all symbols in few round trips; while Redis
//! is away the builders keep it. A symbol begins with what Redis has of it, so a restart goes on where it was.

use crate::clock::Clock;
use crate::feed::Tick;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::candles::{Candle, CandleBuilder, CandleSettings, CandleStore, Hours};
use strat_client::{Connection, market};
use strat_core::Quantity;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How much older than the newest a tick may be.
const LATENESS: Duration = Duration::from_secs(30);
/// A tick from farther ahead would make all others late.
const AHEAD_MAX_MS: i64 = 60_000;
/// Candles in one round trip.
const BATCH: usize = 1_000;
/// Symbols whose candles are kept: an exchange has fewer, and a feed that has more is not to fill the memory.
const SYMBOLS_MAX: usize = 100_000;
/// Ticks of a symbol that wait until its candles were read.
const WAITING_MAX: usize = 10_000;

/// A symbol's candles.
#[derive(Debug)]
enum Kept {
    /// Redis was not asked yet.
    Waiting(Vec<market::Tick>),
    Built(Box<CandleBuilder>),
}

/// The candles of the feed.
pub struct Candles {
    store: CandleStore<Connection>,
    hours: Arc<Hours>,
    clock: Arc<dyn Clock>,
    symbols: Mutex<HashMap<Arc<str>, Kept>>,
}

impl Candles {
    /// Over a connection, with the sessions of these hours.
    ///
    /// # Errors
    /// Where the client's settings cannot be; they are its defaults.
    pub fn new(connection: Connection, hours: Arc<Hours>, clock: Arc<dyn Clock>) -> strat_client::Result<Self> {
        let settings = CandleSettings { batch_max: BATCH, ..CandleSettings::default() };
        let store = CandleStore::new(connection, settings)?;
        Ok(Self { store, hours, clock, symbols: Mutex::default() })
    }

    /// Takes a tick that was believed.
    pub fn take(&self, tick: &Tick) {
        if tick.ts_ms > self.clock.now_ms().saturating_add(AHEAD_MAX_MS) {
            return;
        }
        let quantity = tick.size.unwrap_or(Quantity::ZERO);
        let tick_of = market::Tick { ts_ms: tick.ts_ms, price: tick.price, quantity };
        let mut symbols = self.symbols();
        let is_room = symbols.len() < SYMBOLS_MAX;
        match symbols.get_mut(&tick.symbol) {
            Some(Kept::Built(builder)) => {
                let _ = builder.push(&tick_of);
            }
            Some(Kept::Waiting(ticks)) if ticks.len() < WAITING_MAX => ticks.push(tick_of),
            None if is_room => drop(symbols.insert(Arc::clone(&tick.symbol), Kept::Waiting(vec![tick_of]))),
            Some(Kept::Waiting(_)) | None => {}
        }
    }

    /// Writes until `cancel`, and once more then.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut beat = interval(WRITE_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            let last = tokio::select! {
                _ = beat.tick() => false,
                () = cancel.cancelled() => true,
            };
            match self.write().await {
                Ok(()) => told = false,
                // Redis' absence is everybody's news; one line is enough.
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::warn!(%error, "candles cannot be written; they are kept and written later");
                }
                Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    async fn write(&self) -> strat_client::Result<()> {
        self.begin_waiting().await?;
        loop {
            let changed = self.changed();
            if changed.is_empty() {
                return Ok(());
            }
            let texts: Vec<_> = changed.iter().map(|(symbol, candles)| (&**symbol, candles.as_slice())).collect();
            self.store.write(&texts).await?;
            let mut symbols = self.symbols();
            for (symbol, candles) in &changed {
                if let Some(Kept::Built(builder)) = symbols.get_mut(symbol) {
                    builder.written(candles);
                }
            }
        }
    }

    /// Reads what Redis has of symbols that are new here.
    async fn begin_waiting(&self) -> strat_client::Result<()> {
        let is_waiting = |(symbol, kept): (&Arc<str>, &Kept)| match kept {
            Kept::Waiting(_) => Some(Arc::clone(symbol)),
            Kept::Built(_) => None,
        };
        let waiting: Vec<_> = self.symbols().iter().filter_map(is_waiting).collect();
        for symbol in waiting {
            // What is stored is of ticks before these.
            let first_ms = match self.symbols().get(&symbol) {
                Some(Kept::Waiting(ticks)) => ticks.first().map(|tick| tick.ts_ms),
                _ => None,
            };
            let at_ms = first_ms.unwrap_or_else(|| self.clock.now_ms());
            let mut builder = self.store.resume(&symbol, Arc::clone(&self.hours), LATENESS, at_ms).await?;
            let mut symbols = self.symbols();
            if let Some(Kept::Waiting(ticks)) = symbols.get(&symbol) {
                for tick in ticks {
                    let _ = builder.push(tick);
                }
                symbols.insert(symbol, Kept::Built(Box::new(builder)));
            }
        }
        Ok(())
    }

    /// Some of what changed, as it is now.
    fn changed(&self) -> Vec<(Arc<str>, Vec<Candle>)> {
        let mut room = BATCH;
        let mut changed = Vec::new();
        for (symbol, kept) in self.symbols().iter() {
            if room == 0 {
                break;
            }
            if let Kept::Built(builder) = kept {
                let candles = builder.changes(room);
                room -= candles.len();
                if !candles.is_empty() {
                    changed.push((Arc::clone(symbol), candles));
                }
            }
        }
        changed
    }

    fn symbols(&self) -> MutexGuard<'_, HashMap<Arc<str>, Kept>> {
        self.symbols.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
