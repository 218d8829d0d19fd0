//! The live driver: its loops, and what they share.
//!
//! - `intake` reads the queues and takes over what others left behind: entries become jobs.
//! - `job` is one order's task, to its end or the engine's.
//! - Here locks are kept alive and reports passed on.

mod intake;
mod job;
mod turns;

use super::{Executor, Job};
use futures_util::stream::{self, StreamExt as _};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::{Connection, Queue, QueueEntry, QueueReader};
use strat_core::Action;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turns::Turns;

/// Longest blocking read; a shutdown waits for it.
const BLOCK: Duration = Duration::from_millis(500);
/// Jobs that may be under way or waiting, for each of the two queues, as a multiple of the concurrency.
const BACKLOG_FACTOR: usize = 8;
/// Entries that wait for their account's limit of calls beside those.
const PUT_OFF_MAX: usize = 10_000;
/// Locks extended at the same time.
const EXTEND_CONCURRENCY: usize = 32;
/// How long a shutdown waits for jobs under way.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

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

/// A queue entry. Stream and id alone do not name it: a server that was promoted may give an id out again that the one before
/// gave to another order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EntryName {
    stream: String,
    id: String,
    key: String,
    action: Action,
    cycle: u64,
}

impl EntryName {
    fn of(entry: &QueueEntry) -> Self {
        let QueueEntry { stream, id, key, action, cycle, .. } = entry;
        Self { stream: stream.clone(), id: id.clone(), key: key.clone(), action: *action, cycle: *cycle }
    }
}

struct Driver {
    executor: Arc<Executor>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// The threads of everything but the lane.
    workers: Handle,
    /// Jobs of a kind that may talk at the same time.
    places: usize,
    /// Room for jobs, waiting ones included: bounds memory.
    backlog: [Arc<Semaphore>; 2],
    /// Jobs that talk to Redis or the broker right now. Exits have their own, so that entries never hold them up, and
    /// so have exits without Redis, so that those that wait for Redis never hold them up.
    running: [Arc<Turns>; 3],
    /// Room for entries that wait for their account's limit of calls: they keep no room from other users.
    put_off: Arc<Semaphore>,
    /// Queue entries whose jobs are under way: `claim` may hand them out again.
    under_way: Mutex<HashSet<EntryName>>,
    /// Entries that there was no room for, and how often they had been handed out then: nothing was sent for them.
    refused: Mutex<HashMap<EntryName, u64>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which of the semaphores a job uses.
const EXITS: usize = 0;
const ORDERS: usize = 1;
const ALONE: usize = 2;

/// Carries out orders until `cancel`, then finishes what is under way, within bounds.
///
/// `adopted` brings jobs that no queue entry speaks for (see [`Job::adopt`]). Exits are read, and a few at a time carried out, on
/// `lane`.
///
/// # Errors
/// Where the queues cannot be read at all (a bad address), and where a part of it ends or panics.
pub async fn run(
    executor: Arc<Executor>,
    redis: Connection,
    mut adopted: mpsc::Receiver<Job>,
    lane: &Handle,
    cancel: CancellationToken,
) -> Result<(), LiveError> {
    let settings = executor.settings().clone();
    let reader = || QueueReader::new(&redis, &settings.prefix, &settings.owner, BLOCK);
    let (exits, orders, claimer) = (reader()?, reader()?, reader()?);
    let places = settings.concurrency.max(1);
    let driver = Arc::new(Driver {
        executor: Arc::clone(&executor),
        cancel: cancel.child_token(),
        tasks: TaskTracker::new(),
        workers: Handle::current(),
        places,
        backlog: [0, 1].map(|_| Arc::new(Semaphore::new(places * BACKLOG_FACTOR))),
        running: [0, 1, 2].map(|_| Turns::new(places)),
        put_off: Arc::new(Semaphore::new(PUT_OFF_MAX)),
        under_way: Mutex::default(),
        refused: Mutex::default(),
    });
    let mut loops = JoinSet::new();
    loops.spawn_on(named("read exits", Arc::clone(&driver).read(exits, Queue::Exits)), lane);
    spawn(&mut loops, "read orders", Arc::clone(&driver).read(orders, Queue::Orders));
    spawn(&mut loops, "take over", Arc::clone(&driver).take_over(claimer));
    spawn(&mut loops, "keep locks", Arc::clone(&driver).keep());
    spawn(&mut loops, "exits without Redis", Arc::clone(&driver).alone());
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
    trouble.map_or(Ok(()), Err)
}

fn spawn(loops: &mut JoinSet<&'static str>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    loops.spawn(named(name, work));
}

async fn named(name: &'static str, work: impl Future<Output = ()>) -> &'static str {
    work.await;
    name
}

fn why_ended(ended: Result<&'static str, JoinError>) -> LiveError {
    ended.map_or_else(LiveError::Panicked, LiveError::Ended)
}

impl Driver {
    async fn pass_reports(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                state = self.executor.broker.reports().next() => self.executor.on_report(&state),
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
            stream::iter(self.executor.hands.all())
                .for_each_concurrent(EXTEND_CONCURRENCY, |hand| {
                    let executor = &self.executor;
                    async move { executor.keep_lock(&hand).await }
                })
                .await;
        }
    }
}
