//! Guards a connection, writes a few keys at once, counts in a transaction, and says how the link is.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --example resilience
//! ```

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use std::process::ExitCode;
use std::time::Duration;
use strat_client::resilience::{Batch, Breaker, BreakerSettings, Guarded, Retry, Transaction, Transactions};
use strat_client::{Config, Connection, Error, redis};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("resilience: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::from_env()?;
    let breaker = Breaker::new(BreakerSettings::default())?;
    let redis = Guarded::around(Connection::lazy(&config)?, breaker)?;

    let prices = [("example:price:IBM", "186.20"), ("example:price:INFY", "1502.10")];
    for ((key, _), outcome) in prices.iter().zip(Batch::default().set(&redis, &prices, Duration::from_secs(60)).await?)
    {
        println!("set      {key}: {}", outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned()));
    }

    // A read may be repeated; this would also have waited for a server that restarts.
    let price: Option<String> = Retry::default().read(&redis, redis::cmd("GET").arg(prices[0].0)).await?;
    println!("read     {price:?}");

    // An exit passes even while the breaker is open.
    let mut exits = redis.for_exits();
    let _: () = exits.set_ex("example:exit", "sent", 60).await?;

    let transactions = Transactions::of(&config)?;
    let next = |mut redis: MultiplexedConnection| async move {
        let seen: Option<i64> = redis.get("example:count").await?;
        let mut pipeline = redis::pipe();
        pipeline.set_ex("example:count", seen.unwrap_or(0) + 1, 60).ignore().get("example:count");
        Ok(Some(pipeline))
    };
    match transactions.run::<(i64,), _>(&["example:count"], next).await? {
        Transaction::Committed((count,)) => println!("count    {count}"),
        Transaction::Declined => println!("count    nothing to write"),
        Transaction::GaveUp { attempts } => println!("count    somebody was faster {attempts} times"),
        Transaction::Unknown(error) => println!("count    look before doing it again: {error}"),
    }

    let health = redis.health().await;
    println!("health   ping {:?}, breaker {:?}", health.ping?, health.breaker.state);
    println!("pool     {} of {} places taken", health.pool.in_flight, health.pool.limit);
    Ok(())
}
