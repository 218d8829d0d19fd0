//! Replays a file of ticks through the real Redis, module, executor, journal and Postgres, on a clock that the
//! ticks set, with the paper broker.
//!
//! For each tick in file order: (1) what is due at or before its time is submitted, (2) `STRAT.SLCHECK` runs with
//! it, (3) every open order of its symbol fills at its price. So a stop fired by a tick fills at that tick, and a
//! position entered on a tick is watched from the next one. An entry not filled when its exit's time comes is
//! cancelled.

mod load;
mod pace;
mod session;

pub(crate) use pace::Pace;
pub use pace::Speed;

use crate::config::Settings;
use crate::failure::{OrFail as _, failure};
use crate::feed::{CsvFeed, CsvOptions};
use crate::link::Link;
use crate::store::{START_PATIENCE, Store};
use crate::sync::Sync;
use crate::{report, strategies_csv};
use color_eyre::Result;
use session::Session;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long Postgres may take to catch up at the end.
const SYNC_PATIENCE: Duration = Duration::from_secs(120);

/// What to replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// File of ticks.
    pub ticks: PathBuf,
    /// File of strategies.
    pub strategies: PathBuf,
    /// Where the report goes.
    pub report: PathBuf,
    /// How fast.
    pub speed: Speed,
    /// Count bad lines and go on.
    pub skip_bad: bool,
    /// Print a table of the results to standard output.
    pub table: bool,
}

/// What came of a replay.
#[derive(Debug, Clone, Default)]
pub struct ReplaySummary {
    /// Ticks replayed.
    pub ticks: u64,
    /// Strategies replayed.
    pub strategies: usize,
    /// Bad lines of the two files that were passed over.
    pub skipped: u64,
    /// Triggers fired.
    pub fired: u64,
    /// Orders filled.
    pub fills: u64,
    /// Real time from the first tick to the report.
    pub took: Duration,
}

/// Runs a replay.
///
/// # Errors
/// Bad input, a Redis that is not empty, a server that fails: each says what to do.
pub async fn run(options: &ReplayOptions, settings: &Settings, cancel: &CancellationToken) -> Result<ReplaySummary> {
    let calendars = settings.calendars()?;
    let file = strategies_csv::read(&options.strategies, options.skip_bad, &calendars)?;
    let mut feed = CsvFeed::open(&options.ticks, CsvOptions { skip_bad: options.skip_bad })?;
    let Some(first) = feed.read() else {
        return Err(failure(
            format!("{} holds no tick", options.ticks.display()),
            "give a file with at least one line of data",
        ));
    };
    let first = first?;
    let link = Link::connect(settings, START_PATIENCE).await?;
    let store = Store::connect(&settings.database_url, "strat-replay", START_PATIENCE).await?;
    store.require_schema().await?;
    refuse_used_servers(&link, &store).await?;

    let sync = Sync::new(link.clone(), store.clone(), crate::gate::EpochGate::new());
    let handle = sync.handle();
    let stop = CancellationToken::new();
    let syncing = tokio::spawn(sync.run(stop.clone()));
    let started = Instant::now();
    let played = async {
        let mut session = Session::open(&link, first.ts_ms).await?;
        load::load(&mut link.connection(), &file.lines, &calendars, first.ts_ms).await?;
        let mut summary = session.play(first, &mut feed, options.speed, cancel).await?;
        summary.skipped = feed.skipped() + file.skipped;
        summary.strategies = file.lines.len();
        handle.drained(&link, SYNC_PATIENCE).await?;
        Ok::<_, color_eyre::Report>(summary)
    };
    let played = played.await;
    stop.cancel();
    // Bounded: the sync looks at its token between two reads of half a second.
    let _ = tokio::time::timeout(Duration::from_secs(5), syncing).await;
    let mut summary = played?;

    let report = report::collect(&store, &file.lines).await?;
    report::write(&options.report, &report).or_fail(
        format!("cannot write the report {}", options.report.display()),
        "check the folder and its permissions",
    )?;
    summary.took = started.elapsed();
    if options.table {
        print!("{}", report::table(&file.lines, &report));
    }
    tracing::info!(
        ticks = summary.ticks,
        strategies = summary.strategies,
        fired = summary.fired,
        fills = summary.fills,
        skipped = summary.skipped,
        seconds = summary.took.as_secs_f32(),
        "replayed"
    );
    Ok(summary)
}

/// A replay would mix its strategies with real ones: it wants servers of its own.
async fn refuse_used_servers(link: &Link, store: &Store) -> Result<()> {
    let hint = "`make replay` starts servers of its own; or give an empty Redis by REDIS_URL and an empty database by DATABASE_URL";
    let health = link.connection().health().await?;
    if health.strategies > 0 {
        return Err(failure(
            format!("Redis at {} already holds {} strategies", link.address(), health.strategies),
            hint,
        ));
    }
    let left: u64 = redis::cmd("XLEN").arg(strat_core::key::journal("")).query_async(&mut link.connection()).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM strategies").fetch_one(store.pool()).await?;
    if left > 0 || rows > 0 {
        return Err(failure(
            format!("the servers have been used: {left} journal entries in Redis, {rows} strategies in Postgres"),
            hint,
        ));
    }
    Ok(())
}
