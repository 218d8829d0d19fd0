//! The live driver: reads the queues, takes over what others left behind, keeps locks alive, passes reports on.

use super::{Executor, Job, Outcome};
use futures_util::stream::{self, StreamExt as _};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strat_client::{Connection, Delivery, QueueEntry, QueueReader, StratCommands as _, Wanted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest blocking read; a shutdown waits for it.
const BLOCK: Duration = Duration::from_millis(500);
/// Jobs that may be under way or waiting, for each of the two queues, as a multiple of the concurrency.
const BACKLOG_FACTOR: usize = 8;
/// Entries taken over at once.
const CLAIM_COUNT: usize = 100;
/// Locks given back at the same time.
const UNLOCK_CONCURRENCY: usize = 32;
/// How long a shutdown waits for jobs under way.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
/// Pause after Redis failed.
const TROUBLE_WAIT: Duration = Duration::from_millis(500);

struct Driver {
    executor: Arc<Executor>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Room for jobs, waiting ones included: bounds memory.
    backlog: [Arc<Semaphore>; 2],
    /// Jobs that talk to the broker right now. Exits have their own, so that entries never hold them up.
    running: [Arc<Semaphore>; 2],
    /// Queue entries whose jobs are under way: `claim` may hand them out again.
    under_way: Mutex<HashSet<(String, String)>>,
}

/// Which of the pairs of semaphores a job uses.
const EXITS: usize = 0;
const ORDERS: usize = 1;

/// Carries out orders until `cancel`, then finishes what is under way, within bounds.
///
/// `adopted` brings jobs that no queue entry speaks for (see [`Job::adopt`]).
///
/// # Errors
/// Where the queues cannot be read at all: a bad address.
pub async fn run(
    executor: Arc<Executor>,
    redis: Connection,
    mut adopted: mpsc::Receiver<Job>,
    cancel: CancellationToken,
) -> strat_client::Result<()> {
    let settings = executor.settings().clone();
    let queue = QueueReader::new(&redis, &settings.prefix, &settings.owner, BLOCK)?;
    let claimer = QueueReader::new(&redis, &settings.prefix, &settings.owner, BLOCK)?;
    let room = |factor: usize| [0, 1].map(|_| Arc::new(Semaphore::new(settings.concurrency.max(1) * factor)));
    let driver = Arc::new(Driver {
        executor: Arc::clone(&executor),
        cancel: cancel.clone(),
        tasks: TaskTracker::new(),
        backlog: room(BACKLOG_FACTOR),
        running: room(1),
        under_way: Mutex::new(HashSet::new()),
    });
    let loops = TaskTracker::new();
    loops.spawn(Arc::clone(&driver).read(queue));
    loops.spawn(Arc::clone(&driver).take_over(claimer));
    loops.spawn(Arc::clone(&driver).keep());
    loops.spawn(Arc::clone(&driver).pass_reports());
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            job = adopted.recv() => match job {
                Some(job) => driver.start(job, EXITS).await,
                None => { cancel.cancelled().await; break }
            },
        }
    }
    loops.close();
    driver.tasks.close();
    let finished = async { tokio::join!(loops.wait(), driver.tasks.wait()) };
    if timeout(SHUTDOWN_WAIT, finished).await.is_err() {
        tracing::warn!("orders under way were left; they are taken up at the next start");
    }
    driver.give_locks_back().await;
    Ok(())
}

impl Driver {
    async fn read(self: Arc<Self>, mut queue: QueueReader) {
        // Reading creates missing groups as well, but takes their absence for the trace of a flush.
        if let Err(error) = queue.ensure_groups().await {
            self.trouble("cannot create the consumer groups of the order queues yet", &error).await;
        }
        while !self.cancel.is_cancelled() {
            // Without an open gate nothing may be claimed, so nothing is read either.
            tokio::select! {
                () = self.cancel.cancelled() => return,
                _ = self.executor.epoch.current() => {}
            }
            let free = |which: usize| self.backlog[which].available_permits().min(CLAIM_COUNT);
            if free(EXITS) == 0 {
                // Waits for room without keeping it.
                tokio::select! {
                    () = self.cancel.cancelled() => return,
                    permit = self.backlog[EXITS].acquire() => drop(permit),
                }
                continue;
            }
            match queue.read(Wanted { exits: free(EXITS), orders: free(ORDERS) }, BLOCK).await {
                Ok(deliveries) => self.accept(&mut queue, deliveries).await,
                Err(error) => self.trouble("cannot read the order queues", &error).await,
            }
        }
    }

    /// Takes over what a dead engine, or this one before its last restart, left unfinished.
    async fn take_over(self: Arc<Self>, mut queue: QueueReader) {
        let ttl = self.executor.settings.lock_ttl;
        let mut ticks = interval((ttl / 3).max(Duration::from_millis(100)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.executor.epoch.peek().is_none() {
                continue;
            }
            match queue.claim(ttl, CLAIM_COUNT).await {
                Ok(deliveries) => self.accept(&mut queue, deliveries).await,
                Err(error) => self.trouble("cannot take over unfinished orders", &error).await,
            }
        }
    }

    async fn accept(self: &Arc<Self>, queue: &mut QueueReader, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery {
                Ok(entry) => {
                    let which = if entry.stream.ends_with("exits") { EXITS } else { ORDERS };
                    if self.is_new(&entry) {
                        self.start(entry.into(), which).await;
                    }
                }
                Err(bad) => {
                    tracing::error!(%bad, "an entry that is no order was discarded");
                    if let Err(error) = queue.discard(&bad.stream, &bad.id).await {
                        tracing::warn!(%error, "cannot discard it yet");
                    }
                }
            }
        }
    }

    /// Entries whose order works, or whose job is under way, come again from `claim` and are in good hands.
    fn is_new(&self, entry: &QueueEntry) -> bool {
        let ack = (entry.stream.clone(), entry.id.clone());
        !self.executor.orders.holds(&ack) && self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(ack)
    }

    async fn start(self: &Arc<Self>, job: Job, which: usize) {
        let room = Arc::clone(&self.backlog[which]);
        let permit = tokio::select! {
            () = self.cancel.cancelled() => return,
            permit = room.acquire_owned() => permit,
        };
        // Never closed, so this always holds.
        if let Ok(permit) = permit {
            self.tasks.spawn(Arc::clone(self).job(job, which, permit));
        }
    }

    async fn job(self: Arc<Self>, mut job: Job, which: usize, _room: OwnedSemaphorePermit) {
        let ack = job.ack.clone();
        let mut told = false;
        while !self.cancel.is_cancelled() {
            let ended = self.executor.ended.notified();
            let outcome = {
                let Ok(_turn) = self.running[which].acquire().await else { break };
                self.executor.work(&mut job).await
            };
            let after = match outcome {
                Outcome::Done | Outcome::Working => break,
                Outcome::Unsynced => {
                    tokio::select! {
                        () = self.cancel.cancelled() => {}
                        _ = self.executor.epoch.current() => {}
                    }
                    continue;
                }
                Outcome::Later { after, why } => {
                    if told {
                        tracing::debug!(key = job.key, action = %job.action, why, "order waits");
                    } else {
                        tracing::info!(key = job.key, action = %job.action, why, "order waits");
                    }
                    told = true;
                    after
                }
            };
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = ended => {}
                () = sleep(after) => {}
            }
        }
        if let Some(ack) = ack {
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&ack);
        }
    }

    async fn pass_reports(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                state = self.executor.broker.reports().next() => self.executor.on_report(&state).await,
            }
        }
    }

    /// Extends the locks of working orders and asks about those that the broker is silent about.
    async fn keep(self: Arc<Self>) {
        let mut ticks = interval((self.executor.settings.lock_ttl / 3).max(Duration::from_millis(50)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.executor.extend_locks().await;
        }
    }

    async fn trouble(&self, what: &str, error: &strat_client::Error) {
        tracing::error!(%error, "{what}");
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = sleep(TROUBLE_WAIT) => {}
        }
    }

    /// The next start need not wait for the locks to run out.
    async fn give_locks_back(&self) {
        let all =
            stream::iter(self.executor.orders.all()).for_each_concurrent(UNLOCK_CONCURRENCY, |order| async move {
                let _ = self.executor.redis.clone().strat_unlock(&order.key, &order.token).await;
            });
        if timeout(Duration::from_secs(2), all).await.is_err() {
            tracing::warn!("some locks were not given back; they run out by themselves");
        }
    }
}
