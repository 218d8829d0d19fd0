//! Stops go on while Redis is away.
//!
//! The engine holds the module's trigger book once more ([`shadow`]), fed from the journal. From the moment that Redis
//! does not take a price, or may have lost writes and is not reconciled yet, every tick is checked here as well, and what
//! it crosses is handed to the executor, which sends it with the id that it would have had anyway. So it does no harm
//! where Redis fires the same stop: it is the same order.
//!
//! Exits that wait in a queue and exits whose time comes are handed over likewise, after some patience. Entries wait.

mod entries;
mod follow;
pub mod shadow;
mod status;
mod trails;

pub use status::{GuardStatus, Watcher};

use crate::clock::Clock;
use crate::executor::{Executor, Unclaimed};
use crate::gate::EpochGate;
use crate::lease::Lease;
use shadow::Shadow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_core::Price;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Time between two looks at the clock while Redis is away.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whoever carries exits out while Redis is away.
pub trait ExitTaker: Send + Sync {
    /// Takes an exit over for good. Must not block; the same exit may come again.
    fn take(&self, exit: Unclaimed);

    /// Whether the exit of this cycle and attempt is in hand already.
    fn knows(&self, key: &str, cycle: u64, attempt: u64) -> bool;
}

/// The executor as [`ExitTaker`].
pub struct ByExecutor(pub Arc<Executor>);

impl ExitTaker for ByExecutor {
    fn take(&self, exit: Unclaimed) {
        let executor = Arc::clone(&self.0);
        // It waits where very many come at once; a tick must not.
        tokio::spawn(async move { executor.exit_unclaimed(exit).await });
    }

    fn knows(&self, key: &str, cycle: u64, attempt: u64) -> bool {
        self.0.knows_exit(key, cycle, attempt)
    }
}

/// Settings of the guard.
#[derive(Debug, Clone, Copy)]
pub struct GuardSettings {
    /// Whether the engine watches stops itself while Redis is away.
    pub enabled: bool,
    /// How long Redis may leave a price unanswered before it counts as away.
    pub notice: Duration,
    /// How long Redis must be away before exits that wait in a queue, or whose time comes, are sent without it.
    pub patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Since when Redis does not watch.
    away: Option<Instant>,
    /// Redis took the last price.
    taking: bool,
    /// When the shadow last had everything.
    fresh: Option<Instant>,
    outages: u64,
    exits: u64,
    alarms: u64,
    /// Crossed without the lease; sent if it comes while Redis is away.
    held_back: Vec<(Instant, Unclaimed)>,
}

/// Watches stops while Redis does not.
pub struct Guard {
    settings: GuardSettings,
    gate: EpochGate,
    clock: Arc<dyn Clock>,
    exits: Arc<dyn ExitTaker>,
    lease: Lease,
    shadow: Mutex<Shadow>,
    state: Mutex<State>,
    /// Whether ticks are to be checked here: a copy of the state for every tick's look.
    acting: AtomicBool,
}

impl Guard {
    /// A guard that knows no strategy yet; [`Guard::follow`] tells it, [`Guard::run`] lets it keep time.
    #[must_use]
    pub fn new(
        settings: GuardSettings,
        gate: EpochGate,
        clock: Arc<dyn Clock>,
        exits: Arc<dyn ExitTaker>,
        lease: Lease,
    ) -> Self {
        Self {
            settings,
            gate,
            clock,
            exits,
            lease,
            shadow: Mutex::default(),
            state: Mutex::default(),
            acting: AtomicBool::new(false),
        }
    }

    /// Settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> GuardSettings {
        self.settings
    }

    /// The gate that it watches, and says to whether Redis is away.
    #[must_use]
    pub const fn gate(&self) -> &EpochGate {
        &self.gate
    }

    /// Whether every tick is to be checked by [`Guard::check`].
    #[must_use]
    pub fn is_acting(&self) -> bool {
        self.acting.load(Ordering::SeqCst)
    }

    /// Redis took prices in this epoch. Whether it watches every stop: what it took in an epoch that is not reconciled
    /// may have met no level at all.
    pub fn taken(&self, epoch: &str) -> bool {
        let reconciled = self.gate.peek().is_some_and(|known| *known == *epoch);
        let mut state = lock(&self.state);
        state.taking = true;
        // Before the first reconciliation there is nothing that the engine knows and Redis does not.
        if !reconciled {
            return state.fresh.is_none();
        }
        if let Some(since) = state.away.take() {
            self.acting.store(false, Ordering::SeqCst);
            self.gate.set_redis_away(false);
            state.held_back.clear();
            let mut shadow = lock(&self.shadow);
            shadow.forget_marks();
            shadow.let_trails_go();
            drop(shadow);
            let ms = since.elapsed().as_millis() as u64;
            tracing::warn!(ms, exits = state.exits, "Redis watches the stops again");
        }
        true
    }

    /// Redis does not watch, or may not. Answers whether that is news: then every price that it has not taken is to be
    /// checked here.
    pub fn lost(&self, why: &str, taking: bool) -> bool {
        let mut state = lock(&self.state);
        state.taking = taking;
        if state.away.is_some() {
            return false;
        }
        state.away = Some(Instant::now());
        state.outages += 1;
        let armed = {
            let mut shadow = lock(&self.shadow);
            // A tick that was just being checked when Redis came back may have left one.
            shadow.forget_marks();
            shadow.hold_trails();
            shadow.stats().armed
        };
        if self.settings.enabled && state.fresh.is_some() {
            tracing::error!(why, "Redis is away: the engine watches {armed} stops itself");
        } else {
            tracing::error!(why, "STOPS ARE NOT WATCHED: Redis is away, and the engine may not or cannot watch itself");
        }
        self.gate.set_redis_away(true);
        self.acting.store(self.settings.enabled, Ordering::SeqCst);
        self.settings.enabled
    }

    /// Hands over what these prices cross.
    pub fn check<'a>(&self, symbol: &str, prices: impl IntoIterator<Item = (Price, &'a str)>, ts_ms: i64) {
        let mut fired = Vec::new();
        let mut shadow = lock(&self.shadow);
        for price in prices {
            shadow.cross(symbol, price, ts_ms, &mut fired);
        }
        drop(shadow);
        self.hand_over(fired, "its level was crossed");
    }

    fn hand_over(&self, exits: Vec<Unclaimed>, why: &str) {
        let fresh = lock(&self.state).fresh;
        let exits = exits.into_iter().map(|exit| Unclaimed { age_ms: ms_since(fresh), ..exit });
        self.hand_over_aged(exits, why);
    }

    fn hand_over_aged(&self, exits: impl IntoIterator<Item = Unclaimed>, why: &str) {
        for exit in exits {
            let Unclaimed { key, action, strategy, .. } = &exit;
            if self.exits.knows(key, strategy.cycle, strategy.attempt) {
                continue;
            }
            let quantity = strategy.open_quantity();
            if self.lease.may_act() {
                tracing::warn!(key, %action, %quantity, symbol = strategy.symbol, why, "exit sent without Redis");
                lock(&self.state).exits += 1;
                self.exits.take(exit);
            } else {
                tracing::error!(key, %action, %quantity, symbol = strategy.symbol, why, "EXIT NOT SENT: Redis is away, another engine may act, and this broker would take the order twice");
                let mut state = lock(&self.state);
                state.alarms += 1;
                state.held_back.push((Instant::now(), exit));
            }
        }
    }

    /// Keeps time while Redis is away, until `cancel`.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = looks.tick() => self.look(Instant::now()),
            }
        }
    }

    fn look(&self, now: Instant) {
        if !self.is_acting() {
            return;
        }
        let (late, held_back) = {
            let mut state = lock(&self.state);
            let patience = self.settings.patience;
            let late = state.away.is_some_and(|since| now.saturating_duration_since(since) >= patience);
            let released = if self.lease.may_act() { std::mem::take(&mut state.held_back) } else { Vec::new() };
            (late, released)
        };
        let aged = |(since, exit): (Instant, Unclaimed)| {
            let age_ms = exit.age_ms.saturating_add(ms_since(Some(since)));
            Unclaimed { age_ms, ..exit }
        };
        self.hand_over_aged(held_back.into_iter().map(aged), "the right to act came");
        if !late {
            return;
        }
        let now_ms = self.clock.now_ms();
        let (mut due, mut waiting) = (Vec::new(), Vec::new());
        {
            let mut shadow = lock(&self.shadow);
            shadow.due(now_ms, &mut due);
            shadow.enqueued(now_ms, &mut waiting);
        }
        self.hand_over(due, "its time has come");
        self.hand_over(waiting, "it waited in a queue");
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> GuardStatus {
        let shadow = lock(&self.shadow).stats();
        let state = lock(&self.state);
        let engine = self.settings.enabled && state.fresh.is_some() && self.lease.may_act();
        let watching = match state.away {
            None if state.taking => Watcher::Redis,
            Some(_) if engine => Watcher::Engine,
            _ => Watcher::Nobody,
        };
        GuardStatus {
            enabled: self.settings.enabled,
            watching,
            shadow,
            behind: state.fresh.map(|fresh| fresh.elapsed()),
            outages: state.outages,
            exits: state.exits,
            alarms: state.alarms,
        }
    }

    /// Looks something up in the shadow.
    pub fn with_shadow<T>(&self, look: impl FnOnce(&Shadow) -> T) -> T {
        look(&lock(&self.shadow))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics half-way through a change leaves at worst one strategy out, which the next reading brings back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long ago that was, ms; for ever where it never was.
fn ms_since(at: Option<Instant>) -> i64 {
    at.and_then(|at| i64::try_from(at.elapsed().as_millis()).ok()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
