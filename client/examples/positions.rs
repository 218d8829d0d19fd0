//! A user's open positions, and how far each is from its stop: `cargo run --features positions --example positions -- alice`.

use strat_client::positions::{Calm, open_positions};
use strat_client::{Config, Connection};

#[tokio::main(flavor = "current_thread")]
async fn main() -> strat_client::Result<()> {
    let user = std::env::args().nth(1).unwrap_or_else(|| "alice".to_owned());
    let mut redis = Connection::open(&Config::from_env()?).await?;
    let positions = open_positions(&mut redis, &user, None).await?;
    for position in &positions {
        let last = position.last.as_deref().unwrap_or("no fresh price");
        print!("{} {} {last}", position.strategy.key(), position.side);
        if let Some(stop) = position.standing.and_then(|standing| standing.stop) {
            print!(", {} from the stop at {}", stop.left, stop.level);
        }
        println!();
    }
    let words = Calm::default().store(&mut redis, &positions).await?;
    println!("{} open, {words} with a word for calm mode", positions.len());
    Ok(())
}
