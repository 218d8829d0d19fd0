//! The replay's driver: everything that can be done now is done now, in order, and nothing waits.

use super::machine::{Effect, Input, OrderMachine};
use super::shell::Run;
use super::{Executor, Job};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Connection, Queue, QueueEntry, QueueReader};

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
    /// Orders that work at the broker, by their ids.
    working: HashMap<String, Run>,
}

/// Where an order stands when nothing more can be done for it now.
enum Stand {
    Done,
    Working(Run),
    Waiting(Run, Duration, String),
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
        Ok(Self { executor, queue, working: HashMap::new() })
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
    pub async fn carry_out(&mut self, entries: Vec<QueueEntry>) -> Result<(), DrainError> {
        let rules = self.executor.rules();
        let machine = |entry| OrderMachine::new(Job::of_entry(entry, None), rules);
        let mut runs: Vec<Run> =
            entries.into_iter().map(|entry| Run::new(Arc::clone(&self.executor), machine(entry))).collect();
        let mut last = String::new();
        for _ in 0..ROUNDS_MAX {
            let before = runs.len();
            let mut waiting = Vec::new();
            let mut pause = Duration::ZERO;
            for mut run in runs {
                let effect = run.go();
                if let Some((run, after, why)) = self.advance(run, effect).await? {
                    (pause, last) = (after, why);
                    waiting.push(run);
                }
            }
            let reported = self.reports().await?;
            runs = waiting;
            if runs.is_empty() {
                return Ok(());
            }
            if runs.len() == before && !reported {
                tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            }
        }
        match runs.first() {
            Some(run) => Err(stuck(run.job(), last)),
            None => Ok(()),
        }
    }

    /// Passes on what the broker reports; whether there was anything.
    ///
    /// # Errors
    /// [`DrainError`] where Redis lost writes meanwhile.
    pub async fn reports(&mut self) -> Result<bool, DrainError> {
        let mut any = false;
        while let Some(state) = self.executor.broker.reports().try_next() {
            any = true;
            let Some(mut run) = self.working.remove(&state.client_order_id) else { continue };
            let effect = run.step(Input::Execution(state));
            if let Some((run, after, why)) = self.advance(run, effect).await? {
                // Redis did not take the report: the order is looked up and reported again.
                tracing::warn!(key = run.job().key, why, "a report has to wait");
                tokio::time::sleep(after.min(PAUSE_MAX)).await;
                self.again(run).await?;
            }
        }
        Ok(any)
    }

    async fn again(&mut self, mut run: Run) -> Result<(), DrainError> {
        let mut last = String::new();
        for _ in 0..ROUNDS_MAX {
            let effect = run.go();
            match self.advance(run, effect).await? {
                None => return Ok(()),
                Some((waiting, after, why)) => {
                    (run, last) = (waiting, why);
                    tokio::time::sleep(after.min(PAUSE_MAX)).await;
                }
            }
        }
        Err(stuck(run.job(), last))
    }

    /// Carries an order as far as it goes now; answers with it where it has to wait.
    async fn advance(&mut self, run: Run, effect: Effect) -> Result<Option<(Run, Duration, String)>, DrainError> {
        match stand(run, effect).await? {
            Stand::Done => Ok(None),
            Stand::Waiting(run, after, why) => Ok(Some((run, after, why))),
            Stand::Working(run) => {
                let id = run.machine().order().map(|order| order.client_order_id.clone()).unwrap_or_default();
                self.working.insert(id, run);
                Ok(None)
            }
        }
    }

    /// Keeps the locks of working orders alive.
    pub async fn extend(&self) {
        for hand in self.executor.hands.all() {
            self.executor.keep_lock(&hand).await;
        }
    }

    /// Entries that nobody was given yet, exits first; none if there are none.
    ///
    /// # Errors
    /// [`DrainError::Redis`].
    pub async fn read(&mut self) -> Result<Vec<QueueEntry>, DrainError> {
        let mut entries = Vec::new();
        let mut read = self.queue.read(Queue::Exits, BATCH, BLOCK).await?;
        if read.is_empty() {
            read = self.queue.read(Queue::Orders, BATCH, BLOCK).await?;
        }
        for delivery in read {
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

async fn stand(mut run: Run, mut effect: Effect) -> Result<Stand, DrainError> {
    loop {
        effect = match effect {
            Effect::Done => return Ok(Stand::Done),
            Effect::Watch => return Ok(Stand::Working(run)),
            Effect::Wait { ms, why, .. } => {
                return Ok(Stand::Waiting(run, Duration::from_millis(ms.unsigned_abs()), why));
            }
            Effect::AwaitEpoch => return Err(stuck(run.job(), "Redis lost writes while the replay ran".to_owned())),
            effect => {
                let input = run.perform(effect).await;
                run.step(input)
            }
        };
    }
}

fn stuck(job: &Job, why: String) -> DrainError {
    DrainError::Stuck { key: job.key.clone(), action: job.action, why }
}
