//! Limits logins per user, keeps a reserve for exits at a broker, and asks two limits at once.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --features limits --example limits
//! ```

use std::process::ExitCode;
use std::time::Duration;
use strat_client::limits::{Check, Decision, Limit, RateLimiter, Settings};
use strat_client::{Config, Connection, Error};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limits: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let redis = Connection::lazy(&Config::from_env()?)?;
    let limiter = RateLimiter::new(redis, &Settings::default())?;

    let logins = Limit::new(5, Duration::from_secs(60), 3)?;
    for _ in 0..4 {
        say("login", limiter.check(&Check::new("login", "alice", logins)).await?);
    }

    // A broker that takes 10 orders in any second; 2 of them are kept for exits.
    let broker = Limit::strict(10, Duration::from_secs(1), 5)?.reserved(2)?;
    let entry = Check::new("broker", "desk", broker);
    for _ in 0..4 {
        say("entry", limiter.check(&entry).await?);
    }
    say("exit", limiter.check(&entry.priority()).await?);

    let daily = Limit::new(200, Duration::from_secs(86_400), 200)?;
    let both = [entry.priority(), Check::new("broker.day", "desk", daily)];
    say("exit under both limits", limiter.check_all(&both).await?);
    Ok(())
}

fn say(what: &str, decision: Decision) {
    let Decision { allowed, remaining, retry_after, local, .. } = decision;
    let by = if local { "this process" } else { "Redis" };
    match allowed {
        true => println!("{what}: passes, {remaining} left, says {by}"),
        false => println!("{what}: wait {} ms, says {by}", retry_after.as_millis()),
    }
}
