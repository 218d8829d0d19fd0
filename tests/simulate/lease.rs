//! A model of the right to trade, where the broker does not dedupe: one engine has it, by a row in Postgres.

use crate::engine::{Life, TTL_MS};
use crate::world::World;
use strat_engine::broker::Idempotency;
use strat_engine::executor::machine::Effect;

/// How long the row keeps others out after a renewal, and how long the holder counts on it, ms.
const LIFE_MS: i64 = 10_000;
const KEPT_MS: i64 = 8_000;

/// What an engine knows of its right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Lease {
    #[default]
    Others,
    /// Its own since the first time, and nobody else's before the second; whether Postgres answered last.
    Mine(i64, i64, bool),
}

impl World {
    /// Twice a second: the row is renewed, or asked for.
    pub(crate) fn beat_lease(&mut self, engine: usize) {
        let (now, session) = (self.now_ms, (engine, self.engines[engine].life));
        let lease = self.engines[engine].lease;
        self.engines[engine].lease = if self.postgres.down {
            match lease {
                Lease::Mine(since, until, _) => Lease::Mine(since, until, false),
                Lease::Others => Lease::Others,
            }
        } else {
            let (owner, expires) = self.postgres.lease.unwrap_or((session, now));
            if owner != session && expires > now {
                Lease::Others
            } else {
                self.postgres.lease = Some((session, now + LIFE_MS));
                let since = match lease {
                    Lease::Mine(since, ..) if owner == session => since,
                    _ => now,
                };
                if since == now {
                    self.later(engine, self.plan.settle_ms, Life::Read);
                }
                Lease::Mine(since, now + KEPT_MS, true)
            }
        };
    }

    /// Since when an engine has the right without a gap.
    pub(crate) fn leased_since(&self, engine: usize) -> Option<i64> {
        match self.engines[engine].lease {
            Lease::Mine(since, ..) if self.plan.class != Idempotency::Dedupes => Some(since),
            _ => None,
        }
    }

    /// Whether an engine may send without Redis.
    pub(crate) fn may_act(&self, engine: usize) -> bool {
        match self.engines[engine].lease {
            _ if self.plan.class == Idempotency::Dedupes => true,
            Lease::Mine(_, until, _) => self.now_ms < until,
            Lease::Others => false,
        }
    }

    /// Whether it may carry out what is enqueued.
    pub(crate) fn may_trade(&self, engine: usize) -> bool {
        match self.engines[engine].lease {
            _ if self.plan.class == Idempotency::Dedupes => true,
            Lease::Mine(_, until, true) if self.now_ms >= until => false,
            Lease::Mine(since, ..) => self.now_ms >= since + self.plan.settle_ms,
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
        if let (Effect::Extend | Effect::Claim { .. }, Some(run)) = (effect, self.engines[engine].runs.get_mut(&run)) {
            run.extended_ms = Some(now);
        }
    }
}
