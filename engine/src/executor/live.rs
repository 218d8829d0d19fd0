//! The live driver: reads the queues, takes over what others left behind, keeps locks alive, passes reports on.

use super::machine::{Effect, OrderMachine, Waits};
use super::shell::Run;
use super::{Executor, Job};
use futures_util::stream::{self, StreamExt as _};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::{Connection, Delivery, QueueEntry, QueueReader, Wanted};
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
/// Locks extended at the same time.
const EXTEND_CONCURRENCY: usize = 32;
/// How long a shutdown waits for jobs under way.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
/// Pause after Redis failed.
const TROUBLE_WAIT: Duration = Duration::from_millis(500);
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
    /// Jobs that talk to Redis or the broker right now. Exits have their own, so that entries never hold them up, and
    /// so have exits without Redis, so that those that wait for Redis never hold them up.
    running: [Semaphore; 3],
    /// Queue entries whose jobs are under way: `claim` may hand them out again.
    under_way: Mutex<HashSet<Ack>>,
    /// Entries that there was no room for, and how often they had been handed out then: nothing was sent for them.
    refused: Mutex<HashMap<Ack, u64>>,
}

/// Takes a job's entry off the list of those under way, also when the job panics.
struct UnderWay {
    driver: Arc<Driver>,
    name: Name,
}

/// What a job is listed under.
enum Name {
    Entry(Ack),
    Adopted(String),
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
            Name::Entry(ack) => drop(held(&self.driver.under_way).remove(ack)),
            Name::Adopted(key) => drop(held(&executor.adopted).remove(key)),
            Name::Alone(id) => executor.forget_exit(id),
        }
    }
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
    let places = settings.concurrency.max(1);
    let driver = Arc::new(Driver {
        executor: Arc::clone(&executor),
        cancel: cancel.child_token(),
        tasks: TaskTracker::new(),
        backlog: [0, 1].map(|_| Arc::new(Semaphore::new(places * BACKLOG_FACTOR))),
        running: [0, 1, 2].map(|_| Semaphore::new(places)),
        under_way: Mutex::default(),
        refused: Mutex::default(),
    });
    let mut loops = JoinSet::new();
    spawn(&mut loops, "read", Arc::clone(&driver).read(queue));
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
                permit = async {
                    self.executor.settings.lease.trading().await;
                    Arc::clone(&self.backlog[EXITS]).acquire_owned().await
                } => permit,
            };
            // Never closed, so this always holds.
            if let Ok(permit) = permit {
                let name = Name::Adopted(job.key.clone());
                self.start(OrderMachine::new(job, self.executor.rules()), name, EXITS, Some(permit));
            }
        }
        self.cancel.cancelled().await;
    }

    /// Starts the exits that are sent without Redis.
    async fn alone(self: Arc<Self>) {
        let mut exits = self.executor.alone.receiver.lock().await;
        loop {
            let exit = tokio::select! {
                () = self.cancel.cancelled() => return,
                exit = exits.recv() => exit,
            };
            let Some(exit) = exit else { return };
            let (machine, id) = self.executor.machine_alone(exit);
            self.start(machine, Name::Alone(id), ALONE, None);
        }
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
                () = self.may_work() => {}
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

    /// Waits until the gate is open and this engine may trade.
    async fn may_work(&self) {
        self.executor.settings.lease.trading().await;
        self.executor.epoch.current().await;
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
            if self.executor.epoch.peek().is_none() || !self.executor.settings.lease.may_trade() {
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
        if held(&self.under_way).contains(&ack) {
            return;
        }
        // Nobody else had it in between.
        if refused.remove(&ack).is_some_and(|deliveries| entry.deliveries == deliveries + 1) {
            entry.deliveries = 1;
        }
        match Arc::clone(&self.backlog[which]).try_acquire_owned() {
            Ok(permit) => {
                held(&self.under_way).insert(ack.clone());
                let job = Job::of_entry(entry, self.executor.epoch.began_ms());
                let machine = OrderMachine::new(job, self.executor.rules());
                self.start(machine, Name::Entry(ack), which, Some(permit));
            }
            Err(_) => {
                tracing::debug!(key = entry.key, action = %entry.action, "no room for an order now");
                if entry.deliveries == 1 && refused.len() < REFUSED_MAX {
                    refused.insert(ack, deliveries);
                }
            }
        }
    }

    fn start(self: &Arc<Self>, machine: OrderMachine, name: Name, which: usize, room: Option<OwnedSemaphorePermit>) {
        let under_way = UnderWay { driver: Arc::clone(self), name };
        let run = Run::new(Arc::clone(&self.executor), machine);
        self.tasks.spawn(Arc::clone(self).job(run, under_way, which, room));
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
                    let Ok(_turn) =
                        self.running[if run.machine().is_alone() { ALONE } else { which.min(ORDERS) }].acquire().await
                    else {
                        break;
                    };
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

    async fn trouble(&self, what: &str, error: &strat_client::Error) {
        tracing::error!(%error, "{what}");
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = sleep(TROUBLE_WAIT) => {}
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
