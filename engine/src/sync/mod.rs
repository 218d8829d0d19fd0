//! The journal's way into Postgres.
//!
//! One engine at a time reads the journal: the one whose Postgres session holds an advisory lock, and all writing
//! happens in that session. So an engine that was away for a while cannot write behind its successor's back.
//! Entries are acknowledged after their transaction has committed; what a crash leaves unacknowledged comes again
//! and changes nothing, because `strategy_events` knows every entry that was ever applied.

mod apply;
mod journal;

pub(crate) use apply::raise_cycle;
pub use journal::{Backlog, backlog, drained_to, last_id};

use crate::executor::crash_point;
use crate::failure::sentence;
use crate::gate::EpochGate;
use crate::link::Link;
use crate::store::{JournalEntry, Store};
use color_eyre::Result;
use color_eyre::eyre::eyre;
use sqlx::PgConnection;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{JournalDelivery, JournalReader};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most entries in one transaction.
const BATCH: usize = 2_000;
/// Longest wait of a read in the server; short, so that a shutdown is noticed soon.
const BLOCK: Duration = Duration::from_millis(500);
/// Advisory lock of the one engine that reads the journal: "strat" in ASCII.
const LEADER_LOCK: i64 = 0x73_74_72_61_74;
/// Name in the consumer group. One for all engines, because only one of them reads at a time.
const CONSUMER: &str = "postgres";
/// Entries that a slow listener may fall behind before it has to look for itself.
const FEED_CAPACITY: usize = 16_384;
/// How long a short batch waits for more: what comes in the same moment goes into one transaction, and the order that it
/// is about is on its way before Postgres takes the processor.
const LINGER: Duration = Duration::from_millis(2);
/// Time between two trims of the journal.
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for Postgres. A statement ends at the server's own limit before; this one is for a server that hangs.
const POSTGRES_TIMEOUT: Duration = Duration::from_secs(20);
/// A session that says nothing for so long is ended by the server (from version 14 on): an engine that was stopped in
/// the middle loses its lock. The sync itself speaks every half second.
const IDLE_SESSION: &str = "SET idle_session_timeout = '30s'";
/// How long a backlog may stand still before something is wrong.
const STALL: Duration = Duration::from_secs(10);
/// Pauses after failures. Entries wait for it, and a gate that was shut, so none is long.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(400));

/// How the sync is doing.
#[derive(Debug, Clone, Default)]
pub struct SyncStatus {
    /// Whether this engine is the one that reads the journal.
    pub leader: bool,
    /// Entries applied.
    pub applied: u64,
    /// Entries put aside in `journal_rejects`.
    pub rejected: u64,
    /// When this engine last applied something, or found that there was nothing to apply.
    pub progress: Option<Instant>,
    /// What keeps it from working, if something does.
    pub trouble: Option<String>,
}

impl SyncStatus {
    /// What is wrong, if something is: also that a leader stands still before a backlog.
    #[must_use]
    pub fn complaint(&self, backlog: &Backlog, now: Instant) -> Option<String> {
        if self.trouble.is_some() {
            return self.trouble.clone();
        }
        let behind = backlog.unread.unwrap_or(0) + backlog.pending > 0;
        let still =
            self.progress.map(|progress| now.saturating_duration_since(progress)).filter(|still| *still >= STALL)?;
        (self.leader && behind).then(|| format!("entries wait and none was applied for {} s", still.as_secs()))
    }
}

/// What others see of the sync. Clones share it.
#[derive(Clone)]
pub struct SyncHandle {
    status: Arc<watch::Sender<SyncStatus>>,
    feed: broadcast::Sender<Arc<JournalEntry>>,
    mended: broadcast::Sender<Arc<str>>,
    doubts: Arc<Notify>,
}

impl Default for SyncHandle {
    fn default() -> Self {
        let (feed, mended) = (broadcast::Sender::new(FEED_CAPACITY), broadcast::Sender::new(FEED_CAPACITY));
        Self { status: Arc::default(), feed, mended, doubts: Arc::default() }
    }
}

impl SyncHandle {
    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    /// Every entry, once it is in Postgres. Who falls behind gets `Lagged` and should look at everything again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<JournalEntry>> {
        self.feed.subscribe()
    }

    /// Has everything compared soon, as after an entry that leaves a doubt.
    pub fn ask_to_compare(&self) {
        self.doubts.notify_one();
    }

    /// Keys of strategies whose rows were written without an entry: a reconciliation has mended them.
    #[must_use]
    pub fn subscribe_mended(&self) -> broadcast::Receiver<Arc<str>> {
        self.mended.subscribe()
    }

    /// Tells of such a row.
    pub fn tell_mended(&self, key: &str) {
        // Nobody listening is no error.
        let _ = self.mended.send(key.into());
    }

    /// Waits for an entry after which a row needs a look at the hash itself.
    pub async fn doubt(&self) {
        self.doubts.notified().await;
    }

    /// Waits until everything that is in the journal now is in Postgres.
    ///
    /// # Errors
    /// Where that takes longer than `patience`, or Redis does not answer.
    pub async fn drained(&self, link: &Link, patience: Duration) -> Result<()> {
        let mut connection = link.connection();
        let until = Instant::now() + patience;
        let target = last_id(&mut connection).await?;
        let mut status = self.status.subscribe();
        while !drained_to(&mut connection, &target).await? {
            if Instant::now() >= until {
                let trouble = status.borrow().trouble.clone().unwrap_or_else(|| "it is still at work".to_owned());
                return Err(eyre!("the journal did not reach Postgres within {} s: {trouble}", patience.as_secs()));
            }
            // Another engine may be the one that reads, and says nothing here: hence the limit.
            let _ = tokio::time::timeout(Duration::from_millis(50), status.changed()).await;
        }
        Ok(())
    }

    /// Notes that there was nothing to apply; without waking those who wait for something.
    fn alive(&self) {
        self.status.send_if_modified(|status| {
            status.progress = Some(Instant::now());
            false
        });
    }

    fn update(&self, change: impl FnOnce(&mut SyncStatus)) {
        self.status.send_modify(change);
    }
}

const SILENT: &str = "Postgres does not answer";

/// A request to Postgres that does not hang with it.
async fn in_time<T>(request: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let silent = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, SILENT));
    tokio::time::timeout(POSTGRES_TIMEOUT, request).await.unwrap_or_else(|_| Err(silent()))
}

/// The sync itself.
pub struct Sync {
    link: Link,
    store: Store,
    handle: SyncHandle,
    gate: EpochGate,
}

impl Sync {
    /// A sync that has not started yet. While it is in trouble, entries are held at `gate`: what they lead to would
    /// not be durable.
    #[must_use]
    pub fn new(link: Link, store: Store, gate: EpochGate) -> Self {
        Self { link, store, handle: SyncHandle::default(), gate }
    }

    /// What others see of it.
    #[must_use]
    pub fn handle(&self) -> SyncHandle {
        self.handle.clone()
    }

    /// Works until cancelled. Whatever fails, the journal keeps, and the work goes on when it can.
    pub async fn run(self, cancel: CancellationToken) {
        let mut wait = BACKOFF.0;
        while !cancel.is_cancelled() {
            let applied = self.handle.status().applied;
            let Err(error) = self.session(&cancel).await else { return };
            let error = sentence(&error);
            // It worked: whatever is the matter now is something new.
            if self.handle.status().applied > applied {
                wait = BACKOFF.0;
            }
            tracing::error!(error, "the journal is not reaching Postgres; it keeps its entries, trying again");
            self.gate.hold_entries(true);
            self.handle.update(|status| {
                status.leader = false;
                status.trouble = Some(error);
            });
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
            }
        }
    }

    async fn session(&self, cancel: &CancellationToken) -> Result<()> {
        let mut journal = JournalReader::new(&self.link.connection(), "", CONSUMER, BLOCK)?;
        journal.ensure_groups().await?;
        // Detached: the lock ends with this session, and the pool must not hand it to anybody else.
        let mut postgres = in_time(self.store.pool().acquire()).await?.detach();
        if let Err(error) = in_time(sqlx::query(IDLE_SESSION).execute(&mut postgres)).await {
            tracing::debug!(%error, "this Postgres does not end idle sessions");
        }
        if !self.lead(&mut postgres, cancel).await? {
            return Ok(());
        }
        tracing::info!("reading the journal");
        self.gate.hold_entries(false);
        self.handle.update(|status| {
            status.leader = true;
            status.trouble = None;
            status.progress = Some(Instant::now());
        });
        // What a predecessor, or this engine before a crash, left unacknowledged comes first, because it is older.
        while !cancel.is_cancelled() {
            let read = journal.claim(Duration::ZERO, BATCH).await?;
            if read.is_empty() {
                break;
            }
            self.take(&mut journal, &mut postgres, read).await?;
        }
        let mut trimmed = Instant::now();
        while !cancel.is_cancelled() {
            let read = journal.read(BATCH, BLOCK).await?;
            if read.is_empty() {
                // Notices in time that the session, and the lock with it, is gone.
                in_time(sqlx::query("SELECT 1").execute(&mut postgres)).await?;
                // A former leader that woke up late may have read entries that it could not apply any more.
                let left = journal.claim(Duration::ZERO, BATCH).await?;
                if left.is_empty() {
                    self.handle.alive();
                } else {
                    self.take(&mut journal, &mut postgres, left).await?;
                }
            } else {
                if read.len() < BATCH {
                    tokio::time::sleep(LINGER).await;
                }
                self.take(&mut journal, &mut postgres, read).await?;
            }
            if trimmed.elapsed() >= TRIM_EVERY {
                let gone = journal::trim(&mut self.link.connection()).await?;
                tracing::debug!(gone, "trimmed the journal");
                trimmed = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits for the lock; false if cancelled meanwhile.
    async fn lead(&self, postgres: &mut PgConnection, cancel: &CancellationToken) -> Result<bool> {
        let mut told = false;
        loop {
            let ask = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LEADER_LOCK);
            let locked: bool = in_time(ask.fetch_one(&mut *postgres)).await?;
            if locked {
                return Ok(true);
            }
            if !told {
                tracing::info!("another engine reads the journal; standing by");
                self.gate.hold_entries(false);
                self.handle.update(|status| status.trouble = None);
                told = true;
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(false),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    async fn take(
        &self,
        journal: &mut JournalReader,
        postgres: &mut PgConnection,
        read: Vec<JournalDelivery>,
    ) -> Result<()> {
        let mut redis = self.link.connection();
        let id =
            |delivery: &JournalDelivery| delivery.as_ref().map_or_else(|bad| bad.id.clone(), |entry| entry.id.clone());
        let ids: Vec<String> = read.iter().map(id).collect();
        let work = tokio::time::timeout(POSTGRES_TIMEOUT, apply::apply(postgres, &mut redis, read));
        let outcome = work.await.unwrap_or_else(|_| Err(eyre!("{SILENT}")))?;
        crash_point("committed");
        journal.acknowledge(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.handle.update(|status| {
            status.applied += outcome.fresh.len() as u64;
            status.rejected += outcome.rejected;
            status.trouble = None;
            status.progress = Some(Instant::now());
        });
        for entry in outcome.fresh {
            // Nobody listening is no error.
            let _ = self.handle.feed.send(entry);
        }
        for (key, cycle) in outcome.lowered {
            apply::raise_cycle(&mut redis, &key, cycle).await?;
        }
        if outcome.doubtful {
            self.handle.doubts.notify_one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leader_that_stands_still_before_a_backlog_is_complained_about() {
        let started = Instant::now();
        let status = SyncStatus { leader: true, progress: Some(started), ..SyncStatus::default() };
        let behind = Backlog { unread: Some(0), pending: 3, oldest_ms: Some(1) };
        assert_eq!(status.complaint(&behind, started + STALL / 2), None);
        assert!(status.complaint(&behind, started + STALL).is_some_and(|words| words.contains("10 s")));
        assert_eq!(status.complaint(&Backlog { unread: Some(0), ..Backlog::default() }, started + STALL), None);
        let standing_by = SyncStatus { leader: false, ..status };
        assert_eq!(standing_by.complaint(&behind, started + STALL), None);
    }
}
