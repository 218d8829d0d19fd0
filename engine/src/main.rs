//! `strat-engine`: parses the command line, starts logging, and calls the library.

use clap::Parser as _;
use color_eyre::Result;
use std::process::ExitCode;
use strat_engine::cli::{Cli, Command};
use strat_engine::config::Settings;
use strat_engine::{commands, failure, logging};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(report) => {
            eprintln!("strat-engine: {}", failure::render(&report));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode> {
    let (settings, sources) =
        Settings::load(&cli.global.overrides(), |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    logging::init(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        match &cli.command {
            Command::Run => commands::run(settings).await,
            Command::Replay(args) => commands::replay(args, &settings).await,
            Command::Strategy(command) => commands::strategy(command, &settings, cli.global.output).await,
            Command::Token(command) => commands::token(command, &settings, cli.global.output).await,
            Command::Migrate => commands::migrate(&settings).await,
            Command::Doctor => commands::doctor(&settings, cli.global.output).await,
            Command::Settings => Ok(commands::settings(&settings, &sources, cli.global.output)),
        }
    });
    // Whatever still hangs in a blocking call does not keep the program.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
