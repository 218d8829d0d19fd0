//! The commands `strategy …`, and the desk that carries them out.

mod check;
mod desk;
mod show;

pub(crate) use desk::{Changed, Created, Desk, DeskError};

use crate::cli::{Output, StrategyCommand};
use crate::config::Settings;
use crate::failure::{Exit, OrFail as _, ends_with, failure, refusal};
use crate::link::Link;
use crate::store::{Filter, Store};
use crate::strategies_csv::{self, StrategyLine};
use color_eyre::{Report, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Duration;
use strat_client::Connection;
use strat_core::{Code, StrategyKey};

/// Strategies on their way at the same time.
const AT_A_TIME: usize = 32;
/// A command waits no longer for servers that are just starting.
const PATIENCE: Duration = Duration::from_secs(3);

/// Carries out commands and prints what became of them.
struct Clerk {
    desk: Desk<Connection>,
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
    let calendars = settings.calendars()?;
    let clerk = Clerk { desk: Desk { redis: link.connection(), store, calendars }, output };
    match command {
        StrategyCommand::Add { user, strategy, fields } => clerk.add(user, strategy, fields).await,
        StrategyCommand::Import { file, skip_bad } => clerk.import(file, *skip_bad).await,
        StrategyCommand::List { user, symbol, status, removed } => {
            let status = status.map(|status| status.to_string());
            clerk.list(Filter { user: user.clone(), symbol: symbol.clone(), status, removed: *removed }).await
        }
        StrategyCommand::Show { user, strategy } => clerk.show(&id(user, strategy)?).await,
        StrategyCommand::Update { user, strategy, fields, if_version } => {
            clerk.update(&id(user, strategy)?, fields, *if_version).await
        }
        StrategyCommand::Stop { user, strategy, leave } => clerk.stop(&id(user, strategy)?, *leave).await,
        StrategyCommand::Remove { user, strategy } => clerk.remove(&id(user, strategy)?).await,
    }
}

fn id<'a>(user: &'a str, strategy: &'a str) -> Result<StrategyKey<'a>> {
    let hint = "ids are 1 to 128 of A-Z a-z 0-9 _ . @ -";
    for (what, id) in [("user id", user), ("strategy id", strategy)] {
        strat_core::key::check_id(what, id).map_err(|why| refusal(why.detail, hint))?;
    }
    Ok(StrategyKey { prefix: "", user, strategy })
}

/// An error for people, with the next step.
fn report(error: DeskError) -> Report {
    let hint = match &error {
        DeskError::Bad(_) => String::new(),
        DeskError::Unknown { user, .. } => format!("strat-engine strategy list --user {user}"),
        DeskError::InMarket { user, strategy } => {
            format!("strat-engine strategy stop {user} {strategy}, then remove it")
        }
        DeskError::Saved { .. } => "a running engine loads it at its next reconciliation".to_owned(),
        DeskError::Redis(_) | DeskError::Postgres(_) => match error.code() {
            Some(Code::BadVersion) => {
                "somebody changed it meanwhile: look at it with `strategy show` and try again".to_owned()
            }
            Some(Code::Busy) => "stop it first with `strategy stop`, and wait until the position is closed".to_owned(),
            _ => String::new(),
        },
    };
    match error {
        DeskError::Bad(report) => report,
        error @ (DeskError::Unknown { .. } | DeskError::InMarket { .. }) => refusal(error.to_string(), hint),
        error if error.code().is_some() => refusal(error.to_string(), hint),
        error => failure(error.to_string(), hint),
    }
}

impl Clerk {
    async fn add(&self, user: &str, strategy: &str, fields: &[(String, String)]) -> Result<()> {
        let fields = fields.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
        let new = StrategyLine { user: user.to_owned(), strategy: strategy.to_owned(), fields };
        match self.desk.add(&new).await.map_err(report)? {
            Created::Yes(version) => self.say(user, strategy, "added", version),
            Created::Exists => {
                let hint = format!("strat-engine strategy update {user} {strategy} FIELD=VALUE");
                return Err(refusal(format!("user {user} has a strategy {strategy} already; it stays as it is"), hint));
            }
        }
        Ok(())
    }

    async fn import(&self, path: &Path, skip_bad: bool) -> Result<()> {
        let file = strategies_csv::read(path, skip_bad, &self.desk.calendars)
            .or_fail(
                "the strategies cannot be imported, none was",
                "correct the line, or pass over bad ones with --skip-bad",
            )
            .map_err(|report| ends_with(report, Exit::Refused))?;
        let bar = ProgressBar::new(file.lines.len() as u64)
            .with_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")?)
            .with_message("importing");
        let mut creations = stream::iter(&file.lines).map(|new| self.desk.create(new)).buffer_unordered(AT_A_TIME);
        let (mut added, mut existing) = (0_u64, 0_u64);
        while let Some(created) = creations.try_next().await.map_err(report)? {
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
        let changed = self.desk.update(id, fields, if_version).await.map_err(report)?;
        let what = if changed.is_new() { "updated" } else { "unchanged" };
        self.say(id.user, id.strategy, what, changed.version);
        Ok(())
    }

    async fn stop(&self, id: &StrategyKey<'_>, leave: bool) -> Result<()> {
        let changed = self.desk.stop(id, leave).await.map_err(report)?;
        let open = changed.before.state().is_ok_and(|state| state.open_quantity() > strat_core::Quantity::ZERO);
        let what = match (changed.is_new(), open, leave) {
            (false, ..) => "was stopped already",
            (_, false, _) => "stopped",
            (_, true, false) => "stopped; its position is being squared off",
            (_, true, true) => "stopped; its position stays open WITHOUT A STOP",
        };
        self.say(id.user, id.strategy, what, changed.version);
        Ok(())
    }

    async fn remove(&self, id: &StrategyKey<'_>) -> Result<()> {
        let version = self.desk.remove(id).await.map_err(report)?;
        self.say(id.user, id.strategy, "removed", version);
        Ok(())
    }
}
