//! Sets, reads and changes a strategy, locks it twice, follows its events and removes it.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --example quickstart
//! ```

use futures_util::StreamExt;
use std::process::ExitCode;
use std::time::Duration;
use strat_client::core::Action;
use strat_client::{
    Config, Connection, Error, EventStream, Notice, OrderLock, StratCommands, StrategySpec, StrategyUpdate,
    strategy_key,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::from_env()?;
    let mut redis = Connection::open(&config).await?;
    println!("module {} at {}", redis.check_module().await?, config.address());

    let key = strategy_key("quickstart", "s1");
    redis.strat_del(&key).await?;
    let mut events = EventStream::subscribe(&config, "quickstart").await?;

    let spec =
        StrategySpec::new("RELIANCE", "10").stop_loss("2450.00").take_profit("2600.00").field("note", "my first");
    let version = redis.strat_set(&key, &spec).await?;
    println!("set      version {version}");

    if let Some(strategy) = redis.strat_get(&key).await? {
        println!("get      {} stop-loss {} ({})", strategy.symbol(), strategy.text("stop_loss"), strategy.text("note"));
    }

    let update = StrategyUpdate::new().stop_loss("2475.50").if_version(version);
    println!("update   version {:?}", redis.strat_update(&key, &update).await?);
    match redis.strat_update(&key, &update).await {
        Err(error) => println!("update   refused, somebody was faster: {error}"),
        Ok(version) => println!("update   version {version:?}"),
    }

    let ttl = Duration::from_secs(3);
    let first = OrderLock::acquire(redis.clone(), &key, Action::Buy, "worker-1", ttl, None).await?;
    let second = OrderLock::acquire(redis.clone(), &key, Action::Buy, "worker-2", ttl, None).await?;
    println!("lock     worker-1: {}, worker-2: {}", held(&first), held(&second));
    if let Some(lock) = first {
        println!("unlock   {}", lock.release().await?);
    }

    println!("remove   {}", redis.strat_del(&key).await?);
    follow(&mut events).await
}

fn held(lock: &Option<OrderLock<Connection>>) -> &'static str {
    if lock.is_some() { "has it" } else { "has to wait" }
}

/// Prints the events that the steps above have published, up to the removal.
async fn follow(events: &mut EventStream) -> Result<(), Error> {
    while let Ok(Some(notice)) = tokio::time::timeout(Duration::from_secs(2), events.next()).await {
        if let Notice::Event(event) = notice? {
            println!("event    {} {}", event.kind, serde_json::Value::from(event.data));
            if event.kind == "STRATEGY_REMOVED" {
                break;
            }
        }
    }
    Ok(())
}
