//! Builds candles from a few trades, writes what changed and reads the morning back.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --features candles --example candles
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use strat_client::candles::{CandleBuilder, CandleSettings, CandleStore, Gaps, Hours, Timeframe};
use strat_client::core::{Price, Quantity};
use strat_client::market::Tick;
use strat_client::{Config, Connection, Error};

/// 2013-10-08 09:30 in New York, epoch ms.
const OPEN: i64 = 1_381_239_000_000;
const MINUTE: i64 = 60_000;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("candles: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let redis = Connection::open(&Config::from_env()?).await?;
    let settings = CandleSettings { prefix: "{example}".to_owned(), ..CandleSettings::default() };
    let store = CandleStore::new(redis, settings)?;
    let hours = Arc::new(Hours::new("America/New_York", "09:30", "16:00")?);
    let mut builder = CandleBuilder::new(Arc::clone(&hours), Duration::from_secs(5))?;

    // Milliseconds after the open and cents; the third comes late, the last before the open.
    for (after_ms, cents) in [(100, 16_742), (61_000, 16_751), (59_900, 16_738), (4 * MINUTE, 16_760), (-1, 99_999)] {
        let tick = Tick {
            ts_ms: OPEN + after_ms,
            price: Price::from_units(cents * 1_000_000),
            quantity: Quantity::from_units(10_000_000_000),
        };
        println!("tick     {tick}: {:?}", builder.push(&tick));
    }
    println!("written  {} candles", store.write_changes("SPY", &mut builder).await?);

    let morning = (OPEN, OPEN + 60 * MINUTE);
    for candle in store.range("SPY", Timeframe::Minute, &hours, morning, Gaps::Flat).await? {
        let minute = (candle.period.start_ms - OPEN) / MINUTE;
        let (open, high, low, close) = (candle.open, candle.high, candle.low, candle.close);
        println!("minute   {minute}: open {open} high {high} low {low} close {close} volume {}", candle.volume);
    }
    Ok(())
}
