//! How an engine's own copy of the strategies follows Redis: all of them, then the journal.

use crate::effects::Fate;
use crate::engine::{Life, Work};
use crate::stream::Id;
use crate::world::World;
use std::sync::Arc;
use strat_client::{JournalEntry, Strategy as Hash};
use strat_core::Status;
use strat_engine::guard::shadow::Applied;

/// A guard that has not asked for so long, ms, may have missed entries.
const STALL_MS: i64 = 5_000;

/// What the journal said, or all there is.
#[derive(Debug)]
pub(crate) enum News {
    Entries(Vec<Arc<JournalEntry>>, Id),
    All(Vec<Hash>, Id, Arc<str>),
}

impl World {
    pub(crate) fn follow_journal(&mut self, engine: usize) {
        let own = &mut self.engines[engine];
        if own.guard.following {
            return;
        }
        let anew = own.gate.is_some() && own.guard.filled != own.gate;
        if !anew && !own.guard.fresh {
            return;
        }
        let from = (!anew).then_some(own.guard.stood);
        own.guard.following = true;
        own.guard.asked_ms = self.now_ms;
        self.send(engine, Work::Follow(from));
    }

    pub(crate) fn journal_at_redis(&mut self, engine: usize, from: Option<Id>) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, false);
        if fate != Fate::Answered {
            return (fate.ms(), Life::Followed(None));
        }
        let last = self.redis.data.journal.last();
        let news = match from {
            Some(from) => News::Entries(self.redis.data.journal.after(from), last.max(from)),
            None => {
                let hashes = self.redis.data.hashes.iter().map(|(key, fields)| hash_of(key, fields));
                News::All(hashes.filter(is_live).collect(), last, self.redis.epoch.clone())
            }
        };
        (1, Life::Followed(Some(news)))
    }

    pub(crate) fn followed(&mut self, engine: usize, news: Option<News>) {
        self.engines[engine].guard.following = false;
        match news {
            None => {
                self.engines[engine].guard.filled = None;
                self.later(engine, 100, Life::Follow);
            }
            Some(News::All(hashes, last, epoch)) => {
                let own = &mut self.engines[engine];
                if own.gate.as_ref() != Some(&epoch) {
                    return self.later(engine, 100, Life::Follow);
                }
                let mut gone = own.guard.shadow.keys();
                gone.retain(|key| !hashes.iter().any(|hash| hash.key() == key));
                gone.iter().for_each(|key| own.guard.shadow.put_hash(key, None));
                hashes.iter().for_each(|hash| own.guard.shadow.put_hash(hash.key(), Some(hash)));
                (own.guard.fresh, own.guard.filled, own.guard.stood) = (true, Some(epoch), last);
                own.guard.heard_ms = own.guard.asked_ms;
            }
            Some(News::Entries(entries, last)) => {
                let guard = &mut self.engines[engine].guard;
                guard.stood = last;
                // Stopped since the last time: entries may have been trimmed.
                if guard.asked_ms - guard.heard_ms >= STALL_MS {
                    guard.filled = None;
                } else if guard.filled.is_some() {
                    guard.heard_ms = guard.asked_ms;
                }
                for entry in entries {
                    if self.engines[engine].guard.shadow.apply(&entry) == Applied::Gap {
                        self.fill_gap(engine, &entry.key);
                    }
                }
            }
        }
    }

    fn fill_gap(&mut self, engine: usize, key: &str) {
        if self.fate_at_redis(engine, false) != Fate::Answered {
            self.engines[engine].guard.filled = None;
            return;
        }
        let hash = self.redis.data.hashes.get(key).map(|fields| hash_of(key, fields));
        let own = &mut self.engines[engine];
        let known = own.guard.shadow.version(key);
        let news = hash.as_ref().is_some_and(|hash| known.is_none_or(|known| hash.version() > known));
        if own.gate.is_some() || news {
            own.guard.shadow.put_hash(key, hash.as_ref());
        }
    }
}

fn hash_of(key: &str, fields: &crate::data::Fields) -> Hash {
    Hash::new(key, fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())))
}

fn is_live(hash: &Hash) -> bool {
    hash.state().is_ok_and(|state| state.status == Status::Running || !state.is_idle())
}
