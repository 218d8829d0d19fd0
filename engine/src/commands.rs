//! The commands, one function each.

use crate::cli::{Cli, Output, ReplayArgs, StrategyCommand};
use crate::config::{Settings, Sources, TABLE};
use crate::doctor::{self, Mark};
use crate::failure::failure;
use crate::replay::{self, ReplayOptions};
use crate::run::{self as trading, StopSignal};
use crate::store::{START_PATIENCE, Store};
use crate::strategies;
use clap::CommandFactory as _;
use clap_complete::Shell;
use color_eyre::Result;
use serde_json::json;
use std::io::Write as _;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// `run`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn run(settings: Settings) -> Result<ExitCode> {
    trading::run(settings).await.map(|()| ExitCode::SUCCESS)
}

/// `replay`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn replay(args: &ReplayArgs, settings: &Settings) -> Result<ExitCode> {
    let cancel = CancellationToken::new();
    let options = ReplayOptions {
        ticks: args.ticks.clone(),
        strategies: args.strategies.clone(),
        report: args.report.clone(),
        speed: args.speed,
        skip_bad: args.skip_bad,
        table: args.table,
    };
    let mut stop = StopSignal::new()?;
    tokio::select! {
        summary = replay::run(&options, settings, &cancel) => summary.map(|_| ExitCode::SUCCESS),
        // Dropped wherever it is, also while it waits for a server. What it had begun needs servers of its own anyway.
        () = stop.received() => {
            Err(failure("the replay was interrupted", "no report was written; run it again"))
        }
    }
}

/// `strategy …`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn strategy(command: &StrategyCommand, settings: &Settings, output: Output) -> Result<ExitCode> {
    strategies::run(command, settings, output).await.map(|()| ExitCode::SUCCESS)
}

/// `migrate`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn migrate(settings: &Settings) -> Result<ExitCode> {
    let store = Store::connect(&settings.database_url, "strat-engine migrate", START_PATIENCE).await?;
    let applied = store.migrate().await?;
    if applied.is_empty() {
        print_line("the database schema is up to date");
    }
    applied.iter().for_each(|migration| print_line(&format!("applied {migration}")));
    Ok(ExitCode::SUCCESS)
}

/// `doctor`: fails if something does.
///
/// # Errors
/// None so far; findings are printed.
pub async fn doctor(settings: &Settings, output: Output) -> Result<ExitCode> {
    let findings = doctor::examine(settings).await;
    for finding in &findings {
        match output {
            Output::Table => print_line(&finding.line()),
            Output::Json => print_line(
                &json!({"mark": finding.mark.as_str(), "what": finding.what, "fix": finding.fix}).to_string(),
            ),
        }
    }
    let failed = findings.iter().any(|finding| finding.mark == Mark::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `settings`
#[must_use]
pub fn settings(settings: &Settings, sources: &Sources, output: Output) -> ExitCode {
    for setting in TABLE {
        let (name, value) = (setting.name, (setting.get)(settings));
        let source = sources.get(name).map_or("default", String::as_str);
        match output {
            Output::Table => {
                print_line(&format!("{name} = {value:?}\n    {} [{source}; {}]", setting.about, setting.env))
            }
            Output::Json => print_line(
                &json!({"name": name, "value": value, "source": source, "env": setting.env, "about": setting.about})
                    .to_string(),
            ),
        }
    }
    ExitCode::SUCCESS
}

/// `completions`
#[must_use]
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "strat-engine", &mut script);
    print_line(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}

/// A reader that went away (`| head`) is no error.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
