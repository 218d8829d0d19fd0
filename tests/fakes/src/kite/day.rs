//! A day of prices: every share of the fake at a steady rate, over the ticker's sockets, as the clock says.
//!
//! Each share has two stops around it, one of a long and one of a short. Its price walks between them; now and then it
//! leaps onto or beyond one of them **for a single tick** and is back with the next, or leaps just short of one. What
//! was told is written down tick by tick, and [`Day::touched`] reads from that alone which stops have to fire: it knows
//! nothing of what was planned.
//!
//! It is told by the fake's own thread. A frame is laid out when it is due: five minutes of them would take a gigabyte.

mod player;

pub use player::Player;

use super::Instrument;
use crate::Order;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Packets of one message.
const PACKETS: usize = 25;
/// From the middle of a share's prices to either stop, in hundredths.
const STOP_AT: u32 = 500;
/// Nothing leaps so shortly after the beginning and before the end.
const QUIET: Duration = Duration::from_secs(1);
/// Steps through the stops: a prime, so that each is met once before any is met again.
const STRIDE: usize = 7_919;

/// What is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Shares.
    pub symbols: usize,
    /// Ticks of each in a second.
    pub per_second: usize,
    /// How long.
    pub seconds: usize,
    /// Stops that are met in a second; as many are just missed.
    pub stops_per_second: usize,
}

/// A stop of a strategy. Prices are whole hundredths, as in the packets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// Of the share.
    pub symbol: String,
    /// A short's stop, which buys when the price rises to it; else a long's.
    pub buys: bool,
    /// Where it lies.
    pub raw: u32,
}

impl Level {
    /// As a decimal.
    #[must_use]
    pub fn price(&self) -> String {
        decimal(self.raw)
    }

    /// Key of the strategy whose stop it is.
    #[must_use]
    pub fn key(&self, user: &str) -> String {
        format!("user:{user}:strategy:{}-{}", self.symbol, if self.buys { "short" } else { "long" })
    }

    /// The command that makes the strategy: it holds one share.
    #[must_use]
    pub fn command(&self, user: &str) -> String {
        let held = if self.buys { "side SHORT position SHORTED" } else { "side LONG position BOUGHT" };
        let (key, symbol, stop) = (self.key(user), &self.symbol, self.price());
        format!("STRAT.SET {key} symbol {symbol} quantity 1 {held} entry_price {stop} stop_loss {stop}")
    }

    fn is_met_by(&self, raw: u32) -> bool {
        if self.buys { raw >= self.raw } else { raw <= self.raw }
    }
}

/// A tick that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Its price in hundredths.
    pub raw: u32,
    /// When its frame was handed to the socket.
    pub at: Instant,
}

#[derive(Debug)]
struct Share {
    token: u32,
    symbol: String,
    /// The middle of its prices.
    middle: u32,
}

/// The day.
#[derive(Debug)]
pub struct Day {
    script: Script,
    /// By number.
    shares: BTreeMap<u32, Share>,
    /// Prices that leap: by number of the share, and by the how manieth of its ticks.
    leaps: HashMap<(u32, usize), u32>,
    begun: watch::Sender<Option<Instant>>,
    scrolls: Mutex<Vec<Scroll>>,
}

/// What one connection was told: tick n is of share n modulo their number, and in frame n / [`PACKETS`].
#[derive(Debug, Default)]
struct Scroll {
    tokens: Vec<u32>,
    prices: Vec<u32>,
    at: Vec<Instant>,
    /// The longest that a frame was late, beyond its time.
    late: Duration,
}

impl Day {
    /// Of these shares; nothing is told before [`Day::begin`].
    #[must_use]
    pub fn new(script: Script, shares: &[Instrument]) -> Self {
        let share = |(number, instrument): (u32, &Instrument)| {
            let Instrument { token, name, .. } = instrument;
            (*token, Share { token: *token, symbol: name.clone(), middle: 100_000 + 35 * number })
        };
        let shares: BTreeMap<_, _> = (0..).zip(shares).map(share).collect();
        let leaps = leaps(script, &shares.values().collect::<Vec<_>>());
        Self { script, shares, leaps, begun: watch::Sender::new(None), scrolls: Mutex::default() }
    }

    /// Every stop.
    #[must_use]
    pub fn levels(&self) -> Vec<Level> {
        self.shares.values().flat_map(Share::levels).collect()
    }

    /// Symbols and their first prices.
    #[must_use]
    pub fn opening(&self) -> Vec<(String, String)> {
        self.shares.values().map(|share| (share.symbol.clone(), decimal(share.middle))).collect()
    }

    /// Begins; answers when.
    pub fn begin(&self) -> Instant {
        let now = Instant::now();
        self.begun.send_replace(Some(now));
        now
    }

    /// How long it takes.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.script.seconds as u64)
    }

    /// Whether everything was told.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.told_ticks() == self.script.symbols * self.script.per_second * self.script.seconds
    }

    /// Ticks told so far, of connections that are done.
    #[must_use]
    pub fn told_ticks(&self) -> usize {
        self.scrolls().iter().map(|scroll| scroll.prices.len()).sum()
    }

    /// The longest that a frame came after its time.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.scrolls().iter().map(|scroll| scroll.late).max().unwrap_or_default()
    }

    /// Every stop that a tick met, with the first that did. Read from what was told, not from what was planned.
    #[must_use]
    pub fn touched(&self) -> BTreeMap<Level, Told> {
        let mut touched: BTreeMap<Level, Told> = BTreeMap::new();
        for scroll in self.scrolls().iter() {
            let levels: Vec<_> = scroll.tokens.iter().map(|token| self.shares[token].levels()).collect();
            for (n, raw) in scroll.prices.iter().enumerate() {
                let met = levels[n % levels.len()].iter().filter(|level| level.is_met_by(*raw));
                for level in met {
                    let told = Told { raw: *raw, at: scroll.at[n / PACKETS] };
                    touched.entry(level.clone()).or_insert(told);
                }
            }
        }
        touched
    }

    /// How long each stop that a tick met took from its tick to its order at the broker, by time of the tick. Orders for what is
    /// no share of the day are passed over.
    ///
    /// # Panics
    /// Where a stop that was met has no order or more than one, or another has any.
    #[must_use]
    pub fn waits(&self, orders: &[Order]) -> Vec<Duration> {
        let mut placed: BTreeMap<Level, Vec<Instant>> = BTreeMap::new();
        let levels: BTreeMap<_, _> =
            self.levels().into_iter().map(|level| ((level.symbol.clone(), level.buys), level)).collect();
        for order in orders {
            if let Some(level) = levels.get(&(order.asked.symbol.clone(), order.asked.buy)) {
                placed.entry(level.clone()).or_default().push(order.placed);
            }
        }
        let touched = self.touched();
        let wrong: Vec<_> = placed.iter().filter(|(level, at)| at.len() > 1 || !touched.contains_key(level)).collect();
        assert!(wrong.is_empty(), "orders of stops that nothing met, or several of one: {wrong:?}");
        let lost: Vec<_> = touched.iter().filter(|(level, _)| !placed.contains_key(level)).collect();
        assert!(lost.is_empty(), "stops that were met and have no order: {lost:?}");
        let mut waits: Vec<_> = touched
            .iter()
            .map(|(level, told)| (told.at, placed[level][0].saturating_duration_since(told.at)))
            .collect();
        waits.sort_unstable();
        waits.into_iter().map(|(_, wait)| wait).collect()
    }

    /// What a connection is told that has subscribed to these.
    pub(super) fn player(self: &Arc<Self>, instruments: &[Instrument]) -> Player {
        let tokens: Vec<_> = instruments
            .iter()
            .map(|instrument| instrument.token)
            .filter(|token| self.shares.contains_key(token))
            .collect();
        Player::new(Arc::clone(self), tokens)
    }

    /// The price of a share's tick.
    fn price(&self, token: u32, nth: usize) -> u32 {
        self.leaps.get(&(token, nth)).copied().unwrap_or_else(|| {
            // Seven prices around the middle, another with each tick.
            let step = (nth * 3 + token as usize) % 7;
            self.shares[&token].middle - 15 + 5 * u32::try_from(step).unwrap()
        })
    }

    fn scrolls(&self) -> std::sync::MutexGuard<'_, Vec<Scroll>> {
        self.scrolls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    fn levels(&self) -> [Level; 2] {
        let level = |buys, raw| Level { symbol: self.symbol.clone(), buys, raw };
        [level(false, self.middle - STOP_AT), level(true, self.middle + STOP_AT)]
    }
}

/// Which ticks leap, and where to.
fn leaps(script: Script, shares: &[&Share]) -> HashMap<(u32, usize), u32> {
    let stops = shares.len() * 2;
    assert!(!stops.is_multiple_of(STRIDE), "every stop is met once before any is met again");
    let last = Duration::from_secs(script.seconds as u64).saturating_sub(QUIET);
    let every = Duration::from_secs(1) / u32::try_from(script.stops_per_second).unwrap();
    let times = (0..).map(|n| QUIET + every * n).take_while(|time| *time < last);
    let mut leaps = HashMap::new();
    for (n, time) in times.enumerate().take(stops) {
        let nth = usize::try_from(time.as_millis()).unwrap() * script.per_second / 1_000;
        // One that is met, from exactly at the stop to three beyond it; and one, elsewhere, that is missed by the least there is.
        for (stop, beyond) in [(n * STRIDE, i32::try_from(n * 37 % 300).unwrap()), (n * STRIDE + stops / 2, -1)] {
            let share = shares[stop % stops / 2];
            let level = &share.levels()[stop % 2];
            let raw = level.raw.checked_add_signed(if level.buys { beyond } else { -beyond }).unwrap();
            leaps.entry((share.token, nth)).or_insert(raw);
        }
    }
    leaps
}

fn decimal(raw: u32) -> String {
    format!("{}.{:02}", raw / 100, raw % 100)
}

#[cfg(test)]
mod tests;
