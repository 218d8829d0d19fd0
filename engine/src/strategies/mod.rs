//! The commands `strategy …`.
//!
//! Creating writes the row in Postgres first and then the hash in Redis: from that moment on a crash loses nothing,
//! because a running engine loads what Redis lacks. Changes go to Redis, where the strategy lives, and reach the row
//! through the journal.

mod check;
mod show;

use crate::calendar::Calendars;
use crate::cli::{Output, StrategyCommand};
use crate::config::Settings;
use crate::failure::{Exit, OrFail as _, ends_with, failure, refusal};
use crate::link::Link;
use crate::reconcile;
use crate::store::{Fields, Filter, Row, Store};
use crate::strategies_csv::{self, StrategyLine};
use color_eyre::{Report, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Duration;
use strat_client::{StratCommands as _, Strategy, StrategySpec, StrategyUpdate};
use strat_core::StrategyKey;

/// Strategies on their way at the same time.
const AT_A_TIME: usize = 32;
/// A command waits no longer for servers that are just starting.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a strategy to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Created {
    /// It is in Postgres and Redis, at this version.
    Yes(u64),
    /// There was one already; it stays as it is.
    Exists,
}

/// Carries out commands on strategies.
struct Desk {
    link: Link,
    store: Store,
    calendars: Calendars,
    output: Output,
}

/// Carries out one command and prints its result on stdout.
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn run(command: &StrategyCommand, settings: &Settings, output: Output) -> Result<()> {
    let store = Store::connect(&settings.database_url, "strat-engine strategy", PATIENCE).await?;
    store.require_schema().await?;
    let link = Link::connect(settings, PATIENCE).await?;
    let calendars = Calendars::load(settings.calendars_dir.as_deref()).or_fail(
        "the session calendars cannot be read",
        "check schedule.calendars_dir (STRAT_SCHEDULE_CALENDARS_DIR)",
    )?;
    let desk = Desk { link, store, calendars, output };
    match command {
        StrategyCommand::Add { user, strategy, fields } => desk.add(user, strategy, fields).await,
        StrategyCommand::Import { file, skip_bad } => desk.import(file, *skip_bad).await,
        StrategyCommand::List { user, symbol, status, removed } => {
            let status = status.map(|status| status.to_string());
            desk.list(Filter { user: user.clone(), symbol: symbol.clone(), status, removed: *removed }).await
        }
        StrategyCommand::Show { user, strategy } => desk.show(&id(user, strategy)?).await,
        StrategyCommand::Update { user, strategy, fields, if_version } => {
            desk.update(&id(user, strategy)?, fields, *if_version).await
        }
        StrategyCommand::Stop { user, strategy, leave } => desk.stop(&id(user, strategy)?, *leave).await,
        StrategyCommand::Remove { user, strategy } => desk.remove(&id(user, strategy)?).await,
    }
}

fn id<'a>(user: &'a str, strategy: &'a str) -> Result<StrategyKey<'a>> {
    let hint = "ids are 1 to 128 of A-Z a-z 0-9 _ . @ -";
    for (what, id) in [("user id", user), ("strategy id", strategy)] {
        strat_core::key::check_id(what, id).map_err(|why| refusal(why.detail, hint))?;
    }
    Ok(StrategyKey { prefix: "", user, strategy })
}

fn unknown(id: &StrategyKey<'_>) -> Report {
    refusal(
        format!("user {} has no strategy {}", id.user, id.strategy),
        format!("strat-engine strategy list --user {}", id.user),
    )
}

fn refused(error: strat_client::Error) -> Report {
    let hint = match error.code().map(strat_core::Code::as_str) {
        // Not the module's word: the server is away, or has trouble of its own.
        None => return Report::new(error),
        Some("BADVERSION") => "somebody changed it meanwhile: look at it with `strategy show` and try again",
        Some("BUSY") => "stop it first with `strategy stop`, and wait until the position is closed",
        _ => "",
    };
    refusal(error.to_string(), hint)
}

impl Desk {
    async fn add(&self, user: &str, strategy: &str, fields: &[(String, String)]) -> Result<()> {
        let fields = fields.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
        let new = StrategyLine { user: user.to_owned(), strategy: strategy.to_owned(), fields };
        check::check_new(&new, &self.calendars)?;
        match self.create(&new).await? {
            Created::Yes(version) => self.say(user, strategy, "added", version),
            Created::Exists => {
                let hint = format!("strat-engine strategy update {user} {strategy} FIELD=VALUE");
                return Err(refusal(format!("user {user} has a strategy {strategy} already; it stays as it is"), hint));
            }
        }
        Ok(())
    }

    /// The row first, then the hash.
    async fn create(&self, new: &StrategyLine) -> Result<Created> {
        let fields: Fields = new.fields.iter().cloned().collect();
        let mut row =
            Row { user: new.user.clone(), strategy: new.strategy.clone(), fields, removed: false, forked: false };
        if let Some(old) = self.store.get(&new.user, &new.strategy).await?.filter(|old| old.removed) {
            // It comes back: cycle and version go on counting, so that no order id repeats.
            for name in ["cycle", "version"] {
                if let Some(count) = old.fields.get(name) {
                    row.fields.insert(name.to_owned(), count.clone());
                }
            }
        }
        let fresh = self.store.insert(&row).await?;
        if !fresh {
            match self.store.get(&new.user, &new.strategy).await? {
                // An attempt that got no further than its row.
                Some(kept) if kept.version() == 0 => row = kept,
                _ => return Ok(Created::Exists),
            }
        }
        let set = self.link.connection().strat_set_nx(&row.key(), &StrategySpec::from_fields(row.fields.clone())).await;
        match set {
            Ok(Some(version)) if fresh => Ok(Created::Yes(version)),
            Ok(_) => Ok(Created::Exists),
            Err(error) if error.code().is_some() => {
                if fresh {
                    self.store.remove(&new.user, &new.strategy).await?;
                }
                Err(refused(error))
            }
            Err(error) => Err(failure(
                format!("strategy {} of {} is saved in Postgres but not yet in Redis: {error}", new.strategy, new.user),
                "a running engine loads it at its next reconciliation",
            )),
        }
    }

    async fn import(&self, path: &Path, skip_bad: bool) -> Result<()> {
        let file = strategies_csv::read(path, skip_bad, &self.calendars)
            .or_fail(
                "the strategies cannot be imported, none was",
                "correct the line, or pass over bad ones with --skip-bad",
            )
            .map_err(|report| ends_with(report, Exit::Refused))?;
        let bar = ProgressBar::new(file.lines.len() as u64)
            .with_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?)
            .with_message("importing");
        let mut creations = stream::iter(&file.lines).map(|new| self.create(new)).buffer_unordered(AT_A_TIME);
        let (mut added, mut existing) = (0_u64, 0_u64);
        while let Some(created) = creations.try_next().await? {
            match created {
                Created::Yes(_) => added += 1,
                Created::Exists => existing += 1,
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.print_import(added, existing, file.skipped);
        Ok(())
    }

    async fn update(&self, id: &StrategyKey<'_>, fields: &[(String, String)], if_version: Option<u64>) -> Result<()> {
        let current = self.in_redis(id).await?;
        let after = |name: &str| {
            fields
                .iter()
                .rev()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.as_str())
                .or_else(|| current.get(name))
        };
        check::check_times(after, &self.calendars)?;
        let mut update = fields.iter().fold(StrategyUpdate::new(), |update, (name, value)| update.field(name, value));
        if let Some(version) = if_version {
            update = update.if_version(version);
        }
        let version = self.link.connection().strat_update(&id.hash(), &update).await.map_err(refused)?;
        let version = version.ok_or_else(|| unknown(id))?;
        let what = if version == current.version() { "unchanged" } else { "updated" };
        self.say(id.user, id.strategy, what, version);
        Ok(())
    }

    async fn stop(&self, id: &StrategyKey<'_>, leave: bool) -> Result<()> {
        let current = self.in_redis(id).await?;
        let mut update = StrategyUpdate::new().status("STOPPED");
        if leave {
            update = update.on_stop("LEAVE");
        }
        let version = self.link.connection().strat_update(&id.hash(), &update).await.map_err(refused)?;
        let version = version.ok_or_else(|| unknown(id))?;
        let open = current.state().is_ok_and(|state| state.open_quantity() > strat_core::Quantity::ZERO);
        let what = match (version == current.version(), open, leave) {
            (true, ..) => "was stopped already",
            (_, false, _) => "stopped",
            (_, true, false) => "stopped; its position is being squared off",
            (_, true, true) => "stopped; its position stays open WITHOUT A STOP",
        };
        self.say(id.user, id.strategy, what, version);
        Ok(())
    }

    async fn remove(&self, id: &StrategyKey<'_>) -> Result<()> {
        let mut redis = self.link.connection();
        let hash = redis.strat_get(&id.hash()).await?;
        if hash.as_ref().is_some_and(|hash| hash.state().is_ok_and(|state| !state.is_idle())) {
            return Err(refusal(
                format!("strategy {} of {} has an open position or an order in flight", id.strategy, id.user),
                format!("strat-engine strategy stop {} {}, then remove it", id.user, id.strategy),
            ));
        }
        // Redis first: a hash whose row is gone would be taken for a new one.
        let was_live = redis.strat_del(&id.hash()).await?;
        let was_kept = self.store.remove(id.user, id.strategy).await?;
        if !was_live && !was_kept {
            return Err(unknown(id));
        }
        let version = hash.as_ref().map_or(0, Strategy::version);
        self.say(id.user, id.strategy, "removed", version);
        Ok(())
    }

    /// The strategy's hash. One that only Postgres knows, because it had ended, is put into Redis first.
    async fn in_redis(&self, id: &StrategyKey<'_>) -> Result<Strategy> {
        let mut redis = self.link.connection();
        if let Some(hash) = redis.strat_get(&id.hash()).await? {
            return Ok(hash);
        }
        let row = self.store.get(id.user, id.strategy).await?.filter(|row| !row.removed).ok_or_else(|| unknown(id))?;
        redis.strat_set_nx(&id.hash(), &StrategySpec::from_fields(reconcile::to_load(&row))).await.map_err(refused)?;
        redis.strat_get(&id.hash()).await?.ok_or_else(|| unknown(id))
    }
}
