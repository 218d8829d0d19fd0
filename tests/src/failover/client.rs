//! A connection, the readers of both streams and the event stream, through three failovers.

use super::Fault;
use super::readers::{READERS, Seen};
use crate::servers::{Options, Watched};
use crate::support::{loudly, until};
use std::time::{Duration, Instant};
use strat_client::{Config, Connection, StratCommands as _, StrategySpec};
use tokio::runtime::Runtime;

/// From the promotion until everything works again. Measured: about a second; a busy machine takes longer.
const BOUND: Duration = Duration::from_secs(15);
/// Until the promotion; that is the sentinels' affair.
const LIMIT: Duration = Duration::from_secs(90);

struct World {
    // Dropped in this order: first the client, then its servers.
    runtime: Runtime,
    connection: Connection,
    seen: Seen,
    watched: Watched,
    strategies: usize,
}

impl World {
    fn start() -> Self {
        let watched = Watched::start(&Options::new());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = Config::from_url(&watched.url()).unwrap();
        let connection = runtime.block_on(Connection::open(&config)).unwrap();
        let seen = Seen::start(&runtime, &connection, &config);
        Self { runtime, connection, seen, watched, strategies: 0 }
    }

    /// Has a new strategy's stop fire, over the connection, and waits until every reader has it.
    fn trade(&mut self) -> (Duration, Duration) {
        let begun = Instant::now();
        self.strategies += 1;
        let id = format!("s{}", self.strategies);
        let (key, symbol) = (strat_client::strategy_key("al", &id), format!("SYM{}", self.strategies));
        let spec = StrategySpec::new(&symbol, "10").field("position", "BOUGHT").stop_loss("90.00");
        let mut connection = self.connection.clone();
        self.runtime.block_on(async {
            let served = async {
                // Each may fail while the connection is between two primaries, and may then be repeated.
                while let Err(error) = connection.strat_set_nx(&key, &spec).await {
                    println!("set: {error}");
                }
                while let Err(error) = connection.strat_slcheck(&symbol, "80.00").await {
                    println!("slcheck: {error}");
                }
            };
            tokio::time::timeout(BOUND, served).await.unwrap_or_else(|_| panic!("not served within {BOUND:?}"));
        });
        let served = begun.elapsed();
        for reader in READERS {
            until(&format!("{reader} has {id}"), BOUND, || self.seen.has(reader, &id).then_some(()));
        }
        (served, begun.elapsed())
    }

    /// The primary goes, and nothing is asked over the connection meanwhile.
    fn fail(&mut self, fault: Fault) -> usize {
        let old = until("the sentinels agree", LIMIT, || self.watched.primary());
        assert_eq!(self.connection.address(), self.watched.address(old));
        self.seen.forget_reconnected();
        let begun = Instant::now();
        match fault {
            Fault::Kill => self.watched.redis(old).kill_9(),
            Fault::Silence => self.watched.redis(old).pause(),
            Fault::Planned => self.watched.order_failover(),
        }
        let primary = self.watched.wait_failover(old);
        let promoted = begun.elapsed();
        let gone = self.watched.address(old);
        until("the idle connection has left", BOUND, || (self.connection.address() != gone).then_some(()));
        let left = begun.elapsed();
        // Pub/sub keeps nothing: what happens before the subscription stands is named as a gap instead.
        until("the subscription stands again", BOUND, || self.seen.has("events", "reconnected").then_some(()));
        let (served, heard) = self.trade();
        assert_eq!(self.connection.address(), self.watched.address(primary));
        let late = begun.elapsed().saturating_sub(promoted);
        assert!(late < BOUND, "{late:?} after the promotion");
        loudly(&format!(
            "failover ({fault:?}): promoted after {promoted:?}, idle connection gone after {left:?}, then served in \
             {served:?}, all readers in {heard:?}"
        ));
        old
    }
}

#[test]
fn connection_readers_and_events_follow_every_failover() {
    let mut world = World::start();
    world.trade();
    let old = world.fail(Fault::Kill);
    world.watched.start_again(old, 1 - old);
    world.watched.wait_replica_known();
    let old = world.fail(Fault::Silence);
    // Until the sentinels have told it, the old one takes itself for the primary. Nobody goes back.
    world.watched.redis(old).resume();
    world.trade();
    assert_eq!(world.connection.address(), world.watched.address(1 - old));
    world.watched.wait_synced(old);
    world.watched.wait_replica_known();
    world.fail(Fault::Planned);
    world.trade();
}
