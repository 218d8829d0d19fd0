//! `strat-engine`: parses the command line, starts logging, and calls the library.

use clap::Parser as _;
use color_eyre::Result;
use std::process::ExitCode;
use strat_engine::cli::{Cli, Command, Output};
use strat_engine::config::Settings;
use strat_engine::failure::Exit;
use strat_engine::{commands, failure, logging, top};

/// Entries of the journal are many short texts, made by one thread and let go by another: the system's allocator took a third of
/// the engine's time in a burst.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(report) => {
            match cli.global.output {
                Output::Table => eprintln!("strat-engine: {}", failure::render(&report)),
                Output::Json => eprintln!("{}", failure::render_json(&report)),
            }
            failure::exit(&report).into()
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode> {
    if let Command::Completions { shell } = cli.command {
        return Ok(commands::completions(shell));
    }
    let (mut settings, sources) =
        Settings::load(&cli.global.overrides(), |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .map_err(|report| failure::ends_with(report, Exit::Usage))?;
    if matches!(cli.command, Command::Top(_)) {
        // What it would log is on the screen, and lines in between would spoil that.
        settings.log_filter = "off".to_owned();
    }
    logging::init(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = cli.global.output;
    let code = runtime.block_on(async {
        match &cli.command {
            Command::Run => commands::run(settings).await,
            Command::Replay(args) => commands::replay(args, &settings).await,
            Command::Strategy(command) => commands::strategy(command, &settings, output).await,
            Command::Token(command) => commands::token(command, &settings, output).await,
            Command::Kite(command) => commands::kite(command, &settings, output).await,
            Command::Migrate => commands::migrate(&settings).await,
            Command::Doctor => commands::doctor(&settings, output).await,
            Command::Settings => Ok(commands::settings(&settings, &sources, output)),
            Command::Top(args) => top::run(args, &settings, output).await,
            Command::Completions { shell } => Ok(commands::completions(*shell)),
        }
    });
    // Whatever still hangs in a blocking call does not keep the program.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
