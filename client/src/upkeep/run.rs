//! One run: a look at memory, then some slices of keys.

use super::clean::{self, RuleOutcome};
use super::memory::{MemoryEvent, MemoryReading, MemoryWatch};
use super::report::{KeyReport, Tally};
use super::scan;
use super::settings::UpkeepSettings;
use crate::error::{Error, Result};
use crate::reply;
use crate::shared::in_time;
use redis::aio::ConnectionLike;

/// What one run saw and did.
#[derive(Debug)]
pub struct RunReport {
    /// As it was given, epoch ms.
    pub at_ms: i64,
    /// Memory.
    pub memory: MemoryReading,
    /// Thresholds crossed since the last run.
    pub events: Vec<MemoryEvent>,
    /// Keys looked at.
    pub scanned: u64,
    /// What each rule did, in their order; with `dry_run`, what it would have done.
    pub cleaned: Vec<RuleOutcome>,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Where a pass over all keys ended with this run: what it has shown.
    pub finished: Option<KeyReport>,
    /// Why it ended early, if it did: the next run goes on from the slice that failed. What a rule did in that very slice
    /// may be missing in `cleaned`; doing it again does no harm.
    pub stopped_by: Option<Error>,
}

/// Looks after the keys of one server, a bounded part at each call.
#[derive(Debug)]
pub struct Upkeep<C> {
    connection: C,
    settings: UpkeepSettings,
    cursor: u64,
    tally: Tally,
    watch: MemoryWatch,
}

impl<C: ConnectionLike + Clone + Send + Sync> Upkeep<C> {
    /// Begins with the first key.
    ///
    /// # Errors
    /// [`Error::Config`] for bounds of 0, thresholds in the wrong order, and rules for what is permanent.
    pub fn new(connection: C, settings: UpkeepSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self { connection, settings, cursor: 0, tally: Tally::default(), watch: MemoryWatch::default() })
    }

    /// Where the next run begins; 0: with a new pass.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Goes on where another [`Upkeep`] of the same server was. The report of that pass has only what comes from here on.
    #[must_use]
    pub fn resume_at(mut self, cursor: u64) -> Self {
        self.cursor = cursor;
        self
    }

    /// Reads memory, publishes what crossed a threshold, and looks at the next keys: at most `slices_per_run` slices, and
    /// not beyond the end of the pass. `now_ms` is the time that events carry, epoch ms.
    ///
    /// Cancel-safe: the next run goes on from the last slice that was finished.
    ///
    /// # Errors
    /// Those of reading memory and of publishing, before any key was looked at: [`Error::Unavailable`] where there is no
    /// server. An event that could not be published comes again with the next run, so one of unknown outcome may come
    /// twice.
    pub async fn run_once(&mut self, now_ms: i64) -> Result<RunReport> {
        let memory = self.read_memory().await?;
        let (watch, events) = self.watch.after(&memory, &self.settings.memory, now_ms);
        self.publish(&events).await?;
        self.watch = watch;
        let mut report = RunReport {
            at_ms: now_ms,
            memory,
            events,
            scanned: 0,
            cleaned: clean::outcomes(&self.settings.rules),
            dry_run: self.settings.dry_run,
            finished: None,
            stopped_by: None,
        };
        for _ in 0..self.settings.slices_per_run {
            if let Err(error) = self.slice(&mut report).await {
                tracing::warn!(%error, cursor = self.cursor, "upkeep stopped, the next run goes on from here");
                report.stopped_by = Some(error);
            }
            if report.stopped_by.is_some() || report.finished.is_some() {
                break;
            }
        }
        Ok(report)
    }

    async fn read_memory(&mut self) -> Result<MemoryReading> {
        let mut info = redis::cmd("INFO");
        info.arg("memory").arg("stats");
        let info = in_time(self.settings.timeout, info.query_async(&mut self.connection)).await?;
        MemoryReading::of_info(&reply::text(info, "INFO")?)
    }

    async fn publish(&mut self, events: &[MemoryEvent]) -> Result<()> {
        let Some(channel) = self.settings.channel.as_deref().filter(|_| !events.is_empty()) else { return Ok(()) };
        let mut pipeline = redis::pipe();
        for event in events {
            pipeline.cmd("PUBLISH").arg(channel).arg(event.to_json()).ignore();
        }
        in_time(self.settings.timeout, pipeline.exec_async(&mut self.connection)).await
    }

    /// The cursor moves on only when all of a slice is done.
    async fn slice(&mut self, report: &mut RunReport) -> Result<()> {
        let Self { connection, settings, .. } = self;
        let (next, found) = scan::slice(connection, self.cursor, settings).await?;
        clean::clean(connection, &found, settings, &mut report.cleaned).await?;
        found.iter().for_each(|found| self.tally.add(found, settings));
        report.scanned += found.len() as u64;
        self.cursor = next;
        if next == 0 {
            report.finished = Some(std::mem::take(&mut self.tally).finish());
        }
        Ok(())
    }
}
