//! The commands, one function each.

use crate::broker::{kite_log_in, kite_log_in_url};
use crate::cli::{Cli, KiteCommand, Output, ReplayArgs, StrategyCommand, TokenCommand};
use crate::clock::{Clock as _, LiveClock};
use crate::config::{Settings, Sources, TABLE, is_set};
use crate::doctor::{self, Mark};
use crate::failure::{OrFail as _, failure};
use crate::link::Link;
use crate::replay::{self, ReplayOptions};
use crate::run::{self as trading, StopSignal};
use crate::store::{START_PATIENCE, Store};
use crate::strategies;
use crate::token::{Keys, Role};
use clap::CommandFactory as _;
use clap_complete::Shell;
use color_eyre::Result;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use strat_client::sessions::RevokedTokens;
use tokio_util::sync::CancellationToken;

/// Longest text that is read from stdin as a token.
const TOKEN_BYTES_MAX: u64 = 8_192;
/// How long `token revoke` waits for a server that is just starting.
const PATIENCE: Duration = Duration::from_secs(3);

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

/// `token …`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn token(command: &TokenCommand, settings: &Settings, output: Output) -> Result<ExitCode> {
    if !is_set(&settings.http.jwt_secret) {
        let hint = "set http.jwt_secret (STRAT_HTTP_JWT_SECRET) to the one that the engine runs with";
        return Err(failure("tokens are signed with a secret, and none is set", hint));
    }
    let keys = Keys::new(&settings.http.jwt_secret);
    match command {
        TokenCommand::Issue { user, role, ttl_seconds } => issue(&keys, user, *role, *ttl_seconds, output)?,
        TokenCommand::Revoke => revoke(&keys, settings).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn issue(keys: &Keys, user: &str, role: Role, ttl_seconds: u64, output: Output) -> Result<()> {
    let now_s = u64::try_from(LiveClock.now_ms() / 1_000).unwrap_or_default();
    let issued = keys.issue(user, role, Duration::from_secs(ttl_seconds), now_s);
    let (token, claims) = issued.or_fail("no token is issued", "nothing was changed")?;
    match output {
        Output::Table => print_line(&token),
        Output::Json => print_line(
            &json!({"token": token, "user_id": claims.sub, "role": claims.role, "expires_at": claims.exp}).to_string(),
        ),
    }
    Ok(())
}

/// Not from the command line, where everybody on the machine would see it.
async fn revoke(keys: &Keys, settings: &Settings) -> Result<()> {
    let mut line = String::new();
    std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut line).or_fail("stdin cannot be read", "")?;
    let token = line.trim();
    let claims =
        keys.verify(token).or_fail("there is nothing to revoke", "give the token itself, without `Bearer `")?;
    let redis = Link::connect(settings, PATIENCE).await?.connection();
    let revoked = RevokedTokens::new(redis, &strat_client::sessions::Settings::default())?;
    let expires_at_ms = i64::try_from(claims.exp).unwrap_or(i64::MAX).saturating_mul(1_000);
    let kept = revoked.revoke(token, expires_at_ms).await;
    kept.or_fail("the token may still be good", "repeat it once Redis answers")?;
    print_line(&format!("revoked a token of {}", claims.sub));
    Ok(())
}

/// `kite …`
///
/// # Errors
/// With a sentence and a hint for people.
pub async fn kite(command: &KiteCommand, settings: &Settings, output: Output) -> Result<ExitCode> {
    let KiteCommand::Login { request_token } = command;
    let account = settings.kite();
    if account.api_key.is_empty() {
        return Err(failure(
            "kite.api_key is not set",
            "set it (STRAT_KITE_API_KEY) to the app's, from Kite's developer console",
        ));
    }
    let (name, value) = match request_token {
        None => ("login_url", kite_log_in_url(&account)),
        Some(_) if !is_set(&account.api_secret) => {
            return Err(failure(
                "kite.api_secret is not set",
                "set it (STRAT_KITE_API_SECRET) to the app's, for this command",
            ));
        }
        Some(token) => {
            let hint = "log in with the browser again, and exchange the new request token within minutes";
            ("good_until", kite_log_in(&account, token, &LiveClock).await.map_err(|why| failure(why, hint))?)
        }
    };
    match (output, name) {
        (Output::Json, _) => print_line(&json!({name: value}).to_string()),
        (Output::Table, "login_url") => print_line(&value),
        (Output::Table, _) => {
            print_line(&format!("logged in until {value}; a running engine takes the token by itself"))
        }
    }
    Ok(ExitCode::SUCCESS)
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
