//! Calls of `strat_client::resilience`.

use crate::{Call, Case};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};
use std::sync::Arc;
use std::time::Duration;
use strat_client::resilience::{
    Batch, Breaker, BreakerSettings, GuardSettings, Guarded, Retry, Transaction, TransactionSettings, Transactions,
};
use tokio::sync::{Mutex, OnceCell};

/// Keys of a batch.
const KEYS: usize = 50;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case { name: "resilience/guarded GET", ours: Box::new(|bare| get(guarded(bare))), bare: Box::new(get) },
        Case {
            name: "resilience/guarded pipeline of 10",
            ours: Box::new(|bare| ten(guarded(bare))),
            bare: Box::new(ten),
        },
        Case { name: "resilience/Retry::read GET", ours: Box::new(retried), bare: Box::new(get) },
        Case { name: "resilience/Transactions::run", ours: Box::new(transaction), bare: Box::new(bare_transaction) },
    ];
    cases.extend(batches());
    cases
}

fn guarded(bare: MultiplexedConnection) -> Guarded<MultiplexedConnection> {
    let breaker = Breaker::new(BreakerSettings::default()).unwrap();
    // Each side has the one limit of the connection itself.
    Guarded::new(bare, GuardSettings { timeout: None, ..GuardSettings::default() }, breaker).unwrap()
}

fn get<C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static>(connection: C) -> Call {
    Box::new(move |turn| {
        let mut connection = connection.clone();
        Box::pin(async move {
            let mut get = redis::cmd("GET");
            let _: Value = get.arg(format!("k{}", turn % 100)).query_async(&mut connection).await.unwrap();
        })
    })
}

fn retried(connection: MultiplexedConnection) -> Call {
    // Each side has the one limit of the connection itself.
    let retry = Arc::new(Retry { total: None, ..Retry::default() });
    Box::new(move |turn| {
        let (connection, retry) = (connection.clone(), retry.clone());
        Box::pin(async move {
            let mut get = redis::cmd("GET");
            get.arg(format!("k{}", turn % 100));
            let _: Value = retry.read(&connection, &get).await.unwrap();
        })
    })
}

fn ten<C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static>(connection: C) -> Call {
    Box::new(move |turn| {
        let mut connection = connection.clone();
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            for key in 0..10 {
                pipeline.cmd("SET").arg(format!("k{key}")).arg(turn).arg("PX").arg(60_000).ignore();
            }
            pipeline.exec_async(&mut connection).await.unwrap();
        })
    })
}

/// The address of the server that a connection leads to: a transaction wants connections of its own.
async fn client(mut connection: MultiplexedConnection) -> redis::Client {
    let mut socket = redis::cmd("CONFIG");
    let socket: (String, String) = socket.arg("GET").arg("unixsocket").query_async(&mut connection).await.unwrap();
    redis::Client::open(format!("redis+unix://{}", socket.1)).unwrap()
}

fn increment(before: Option<u64>) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("SET").arg("n").arg(before.unwrap_or(0) + 1).arg("PX").arg(60_000);
    pipeline
}

/// One connection, so that neither side meets conflicts.
fn transaction(connection: MultiplexedConnection) -> Call {
    let shared: Arc<OnceCell<Transactions>> = Arc::default();
    Box::new(move |_| {
        let (connection, shared) = (connection.clone(), shared.clone());
        Box::pin(async move {
            let open = async || {
                let wait = Duration::from_secs(60);
                let settings = TransactionSettings { connections_max: 1, wait, ..TransactionSettings::default() };
                Transactions::new(client(connection).await, settings).unwrap()
            };
            let transactions = shared.get_or_init(open).await;
            let read = |mut own: MultiplexedConnection| async move {
                Ok(Some(increment(redis::cmd("GET").arg("n").query_async(&mut own).await?)))
            };
            let outcome = transactions.run::<Value, _>(&["n"], read).await.unwrap();
            assert!(matches!(outcome, Transaction::Committed(_)));
        })
    })
}

fn bare_transaction(connection: MultiplexedConnection) -> Call {
    let shared: Arc<OnceCell<Mutex<MultiplexedConnection>>> = Arc::default();
    Box::new(move |_| {
        let (connection, shared) = (connection.clone(), shared.clone());
        Box::pin(async move {
            let open = async || Mutex::new(client(connection).await.get_multiplexed_async_connection().await.unwrap());
            let mut own = shared.get_or_init(open).await.lock().await;
            redis::cmd("WATCH").arg("n").exec_async(&mut *own).await.unwrap();
            let before: Option<u64> = redis::cmd("GET").arg("n").query_async(&mut *own).await.unwrap();
            let replies: Value = increment(before).atomic().query_async(&mut *own).await.unwrap();
            assert_ne!(replies, Value::Nil);
        })
    })
}

fn batches() -> [Case; 3] {
    let keys: Arc<Vec<String>> = Arc::new((0..KEYS).map(|key| format!("k{key}")).collect());
    let entries: Arc<Vec<(String, String)>> =
        Arc::new(keys.iter().map(|key| (key.clone(), "186.20".to_owned())).collect());
    let (of_get, of_expire) = (keys.clone(), keys.clone());
    [
        Case {
            name: "resilience/Batch::set of 50",
            ours: Box::new(move |connection| {
                let entries = entries.clone();
                Box::new(move |_| {
                    let (connection, entries) = (connection.clone(), entries.clone());
                    Box::pin(async move {
                        let ttl = Duration::from_secs(60);
                        Batch::default().set(&connection, &entries, ttl).await.unwrap();
                    })
                })
            }),
            bare: bare_batch(keys.clone(), |pipeline, key| {
                pipeline.cmd("SET").arg(key).arg("186.20").arg("PX").arg(60_000);
            }),
        },
        Case {
            name: "resilience/Batch::get of 50",
            ours: Box::new(move |connection| {
                let keys = of_get.clone();
                Box::new(move |_| {
                    let (connection, keys) = (connection.clone(), keys.clone());
                    Box::pin(async move { drop(Batch::default().get(&connection, &keys).await) })
                })
            }),
            bare: bare_batch(keys.clone(), |pipeline, key| {
                pipeline.cmd("GET").arg(key);
            }),
        },
        Case {
            name: "resilience/Batch::expire of 50",
            ours: Box::new(move |connection| {
                let keys = of_expire.clone();
                Box::new(move |_| {
                    let (connection, keys) = (connection.clone(), keys.clone());
                    Box::pin(async move {
                        let ttl = Duration::from_secs(60);
                        Batch::default().expire(&connection, &keys, ttl).await.unwrap();
                    })
                })
            }),
            bare: bare_batch(keys, |pipeline, key| {
                pipeline.cmd("PEXPIRE").arg(key).arg(60_000);
            }),
        },
    ]
}

fn bare_batch(keys: Arc<Vec<String>>, add: fn(&mut Pipeline, &str)) -> Box<dyn Fn(MultiplexedConnection) -> Call> {
    Box::new(move |connection| {
        let keys = keys.clone();
        Box::new(move |_| {
            let (mut connection, keys) = (connection.clone(), keys.clone());
            Box::pin(async move {
                let mut pipeline = redis::pipe();
                keys.iter().for_each(|key| add(&mut pipeline, key));
                let _: Vec<Value> = pipeline.query_async(&mut connection).await.unwrap();
            })
        })
    })
}
