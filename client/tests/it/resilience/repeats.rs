//! Retries and batches, with the server there and away.

use super::{Counting, bare, config, until};
use redis::Value;
use std::time::Duration;
use strat_client::resilience::{Batch, Retry, is_read};
use strat_client::{Connection, Error};
use strat_harness::servers::{Options, Redis};

#[tokio::test]
async fn the_servers_own_flags_agree_on_what_is_a_read() {
    let redis = Redis::with(Options::plain());
    let all: Vec<Value> = redis::cmd("COMMAND").query_async(&mut bare(&redis).await).await.unwrap();
    assert!(all.len() > 200);
    for command in all {
        let Value::Array(fields) = command else { panic!("{command:?}") };
        let name: String = redis::from_redis_value(fields[0].clone()).unwrap();
        let flags: Vec<String> = redis::from_redis_value(fields[2].clone()).unwrap();
        if is_read(&redis::cmd(&name)) {
            let bad = flags.iter().find(|flag| matches!(flag.as_str(), "write" | "blocking" | "admin" | "pubsub"));
            assert_eq!(bad, None, "{name} is {flags:?}");
        }
    }
}

#[tokio::test]
async fn a_read_is_repeated_until_the_server_is_back() {
    let mut redis = Redis::with(Options::plain());
    let connection = Counting::new(Connection::open(&config(&redis)).await.unwrap());
    redis.kill_9();
    let retry = Retry { attempts: 1_000, total: Some(Duration::from_secs(30)), ..Retry::default() };
    let reading = tokio::spawn({
        let (connection, retry) = (connection.clone(), retry.clone());
        async move { retry.read::<Option<String>>(&connection, redis::cmd("GET").arg("k")).await }
    });
    until(|| (connection.made() >= 2).then_some(())).await;
    redis.start_again();
    assert_eq!(reading.await.unwrap().unwrap(), None);
    redis.kill_9();
    let error =
        Retry { attempts: 2, ..retry }.read::<Value>(&connection, redis::cmd("GET").arg("k")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_batch_says_what_came_of_each_key() {
    let mut redis = Redis::with(Options::plain());
    let batch = Batch { chunk: 7, ..Batch::default() };
    let connection = bare(&redis).await;
    let entries: Vec<_> = (0..50).map(|i| (format!("k{i}"), i.to_string())).collect();
    let set = batch.set(&connection, &entries, Duration::from_secs(60)).await.unwrap();
    assert!(set.len() == 50 && set.iter().all(Result::is_ok));
    assert!((1..=60).contains(&redis.conn().run("TTL k49").int()));

    redis.conn().run("DEL k3");
    redis.conn().run("LPUSH k3 x");
    let got = batch.get(&connection, &["k2", "k3", "none", "k4"]).await;
    assert_eq!(
        (got[0].as_ref().unwrap().as_deref(), got[3].as_ref().unwrap().as_deref()),
        (Some(&b"2"[..]), Some(&b"4"[..]))
    );
    assert!(got[1].is_err() && got[2].as_ref().unwrap().is_none(), "{got:?}");
    let kept = batch.expire(&connection, &["k2", "none"], Duration::from_millis(90_500)).await.unwrap();
    assert_eq!(kept.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [true, false]);
    assert!((90_000..=90_500).contains(&redis.conn().run("PTTL k2").int()));
    assert!(matches!(batch.expire(&connection, &["k2"], Duration::ZERO).await, Err(Error::Config(_))));

    redis.kill_9();
    let keys: Vec<_> = entries.iter().map(|(key, _)| key).collect();
    let got = batch.get(&connection, &keys).await;
    assert_eq!(got.len(), 50);
    assert!(got[..7].iter().all(|outcome| outcome.as_ref().is_err_and(Error::outcome_unknown)));
    assert!(got[7..].iter().all(|outcome| matches!(outcome, Err(Error::Unavailable { .. }))), "the rest is not sent");
}
