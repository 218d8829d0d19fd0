//! A feed that says nothing of a symbol in which somebody holds a position: nobody can know whether a stop was crossed.

use super::Market;
use crate::calendar::Calendars;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use strat_client::Connection;
use strat_core::event::Event;
use strat_core::{EventType, StrategyKey, key};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Strategies of a symbol that are told; further ones are in the log's count.
const TOLD_MAX: usize = 1_000;
/// Longest wait until an alarm is published.
const PUBLISH_MAX: Duration = Duration::from_secs(2);

/// How long a symbol may be silent.
#[derive(Debug, Clone, Default)]
pub struct SilenceLimits {
    /// Where nothing else is said; zero for as long as it likes.
    pub usual: Duration,
    /// By symbol; zero for as long as it likes.
    pub by_symbol: BTreeMap<String, Duration>,
}

impl SilenceLimits {
    fn of(&self, symbol: &str) -> Option<Duration> {
        let limit = self.by_symbol.get(symbol).copied().unwrap_or(self.usual);
        (!limit.is_zero()).then_some(limit)
    }
}

/// What a look brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing was heard for so long.
    Silent(String, Duration),
    /// It is heard again.
    Heard(String),
}

/// Which symbols are silent. Pure.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// Since when a symbol is listened for.
    listened: BTreeMap<String, Instant>,
    silent: BTreeSet<String>,
}

impl Silences {
    /// Looks at the symbols that are to be heard now; `heard` tells when each last was.
    pub(super) fn look(
        &mut self,
        limits: &SilenceLimits,
        wanted: &[String],
        heard: impl Fn(&str) -> Option<Instant>,
        now: Instant,
    ) -> Vec<News> {
        let wanted: BTreeSet<&String> = wanted.iter().collect();
        self.listened.retain(|symbol, _| wanted.contains(symbol));
        self.silent.retain(|symbol| wanted.contains(symbol));
        let mut news = Vec::new();
        for symbol in wanted {
            let Some(limit) = limits.of(symbol) else { continue };
            let listened = *self.listened.entry(symbol.clone()).or_insert(now);
            let last = heard(symbol).map_or(listened, |heard| heard.max(listened));
            let age = now.saturating_duration_since(last);
            if age <= limit {
                if self.silent.remove(symbol) {
                    news.push(News::Heard(symbol.clone()));
                }
            } else if self.silent.insert(symbol.clone()) {
                news.push(News::Silent(symbol.clone(), age));
            }
        }
        news
    }

    pub(super) fn silent(&self) -> impl Iterator<Item = &String> {
        self.silent.iter()
    }
}

/// Listens for silence and says so: in the log, in `/health`, and to whoever holds a position.
pub struct SilenceWatch {
    market: Arc<Market>,
    limits: SilenceLimits,
    calendars: Calendars,
    redis: Connection,
}

impl SilenceWatch {
    /// A watch that has not begun.
    #[must_use]
    pub const fn new(market: Arc<Market>, limits: SilenceLimits, calendars: Calendars, redis: Connection) -> Self {
        Self { market, limits, calendars, redis }
    }

    /// Works until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = looks.tick() => {}
            }
            let wanted = self.market.guard.with_shadow(|shadow| shadow.open_symbols());
            let wanted: Vec<_> = wanted.into_iter().filter(|symbol| self.in_session(symbol)).collect();
            for news in self.market.listen_for(&self.limits, &wanted, Instant::now()) {
                match news {
                    News::Heard(symbol) => tracing::warn!(symbol, "the feed speaks of the symbol again"),
                    News::Silent(symbol, age) => {
                        tokio::select! {
                            () = cancel.cancelled() => return,
                            () = self.alarm(&symbol, age) => {}
                        }
                    }
                }
            }
        }
    }

    /// Whether somebody who holds the symbol expects prices now: outside the session, silence is as it should be.
    fn in_session(&self, symbol: &str) -> bool {
        let names: Vec<String> =
            self.market.guard.with_shadow(|shadow| shadow.calendars_of(symbol).map(str::to_owned).collect());
        let now = Timestamp::from_millisecond(self.market.now_ms()).unwrap_or_default();
        // What a calendar cannot answer is no reason to keep silent about silence.
        names.iter().any(|name| self.is_open(name, now).unwrap_or(true))
    }

    fn is_open(&self, name: &str, now: Timestamp) -> Option<bool> {
        let calendar = self.calendars.get(name).ok()?;
        let local = TimeZone::to_datetime(&calendar.zone, now);
        let Some(session) = calendar.session(local.date()).ok()? else { return Some(false) };
        Some(session.open <= local.time() && session.close.is_none_or(|close| local.time() < close))
    }

    async fn alarm(&self, symbol: &str, age: Duration) {
        let keys = self.market.guard.with_shadow(|shadow| shadow.open_in(symbol, TOLD_MAX));
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let positions = keys.len();
        tracing::error!(
            symbol,
            age_ms,
            positions,
            "STOPS ARE BLIND: the feed says nothing of a symbol with open positions"
        );
        let mut pipeline = redis::pipe();
        for key in &keys {
            let Some(id) = StrategyKey::parse(key) else { continue };
            let event = Event::new(EventType::StrategyError, self.market.now_ms(), id.strategy, story(symbol, age_ms));
            pipeline.cmd("PUBLISH").arg(key::events_channel(id.user)).arg(event.to_json()).ignore();
        }
        let mut redis = self.redis.clone();
        let told = tokio::time::timeout(PUBLISH_MAX, pipeline.exec_async(&mut redis)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::warn!(symbol, "the alarm could not be published; it stands in the log and in /health");
        }
    }
}

fn story(symbol: &str, age_ms: u64) -> Map<String, Value> {
    let reason = "the feed says nothing of the symbol: its stops cannot be watched";
    [("symbol", Value::from(symbol)), ("reason", Value::from(reason)), ("age_ms", Value::from(age_ms))]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let limits = SilenceLimits {
            usual: Duration::from_secs(60),
            by_symbol: [("SLOW".to_owned(), Duration::from_secs(600)), ("FREE".to_owned(), Duration::ZERO)].into(),
        };
        let wanted: Vec<String> = ["FREE", "IBM", "SLOW"].map(str::to_owned).to_vec();
        let mut silences = Silences::default();
        let mut look = |heard: Option<u64>, now: u64, wanted: &[String]| {
            let heard = |symbol: &str| heard.filter(|_| symbol == "IBM").map(at);
            let news = silences.look(&limits, wanted, heard, at(now));
            (news, silences.silent().cloned().collect::<Vec<_>>().join(","))
        };
        let silent = |symbol: &str, age| vec![News::Silent(symbol.to_owned(), Duration::from_secs(age))];
        assert_eq!(look(None, 1_000, &wanted), (vec![], String::new()));
        assert_eq!(look(None, 1_060, &wanted), (vec![], String::new()));
        assert_eq!(look(None, 1_061, &wanted), (silent("IBM", 61), "IBM".to_owned()));
        assert_eq!(look(None, 1_100, &wanted), (vec![], "IBM".to_owned()));
        assert_eq!(look(Some(1_101), 1_102, &wanted), (vec![News::Heard("IBM".to_owned())], String::new()));
        assert_eq!(look(Some(1_101), 1_162, &wanted), (silent("IBM", 61), "IBM".to_owned()));
        // Nothing held any more: nothing to say. Held again: listened for anew.
        assert_eq!(look(Some(1_101), 1_163, &[]), (vec![], String::new()));
        assert_eq!(look(Some(1_101), 1_164, &wanted), (vec![], String::new()));
        assert_eq!(look(Some(1_764), 1_765, &wanted), (silent("SLOW", 601), "SLOW".to_owned()));
    }
}
