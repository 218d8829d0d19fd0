//! Transactions that meet others, refusals and the end of the server.

use super::{IMPATIENT, bare};
use redis::AsyncCommands as _;
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;
use strat_client::resilience::{Transaction, TransactionSettings, Transactions};
use strat_client::{Config, Error};
use strat_harness::servers::{Options, Redis};

fn transactions(redis: &Redis) -> Transactions {
    let settings =
        TransactionSettings { attempts: 10_000, wait: Duration::from_secs(60), ..TransactionSettings::default() };
    Transactions::new(redis::Client::open(redis.url()).unwrap(), settings).unwrap()
}

/// Reads a number and writes the next one.
async fn increment(transactions: &Transactions, key: &str) -> strat_client::Result<Transaction<(i64,)>> {
    let next = |mut connection: MultiplexedConnection| async move {
        let before: Option<i64> = connection.get(key).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(key).arg(before.unwrap_or(0) + 1).arg("EX").arg(60).ignore().cmd("GET").arg(key);
        Ok(Some(pipeline))
    };
    transactions.run(&[key], next).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tasks_on_two_clients_each_increment_counts_exactly_once() {
    for protocol in ["resp2", "resp3"] {
        let redis = Redis::with(Options::plain());
        let url = format!("{}?protocol={protocol}", redis.url());
        let clients = [0, 1].map(|_| {
            let settings = TransactionSettings {
                attempts: 10_000,
                wait: Duration::from_secs(60),
                ..TransactionSettings::default()
            };
            Arc::new(Transactions::new(redis::Client::open(url.as_str()).unwrap(), settings).unwrap())
        });
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let client = clients[task % 2].clone();
                tokio::spawn(async move { increment(&client, "n").await })
            })
            .collect();
        let mut seen: Vec<i64> = Vec::new();
        for task in tasks {
            let Transaction::Committed((n,)) = task.await.unwrap().unwrap() else { panic!("not committed") };
            seen.push(n);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_transaction_that_always_conflicts_gives_up_and_one_that_has_nothing_to_write_says_so() {
    let redis = Redis::with(Options::plain());
    let settings = TransactionSettings { attempts: 3, ..TransactionSettings::default() };
    let transactions = Transactions::new(redis::Client::open(redis.url()).unwrap(), settings).unwrap();
    let other = bare(&redis).await;
    let disturbed = |_: MultiplexedConnection| {
        let mut other = other.clone();
        async move {
            let _: i64 = other.incr("n", 1).await?;
            let mut pipeline = redis::pipe();
            pipeline.cmd("SET").arg("n").arg("mine");
            Ok(Some(pipeline))
        }
    };
    let outcome = transactions.run::<(), _>(&["n"], disturbed).await.unwrap();
    assert!(matches!(outcome, Transaction::GaveUp { attempts: 3 }), "{outcome:?}");
    let outcome = transactions.run::<(), _>(&["n"], |_| async { Ok(None) }).await.unwrap();
    assert!(matches!(outcome, Transaction::Declined));
    assert_eq!(redis.conn().run("GET n").text(), "3");
    assert!(matches!(increment(&transactions, "m").await.unwrap(), Transaction::Committed((1,))), "no watch is left");
}

#[tokio::test]
async fn a_transaction_that_the_server_refuses_wrote_nothing_and_one_refused_in_part_is_unclear() {
    let redis = Redis::with(Options::plain());
    let transactions = transactions(&redis);
    let write = |commands: &'static [&'static str]| {
        let transactions = &transactions;
        async move {
            let pipeline = move |_| async move {
                let mut pipeline = redis::pipe();
                for command in commands {
                    command.split(' ').for_each(|word| {
                        match word.strip_prefix('!') {
                            Some(name) => pipeline.cmd(name),
                            None => pipeline.arg(word),
                        };
                    });
                }
                Ok(Some(pipeline))
            };
            transactions.run::<Value, _>(&["k"], pipeline).await
        }
    };
    let error = write(&["!SET k 1", "!NONSENSE k"]).await.unwrap_err();
    assert!(error.to_string().contains("unknown command"), "{error}");
    assert_eq!(redis.conn().run("EXISTS k").int(), 0);
    let outcome = write(&["!SET k 1", "!LPUSH k 2"]).await.unwrap();
    assert!(matches!(outcome, Transaction::Unknown(_)), "{outcome:?}");
    assert_eq!(redis.conn().run("GET k").text(), "1");
}

#[tokio::test]
async fn a_transaction_without_a_server_wrote_nothing_and_one_cut_off_at_exec_is_unknown() {
    let mut redis = Redis::with(Options::plain());
    let settings = TransactionSettings { response_timeout: IMPATIENT, ..TransactionSettings::default() };
    let transactions = Transactions::new(redis::Client::open(redis.url()).unwrap(), settings).unwrap();
    assert!(matches!(increment(&transactions, "n").await.unwrap(), Transaction::Committed((1,))));
    let stall = |_: MultiplexedConnection| async {
        redis.pause();
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg("n").arg(7);
        Ok(Some(pipeline))
    };
    let outcome = transactions.run::<(), _>(&["n"], stall).await.unwrap();
    assert!(matches!(&outcome, Transaction::Unknown(error) if error.outcome_unknown()), "{outcome:?}");
    redis.resume();
    let stall = |mut own: MultiplexedConnection| {
        redis.pause();
        async move { Ok(own.get::<_, Option<i64>>("n").await.map(|_| None)?) }
    };
    let before = transactions.run::<(), _>(&["n"], stall).await;
    assert!(matches!(before, Err(Error::Unavailable { .. })), "a read that failed wrote nothing: {before:?}");
    redis.resume();
    assert!(matches!(increment(&transactions, "m").await.unwrap(), Transaction::Committed((1,))));

    redis.kill_9();
    assert!(matches!(increment(&transactions, "n").await, Err(Error::Unavailable { .. })));
    redis.start_again();
    assert!(matches!(increment(&transactions, "n").await.unwrap(), Transaction::Committed((1,))), "connects anew");
}

#[test]
fn behind_sentinels_and_without_connections_they_are_refused() {
    let sentinels = Config::from_url("redis+sentinel://127.0.0.1:1/main").unwrap();
    assert!(matches!(Transactions::of(&sentinels), Err(Error::Config(_))));
    let settings = TransactionSettings { connections_max: 0, ..TransactionSettings::default() };
    let client = redis::Client::open("redis://127.0.0.1:1/").unwrap();
    assert!(matches!(Transactions::new(client, settings), Err(Error::Config(_))));
}
