//! The command line.

use crate::config::Overrides;
use crate::replay::Speed;
use crate::token::Role;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// What `--help` says about them; `failure::Exit` has the same.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, or the doctor found something that does not work
  2  the command line or a setting is wrong; nothing was done
  3  refused: unknown, there already, or not possible in this state; nothing was changed
  4  Redis or Postgres is away: try again";

/// Keeps time, reads the market, trades, and keeps Postgres in step with Redis.
#[derive(Debug, Parser)]
#[command(name = "strat-engine", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Settings that hold for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Settings file (TOML); `strat-engine settings` lists what may stand in it
    #[arg(long, global = true, value_name = "FILE", env = "STRAT_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// One setting, as in --set paper.latency_ms=50; beats file and environment
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Redis with the module
    #[arg(long, global = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Postgres
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

impl Global {
    /// What the command line says about settings.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let mut values = self.set.clone();
        for (name, value) in [("redis.url", &self.redis_url), ("database.url", &self.database_url)] {
            values.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        Overrides { file: self.config.clone(), values }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trade until Ctrl-C: scheduler, market, executor, Postgres sync, GET /health
    Run,
    /// Trade a file of ticks on a clock of its own, and write what became of each strategy
    Replay(ReplayArgs),
    /// Create, list, change and end strategies
    #[command(subcommand)]
    Strategy(StrategyCommand),
    /// Issue and revoke the tokens that users show to the HTTP API (needs http.jwt_secret)
    #[command(subcommand)]
    Token(TokenCommand),
    /// Log in at Zerodha's Kite, every trading day after 06:00 in India (broker.kind or feed.kind kite)
    #[command(subcommand)]
    Kite(KiteCommand),
    /// Bring the database schema up to date
    Migrate,
    /// Say what is missing, and how to get it
    Doctor,
    /// List every setting with its value, where that came from, and what it means
    Settings,
    /// Show what goes on, live: health, ticks, queues, open positions and how far their stops are; q ends it
    ///
    /// Where the output is no terminal, or with --output json, one snapshot is printed.
    Top(TopArgs),
    /// Print completions for a shell: source <(strat-engine completions bash)
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// How `top` looks.
#[derive(Debug, Clone, Copy, Args)]
pub struct TopArgs {
    /// Time between two looks, 100 to 60000 ms
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub interval_ms: u64,
    /// Print one snapshot, as where the output is no terminal
    #[arg(long)]
    pub once: bool,
}

/// What a replay needs.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Ticks, CSV or gzipped CSV, in the order of time
    #[arg(long, value_name = "FILE")]
    pub ticks: PathBuf,
    /// Strategies, CSV: user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit,trail
    /// (the levels may be left out, any other field added)
    #[arg(long, value_name = "FILE")]
    pub strategies: PathBuf,
    /// Where to write one JSON object per strategy
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// `max`, or how many times faster than the clock
    #[arg(long, value_name = "max|N", default_value = "max")]
    pub speed: Speed,
    /// Count lines that do not parse and go on, instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,
    /// Also print trades, exits by reason, profit and loss
    #[arg(long)]
    pub table: bool,
}

/// Commands on strategies.
#[derive(Debug, Subcommand)]
pub enum StrategyCommand {
    /// Create a strategy: strategy add alice s1 symbol=RELIANCE quantity=10 buy_time=09:30 stop_loss=2450.00
    Add {
        /// User id
        user: String,
        /// Strategy id
        strategy: String,
        /// Fields; symbol and quantity are needed
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = pair)]
        fields: Vec<(String, String)>,
    },
    /// Create the strategies of a CSV file; those that exist are left alone
    Import {
        /// user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit,trail (the levels may
        /// be left out, any other field added)
        file: PathBuf,
        /// Count lines that do not parse and go on, instead of stopping before the first is written
        #[arg(long)]
        skip_bad: bool,
    },
    /// List strategies
    List {
        /// Only this user's
        #[arg(long)]
        user: Option<String>,
        /// Only this symbol's
        #[arg(long)]
        symbol: Option<String>,
        /// Only RUNNING, STOPPED, COMPLETED or FAILED ones
        #[arg(long)]
        status: Option<strat_core::Status>,
        /// Removed ones as well
        #[arg(long)]
        removed: bool,
    },
    /// Show every field of a strategy
    Show {
        /// User id
        user: String,
        /// Strategy id
        strategy: String,
    },
    /// Change fields; the others stay as they are
    Update {
        /// User id
        user: String,
        /// Strategy id
        strategy: String,
        /// Fields; FIELD= clears one
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = pair)]
        fields: Vec<(String, String)>,
        /// Only if the strategy is still at this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Stop a strategy; an open position is squared off
    Stop {
        /// User id
        user: String,
        /// Strategy id
        strategy: String,
        /// Leave an open position as it is, without its stop
        #[arg(long)]
        leave: bool,
    },
    /// Remove a strategy; one that is in the market must be stopped first
    Remove {
        /// User id
        user: String,
        /// Strategy id
        strategy: String,
    },
}

/// Commands on the account at Kite.
#[derive(Debug, Subcommand)]
pub enum KiteCommand {
    /// Exchange the request token of a login for the access token of the day, into kite.token_file; a running engine takes it
    ///
    /// Without a request token, print the address where to log in with a browser. Kite then sends the browser to the app's
    /// redirect URL, with request_token in its query. It is good once, for minutes, and of no use without kite.api_secret.
    Login {
        /// The request token
        #[arg(long, value_name = "TOKEN")]
        request_token: Option<String>,
    },
}

/// Commands on users' tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a token: strat-engine token issue alice --ttl-seconds 3600
    Issue {
        /// User id
        user: String,
        /// What its holder may do
        #[arg(long, value_enum, default_value_t)]
        role: Role,
        /// How long it is good
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        ttl_seconds: u64,
    },
    /// Revoke the token on stdin, in Redis; one that leaked, or whose user left
    Revoke,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    if name.is_empty() { Err("the name before = is empty".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let words = ["strat-engine", "strategy", "add", "a", "s", "symbol=M&M", "note=a=b", "--set", "log.format=json"];
        let cli = Cli::try_parse_from(words).unwrap();
        assert_eq!(cli.global.overrides().values, [("log.format".to_owned(), "json".to_owned())]);
        let Command::Strategy(StrategyCommand::Add { fields, .. }) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!(fields[1], ("note".to_owned(), "a=b".to_owned()));
    }
}
