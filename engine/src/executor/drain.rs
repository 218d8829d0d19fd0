//! The replay's driver: everything that can be done now is done now, in order, and nothing waits.

use super::{Executor, Job, Outcome};
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Connection, QueueEntry, QueueReader, Wanted};

/// Entries read at once.
const BATCH: usize = 500;
/// Reads answer at once: what is enqueued is there already. (Redis notices the end of a short wait late.)
const BLOCK: Duration = Duration::ZERO;
/// Rounds without progress after which a replay is stuck. Real time passes in them only where Redis answers late.
const ROUNDS_MAX: usize = 100;
/// Longest pause between two such rounds.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// Redis gave no usable answer.
    #[error(transparent)]
    Redis(#[from] strat_client::Error),
    /// An order could not be carried out.
    #[error("the order {action} of {key} cannot be carried out: {why}")]
    Stuck {
        /// Strategy.
        key: String,
        /// Action.
        action: strat_core::Action,
        /// The last obstacle.
        why: String,
    },
}

/// Carries out queue entries step by step.
pub struct Drainer {
    executor: Arc<Executor>,
    queue: QueueReader,
}

impl Drainer {
    /// A driver that reads the queues of the executor's partition.
    ///
    /// # Errors
    /// Where the queues cannot be read.
    pub async fn open(executor: Arc<Executor>, redis: &Connection) -> Result<Self, DrainError> {
        let settings = executor.settings();
        let mut queue = QueueReader::new(redis, &settings.prefix, &settings.owner, BLOCK)?;
        queue.ensure_groups().await?;
        Ok(Self { executor, queue })
    }

    /// Carries out what is enqueued and passes on what the broker reports, until both are empty.
    ///
    /// # Errors
    /// [`DrainError`] where Redis fails or an order does not get done.
    pub async fn drain(&mut self) -> Result<(), DrainError> {
        loop {
            let fresh = self.read().await?;
            if fresh.is_empty() {
                return Ok(());
            }
            self.carry_out(fresh).await?;
        }
    }

    /// Carries out these entries, and whatever the broker reports meanwhile.
    ///
    /// # Errors
    /// [`DrainError`] where Redis fails or an order does not get done.
    pub async fn carry_out(&self, entries: Vec<QueueEntry>) -> Result<(), DrainError> {
        let mut jobs: Vec<Job> = entries.into_iter().map(Job::replayed).collect();
        let mut last = String::new();
        for _ in 0..ROUNDS_MAX {
            let before = jobs.len();
            let mut waiting = Vec::new();
            let mut pause = Duration::ZERO;
            for mut job in jobs {
                match self.executor.work(&mut job).await {
                    Outcome::Done | Outcome::Working => {}
                    Outcome::Unsynced => return Err(stuck(&job, "Redis lost writes while the replay ran".to_owned())),
                    Outcome::Later { after, why, .. } => {
                        (pause, last) = (after, why);
                        waiting.push(job);
                    }
                }
            }
            let reported = self.reports().await;
            jobs = waiting;
            if jobs.is_empty() {
                return Ok(());
            }
            if jobs.len() == before && !reported {
                tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            }
        }
        match jobs.first() {
            Some(job) => Err(stuck(job, last)),
            None => Ok(()),
        }
    }

    /// Passes on what the broker reports; whether there was anything.
    pub async fn reports(&self) -> bool {
        let mut any = false;
        while let Some(state) = self.executor.broker.reports().try_next() {
            self.executor.on_report(&state).await;
            any = true;
        }
        any
    }

    /// Keeps the locks of working orders alive.
    pub async fn extend(&self) {
        self.executor.extend_locks().await;
    }

    /// Entries that nobody was given yet, exits first; none if there are none.
    ///
    /// # Errors
    /// [`DrainError::Redis`].
    pub async fn read(&mut self) -> Result<Vec<QueueEntry>, DrainError> {
        let mut entries = Vec::new();
        let wanted = Wanted { exits: BATCH, orders: BATCH };
        for delivery in self.queue.read(wanted, BLOCK).await? {
            match delivery {
                Ok(entry) => entries.push(entry),
                Err(bad) => {
                    tracing::error!(%bad, "an entry that is no order was discarded");
                    self.queue.discard(&bad.stream, &bad.id).await?;
                }
            }
        }
        Ok(entries)
    }
}

fn stuck(job: &Job, why: String) -> DrainError {
    DrainError::Stuck { key: job.key.clone(), action: job.action, why }
}
