//! Stores what a feed says of a symbol and reads it back: price with its age, trades, order book, change.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --features market --example market
//! ```

use std::process::ExitCode;
use std::time::Duration;
use strat_client::core::{Price, Quantity};
use strat_client::market::{Market, MarketSettings, OrderBook, PricePoint, Stats, Trade};
use strat_client::{Clock, Config, Connection, Error, SystemClock};

const SYMBOL: &str = "RELIANCE";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("market: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let redis = Connection::open(&Config::from_env()?).await?;
    let settings = MarketSettings { prefix: "{example}".to_owned(), ..MarketSettings::default() };
    let market = Market::new(redis, settings)?;
    let now_ms = SystemClock.now_ms();

    // 2500.00 and 10, in units of 10⁻⁸.
    let (cent, shares) = (1_000_000, Quantity::from_units(1_000_000_000));
    let price = |cents: i64| Price::from_units(cents * cent);
    market.set_price(SYMBOL, price(250_000)).await?;
    if let Some(aged) = market.aged_price(SYMBOL).await? {
        println!("price    {} of {:?} ago", aged.price, aged.age);
    }
    let fresh = market.fresh_price(SYMBOL, Duration::from_secs(2)).await?;
    println!("fresh    {}", fresh.map_or("none".to_owned(), |price| price.to_string()));

    let trade = |ago_ms, cents| Trade { ts_ms: now_ms - ago_ms, price: price(cents), quantity: shares, side: None };
    let trades = [trade(60_000, 249_000), trade(30_000, 251_050), trade(0, 250_000)];
    market.add_trades(SYMBOL, &trades).await?;
    for trade in market.trades(SYMBOL, 3).await? {
        println!("trade    {trade}");
    }
    if let Some(stats) = Stats::of_trades(&trades, now_ms - 86_400_000, now_ms) {
        market.set_stats(SYMBOL, &stats).await?;
        println!("stats    high {} low {} volume {}", stats.high, stats.low, stats.volume);
    }

    let side = |price: &str, quantity: &str| vec![(price.to_owned(), quantity.to_owned())];
    let book = OrderBook::new(now_ms, side("2499.95", "30"), side("2500.10", "12"))?;
    market.set_order_book(SYMBOL, &book).await?;
    let spread = market.order_book(SYMBOL).await?.and_then(|book| book.spread());
    println!("spread   {}", spread.map_or("none".to_owned(), |spread| spread.to_string()));

    let points = trades.map(|trade| PricePoint { ts_ms: trade.ts_ms, price: trade.price });
    market.add_history(SYMBOL, &points).await?;
    if let Some(change) = market.change(SYMBOL, now_ms - 60_000, now_ms).await? {
        let percent = change.percent.map_or("-".to_owned(), |percent| percent.to_string());
        println!("change   {} ({percent} %) within a minute", change.absolute);
    }
    println!("symbols  {:?}", market.symbols().await?.symbols);
    Ok(())
}
