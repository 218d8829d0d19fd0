//! `run`: puts the parts together, watches over them, and ends them in order.

mod broker;
mod feed;
mod lane;
mod watch;

use crate::broker::{Broker, Noted};
use crate::calendar::Calendars;
use crate::candles::Candles;
use crate::clock::{Clock, LiveClock};
use crate::config::{MissedPolicy, Settings};
use crate::executor::{self, Executor, ExecutorSettings, Job};
use crate::failure::{OrFail as _, sentence};
use crate::gate::EpochGate;
use crate::guard::Guard;
use crate::halt::Halt;
use crate::http::{self, ApiParts, Watched};
use crate::link::Link;
use crate::live::Live;
use crate::market::Market;
use crate::metrics;
use crate::reconcile::{ReconcileSettings, Reconciler};
use crate::schedule::{Missed, Scheduler, SchedulerSettings};
use crate::store::{Rows, START_PATIENCE, Store, StoreRecords};
use crate::sync::{Sync, SyncHandle};
pub(crate) use broker::{ALPACA_HINT, BINANCE_HINT, KITE_HINT};
use broker::{Trading, lease_for};
use color_eyre::eyre::eyre;
use color_eyre::{Report, Result};
use lane::Lane;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Orders without a queue entry that wait for the executor; the next reconciliation brings the rest.
const ADOPTED_MAX: usize = 1_024;
/// How long a shutdown waits for orders under way and for whatever else trades.
const TRADING_STOP: Duration = Duration::from_secs(8);
/// How long it waits for the journal to reach Postgres.
const SYNC_STOP: Duration = Duration::from_secs(3);

/// The parts that run side by side. One that ends by itself ends all.
struct Crew {
    tasks: JoinSet<(&'static str, Result<()>)>,
    cancel: CancellationToken,
    /// As long as all parts: connections that were opened on one may serve others too.
    lanes: Vec<Lane>,
}

impl Crew {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), cancel: CancellationToken::new(), lanes: Vec::new() }
    }

    fn spawn(&mut self, name: &'static str, work: impl Future<Output = Result<()>> + Send + 'static) {
        self.tasks.spawn(async move { (name, work.await) });
    }

    /// A thread for one part alone.
    fn lane(&mut self, name: &'static str) -> Result<Handle> {
        let lane = Lane::open(name).or_fail(
            "the system gives the engine no more threads",
            "raise its limits (ulimit -u, TasksMax= of its unit), or end what uses them up",
        )?;
        let handle = lane.handle();
        self.lanes.push(lane);
        Ok(handle)
    }

    /// Waits until a part ends, and says which and why.
    async fn first_end(&mut self) -> Report {
        match self.tasks.join_next().await {
            Some(Ok((name, Err(error)))) => error.wrap_err(format!("the {name} failed")),
            Some(Ok((name, Ok(())))) => eyre!("the {name} ended by itself"),
            Some(Err(panic)) => eyre!("a part of the engine panicked: {panic}"),
            None => eyre!("nothing is running"),
        }
    }

    /// Asks all to end and waits for them; what does not end in time is dropped.
    async fn stop(mut self, patience: Duration) {
        self.cancel.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok((name, Err(error))) => {
                        tracing::error!(part = name, error = sentence(&error), "failed while stopping")
                    }
                    Ok((name, Ok(()))) => tracing::debug!(part = name, "stopped"),
                    Err(panic) => tracing::error!(%panic, "panicked while stopping"),
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(seconds = patience.as_secs(), "some parts did not stop in time and are dropped");
        }
    }
}

/// What everything works on.
struct Base {
    settings: Settings,
    link: Link,
    store: Store,
    gate: EpochGate,
    halt: Halt,
    clock: Arc<dyn Clock>,
}

/// What others look at of what trades.
struct Started {
    market: Arc<Market>,
    executor: Arc<Executor>,
    broker: Arc<Noted>,
}

/// Trades until SIGINT or SIGTERM.
///
/// # Errors
/// Where something is missing at the start, or a part fails.
pub async fn run(settings: Settings) -> Result<()> {
    let mut stop = StopSignal::new()?;
    metrics::install();
    http::check(&settings.http)?;
    let base = tokio::select! {
        base = Base::connect(settings) => base?,
        () = stop.received() => return Ok(()),
    };
    let listener = http::listen(&base.settings.http).await?;
    let address = listener.local_addr()?;
    let mut trading = Crew::new();
    let mut sync = Crew::new();
    let handle = base.start_sync(&mut sync);
    let Started { market, executor, broker } = base.start_trading(&handle, &mut trading)?;
    base.spawn_lease(executor.settings().lease.clone(), &mut sync);
    base.spawn_upkeep(&handle, &mut trading)?;
    let rows = base.spawn_rows(&handle, &mut trading)?;
    let watched = Watched {
        rows,
        link: base.link.clone(),
        store: base.store.clone(),
        sync: handle.clone(),
        gate: base.gate.clone(),
        market,
        executor,
        broker,
        silence: base.settings.feed.silence,
        clock: Arc::clone(&base.clock),
        engine: base.settings.engine_name.clone(),
        started: Instant::now(),
    };
    let cancel = trading.cancel.clone();
    trading.spawn("metrics", async move {
        metrics::keep_small(cancel).await;
        Ok(())
    });
    base.spawn_halt(&mut trading);
    let api = http::Api::new(base.api_parts(watched, trading.cancel.clone())?, &base.settings.http, address.ip())?;
    trading.spawn("HTTP server", http::serve(listener, api, trading.cancel.clone()));
    tracing::info!(engine = base.settings.engine_name, health = format!("http://{address}/health"), "running");
    let trouble = tokio::select! {
        error = trading.first_end() => Some(error),
        error = sync.first_end() => Some(error),
        () = stop.received() => None,
    };
    tracing::info!("stopping");
    trading.stop(TRADING_STOP).await;
    // Last, so that Postgres has what the others did while they stopped.
    if let Err(error) = handle.drained(&base.link, SYNC_STOP).await {
        tracing::warn!(error = sentence(&error), "the journal keeps the rest for the next start");
    }
    sync.stop(SYNC_STOP).await;
    tracing::info!("stopped");
    trouble.map_or(Ok(()), Err)
}

/// A stop by Ctrl-C, or by whoever supervises the engine.
pub(crate) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl Base {
    async fn connect(settings: Settings) -> Result<Self> {
        let store = Store::connect(&settings.database_url, "strat-engine", START_PATIENCE).await?;
        store.require_schema().await?;
        let gate = EpochGate::new();
        let halt = Halt::load(store.clone(), gate.clone()).await.or_fail(
            "whether entries are halted cannot be read",
            "see the cause; without knowing, nothing is traded",
        )?;
        let link = Link::connect(&settings, START_PATIENCE).await?;
        Ok(Self { settings, link, store, gate, halt, clock: Arc::new(LiveClock) })
    }

    fn start_sync(&self, crew: &mut Crew) -> SyncHandle {
        let sync = Sync::new(self.link.clone(), self.store.clone(), self.gate.clone());
        let handle = sync.handle();
        let cancel = crew.cancel.clone();
        crew.spawn("Postgres sync", async move {
            sync.run(cancel).await;
            Ok(())
        });
        handle
    }

    /// What HTTP works on. It has connections of its own: what is asked there holds up no order.
    fn api_parts(&self, watched: Watched, cancel: CancellationToken) -> Result<ApiParts> {
        let store = Store::lazy(&self.settings.database_url, "strat-engine http")?;
        Ok(ApiParts {
            connection: self.link.own()?,
            risk: self.risk_desk(&store)?,
            store,
            calendars: self.calendars()?,
            hours: self.settings.candles.hours().cloned(),
            watched,
            halt: self.halt.clone(),
            cancel,
        })
    }

    /// Rows for answers, and whoever drops them from the cache when they change.
    fn spawn_rows(&self, sync: &SyncHandle, crew: &mut Crew) -> Result<Rows> {
        let rows = Rows::new(self.store.clone(), self.link.own()?)?;
        let (applied, mended) = (sync.subscribe(), sync.subscribe_mended());
        let (keeper, link, cancel) = (rows.clone(), self.link.clone(), crew.cancel.clone());
        crew.spawn("cache of rows", async move {
            keeper.run(link, applied, mended, cancel).await;
            Ok(())
        });
        Ok(rows)
    }

    fn start_trading(&self, sync: &SyncHandle, crew: &mut Crew) -> Result<Started> {
        let settings = &self.settings;
        let health = self.broker_health();
        let accounts = self.settings.accounts()?;
        let broker_timeout = self.broker_timeout(&accounts);
        let Trading { broker, paper } = self.start_broker(accounts, &health, crew)?;
        let noted = Arc::new(Noted::new(broker, health));
        let broker: Arc<dyn Broker> = Arc::clone(&noted) as _;
        let risk = self.spawn_risk(sync, crew)?;
        let (entries, lease) = (Arc::clone(&broker), lease_for(&*broker));
        let executor = Arc::new(Executor::new(
            ExecutorSettings {
                owner: settings.engine_name.clone(),
                prefix: String::new(),
                lock_ttl: settings.lock_ttl,
                broker_timeout,
                concurrency: settings.concurrency,
                records: Some(Arc::new(StoreRecords::new(self.store.clone()))),
                risk: Some(Arc::new(risk)),
                lease,
                missed: Some(self.missed()),
                exits: settings.broker.exits,
            },
            self.link.connection(),
            broker,
            Arc::clone(&self.clock),
            self.gate.clone(),
        ));
        let (adopted, orphans) = mpsc::channel(ADOPTED_MAX);
        let guard = self.spawn_guard(&executor, entries, crew);
        let market = Market::new(self.link.hasty()?, paper, Arc::clone(&guard), self.filter(), "");
        let market = Arc::new(market.with_candles(self.spawn_candles(crew)?));
        let heard = Arc::downgrade(&market);
        executor.measure_from(heard);
        self.spawn_session_watch(&market, crew)?;
        self.spawn_silence_watch(&market, crew)?;
        let live = Live::new(sync.subscribe(), Arc::clone(&market), Arc::clone(&executor), self.gate.clone());
        let watched = Arc::clone(&market);
        self.spawn_reconciler(sync, adopted, Arc::clone(&executor), guard, crew);
        self.spawn_scheduler(crew)?;
        let (redis, cancel, works) = (self.link.connection(), crew.cancel.clone(), Arc::clone(&executor));
        let exits = crew.lane("exits")?;
        crew.spawn("executor", async move { Ok(executor::live::run(works, redis, orphans, &exits, cancel).await?) });
        let (feed, cancel) = (self.feed()?, crew.cancel.clone());
        let listener = async move {
            Arc::clone(&market).run(feed, cancel.clone()).await?;
            // A file of ticks ends; orders, exits by time and everything else go on.
            market.stand_by(cancel).await;
            Ok(())
        };
        let ticks = crew.lane("ticks")?;
        crew.tasks.spawn_on(async move { ("market listener", listener.await) }, &ticks);
        let cancel = crew.cancel.clone();
        crew.spawn("live view", async move {
            live.run(cancel).await;
            Ok(())
        });
        Ok(Started { market: watched, executor, broker: noted })
    }

    /// The candles of the feed, where they are wanted.
    fn spawn_candles(&self, crew: &mut Crew) -> Result<Option<Arc<Candles>>> {
        let Some(hours) = self.settings.candles.hours() else { return Ok(None) };
        let candles = Arc::new(Candles::new(self.link.own()?, Arc::new(hours.clone()), Arc::clone(&self.clock))?);
        let (writer, cancel) = (Arc::clone(&candles), crew.cancel.clone());
        crew.spawn("candles", async move {
            writer.run(cancel).await;
            Ok(())
        });
        Ok(Some(candles))
    }

    fn spawn_reconciler(
        &self,
        sync: &SyncHandle,
        adopted: mpsc::Sender<Job>,
        executor: Arc<Executor>,
        guard: Arc<Guard>,
        crew: &mut Crew,
    ) {
        let settings =
            ReconcileSettings { unknown: self.settings.reconcile_unknown, interval: self.settings.reconcile_interval };
        let reconciler =
            Reconciler::new(self.link.clone(), self.store.clone(), sync.clone(), settings, adopted, executor, guard);
        let cancel = crew.cancel.clone();
        crew.spawn("reconciliation", async move {
            reconciler.run(cancel).await;
            Ok(())
        });
    }

    fn spawn_scheduler(&self, crew: &mut Crew) -> Result<()> {
        let calendars = self.calendars()?;
        let scheduler = Arc::new(Scheduler::new(
            SchedulerSettings { tag: None, missed: self.missed() },
            calendars,
            self.link.connection(),
            Arc::clone(&self.clock),
            self.gate.clone(),
        ));
        let cancel = crew.cancel.clone();
        crew.spawn("scheduler", async move { Ok(scheduler.run(cancel).await?) });
        Ok(())
    }

    fn calendars(&self) -> Result<Calendars> {
        self.settings.calendars()
    }

    fn missed(&self) -> Missed {
        match self.settings.missed {
            MissedPolicy::Late => {
                Missed::Late { grace_ms: i64::try_from(self.settings.missed_grace.as_millis()).unwrap_or(i64::MAX) }
            }
            MissedPolicy::Skip => Missed::Skip,
        }
    }
}
