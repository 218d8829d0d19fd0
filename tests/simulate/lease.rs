//! A model of the right to trade, where the broker does not dedupe: one engine has it, by a lock in Postgres.

use crate::engine::{Life, TTL_MS};
use crate::world::World;
use strat_engine::broker::Idempotency;
use strat_engine::executor::machine::Effect;

/// So long after Postgres last answered nobody else can have the lock, ms.
const KEPT_MS: i64 = 8_000;

/// What an engine knows of its right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Lease {
    #[default]
    Others,
    /// Since then.
    Mine(i64),
    /// Postgres does not answer; it was this engine's since the first time, and nobody can have it before the second.
    Unreached(i64, i64),
}

impl World {
    /// Twice a second: Postgres is asked for the lock.
    pub(crate) fn beat_lease(&mut self, engine: usize) {
        let (now, session) = (self.now_ms, (engine, self.engines[engine].life));
        let lease = self.engines[engine].lease;
        let next = if self.postgres.down {
            match lease {
                Lease::Mine(since) => Lease::Unreached(since, self.engines[engine].answered_ms + KEPT_MS),
                other => other,
            }
        } else {
            self.engines[engine].answered_ms = now;
            match (*self.postgres.guard.get_or_insert(session) == session, lease) {
                (false, _) => Lease::Others,
                (true, Lease::Mine(since)) => Lease::Mine(since),
                (true, Lease::Unreached(since, until)) if now < until => Lease::Mine(since),
                (true, _) => {
                    self.later(engine, self.plan.settle_ms, Life::Read);
                    Lease::Mine(now)
                }
            }
        };
        self.engines[engine].lease = next;
    }

    /// Whether an engine may send without Redis.
    pub(crate) fn may_act(&self, engine: usize) -> bool {
        match self.engines[engine].lease {
            _ if self.plan.class == Idempotency::Dedupes => true,
            Lease::Mine(_) => true,
            Lease::Unreached(_, until) => self.now_ms < until,
            Lease::Others => false,
        }
    }

    /// Whether it may carry out what is enqueued.
    pub(crate) fn may_trade(&self, engine: usize) -> bool {
        match self.engines[engine].lease {
            _ if self.plan.class == Idempotency::Dedupes => true,
            Lease::Mine(since) | Lease::Unreached(since, _) => self.now_ms >= since + self.plan.settle_ms,
            Lease::Others => false,
        }
    }

    /// Whether an order may go out now: an engine that was stopped may have lost its lock or its right meanwhile.
    pub(crate) fn may_send(&self, engine: usize, run: u64) -> bool {
        let Some(run) = self.engines[engine].runs.get(&run) else { return false };
        if run.machine.is_alone() {
            return self.may_act(engine);
        }
        let fresh = run.extended_ms.is_none_or(|at| self.now_ms - at <= TTL_MS / 2);
        fresh && self.may_trade(engine)
    }

    pub(crate) fn note_extension(&mut self, engine: usize, run: u64, effect: &Effect) {
        let now = self.now_ms;
        if let (Effect::Extend, Some(run)) = (effect, self.engines[engine].runs.get_mut(&run)) {
            run.extended_ms = Some(now);
        }
    }
}
