//! Leaves a price without a time to live, finds it, says what would be done, and does it.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --example upkeep
//! ```

use redis::AsyncCommands;
use std::process::ExitCode;
use std::time::Duration;
use strat_client::upkeep::{CleanAction, KeyPattern, Rule, Upkeep, UpkeepSettings};
use strat_client::{Clock, Config, Connection, Error, SystemClock, redis};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upkeep: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let mut redis = Connection::open(&Config::from_env()?).await?;
    let _: () = redis.set("{upkeep-example}price:IBM", "186.20").await?;

    let ttl = Duration::from_secs(10);
    let rule = Rule { pattern: KeyPattern::new("price:*")?, action: CleanAction::GiveTtl(ttl) };
    let settings = UpkeepSettings {
        // Only what this example wrote; without a prefix, all keys without a tag.
        prefix: "{upkeep-example}".to_owned(),
        rules: vec![rule],
        ..UpkeepSettings::default()
    };
    for dry_run in [true, false] {
        let settings = UpkeepSettings { dry_run, ..settings.clone() };
        pass(Upkeep::new(redis.clone(), settings)?).await?;
    }
    let left: i64 = redis.ttl("{upkeep-example}price:IBM").await?;
    println!("left     {left} s");
    Ok(())
}

/// Until all keys were looked at. An engine would do one run each minute instead.
async fn pass(mut upkeep: Upkeep<Connection>) -> Result<(), Error> {
    loop {
        let report = upkeep.run_once(SystemClock.now_ms()).await?;
        for event in &report.events {
            println!("memory   {}", event.to_json());
        }
        for outcome in report.cleaned.iter().filter(|outcome| outcome.keys > 0) {
            let verb = if report.dry_run { "would" } else { "did  " };
            println!("{verb}    {} keys of {}: {:?}", outcome.keys, outcome.rule.pattern, outcome.rule.action);
        }
        if let Some(error) = report.stopped_by {
            return Err(error);
        }
        if let Some(keys) = report.finished {
            println!("seen     {} keys, memory {} bytes", keys.scanned, report.memory.used_bytes);
            for group in keys.without_ttl {
                println!("no ttl   {} keys of {}, such as {}", group.keys, group.family, group.example);
            }
            return Ok(());
        }
    }
}
