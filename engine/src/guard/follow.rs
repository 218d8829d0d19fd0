//! How the shadow gets to know: all strategies once Redis is reconciled, then the journal.

use super::shadow::Applied;
use super::{Guard, lock};
use crate::link::Link;
use std::collections::HashSet;
use std::time::Duration;
use strat_client::{Connection, JournalEntry, JournalFollower, ListQuery, Result, StratCommands as _};
use strat_core::Status;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Longest wait for news in the server.
const BLOCK: Duration = Duration::from_millis(250);
/// Entries read at once.
const READ_COUNT: usize = 1_000;
/// Strategies in one page.
const PAGE: u32 = 500;
/// Everything is read anew so often: what was written past the commands has no entry in the journal.
const RELOAD_EVERY: Duration = Duration::from_secs(30);
/// Where the journal was not read for so long, entries may have been trimmed meanwhile.
const STALL: Duration = Duration::from_secs(5);
/// Pause after Redis failed.
const TROUBLE_WAIT: Duration = Duration::from_millis(100);

/// What the shadow was last filled from.
#[derive(Default)]
struct Filled {
    epoch: String,
    at: Option<Instant>,
    /// When the journal was last read.
    read: Option<Instant>,
}

impl Guard {
    /// Keeps the shadow up to date until `cancel`.
    ///
    /// What Redis says is only taken for the whole truth while it is reconciled: a Redis that has just lost everything
    /// must not make the engine forget what it was guarding.
    ///
    /// # Errors
    /// Where the address of Redis cannot be used.
    pub async fn follow(&self, link: &Link, cancel: CancellationToken) -> color_eyre::Result<()> {
        let mut journal = JournalFollower::new(&link.connection(), "", BLOCK)?;
        // Of its own: nobody's orders wait behind the pages.
        let mut redis = link.own()?;
        let mut filled = Filled::default();
        loop {
            let step = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                step = self.step(&mut journal, &mut redis, &mut filled) => step,
            };
            if let Err(error) = step {
                tracing::debug!(%error, "cannot follow the journal for the guard, trying again");
                // Whatever comes in between is found by reading everything.
                filled.at = None;
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    () = sleep(TROUBLE_WAIT) => {}
                }
            }
        }
    }

    async fn step(&self, journal: &mut JournalFollower, redis: &mut Connection, filled: &mut Filled) -> Result<()> {
        let epoch = self.gate.peek();
        let stale = filled.at.is_none_or(|at| at.elapsed() >= RELOAD_EVERY);
        if let Some(epoch) = epoch.filter(|epoch| stale || filled.epoch != **epoch) {
            if !self.fill(journal, redis, &epoch).await? {
                // The reconciliation is about to notice as well.
                sleep(TROUBLE_WAIT).await;
                return Ok(());
            }
            let now = Some(Instant::now());
            *filled = Filled { epoch: epoch.to_string(), at: now, read: now };
        }
        if lock(&self.state).fresh.is_none() {
            sleep(TROUBLE_WAIT).await;
            return Ok(());
        }
        let started = Instant::now();
        let read = journal.read(READ_COUNT, BLOCK).await?;
        let whole = read.len() < READ_COUNT;
        // Also a process that was stopped between two reads.
        let stalled = filled.read.is_none_or(|read| read.elapsed() >= STALL);
        filled.read = Some(Instant::now());
        if stalled {
            filled.at = None;
        }
        for entry in read {
            match entry {
                Ok(entry) => self.learn(redis, &entry).await?,
                Err(bad) => {
                    tracing::warn!(%bad, "an entry of the journal does not read; the guard reads every strategy anew");
                    filled.at = None;
                }
            }
        }
        // What was missed is only known once everything has been read anew.
        if whole && filled.at.is_some() {
            // From before the question: a process that was stopped gets an old answer.
            lock(&self.state).fresh = Some(started);
        }
        Ok(())
    }

    async fn learn(&self, redis: &mut Connection, entry: &JournalEntry) -> Result<()> {
        let applied = lock(&self.shadow).apply(entry);
        if applied != Applied::Gap {
            return Ok(());
        }
        let hash = redis.strat_get(&entry.key).await?;
        let reconciled = self.gate.peek().is_some();
        let mut shadow = lock(&self.shadow);
        let known = shadow.version(&entry.key);
        // A Redis that is not reconciled may have lost the newest versions, or all.
        let news = hash.as_ref().is_some_and(|hash| known.is_none_or(|known| hash.version() > known));
        if reconciled || news {
            shadow.put_hash(&entry.key, hash.as_ref());
        }
        Ok(())
    }

    /// Reads every strategy. False: Redis was not reconciled all the while, and nothing was taken over.
    async fn fill(&self, journal: &mut JournalFollower, redis: &mut Connection, epoch: &str) -> Result<bool> {
        let started = Instant::now();
        // First, so that nothing falls between the pages and the journal.
        journal.stand_at_end().await?;
        let mut hashes = Vec::new();
        for status in Status::ALL {
            let mut query = ListQuery::new().status(*status).count(PAGE);
            loop {
                let page = redis.strat_list_values(&query).await?;
                hashes.extend(page.items.into_iter().filter(is_live));
                let Some(cursor) = page.cursor else { break };
                query = query.cursor(cursor);
            }
        }
        // Asked for last: an epoch never comes back.
        if redis.strat_epoch().await? != epoch || self.gate.peek().is_none_or(|known| *known != *epoch) {
            return Ok(false);
        }
        let gone = {
            let found: HashSet<&str> = hashes.iter().map(strat_client::Strategy::key).collect();
            let known = lock(&self.shadow).keys();
            known.into_iter().filter(|key| !found.contains(key.as_str())).collect::<Vec<_>>()
        };
        // One by one: a tick that has to be checked never waits for all of them.
        for key in gone {
            lock(&self.shadow).put_hash(&key, None);
        }
        for hash in hashes {
            lock(&self.shadow).put_hash(hash.key(), Some(&hash));
        }
        // What came before this engine did, only Redis knows.
        self.learn_trails(redis).await?;
        lock(&self.shadow).release_trails();
        lock(&self.state).fresh = Some(started);
        Ok(true)
    }
}

/// Whether there is anything to guard: pages of what has ended are read and not kept.
fn is_live(hash: &strat_client::Strategy) -> bool {
    hash.state().is_ok_and(|state| state.status == Status::Running || !state.is_idle())
}
