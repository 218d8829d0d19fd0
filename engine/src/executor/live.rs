//! The live driver: reads the queues, takes over what others left behind, keeps locks alive, passes reports on.

use super::{Executor, Job, Outcome};
use futures_util::stream::{self, StreamExt as _};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::{Connection, Delivery, QueueEntry, QueueReader, StratCommands as _, Wanted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
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
/// Time between two looks for orders that the broker is silent about.
const SILENCE_LOOK: Duration = Duration::from_secs(1);
/// Entries remembered that there was no room for; more are taken for sent, which is the safe side.
const REFUSED_MAX: usize = 10_000;

/// Why the executor stopped by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The queues cannot be read at all.
    #[error(transparent)]
    Redis(#[from] strat_client::Error),
    /// One of its loops came to an end.
    #[error("the executor's loop '{0}' ended by itself")]
    Ended(&'static str),
    /// One of its loops panicked.
    #[error("a loop of the executor panicked: {0}")]
    Panicked(JoinError),
}

/// Name of a queue entry: stream and id.
type Ack = (String, String);

struct Driver {
    executor: Arc<Executor>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Room for jobs, waiting ones included: bounds memory.
    backlog: [Arc<Semaphore>; 2],
    /// Jobs that talk to the broker right now. Exits have their own, so that entries never hold them up.
    running: [Arc<Semaphore>; 2],
    /// Queue entries whose jobs are under way: `claim` may hand them out again.
    under_way: Mutex<HashSet<Ack>>,
    /// Entries that there was no room for, and how often they had been handed out then: nothing was sent for them.
    refused: Mutex<HashMap<Ack, u64>>,
}

/// Takes a job's entry off the list of those under way, also when the job panics.
struct UnderWay {
    driver: Arc<Driver>,
    key: String,
    ack: Option<Ack>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(ack) = &self.ack else {
            held(&self.driver.executor.adopted).remove(&self.key);
            return;
        };
        if std::thread::panicking() {
            tracing::error!(stream = ack.0, id = ack.1, "an order's job panicked; its queue entry is taken up again");
            // Its lock is not extended any more: when it has run out, the entry is claimed and the order looked up.
            self.driver.executor.orders.remove_of(ack);
        }
        held(&self.driver.under_way).remove(ack);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which of the pairs of semaphores a job uses.
const EXITS: usize = 0;
const ORDERS: usize = 1;

/// Carries out orders until `cancel`, then finishes what is under way, within bounds.
///
/// `adopted` brings jobs that no queue entry speaks for (see [`Job::adopt`]).
///
/// # Errors
/// Where the queues cannot be read at all (a bad address), and where a part of it ends or panics.
pub async fn run(
    executor: Arc<Executor>,
    redis: Connection,
    mut adopted: mpsc::Receiver<Job>,
    cancel: CancellationToken,
) -> Result<(), LiveError> {
    let settings = executor.settings().clone();
    let queue = QueueReader::new(&redis, &settings.prefix, &settings.owner, BLOCK)?;
    let claimer = QueueReader::new(&redis, &settings.prefix, &settings.owner, BLOCK)?;
    let room = |factor: usize| [0, 1].map(|_| Arc::new(Semaphore::new(settings.concurrency.max(1) * factor)));
    let driver = Arc::new(Driver {
        executor: Arc::clone(&executor),
        cancel: cancel.child_token(),
        tasks: TaskTracker::new(),
        backlog: room(BACKLOG_FACTOR),
        running: room(1),
        under_way: Mutex::default(),
        refused: Mutex::default(),
    });
    let mut loops = JoinSet::new();
    spawn(&mut loops, "read", Arc::clone(&driver).read(queue));
    spawn(&mut loops, "take over", Arc::clone(&driver).take_over(claimer));
    spawn(&mut loops, "keep locks", Arc::clone(&driver).keep());
    spawn(&mut loops, "ask of silent orders", Arc::clone(&driver).ask_of_silent());
    spawn(&mut loops, "pass reports", Arc::clone(&driver).pass_reports());
    let trouble = tokio::select! {
        () = cancel.cancelled() => None,
        ended = loops.join_next() => ended.map(why_ended),
        () = driver.adopt(&mut adopted) => None,
    };
    // A loop that ends because of the shutdown is no trouble.
    let trouble = trouble.filter(|trouble| !cancel.is_cancelled() || matches!(trouble, LiveError::Panicked(_)));
    // Here, not by the caller alone: the jobs end before the locks are given back.
    driver.cancel.cancel();
    driver.tasks.close();
    let finished = async {
        while loops.join_next().await.is_some() {}
        driver.tasks.wait().await;
    };
    if timeout(SHUTDOWN_WAIT, finished).await.is_err() {
        tracing::warn!("orders under way were left; they are taken up at the next start");
    }
    driver.give_locks_back().await;
    trouble.map_or(Ok(()), Err)
}

fn spawn(loops: &mut JoinSet<&'static str>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    loops.spawn(async move {
        work.await;
        name
    });
}

fn why_ended(ended: Result<&'static str, JoinError>) -> LiveError {
    ended.map_or_else(LiveError::Panicked, LiveError::Ended)
}

impl Driver {
    /// Starts the jobs that no queue entry speaks for, until `cancel`.
    async fn adopt(self: &Arc<Self>, adopted: &mut mpsc::Receiver<Job>) {
        while let Some(job) = adopted.recv().await {
            if !held(&self.executor.adopted).insert(job.key.clone()) {
                continue;
            }
            let permit = tokio::select! {
                () = self.cancel.cancelled() => return,
                permit = Arc::clone(&self.backlog[EXITS]).acquire_owned() => permit,
            };
            // Never closed, so this always holds.
            if let Ok(permit) = permit {
                self.start(job, EXITS, permit);
            }
        }
        self.cancel.cancelled().await;
    }

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
                    self.take(entry, which);
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

    /// Starts an entry's job. Entries whose order works, or whose job is under way, come again from `claim` and are in
    /// good hands; one that there is no room for comes again as well.
    fn take(self: &Arc<Self>, mut entry: QueueEntry, which: usize) {
        let ack = (entry.stream.clone(), entry.id.clone());
        let deliveries = entry.deliveries;
        // Held to the end: the reader and whoever takes over must not start an entry twice.
        let mut refused = held(&self.refused);
        if self.executor.orders.holds(&ack) || held(&self.under_way).contains(&ack) {
            return;
        }
        // Nobody else had it in between.
        if refused.remove(&ack).is_some_and(|deliveries| entry.deliveries == deliveries + 1) {
            entry.deliveries = 1;
        }
        match Arc::clone(&self.backlog[which]).try_acquire_owned() {
            Ok(permit) => {
                held(&self.under_way).insert(ack);
                self.start(entry.into(), which, permit);
            }
            Err(_) => {
                tracing::debug!(key = entry.key, action = %entry.action, "no room for an order now");
                if entry.deliveries == 1 && refused.len() < REFUSED_MAX {
                    refused.insert(ack, deliveries);
                }
            }
        }
    }

    fn start(self: &Arc<Self>, job: Job, which: usize, room: OwnedSemaphorePermit) {
        self.tasks.spawn(Arc::clone(self).job(job, which, room));
    }

    async fn job(self: Arc<Self>, mut job: Job, which: usize, _room: OwnedSemaphorePermit) {
        let _under_way = UnderWay { driver: Arc::clone(&self), key: job.key.clone(), ack: job.ack.clone() };
        let mut told = false;
        while !self.cancel.is_cancelled() {
            let ended = self.executor.ended.notified();
            let outcome = {
                let Ok(_turn) = self.running[which].acquire().await else { break };
                self.executor.work(&mut job).await
            };
            let (after, for_another) = match outcome {
                Outcome::Done | Outcome::Working => break,
                Outcome::Unsynced => {
                    tokio::select! {
                        () = self.cancel.cancelled() => {}
                        _ = self.executor.epoch.current() => {}
                    }
                    continue;
                }
                Outcome::Later { after, why, for_another } => {
                    if told {
                        tracing::debug!(key = job.key, action = %job.action, why, "order waits");
                    } else {
                        tracing::info!(key = job.key, action = %job.action, why, "order waits");
                    }
                    told = true;
                    (after, for_another)
                }
            };
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = ended, if for_another => {}
                () = sleep(after) => {}
            }
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

    async fn ask_of_silent(self: Arc<Self>) {
        let mut ticks = interval(SILENCE_LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = self.executor.ask_of_silent() => {}
            }
        }
    }

    /// Extends the locks of working orders.
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
