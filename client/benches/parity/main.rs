//! Each call of the client next to the same Redis commands sent by the bare `redis` crate: how often the one is done in
//! the time of the other. Blocks of both alternate on one server; a call whose median is below 0.9 fails the run.
//!
//! `cargo bench -p strat-client --bench parity -- [name part]`
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on shall panic")]

mod cache;
mod candles;
mod limits;
mod market;
mod resilience;
mod sealed;
mod sessions;
mod upkeep;

use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt as _, iter};
use redis::aio::MultiplexedConnection;
use std::time::Instant;
use strat_harness::servers::{Options, Redis};

/// Calls under way at once on one connection.
const PIPELINED: usize = 64;
/// Calls in a block.
const BLOCK: u64 = 4_000;
/// Pairs of blocks that are compared; one pair before warms up.
const PAIRS: usize = 12;
/// The least that a call may reach of the bare commands' throughput.
const LEAST: f64 = 0.9;

type Call = Box<dyn Fn(u64) -> BoxFuture<'static, ()>>;

/// A call of ours and the commands that it stands for; each is made for a connection and told the number of its turn.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) ours: Box<dyn Fn(MultiplexedConnection) -> Call>,
    pub(crate) bare: Box<dyn Fn(MultiplexedConnection) -> Call>,
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let families = [
        cache::cases(),
        candles::cases(),
        limits::cases(),
        market::cases(),
        resilience::cases(),
        sealed::cases(),
        sessions::cases(),
        upkeep::cases(),
    ];
    let cases = families.into_iter().flatten().filter(|case| case.name.contains(&wanted));
    let slow: Vec<_> = cases.filter(|case| runtime.block_on(compare(case)) < LEAST).map(|case| case.name).collect();
    assert!(slow.is_empty(), "slower than {LEAST} of the bare commands: {}", slow.join(", "));
}

async fn compare(case: &Case) -> f64 {
    let redis = Redis::with(Options::plain());
    let address = format!("redis+unix://{}", redis.socket().display());
    let connection = redis::Client::open(address).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (ours, bare) = ((case.ours)(connection.clone()), (case.bare)(connection));
    let mut ratios = Vec::new();
    for pair in 0..=PAIRS {
        let ratio = if pair % 2 == 0 {
            let bare = seconds(&bare).await;
            bare / seconds(&ours).await
        } else {
            let ours = seconds(&ours).await;
            seconds(&bare).await / ours
        };
        ratios.extend((pair > 0).then_some(ratio));
    }
    ratios.sort_by(f64::total_cmp);
    let median = f64::midpoint(ratios[PAIRS / 2 - 1], ratios[PAIRS / 2]);
    println!("{:<40} {median:.2} ({:.2}..{:.2})", case.name, ratios[0], ratios[PAIRS - 1]);
    median
}

async fn seconds(call: &Call) -> f64 {
    let started = Instant::now();
    iter(0..BLOCK).map(call).buffer_unordered(PIPELINED).for_each(|()| async {}).await;
    started.elapsed().as_secs_f64()
}
