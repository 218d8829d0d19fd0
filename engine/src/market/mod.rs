//! The market listener: every tick goes to `STRAT.SLCHECK`, and to the paper broker.
//!
//! While Redis is slow or away, ticks are kept conflated: per symbol the turning points of its price since the last one
//! that Redis took, by time and not too many (`range.rs`), so that no stop in between is missed, also none that follows
//! the price, and memory stays bounded. Meanwhile the [`Guard`] checks every one of them.

mod filter;
mod range;
mod refusal;
mod send;
mod sessions;
mod silence;
mod stamps;
mod steady;

pub use filter::FilterSettings;
pub use refusal::{Refusal, Refusals};
pub use sessions::{SessionRule, SessionWatch};
pub use silence::{SilenceLimits, SilenceWatch};

use crate::broker::PaperBroker;
use crate::candles::Candles;
use crate::clock::{Clock as _, LiveClock};
use crate::executor::LastPrices;
use crate::feed::{Feed, FeedError, Tick};
use crate::guard::Guard;
use filter::{Filter, Passed};
use range::Range;
use silence::{News, Silences};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steady::Steady;
use strat_client::Connection;
use strat_core::Price;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Where no price comes for so long, Redis is asked whether it would take one.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// An older price is none that an exit's protection could be measured from: it may be of before the gap.
const FRESH: Duration = Duration::from_secs(10);
/// Most symbols kept while Redis is away; a feed with more than that is not one of an exchange.
const SYMBOLS_MAX: usize = 1_000_000;
/// Ticks that are read before others have their turn: as many as go in one call.
const TOGETHER_MAX: usize = send::SYMBOLS_PER_CALL;
/// Silent symbols that are named.
const NAMED_MAX: usize = 20;
/// Longest wait at the start until it is known who holds what, and so when which market is open.
const SESSIONS_WAIT: Duration = Duration::from_secs(2);

/// Numbers of the listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MarketStats {
    /// Ticks read from the feed.
    pub ticks: u64,
    /// Triggers that they fired.
    pub fired: u64,
    /// Whether Redis takes prices: stops are watched. Not before it has taken the first.
    pub watching: bool,
    /// Epoch ms when Redis last took a price.
    pub last_sent_ms: Option<i64>,
    /// The feed has ended: no price comes any more.
    pub ended: bool,
    /// Ticks that were kept away from the stops.
    pub refused: Refusals,
}

type Batch = BTreeMap<Arc<str>, Range>;

/// Feeds the module and the paper broker with prices.
pub struct Market {
    redis: Connection,
    paper: Option<Arc<PaperBroker>>,
    guard: Arc<Guard>,
    candles: Option<Arc<Candles>>,
    /// `{tag}` of the partition with its braces, or empty.
    prefix: String,
    filter: Mutex<Filter>,
    clock: Steady,
    silences: Mutex<Silences>,
    /// Whether the filter knows when markets are open, or need not.
    sessions_known: watch::Sender<bool>,
    waiting: Mutex<Batch>,
    arrived: Notify,
    /// Rings when waiting prices are taken up, for feeds that wait.
    taken: Notify,
    stats: Mutex<MarketStats>,
}

impl LastPrices for Market {
    fn last_price(&self, symbol: &str) -> Option<Price> {
        lock(&self.filter).last_price(symbol, FRESH, Instant::now())
    }
}

impl Market {
    /// A listener that has heard nothing yet. `redis` should be impatient: whatever waits for it, the guard watches.
    #[must_use]
    pub fn new(
        redis: Connection,
        paper: Option<Arc<PaperBroker>>,
        guard: Arc<Guard>,
        settings: FilterSettings,
        prefix: &str,
    ) -> Self {
        Self {
            redis,
            paper,
            guard,
            candles: None,
            prefix: prefix.to_owned(),
            filter: Mutex::new(Filter::new(settings)),
            clock: Steady::start(),
            silences: Mutex::default(),
            sessions_known: watch::Sender::new(true),
            waiting: Mutex::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
            stats: Mutex::default(),
        }
    }

    /// Builds candles of what is believed.
    #[must_use]
    pub fn with_candles(mut self, candles: Option<Arc<Candles>>) -> Self {
        self.candles = candles;
        self
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> MarketStats {
        let refused = lock(&self.filter).refused();
        MarketStats { refused, ..*lock(&self.stats) }
    }

    /// Symbols with open positions of which the feed says nothing: how many, and some of them.
    #[must_use]
    pub fn silent(&self) -> (usize, Vec<String>) {
        let silences = lock(&self.silences);
        (silences.silent().count(), silences.silent().take(NAMED_MAX).cloned().collect())
    }

    /// Whoever watches while Redis does not.
    #[must_use]
    pub const fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn listen_for(&self, limits: &SilenceLimits, wanted: &[String], now: Instant) -> Vec<News> {
        let filter = lock(&self.filter);
        lock(&self.silences).look(limits, wanted, |symbol| filter.heard(symbol), now)
    }

    /// Epoch ms.
    #[expect(clippy::unused_self, reason = "the listener keeps real time, whatever a feed's ticks say")]
    fn now_ms(&self) -> i64 {
        LiveClock.now_ms()
    }

    /// Works until `cancel`, or until the feed ends and everything is sent.
    ///
    /// # Errors
    /// Where the feed fails.
    pub async fn run(self: Arc<Self>, mut feed: Box<dyn Feed>, cancel: CancellationToken) -> Result<(), FeedError> {
        let ended = CancellationToken::new();
        let listen = async {
            let outcome = self.listen(&mut *feed).await;
            lock(&self.stats).ended = true;
            ended.cancel();
            outcome
        };
        tokio::select! {
            () = cancel.cancelled() => Ok(()),
            (outcome, ()) = async { tokio::join!(listen, self.send(&ended)) } => outcome,
        }
    }

    /// After the feed's end: looks until `cancel` whether Redis is there, for what times ask for.
    pub async fn stand_by(&self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(PROBE_EVERY) => self.probe().await,
            }
        }
    }

    async fn listen(&self, feed: &mut dyn Feed) -> Result<(), FeedError> {
        let (can_wait, mut together) = (feed.can_wait(), 0);
        lock(&self.filter).set_live(feed.is_live());
        if feed.is_live() {
            let mut known = self.sessions_known.subscribe();
            // Late prices are worse than one outside a session: whoever has no answer in time goes without.
            let _ = timeout(SESSIONS_WAIT, known.wait_for(|known| *known)).await;
        }
        while let Some(tick) = feed.next().await {
            let tick = tick?;
            if can_wait {
                self.room_for(&tick.symbol).await;
            }
            self.take(tick);
            together += 1;
            // Ticks of one message go in one call: else the first would go alone, and the others wait for its answer. A feed that
            // always has a tick must not keep the sender, or a stop, from its turn.
            if !feed.has_more() || together >= TOGETHER_MAX {
                together = 0;
                tokio::task::yield_now().await;
            }
        }
        tracing::info!("the feed has ended");
        Ok(())
    }

    /// Waits until no price of the symbol waits.
    async fn room_for(&self, symbol: &str) {
        loop {
            let taken = self.taken.notified();
            if !lock(&self.waiting).contains_key(symbol) {
                return;
            }
            taken.await;
        }
    }

    fn take(&self, tick: Tick) {
        lock(&self.stats).ticks += 1;
        let now = self.clock.now();
        let Passed { ticks: (first, second), aside } = lock(&self.filter).pass(tick, now);
        first.into_iter().chain(second).for_each(|tick| self.accept(&tick));
        if let (Some(candles), Some(tick)) = (&self.candles, &aside) {
            candles.take(tick);
        }
    }

    fn accept(&self, tick: &Tick) {
        let unwatched = {
            let mut waiting = lock(&self.waiting);
            if let Some(range) = waiting.get_mut(&tick.symbol) {
                range.add(tick);
            } else if waiting.len() < SYMBOLS_MAX {
                waiting.insert(Arc::clone(&tick.symbol), Range::of(tick));
            }
            // Under the lock: a tick is either among those that are checked when Redis is lost, or sees that it is.
            self.guard.is_acting()
        };
        if unwatched {
            self.guard.check(&tick.symbol, [(tick.price, tick.price_text.as_str())], tick.ts_ms);
        }
        self.arrived.notify_one();
        if let Some(candles) = &self.candles {
            candles.take(tick);
        }
        // The paper broker is an exchange of its own: it trades whether or not Redis is there.
        if let Some(paper) = &self.paper
            && let Err(error) = paper.on_tick(&tick.symbol, tick.price, tick.ts_ms)
        {
            tracing::error!(%error, "the paper broker cannot write its ledger; orders do not fill");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
