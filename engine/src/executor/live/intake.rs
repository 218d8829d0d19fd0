//! How orders come in: from the queues, from engines that died, and from where no queue entry speaks for them.

use super::job::Name;
use super::{ALONE, BLOCK, Driver, EXITS, EntryName, ORDERS, held};
use crate::executor::machine::OrderMachine;
use crate::executor::shell::Ahead;
use crate::executor::{Job, crash_point};
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Delivery, Queue, QueueEntry, QueueReader};
use strat_core::Code;
use strat_core::planted::{self, Mistake};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Entries read, or taken over, at once.
const COUNT: usize = 100;
/// Pause after Redis failed.
const TROUBLE_WAIT: Duration = Duration::from_millis(500);
/// Entries remembered that there was no room for; more are taken for sent, which is the safe side.
const REFUSED_MAX: usize = 10_000;

/// How often an entry was handed out that was put back.
const PUT_BACK: u64 = 0;

const fn room_of(queue: Queue) -> usize {
    match queue {
        Queue::Exits => EXITS,
        Queue::Orders => ORDERS,
    }
}

impl Driver {
    /// Starts the jobs that no queue entry speaks for, until `cancel`.
    pub(super) async fn adopt(self: &Arc<Self>, adopted: &mut mpsc::Receiver<Job>) {
        while let Some(job) = adopted.recv().await {
            if !self.executor.adopted().insert((job.key.clone(), job.action)) {
                continue;
            }
            let permit = tokio::select! {
                () = self.cancel.cancelled() => return,
                permit = async {
                    self.executor.settings.lease.trading().await;
                    Arc::clone(&self.backlog[EXITS]).acquire_owned().await
                } => permit,
            };
            // Never closed, so this always holds.
            if let Ok(permit) = permit {
                let name = Name::Adopted((job.key.clone(), job.action));
                self.start(OrderMachine::new(job, self.executor.rules()), None, name, EXITS, Some(permit));
            }
        }
        self.cancel.cancelled().await;
    }

    /// Starts the exits that are sent without Redis.
    pub(super) async fn alone(self: Arc<Self>) {
        let mut exits = self.executor.alone.receiver.lock().await;
        loop {
            let exit = tokio::select! {
                () = self.cancel.cancelled() => return,
                exit = exits.recv() => exit,
            };
            let Some(exit) = exit else { return };
            let (machine, id) = self.executor.machine_alone(exit);
            self.start(machine, None, Name::Alone(id), ALONE, None);
        }
    }

    /// Reads one queue. Each has a loop, a connection and room of its own: an exit never waits for entries, neither for
    /// their room nor for a read that blocks on them.
    pub(super) async fn read(self: Arc<Self>, mut reader: QueueReader, queue: Queue) {
        // Reading creates missing groups as well, but takes their absence for the trace of a flush.
        if let Err(error) = reader.ensure_groups().await {
            self.trouble("cannot create the consumer groups of the order queues yet", &error).await;
        }
        let backlog = &self.backlog[room_of(queue)];
        while !self.cancel.is_cancelled() {
            // Without an open gate nothing may be claimed, so nothing is read either.
            let epoch = tokio::select! {
                () = self.cancel.cancelled() => return,
                epoch = self.may_work() => epoch,
            };
            let free = backlog.available_permits().min(COUNT);
            if free == 0 {
                // Waits for room without keeping it.
                tokio::select! {
                    () = self.cancel.cancelled() => return,
                    permit = backlog.acquire() => drop(permit),
                }
                continue;
            }
            let ttl = self.executor.settings.lock_ttl;
            let epoch_given = (!planted::is(Mistake::StaleEpoch)).then_some(&*epoch);
            let asked = Instant::now();
            match reader.take(queue, free, BLOCK, ttl, epoch_given).await {
                Ok(taken) => {
                    let ahead = |claim| Ahead { epoch: Arc::clone(&epoch), claim };
                    let deliveries = taken.into_iter().map(|taken| (taken.delivery, taken.claim.map(ahead)));
                    self.accept(&mut reader, deliveries.collect(), asked).await;
                }
                Err(error) if error.code() == Some(Code::Unsynced) => self.executor.epoch.invalidate(&epoch),
                Err(error) => self.trouble("cannot read an order queue", &error).await,
            }
        }
    }

    /// Waits until the gate is open and this engine may trade; answers the epoch.
    async fn may_work(&self) -> Arc<str> {
        self.executor.settings.lease.trading().await;
        self.executor.epoch.current().await
    }

    /// Takes over what a dead engine, or this one before its last restart, left unfinished.
    pub(super) async fn take_over(self: Arc<Self>, mut queue: QueueReader) {
        let ttl = self.executor.settings.lock_ttl;
        let mut ticks = interval((ttl / 3).max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.executor.epoch.peek().is_none() || !self.executor.settings.lease.may_trade() {
                continue;
            }
            let asked = Instant::now();
            match queue.claim(ttl, COUNT).await {
                Ok(deliveries) => {
                    let deliveries = deliveries.into_iter().map(|delivery| (delivery, None)).collect();
                    self.accept(&mut queue, deliveries, asked).await;
                }
                Err(error) => self.trouble("cannot take over unfinished orders", &error).await,
            }
        }
    }

    /// Begins with what was handed out to a question of then.
    async fn accept(
        self: &Arc<Self>,
        queue: &mut QueueReader,
        deliveries: Vec<(Delivery, Option<Ahead>)>,
        asked: Instant,
    ) {
        let mut untold = Vec::new();
        for (delivery, ahead) in deliveries {
            match delivery {
                Ok(entry) => {
                    crash_point("delivered");
                    let queue = if entry.stream.ends_with("exits") { Queue::Exits } else { Queue::Orders };
                    untold.extend(self.take(entry, ahead, room_of(queue)));
                }
                Err(bad) => {
                    tracing::error!(%bad, "an entry that is no order was discarded");
                    if let Err(error) = queue.discard(&bad.stream, &bad.id).await {
                        tracing::warn!(%error, "cannot discard it yet");
                    }
                }
            }
        }
        // Later than this another engine may have been handed them, and have sent them.
        let settings = &self.executor.settings;
        if asked.elapsed() < settings.lock_ttl / 2 && settings.lease.may_trade() {
            self.put_back(queue, untold).await;
        }
    }

    /// Nothing was done for these: whoever is handed one next, also after a restart, need not doubt that.
    async fn put_back(&self, queue: &mut QueueReader, entries: Vec<EntryName>) {
        for entries in entries.chunk_by(|one, next| one.stream == next.stream) {
            let ids: Vec<_> = entries.iter().map(|name| name.id.as_str()).collect();
            if let Err(error) = queue.put_back(&entries[0].stream, &ids).await {
                tracing::warn!(%error, "cannot put orders back that wait for their accounts");
                continue;
            }
            // A count that is higher than that of the next time was somebody's who had it in between.
            let mut refused = held(&self.refused);
            entries.iter().for_each(|name| refused.get_mut(name).into_iter().for_each(|count| *count = PUT_BACK));
        }
    }

    /// Starts an entry's job. Entries whose order works, or whose job is under way, come again from `claim` and are in
    /// good hands; one that there is no room for comes again as well. So does one whose account has not told the orders that it
    /// has: where it was new, its name is answered, and it is to be put back.
    fn take(self: &Arc<Self>, mut entry: QueueEntry, ahead: Option<Ahead>, which: usize) -> Option<EntryName> {
        let name = EntryName::of(&entry);
        let deliveries = entry.deliveries;
        // Held to the end: the reader and whoever takes over must not start an entry twice.
        let mut refused = held(&self.refused);
        if held(&self.under_way).contains(&name) {
            self.give_back(&entry.key, ahead);
            return None;
        }
        // Nobody else had it in between.
        let before = refused.remove(&name);
        if before.is_some_and(|before| entry.deliveries == before + 1) {
            entry.deliveries = 1;
        }
        if self.executor.is_untold(&entry.key) {
            self.give_back(&entry.key, ahead);
            if before != Some(PUT_BACK) {
                tell_untold(&entry, which);
            }
            let is_new = entry.deliveries == 1;
            if is_new && refused.len() < REFUSED_MAX {
                refused.insert(name.clone(), deliveries);
            }
            return is_new.then_some(name);
        }
        match Arc::clone(&self.backlog[which]).try_acquire_owned() {
            Ok(permit) => {
                held(&self.under_way).insert(name.clone());
                let job = Job::of_entry(entry, self.executor.epoch.began_ms());
                let machine = OrderMachine::new(job, self.executor.rules());
                self.start(machine, ahead, Name::Entry(name), which, Some(permit));
            }
            Err(_) => {
                self.give_back(&entry.key, ahead);
                tracing::debug!(key = entry.key, action = %entry.action, "no room for an order now");
                if entry.deliveries == 1 && refused.len() < REFUSED_MAX {
                    refused.insert(name, deliveries);
                }
            }
        }
        None
    }

    /// Gives the lock of an entry back that is not worked on here and now.
    fn give_back(&self, key: &str, ahead: Option<Ahead>) {
        if let Some(ahead) = ahead {
            let (executor, key) = (Arc::clone(&self.executor), key.to_owned());
            self.tasks.spawn(async move { executor.unlock(&key, &ahead.claim.token).await });
        }
    }

    async fn trouble(&self, what: &str, error: &strat_client::Error) {
        tracing::error!(%error, "{what}");
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = sleep(TROUBLE_WAIT) => {}
        }
    }
}

/// Says of an entry that it waits for its account: once of a new one, again and again of one that may have been sent before.
fn tell_untold(entry: &QueueEntry, which: usize) {
    let QueueEntry { key, action, .. } = entry;
    if which == EXITS {
        tracing::error!(key, %action, "EXIT NOT SENT: its account has not told the orders that it has, /health names it; it is sent once it has");
    } else {
        tracing::warn!(key, %action, "an entry waits: its account has not told the orders that it has");
    }
}
