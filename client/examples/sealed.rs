//! Keeps a broker's token sealed in Redis, changes the key, and shows what Redis sees.
//!
//! ```sh
//! SEALING_KEY=$(openssl rand -hex 32) REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --example sealed
//! ```

use redis::AsyncCommands;
use std::error::Error;
use std::time::Duration;
use strat_client::sealed::{ExposeSecret, Keyring, SealedCache, SealedSettings, SealingKey};
use strat_client::{Config, Connection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut redis = Connection::open(&Config::from_env()?).await?;
    let first = || match std::env::var("SEALING_KEY") {
        Ok(text) => SealingKey::from_text("2026-01", &text),
        // Good for this run; a service that starts again would not read what it stored.
        Err(_) => SealingKey::from_text("2026-01", &"5a".repeat(32)),
    };
    let tokens = SealedCache::new(redis.clone(), Keyring::new(first()?), SealedSettings::default())?;
    tokens.put("example", "zerodha", b"access token", Duration::from_secs(60)).await?;
    let stored: Vec<u8> = redis.get("sealed:example:zerodha").await?;
    println!("stored   {} bytes, which begin {:02x?}", stored.len(), &stored[..9]);
    println!("printed  {:?}", tokens.get("example", "zerodha").await?);

    let ring = Keyring::new(SealingKey::generate("2026-02")?).with_old(first()?)?;
    let settings = SealedSettings { reseal_on_read: true, ..SealedSettings::default() };
    let rotated = SealedCache::new(redis.clone(), ring, settings)?;
    if let Some(secret) = rotated.get("example", "zerodha").await? {
        println!("opened   {}", String::from_utf8_lossy(secret.expose_secret()));
    }
    match tokens.get("example", "zerodha").await {
        Err(error) => println!("old key  {error}"),
        Ok(_) => println!("old key  still opens it"),
    }

    let (theirs, mine) = ("sealed:example:zerodha", "sealed:thief:zerodha");
    let _: bool = redis.copy(theirs, mine, redis::CopyOptions::default()).await?;
    match rotated.get("thief", "zerodha").await {
        Err(error) => println!("copied   {error}"),
        Ok(_) => println!("copied   opens for somebody else"),
    }
    for user in ["example", "thief"] {
        rotated.remove(user, "zerodha").await?;
    }
    Ok(())
}
