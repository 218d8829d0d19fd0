//! `strat_client::sessions`: what ends and what does not, whose is whose, and what happens without Redis.

mod logins;
mod tokens;
mod users;

use crate::link::{self, server};
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;
use strat_client::sessions::{Preferences, ResetTokens, RevokedTokens, Sessions, Settings, Subscriptions};
use strat_client::{Clock as _, Connection, Error, ManualClock, Result};
use strat_harness::servers::Redis;

const HOSTILE: [&str; 9] = ["bob:x", "a*", "a}", "{a", "", "a b", "a\r\nDEL x", "index:bob", "\u{e9}"];
const HOUR: Duration = Duration::from_secs(3_600);

async fn bare(redis: &Redis, protocol: &str) -> MultiplexedConnection {
    link::bare(redis, &format!("?protocol={protocol}")).await
}

async fn ours(redis: &Redis) -> Connection {
    link::patient(redis, Duration::from_millis(20)).await
}

fn small() -> Settings {
    let mut settings = Settings::default();
    settings.sessions_max = 3;
    settings.fields_max = 3;
    settings.value_bytes_max = 10;
    settings.connections_max = 2;
    settings.channels_max = 3;
    settings
}

/// Near the server's own time, because keys run out by that.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(strat_client::SystemClock.now_ms()))
}

async fn refused<T: std::fmt::Debug>(call: impl Future<Output = Result<T>>) {
    let error = call.await.unwrap_err();
    assert!(error.to_string().starts_with("BADFIELD"), "{error}");
}

/// Nobody is let in: each call is an error, the first perhaps of a request that was under way.
#[tokio::test]
async fn without_redis_every_call_is_refused() {
    let mut redis = server();
    let (connection, settings) = (ours(&redis).await, Settings::default());
    let sessions = Sessions::new(connection.clone(), &settings).unwrap();
    let preferences = Preferences::new(connection.clone(), &settings).unwrap();
    let subscriptions = Subscriptions::new(connection.clone(), &settings).unwrap();
    let revoked = RevokedTokens::new(connection.clone(), &settings).unwrap();
    let tokens = ResetTokens::new(connection, &settings).unwrap();
    let session = sessions.create("alice", &[]).await.unwrap();
    let token = tokens.create("alice", "password").await.unwrap();
    redis.kill_9();

    let first = sessions.get(session.as_str()).await.unwrap_err();
    assert!(first.outcome_unknown() || matches!(first, Error::Unavailable { .. }), "{first}");
    unavailable(sessions.get(session.as_str())).await;
    unavailable(sessions.touch(session.as_str())).await;
    unavailable(sessions.create("alice", &[])).await;
    unavailable(sessions.expire(session.as_str(), HOUR)).await;
    unavailable(sessions.list("alice")).await;
    unavailable(sessions.delete(session.as_str())).await;
    unavailable(sessions.delete_all("alice")).await;
    unavailable(preferences.get_all("alice")).await;
    unavailable(preferences.get("alice", "theme")).await;
    unavailable(preferences.set("alice", &[("theme", "dark")])).await;
    unavailable(subscriptions.subscribe("alice", "c1", &["orders"])).await;
    unavailable(subscriptions.heartbeat("alice", "c1")).await;
    unavailable(subscriptions.of_user("alice")).await;
    unavailable(revoked.is_revoked("abc")).await;
    unavailable(revoked.are_revoked(&["abc"])).await;
    unavailable(revoked.revoke("abc", i64::MAX / 2)).await;
    unavailable(tokens.consume(&token, "password")).await;
    unavailable(tokens.create("alice", "password")).await;
}

async fn unavailable<T: std::fmt::Debug>(call: impl Future<Output = Result<T>>) {
    let error = call.await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

/// A server that is there and mute: the wait ends, and the outcome is unknown.
#[tokio::test]
async fn a_mute_server_is_not_waited_for_without_end() {
    let redis = server();
    let connection = bare(&redis, "resp3").await;
    let session = Sessions::new(connection.clone(), &Settings::default()).unwrap().create("alice", &[]).await.unwrap();
    let mut settings = Settings::default();
    settings.timeout = Some(Duration::from_millis(50));
    let sessions = Sessions::new(connection, &settings).unwrap();
    redis.pause();
    let error = sessions.get(session.as_str()).await.unwrap_err();
    redis.resume();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}
