//! Logs a user in and out, keeps a preference, follows a connection's subscriptions, revokes a token and uses another once.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379/ cargo run -p strat-client --features sessions --example sessions
//! ```

use std::process::ExitCode;
use strat_client::sessions::{Preferences, ResetTokens, RevokedTokens, Sessions, Settings, Subscriptions};
use strat_client::{Clock, Config, Connection, Error, SystemClock};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sessions: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let redis = Connection::open(&Config::from_env()?).await?;
    let settings = Settings::default();

    let sessions = Sessions::new(redis.clone(), &settings)?;
    let token = sessions.create("alice", &[("ip", "192.0.2.7")]).await?;
    if let Some(session) = sessions.touch(token.as_str()).await? {
        println!("session        {} from {}", session.user_id, session.data["ip"]);
    }
    println!("all of alice   {}", sessions.list("alice").await?.len());

    let preferences = Preferences::new(redis.clone(), &settings)?;
    preferences.set("alice", &[("theme", "dark")]).await?;
    println!("preferences    {:?}", preferences.get_all("alice").await?);

    let subscriptions = Subscriptions::new(redis.clone(), &settings)?;
    subscriptions.subscribe("alice", "ws-1", &["ticks:RELIANCE", "orders"]).await?;
    println!("heartbeat      {}", subscriptions.heartbeat("alice", "ws-1").await?);
    println!("subscriptions  {:?}", subscriptions.of_user("alice").await?);
    println!("disconnect     {}", subscriptions.disconnect("alice", "ws-1").await?);

    let revoked = RevokedTokens::new(redis.clone(), &settings)?;
    revoked.revoke("the.jwt.text", SystemClock.now_ms() + 3_600_000).await?;
    println!("revoked        {:?}", revoked.are_revoked(&["the.jwt.text", "another"]).await?);

    let resets = ResetTokens::new(redis, &settings)?;
    let reset = resets.create("alice", "password").await?;
    println!("reset          {:?}", resets.consume(&reset, "password").await?);
    println!("again          {:?}", resets.consume(&reset, "password").await?);

    println!("logged out of  {}", sessions.delete_all("alice").await?);
    Ok(())
}
