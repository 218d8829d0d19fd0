//! Keeps Redis and Postgres in agreement, both ways, and opens the executor's gate when they are.
//!
//! Redis may lose what it held: a flush, a restart without its file, a failover. Its epoch changes then, orders are
//! claimed with the old one in vain (`UNSYNCED`), and nothing is sent until a reconciliation has finished for the new one.

mod accounts;
mod audit;
mod broker;
mod catch_up;
mod compare;
mod judge;
mod mend;
mod orphans;
mod positions;

use crate::broker::Broker;
use crate::config::UnknownPolicy;
use crate::executor::{Executor, Job, crash_point};
use crate::failure::sentence;
use crate::gate::EpochGate;
use crate::guard::Guard;
use crate::link::Link;
use crate::store::Store;
use crate::sync::SyncHandle;
pub use broker::{exit_of, own_order};
pub use catch_up::exit_in_hand;
use color_eyre::Result;
use color_eyre::eyre::{bail, eyre};
pub use judge::{Verdict, judge, to_load, to_replace};
use orphans::in_flight;
pub use positions::{differences, held_by_account};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strat_client::StratCommands as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often the epoch is looked at. What Redis lost is missed for about this long.
const EPOCH_EVERY: Duration = Duration::from_millis(500);
/// How long the journal may take to reach Postgres before a reconciliation gives up and tries again.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// Longest reconciliation. What it has mended by then stays mended, so the next one has less to do.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses after failures.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The longest of them while the gate is shut and nobody trades.
const BACKOFF_SHUT: Duration = Duration::from_secs(1);
/// How often what changes while it is compared is compared again before everything is: a few busy ones must not keep
/// the gate shut for all.
const LOOKS: usize = 8;
/// Strategies per page, of Redis and of Postgres.
const PAGE: u32 = 1_000;

/// What a reconciliation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Strategies looked at.
    pub checked: u64,
    /// Loaded into Redis.
    pub loaded: u64,
    /// Adopted into Postgres.
    pub adopted: u64,
    /// Removed from Redis.
    pub removed: u64,
    /// Rows brought up to their hash.
    pub rows_mended: u64,
    /// Hashes brought up to their row.
    pub hashes_mended: u64,
    /// Left alone because they cannot be read; each is logged.
    pub unreadable: u64,
}

impl Report {
    /// Actions taken.
    #[must_use]
    pub const fn actions(&self) -> u64 {
        self.loaded + self.adopted + self.removed + self.rows_mended + self.hashes_mended
    }
}

/// Reconciles at the start, periodically, and whenever the epoch changes.
pub struct Reconciler {
    link: Link,
    store: Store,
    sync: SyncHandle,
    gate: EpochGate,
    settings: ReconcileSettings,
    adopted: mpsc::Sender<Job>,
    executor: Arc<Executor>,
    broker: Arc<dyn Broker>,
    guard: Arc<Guard>,
    told: Mutex<broker::Told>,
}

/// Settings of the reconciliation.
#[derive(Debug, Clone, Copy)]
pub struct ReconcileSettings {
    /// What becomes of strategies that only Redis knows.
    pub unknown: UnknownPolicy,
    /// Time between two reconciliations.
    pub interval: Duration,
}

impl Reconciler {
    /// A reconciler that opens the guard's gate when it has finished for an epoch, and hands orders in flight that nobody
    /// speaks for, and that `executor` is not at work on, to `adopted`. What trailing stops follow it compares with `guard`.
    #[must_use]
    pub fn new(
        link: Link,
        store: Store,
        sync: SyncHandle,
        settings: ReconcileSettings,
        adopted: mpsc::Sender<Job>,
        executor: Arc<Executor>,
        guard: Arc<Guard>,
    ) -> Self {
        let (broker, gate) = (executor.broker(), guard.gate().clone());
        Self { link, store, sync, gate, settings, adopted, executor, broker, guard, told: Mutex::default() }
    }

    /// Works until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut wait = BACKOFF.0;
        loop {
            let pause = match self.bounded().await {
                Ok(_) => {
                    wait = BACKOFF.0;
                    None
                }
                Err(error) => {
                    let error = sentence(&error);
                    let trading = self.gate.peek().is_some();
                    tracing::error!(error, trading, "reconciliation of Redis and Postgres failed, trying again");
                    let pause = wait;
                    wait = (wait * 2).min(if trading { BACKOFF.1 } else { BACKOFF_SHUT });
                    Some(pause)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                is_new = self.next_reason(pause) => if is_new { wait = BACKOFF.0 },
            }
        }
    }

    /// One reconciliation, given up where a server takes its connections and answers nothing.
    async fn bounded(&self) -> Result<Report> {
        let once = tokio::time::timeout(PASS_TIMEOUT, self.once()).await;
        once.unwrap_or_else(|_| Err(eyre!("it did not end within {} s", PASS_TIMEOUT.as_secs())))
    }

    /// Waits for a reason to reconcile, after a failure no longer than `pause`. Answers whether Redis may have lost writes
    /// meanwhile: then nobody trades until it is reconciled, whatever failed before.
    async fn next_reason(&self, pause: Option<Duration>) -> bool {
        // After a success also a gate that was shut again already: only a gate that a failure left shut is no news.
        let heeds_gate = pause.is_none() || self.gate.peek().is_some();
        tokio::select! {
            () = sleep(pause.unwrap_or(self.settings.interval)) => false,
            () = self.gate.closed(), if heeds_gate => {
                tracing::warn!("Redis may have lost writes; no orders until it is reconciled");
                true
            }
            () = self.epoch_changed(), if heeds_gate => true,
            () = self.sync.doubt(), if pause.is_none() => false,
            () = self.an_account_tells() => false,
        }
    }

    /// Looks at the epoch until it is another one, and closes the gate then.
    async fn epoch_changed(&self) {
        let mut redis = self.link.connection();
        loop {
            sleep(EPOCH_EVERY).await;
            let Some(known) = self.gate.peek() else { return };
            // A server that is away has no epoch; whoever needs it notices by itself.
            if let Ok(epoch) = redis.strat_epoch().await
                && *epoch != *known
            {
                self.gate.invalidate(&known);
                tracing::warn!(
                    old = &*known,
                    new = epoch,
                    "the epoch of Redis has changed; no orders until it is reconciled"
                );
                return;
            }
        }
    }

    /// One reconciliation. The gate opens if the epoch is the same before and after.
    ///
    /// # Errors
    /// Where Redis or Postgres is away, the journal does not drain, or the epoch changes meanwhile.
    pub async fn once(&self) -> Result<Report> {
        let started = Instant::now();
        let mut redis = self.link.connection();
        let epoch = redis.strat_epoch().await?;
        let hashes = self.hashes().await?;
        // Now the rows are at least as new as the hashes, where the journal is whole.
        self.sync.drained(&self.link, DRAIN_PATIENCE).await?;
        let held = held_by_account(&hashes);
        let mut report = Report { checked: hashes.len() as u64, ..Report::default() };
        let mut flying: BTreeSet<String> =
            hashes.iter().filter(|(_, hash)| in_flight(hash)).map(|(key, _)| key.clone()).collect();
        let doubts = self.compare(hashes, &epoch, &mut report, &mut flying).await?;
        flying.extend(doubts.iter().map(|doubt| doubt.key.clone()));
        let mut moved = self.settle_all(doubts, &epoch, &mut report).await?;
        let open = self.gate.peek().as_deref() == Some(&*epoch);
        for _ in 0..LOOKS {
            if open || moved.is_empty() {
                break;
            }
            // What Redis had lost may have been changed since; whether it was, the journal tells.
            let doubts = self.judge_again(moved).await?;
            moved = self.settle_all(doubts, &epoch, &mut report).await?;
        }
        if let Some(key) = moved.first().filter(|_| !open) {
            bail!("{key} and {} others moved on whenever they were compared", moved.len() - 1);
        }
        crash_point("in_recovery");
        if open {
            self.look_at_broker(&held).await;
        } else {
            // Memory may have lost what the broker knows: nothing is sent before that is known.
            self.settle_accounts().await?;
            // Nor may a stop be looser than it was before.
            self.guard.give_trails_back(&redis).await?;
        }
        if redis.strat_epoch().await? != epoch {
            bail!("the epoch of Redis changed during the reconciliation");
        }
        crash_point("recovered");
        self.gate.open(&epoch);
        self.hand_over(flying).await?;
        let ms = started.elapsed().as_millis() as u64;
        if report.actions() + report.unreadable > 0 {
            tracing::warn!(ms, ?report, "reconciled Redis and Postgres");
        } else {
            tracing::debug!(ms, ?report, "Redis and Postgres agree");
        }
        Ok(report)
    }
}
