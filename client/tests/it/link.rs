//! Ways to a server that several families are tried over.

use redis::aio::MultiplexedConnection;
use std::time::Duration;
use strat_client::{Config, Connection};
use strat_harness::servers::{Options, Redis};

/// A server without the module.
pub(crate) fn server() -> Redis {
    Redis::with(Options::plain())
}

/// A connection of the bare crate; `query` is put behind the address, such as `?protocol=resp3`.
pub(crate) async fn bare(redis: &Redis, query: &str) -> MultiplexedConnection {
    let client = redis::Client::open(format!("{}{query}", redis.url())).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// One of ours, which waits so long for a server that is away.
pub(crate) async fn patient(redis: &Redis, wait: Duration) -> Connection {
    let config = Config::from_url(&redis.url()).unwrap().with_reconnect_wait(wait);
    Connection::open(&config).await.unwrap()
}
