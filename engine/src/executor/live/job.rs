//! One order's task.

use super::{ALONE, BACKLOG_FACTOR, Driver, EntryName, ORDERS, held};
use crate::executor::machine::{Effect, OrderMachine, Waits};
use crate::executor::shell::{Ahead, Run};
use std::sync::Arc;
use std::time::Duration;
use strat_core::Action;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

/// Takes a job's entry off the list of those under way, also when the job panics.
struct UnderWay {
    driver: Arc<Driver>,
    name: Name,
}

/// What a job is listed under.
pub(super) enum Name {
    Entry(EntryName),
    Adopted((String, Action)),
    Alone(String),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let executor = &self.driver.executor;
        if std::thread::panicking() {
            // Its lock is not extended any more: when it has run out, the entry is claimed and the order looked up.
            tracing::error!("an order's job panicked; it is taken up again");
        }
        match &self.name {
            Name::Entry(entry) => drop(held(&self.driver.under_way).remove(entry)),
            Name::Adopted(order) => drop(executor.adopted().remove(order)),
            Name::Alone(id) => executor.forget_exit(id),
        }
    }
}

/// Exits under way at a time that the lane carries out by itself; more are spread over all threads.
const LANE_MAX: usize = 4;

impl Driver {
    pub(super) fn start(
        self: &Arc<Self>,
        machine: OrderMachine,
        ahead: Option<Ahead>,
        name: Name,
        which: usize,
        room: Option<OwnedSemaphorePermit>,
    ) {
        let under_way = UnderWay { driver: Arc::clone(self), name };
        let run = Run::new(Arc::clone(&self.executor), machine).with_claim(ahead);
        let job = Arc::clone(self).job(run, under_way, which, room);
        if self.is_many(which) {
            self.tasks.spawn_on(job, &self.workers)
        } else {
            self.tasks.spawn(job)
        };
    }

    /// Whether so many exits are under way that one thread, which may be their own, is not enough.
    fn is_many(&self, which: usize) -> bool {
        self.backlog.get(which).is_some_and(|room| self.places * BACKLOG_FACTOR - room.available_permits() > LANE_MAX)
    }

    /// One order, to its end or to the engine's.
    async fn job(
        self: Arc<Self>,
        mut run: Run,
        _under_way: UnderWay,
        which: usize,
        mut room: Option<OwnedSemaphorePermit>,
    ) {
        let mut told = false;
        let mut effect = run.go();
        while effect != Effect::Done {
            effect = match effect {
                Effect::Wait { ms, waits, why } => {
                    tell_wait(&run, &why, waits, &mut told);
                    if waits == Waits::Person {
                        run.alarm(&why).await;
                    }
                    if run.is_put_off() {
                        room = Arc::clone(&self.put_off).try_acquire_owned().ok().or(room);
                    }
                    if self.wait(&run, ms, waits).await.is_err() {
                        break;
                    }
                    run.go()
                }
                Effect::AwaitEpoch => {
                    tokio::select! {
                        () = self.cancel.cancelled() => break,
                        _ = self.executor.epoch.current() => {}
                    }
                    run.go()
                }
                Effect::Watch => {
                    // An order that works takes no room: the broker may keep it for hours.
                    room = None;
                    let input = tokio::select! {
                        () = self.cancel.cancelled() => break,
                        input = run.watch() => input,
                    };
                    run.step(input)
                }
                effect => {
                    let kind = if run.machine().is_alone() { ALONE } else { which.min(ORDERS) };
                    let _place = self.running[kind].take(run.user()).await;
                    let input = run.perform(effect).await;
                    run.step(input)
                }
            };
        }
        drop(room);
        // The next start need not wait for the lock to run out.
        run.release().await;
    }

    /// Waits; `Err` where the engine ends.
    async fn wait(&self, run: &Run, ms: i64, waits: Waits) -> Result<(), ()> {
        let mut ended = self.executor.ended.subscribe();
        let before = run.ended_before;
        tokio::select! {
            () = self.cancel.cancelled() => Err(()),
            _ = ended.wait_for(|ended| *ended != before), if waits == Waits::AnotherOrder => Ok(()),
            () = sleep(Duration::from_millis(ms.unsigned_abs())) => Ok(()),
        }
    }
}

/// Says once loudly, then quietly, why an order waits.
fn tell_wait(run: &Run, why: &str, waits: Waits, told: &mut bool) {
    let job = run.job();
    if why.is_empty() || waits == Waits::Pause {
        return;
    }
    if *told {
        tracing::debug!(key = job.key, action = %job.action, why, "order waits");
    } else {
        tracing::info!(key = job.key, action = %job.action, why, "order waits");
    }
    *told = true;
}
