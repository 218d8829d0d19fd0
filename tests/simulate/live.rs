//! The engine's loops: queues, locks of working orders, times, the epoch.

use crate::data::Item;
use crate::effects::Fate;
use crate::engine::{Life, Name, TTL_MS, Work};
use crate::stream::Id;
use crate::world::World;
use std::sync::Arc;
use strat_client::{LockToken, QueueEntry};
use strat_core::key;
use strat_core::planted::{self, Mistake};
use strat_engine::executor::Job;
use strat_engine::executor::machine::OrderMachine;

/// Time between two beats, ms; the loops run at multiples of it.
const BEAT_MS: i64 = 500;

impl World {
    /// Everything that an engine looks at now and then. What would find nothing is not sent at all.
    pub(crate) fn beat(&mut self, engine: usize) {
        let ms = BEAT_MS - 20 + self.draw(40);
        self.later(engine, ms, Life::Beat);
        self.engines[engine].beats += 1;
        let every_second = self.engines[engine].beats.is_multiple_of(2);
        let gate = self.engines[engine].gate.clone();
        if gate.is_some() {
            if gate.as_ref() != Some(&self.redis.epoch) {
                self.send(engine, Work::Epoch);
            }
            let now = self.now_ms;
            if self.redis.data.exits.has_new() || self.redis.data.orders.has_new() {
                self.later(engine, 0, Life::Read);
            }
            let idle = self.redis.data.exits.has_idle(now, TTL_MS) || self.redis.data.orders.has_idle(now, TTL_MS);
            if every_second && idle && self.may_trade(engine) {
                self.send(engine, Work::TakeOver);
            }
        }
        if every_second {
            self.keep_locks(engine);
        }
        let clock = self.clock(engine);
        if self.redis.book.next_due("").is_some_and(|due| due <= clock) {
            self.send(engine, Work::Due(clock));
        }
        self.beat_lease(engine);
        self.beat_guard(engine);
        self.beat_sync(engine);
        if self.engines[engine].next_pass_ms <= self.now_ms {
            self.begin_pass(engine);
        }
    }

    pub(crate) fn epoch_seen(&mut self, engine: usize, epoch: &Arc<str>) {
        if let Some(known) = self.engines[engine].gate.clone().filter(|known| known != epoch) {
            self.shut_gate(engine, &known);
        }
    }

    /// Closes the gate if it still stands on `epoch`, and reconciles.
    pub(crate) fn shut_gate(&mut self, engine: usize, epoch: &Arc<str>) {
        if self.engines[engine].gate.as_ref() == Some(epoch) {
            self.say(|| format!("e{engine}: gate shut"));
            self.engines[engine].gate = None;
            self.later(engine, 1, Life::Pass);
        }
    }

    fn keep_locks(&mut self, engine: usize) {
        let runs = self.engines[engine].runs.iter();
        let lock = |run: &crate::engine::Run| Some((run.machine.job().key.clone(), run.machine.lock()?.clone()));
        let locks: Vec<_> =
            runs.filter_map(|(number, run)| lock(run).map(|(key, token)| (*number, key, token))).collect();
        if !locks.is_empty() {
            self.send(engine, Work::Keep(locks));
        }
    }

    pub(crate) fn keep_at_redis(&mut self, engine: usize, locks: Vec<(u64, String, LockToken)>) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, true);
        let mut lost = Vec::new();
        for (run, key, token) in locks {
            if fate.happens() && !self.redis.extend(&key, token.as_str(), TTL_MS, self.now_ms) {
                lost.push((run, token));
            }
        }
        if fate != Fate::Answered {
            lost.clear();
        }
        (fate.ms(), Life::LocksLost(lost))
    }

    pub(crate) fn read_queues(&mut self, engine: usize) {
        if !self.may_trade(engine) {
            return;
        }
        let own = &mut self.engines[engine];
        if own.gate.is_some() && !std::mem::replace(&mut own.reading, true) {
            self.send(engine, Work::Read);
        }
    }

    pub(crate) fn read_at_redis(&mut self, engine: usize) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, true);
        let (now, mut entries) = (self.now_ms, Vec::new());
        if fate.happens() {
            let heard = planted::is(Mistake::PublishAsDelivery);
            let exits = if heard { Vec::new() } else { self.redis.data.exits.read_new(now, 100) };
            entries = entries_of(&key::queue_exits(""), exits);
            if entries.is_empty() {
                entries = entries_of(&key::queue_orders(""), self.redis.data.orders.read_new(now, 100));
            }
        }
        (fate.ms(), Life::Entries((fate == Fate::Answered).then_some(entries), true))
    }

    pub(crate) fn claim_at_redis(&mut self, engine: usize) -> (i64, Life) {
        let fate = self.fate_at_redis(engine, true);
        let (now, mut entries) = (self.now_ms, Vec::new());
        if fate.happens() {
            entries = entries_of(&key::queue_exits(""), self.redis.data.exits.claim(now, TTL_MS));
            entries.extend(entries_of(&key::queue_orders(""), self.redis.data.orders.claim(now, TTL_MS)));
        }
        (fate.ms(), Life::Entries((fate == Fate::Answered).then_some(entries), false))
    }

    pub(crate) fn take_entries(&mut self, engine: usize, entries: Option<Vec<QueueEntry>>, new: bool) {
        if new {
            self.engines[engine].reading = false;
        }
        let entries = entries.unwrap_or_default();
        let again = new && !entries.is_empty();
        for entry in entries {
            let ack = (entry.stream.clone(), entry.id.clone());
            if self.engines[engine].under_way.insert(ack.clone()) {
                let job = Job::of_entry(entry, self.engines[engine].began_ms());
                let machine = OrderMachine::new(job, self.rules());
                self.start_run(engine, machine, Name::Entry(ack));
            }
        }
        if again {
            self.later(engine, 1, Life::Read);
        }
    }

    /// Planted: an exit is carried out because its event was heard.
    pub(crate) fn heard(&mut self, engine: usize, id: Id, item: Item) {
        let entry = entries_of(&key::queue_exits(""), vec![(id, 1, item)]).remove(0);
        self.take_entries(engine, Some(vec![entry]), false);
    }

    /// What Redis did wakes those who wait for it, and is noted by those who watch.
    pub(crate) fn notice(&mut self) {
        let wrong = std::mem::take(&mut self.redis.wrong);
        wrong.into_iter().for_each(|what| self.watch.wrong(what));
        if self.redis.published.is_empty() {
            return;
        }
        for published in std::mem::take(&mut self.redis.published) {
            self.say(|| format!("redis: {} {}", published.kind, published.key));
            if published.alarm {
                self.alarm(&published.key, published.kind.as_str());
            }
            self.check_book(&published.key);
            if published.enqueued.is_none() {
                continue;
            }
            for engine in 0..self.engines.len() {
                let ms = 1 + self.draw(15);
                self.later(engine, ms, Life::Read);
                let heard = published.enqueued.clone().filter(|_| planted::is(Mistake::PublishAsDelivery));
                if let Some((id, item)) = heard {
                    let exit = self.redis.strategy(&item.key).is_some_and(|known| {
                        item.action.leg(known.side) == strat_core::Leg::Exit && self.engines[engine].up
                    });
                    if exit && !self.engines[engine].cut {
                        self.later(engine, ms, Life::Heard(id, item));
                    }
                }
            }
        }
        for engine in 0..self.engines.len() {
            let ms = 1 + self.draw(30);
            self.later(engine, ms, Life::Follow);
            self.later(engine, ms, Life::Sync);
        }
    }
}

fn entries_of(stream: &str, found: Vec<(Id, u64, Item)>) -> Vec<QueueEntry> {
    let entry = |(id, deliveries, item): (Id, u64, Item)| QueueEntry {
        stream: stream.to_owned(),
        id: format!("{}-{}", id.0, id.1),
        deliveries,
        key: item.key,
        action: item.action,
        cycle: item.cycle,
        version: item.version,
        price: None,
        ts_ms: Some(item.ts_ms),
    };
    found.into_iter().map(entry).collect()
}
