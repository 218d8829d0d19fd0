//! Keeps Redis and Postgres in agreement, both ways, and opens the executor's gate when they are.
//!
//! Redis may lose what it held: a flush, a restart without its file, a failover. Its epoch changes then, orders are
//! claimed with the old one in vain (`UNSYNCED`), and nothing is sent until a reconciliation has finished for the new one.

mod audit;
mod broker;
mod catch_up;
mod judge;
mod mend;
mod orphans;
mod positions;

use crate::broker::Broker;
use crate::config::UnknownPolicy;
use crate::executor::{Executor, Job, crash_point};
use crate::failure::sentence;
use crate::gate::EpochGate;
use crate::link::Link;
use crate::store::{self, Fields, Filter, Row, Store};
use crate::sync::SyncHandle;
pub use broker::{exit_of, own_order};
pub use catch_up::exit_in_hand;
use color_eyre::Result;
use color_eyre::eyre::{bail, eyre};
pub use judge::{Verdict, judge, to_load, to_replace};
use orphans::in_flight;
pub use positions::{differences, held_by_account};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strat_client::{ListQuery, StratCommands as _};
use strat_core::{Code, Status, StrategyKey, field};
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
    /// A reconciler that opens `gate` when it has finished for an epoch, and hands orders in flight that nobody speaks
    /// for, and that `executor` is not at work on, to `adopted`.
    #[must_use]
    pub fn new(
        link: Link,
        store: Store,
        sync: SyncHandle,
        gate: EpochGate,
        settings: ReconcileSettings,
        adopted: mpsc::Sender<Job>,
        executor: Arc<Executor>,
    ) -> Self {
        let broker = executor.broker();
        Self { link, store, sync, gate, settings, adopted, executor, broker, told: Mutex::default() }
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
                    wait = (wait * 2).min(BACKOFF.1);
                    Some(pause)
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.next_reason(pause) => {}
            }
        }
    }

    /// One reconciliation, given up where a server takes its connections and answers nothing.
    async fn bounded(&self) -> Result<Report> {
        let once = tokio::time::timeout(PASS_TIMEOUT, self.once()).await;
        once.unwrap_or_else(|_| Err(eyre!("it did not end within {} s", PASS_TIMEOUT.as_secs())))
    }

    /// Waits for a reason to reconcile.
    async fn next_reason(&self, pause: Option<Duration>) {
        if let Some(pause) = pause {
            return sleep(pause).await;
        }
        tokio::select! {
            () = sleep(self.settings.interval) => {}
            () = self.gate.closed() => tracing::warn!("Redis may have lost writes; no orders until it is reconciled"),
            () = self.sync.doubt() => {}
            () = self.epoch_changed() => {}
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
        for doubt in self.compare(hashes, &epoch, &mut report, &mut flying).await? {
            flying.insert(doubt.key.clone());
            let key = doubt.key.clone();
            // One strategy that Redis or Postgres will not have must not stop everybody else's.
            if let Err(error) = self.settle(doubt, &epoch, &mut report).await {
                if !concerns_one_row(&error) {
                    return Err(error);
                }
                let error = sentence(&error);
                tracing::error!(
                    key,
                    error,
                    "this strategy cannot be reconciled and is left as it is; correct the field"
                );
                report.unreadable += 1;
            }
        }
        if self.gate.peek().as_deref() == Some(&*epoch) {
            self.look_at_broker(&held).await;
        } else {
            // Memory may have lost what the broker knows: nothing is sent before that is known.
            self.settle_with_broker().await?;
        }
        if redis.strat_epoch().await? != epoch {
            bail!("the epoch of Redis changed during the reconciliation");
        }
        crash_point("in_recovery");
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

    /// Every strategy in Redis, by key.
    async fn hashes(&self) -> Result<BTreeMap<String, Fields>> {
        let mut redis = self.link.connection();
        let mut hashes = BTreeMap::new();
        for status in Status::ALL {
            let mut query = ListQuery::new().status(*status).count(PAGE);
            loop {
                let page = redis.strat_list_values(&query).await?;
                hashes.extend(page.items.iter().map(|strategy| (strategy.key().to_owned(), fields_of(strategy))));
                let Some(cursor) = page.cursor else { break };
                query = query.cursor(cursor);
            }
        }
        Ok(hashes)
    }

    /// Loads what Redis lacks; answers where row and hash do not agree.
    async fn compare(
        &self,
        mut hashes: BTreeMap<String, Fields>,
        epoch: &str,
        report: &mut Report,
        flying: &mut BTreeSet<String>,
    ) -> Result<Vec<Doubt>> {
        let mut doubts = Vec::new();
        let mut last: Option<Row> = None;
        loop {
            let after = last.as_ref().map(|row| (row.user.as_str(), row.strategy.as_str()));
            let rows = self.store.page(&Filter::default(), after, i64::from(PAGE)).await?;
            last = rows.last().cloned();
            let full = rows.len() == PAGE as usize;
            let mut missing = Vec::new();
            for row in rows {
                let key = row.key();
                let hash = hashes.remove(&key);
                match judge(Some(&row), hash.as_ref(), self.settings.unknown) {
                    Verdict::Agree => {}
                    Verdict::Load => missing.push(row),
                    verdict => doubts.push(Doubt { key, row: Some(row), hash, verdict }),
                }
            }
            flying.extend(missing.iter().filter(|row| in_flight(&row.fields)).map(Row::key));
            self.load_all(missing, epoch, report).await?;
            if !full {
                break;
            }
        }
        // What is left has no row, or a removed one.
        for (key, hash) in hashes {
            let Some(id) = StrategyKey::parse(&key) else { continue };
            let row = self.store.get(id.user, id.strategy).await?;
            let verdict = judge(row.as_ref(), Some(&hash), self.settings.unknown);
            doubts.push(Doubt { key, row, hash: Some(hash), verdict });
        }
        Ok(doubts)
    }

    /// Acts on a difference, unless it was only that the strategy moved on since its hash was read.
    async fn settle(&self, mut doubt: Doubt, epoch: &str, report: &mut Report) -> Result<()> {
        if !matches!(doubt.verdict, Verdict::HashWins(_)) {
            let fresh = self.link.connection().strat_get(&doubt.key).await?.as_ref().map(fields_of);
            let verdict = judge(doubt.row.as_ref(), fresh.as_ref(), self.settings.unknown);
            // A hash that is newer than the row by now is the sync's business.
            if std::mem::discriminant(&verdict) != std::mem::discriminant(&doubt.verdict) {
                return Ok(());
            }
            doubt.hash = fresh;
        }
        if let Some(Err(refusal)) = doubt.hash.as_ref().map(judge::state) {
            let key = &doubt.key;
            tracing::error!(key, %refusal, "this hash does not parse: it is not guarded and not kept in Postgres; correct the field by HSET");
            report.unreadable += 1;
            return Ok(());
        }
        self.mend(doubt, epoch, report).await
    }
}

/// A row and a hash that do not agree. The hash was read first, then the journal was drained, then the row was read: so
/// the row is at least as new, where the journal is whole.
struct Doubt {
    key: String,
    row: Option<Row>,
    hash: Option<Fields>,
    verdict: Verdict,
}

/// Whether an error is about the strategy it was met at, and another one may well do.
fn concerns_one_row(error: &color_eyre::Report) -> bool {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return matches!(error, sqlx::Error::Database(_)) && !store::is_away(error);
    }
    let refusal = error.downcast_ref::<strat_client::Error>().and_then(strat_client::Error::code);
    refusal.is_some_and(|code| !matches!(code, Code::Loading | Code::Unsynced))
}

/// A hash as it goes into a row: texts as they are, empty ones left out. So are fields written by hand that are nobody's
/// and that no command takes: with them, the row could not be loaded when Redis has lost everything.
fn fields_of(strategy: &strat_client::Strategy) -> Fields {
    strategy
        .fields()
        .map(|(name, value)| (name.replace('\0', "\u{fffd}"), String::from_utf8_lossy(value).replace('\0', "\u{fffd}")))
        .filter(|(name, value)| {
            let ours = field::lookup(name).is_some();
            !value.is_empty() && (ours || field::check(name.as_bytes(), value.as_bytes()).is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::Refusal;

    #[test]
    fn what_no_command_takes_does_not_go_into_a_row() {
        let texts = [("symbol", "IBM"), ("stop_loss", "x"), ("note", "hi"), ("", "1"), ("pending", "")];
        let mut fields: Vec<_> = texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
        fields.push(("n".repeat(129), b"1".to_vec()));
        fields.push(("long".to_owned(), vec![b'x'; 70_000]));
        let kept = fields_of(&strat_client::Strategy::new("k", fields));
        // One of ours that is wrong is for a person to mend.
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["note", "stop_loss", "symbol"]);
    }

    #[test]
    fn a_refused_strategy_is_its_own_trouble_and_a_server_that_is_away_is_everybodys() {
        let refused = |code| strat_client::Error::from(Refusal::new(code, "x")).into();
        assert!(concerns_one_row(&refused(Code::BadField)) && concerns_one_row(&refused(Code::Busy)));
        assert!(!concerns_one_row(&refused(Code::Loading)));
        let away = strat_client::Error::Unavailable { address: "a".to_owned(), reason: "r".to_owned() };
        assert!(!concerns_one_row(&away.into()));
        assert!(!concerns_one_row(&sqlx::Error::PoolTimedOut.into()));
        assert!(!concerns_one_row(&eyre!("the epoch changed")));
    }
}
