//! A model of the journal's way into Postgres: one session at a time reads, applies, acknowledges, trims.

use crate::effects::Fate;
use crate::engine::{Life, Work};
use crate::stream::Id;
use crate::world::World;
use std::sync::Arc;
use strat_client::JournalEntry;
use strat_core::planted::{self, Mistake};

/// A batch on its way.
#[derive(Debug)]
pub(crate) enum Batch {
    /// To be read; `again`: what was handed out before comes first.
    Read {
        again: bool,
    },
    Apply(Vec<(Id, Arc<JournalEntry>)>),
    Acknowledge(Vec<Id>),
    /// Nothing is left to do.
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct Syncing {
    busy: bool,
    /// This session has read what was left unacknowledged.
    caught_up: bool,
    /// The connection was cut: the session begins anew.
    cut: bool,
}

impl Syncing {
    /// What was handed out and not acknowledged is read again.
    pub(crate) const fn begin_anew(&mut self) {
        self.cut = true;
    }
}

impl World {
    /// Twice a second: the right to read the journal.
    pub(crate) fn beat_sync(&mut self, engine: usize) {
        let session = (engine, self.engines[engine].life);
        if !self.postgres.down && self.postgres.leader.is_none() {
            self.postgres.leader = Some(session);
            self.engines[engine].syncing = Syncing::default();
        }
        self.sync(engine);
    }

    pub(crate) fn sync(&mut self, engine: usize) {
        let session = (engine, self.engines[engine].life);
        let work = self.redis.data.journal.has_new() || self.redis.data.journal.pending() > 0;
        let own = &mut self.engines[engine].syncing;
        if self.postgres.leader != Some(session) || own.busy || !work {
            return;
        }
        own.busy = true;
        own.caught_up &= !std::mem::take(&mut own.cut);
        // Whatever a leader before this one read and could not write is taken over.
        let again = !own.caught_up || !self.redis.data.journal.has_new();
        self.send(engine, Work::Sync(Batch::Read { again }));
    }

    pub(crate) fn sync_at_servers(&mut self, engine: usize, life: u64, batch: Batch) -> (i64, Life) {
        let failed = |ms| (ms, Life::Synced(None));
        match batch {
            Batch::Read { again } => {
                let fate = self.fate_at_redis(engine, true);
                let (now, journal) = (self.now_ms, &mut self.redis.data.journal);
                if planted::is(Mistake::JournalTrimmedEarly) && fate.happens() {
                    // By length, as if nobody had to read it.
                    journal.trim(true);
                }
                let read = match (fate.happens(), again) {
                    (false, _) => Vec::new(),
                    (true, true) => journal.claim(now, 0),
                    (true, false) => journal.read_new(now, 500),
                };
                if fate != Fate::Answered {
                    return failed(fate.ms());
                }
                let read: Vec<_> = read.into_iter().map(|(id, _, entry)| (id, entry)).collect();
                let next = match (read.is_empty(), again) {
                    (false, _) => Batch::Apply(read),
                    (true, true) => Batch::Read { again: false },
                    (true, false) => Batch::Nothing,
                };
                (1, Life::Synced(Some(next)))
            }
            Batch::Apply(entries) => {
                if self.postgres.down || self.postgres.leader != Some((engine, life)) {
                    return failed(20);
                }
                let all: Vec<_> = entries.iter().map(|(_, entry)| Arc::clone(entry)).collect();
                let applied = self.postgres.apply(&all);
                for (key, cycle) in applied.lowered {
                    self.raise_cycle(&key, cycle);
                }
                if applied.doubtful {
                    self.later(engine, 5, Life::Pass);
                }
                if self.random.chance(self.plan.odds.redis_lost) {
                    return failed(20);
                }
                let ids = entries.into_iter().map(|(id, _)| id).collect();
                (1, Life::Synced(Some(Batch::Acknowledge(ids))))
            }
            Batch::Acknowledge(ids) => {
                let fate = self.fate_at_redis(engine, true);
                if fate.happens() {
                    ids.iter().for_each(|id| self.redis.data.journal.acknowledge(*id, false));
                    self.redis.data.journal.trim(false);
                }
                if fate == Fate::Answered { (1, Life::Synced(Some(Batch::Nothing))) } else { failed(fate.ms()) }
            }
            Batch::Nothing => failed(1),
        }
    }

    pub(crate) fn synced(&mut self, engine: usize, batch: Option<Batch>) {
        let own = &mut self.engines[engine].syncing;
        match batch {
            // The session is begun anew, by whoever is first.
            None => {
                *own = Syncing::default();
                let session = (engine, self.engines[engine].life);
                self.postgres.leader = self.postgres.leader.filter(|leader| *leader != session);
            }
            Some(Batch::Nothing) => {
                own.busy = false;
                own.caught_up &= !std::mem::take(&mut own.cut);
                self.later(engine, 1, Life::Sync);
            }
            Some(batch) => {
                own.caught_up |= matches!(batch, Batch::Read { again: false });
                self.send(engine, Work::Sync(batch));
            }
        }
    }

    /// A strategy that came back with a lower cycle goes on from there.
    fn raise_cycle(&mut self, key: &str, cycle: i64) {
        let idle = self.redis.strategy(key).is_some_and(|known| known.is_idle() && known.cycle < cycle.unsigned_abs());
        if idle {
            drop(self.redis.update(key, &[("cycle", cycle.to_string())], self.now_ms));
        }
    }
}
