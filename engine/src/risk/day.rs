//! A day's profit and loss: from fills, and for what is open from the last price.

use super::RiskError;
use crate::clock::Clock;
use crate::store::{Held, Store};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use strat_client::Connection;
use strat_core::{Money, Price, Quantity, key};

/// The name of the account among users: no user has it.
const ACCOUNT: &str = "";
/// Symbols whose last price is remembered; beyond, a symbol without a fresh price has none.
const SYMBOLS_MAX: usize = 100_000;

/// How a day went so far. Before costs, below zero for a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayGain {
    /// Earned by the day's exits, against their entries' average prices.
    pub realised: Money,
    /// What is open, at its last price against its entries' average prices, on whichever day it was entered.
    pub open: Money,
    /// The worst that both together have been today.
    pub worst: Money,
}

impl DayGain {
    /// Both together.
    #[must_use]
    pub fn total(&self) -> Money {
        self.realised + self.open
    }
}

/// Computes days. Clones share what they remember.
#[derive(Clone)]
pub(super) struct Days {
    store: Store,
    redis: Connection,
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    /// Last prices of what is held, for symbols that trade seldom or whose market is closed. Nothing else depends on it: after a
    /// restart such a symbol has no price until it trades, and entries wait.
    last: Arc<Mutex<BTreeMap<String, Price>>>,
}

impl Days {
    /// Days that begin at midnight in `zone`.
    #[must_use]
    pub(super) fn new(store: Store, redis: Connection, clock: Arc<dyn Clock>, zone: TimeZone) -> Self {
        Self { store, redis, clock, zone, last: Arc::default() }
    }

    /// How today stands for a user, or for the account where none is named; noted as its worst if it is. `None` where something is
    /// held that has no price.
    ///
    /// # Errors
    /// [`RiskError`].
    pub(super) async fn gain_of(&self, user: Option<&str>) -> Result<Option<DayGain>, RiskError> {
        match self.gains(user).await? {
            Some(gains) => self.note(user, gains).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same, without noting it.
    ///
    /// # Errors
    /// [`RiskError`].
    pub(super) async fn shown(&self, user: Option<&str>) -> Result<Option<DayGain>, RiskError> {
        let Some((realised, open)) = self.gains(user).await? else { return Ok(None) };
        let noted = self.store.worst_noted(user.unwrap_or(ACCOUNT), &self.date()?.to_string()).await?;
        let worst = noted.map_or(Ok(realised + open), |noted| money(&noted))?.min(realised + open);
        Ok(Some(DayGain { realised, open, worst }))
    }

    /// Realised and open.
    async fn gains(&self, user: Option<&str>) -> Result<Option<(Money, Money)>, RiskError> {
        let (_, since_ms) = self.today()?;
        let realised = self.store.earned_since(since_ms, user).await?;
        let realised = realised.values().map(|text| money(text)).sum::<Result<Money, _>>()?;
        let held = self.store.held(user).await?;
        let prices = self.prices(&held).await?;
        let mut open = Money::ZERO;
        for held in &held {
            let Some(price) = prices.get(&held.symbol) else { return Ok(None) };
            open = open + open_gain(held, *price)?;
        }
        Ok(Some((realised, open)))
    }

    /// How today stands for everybody who has traded today or holds something, and for the account under `None`. Who holds
    /// something without a price is left out.
    ///
    /// # Errors
    /// [`RiskError`].
    pub(super) async fn all(&self) -> Result<BTreeMap<Option<String>, (Money, Money)>, RiskError> {
        let (_, since_ms) = self.today()?;
        let mut days: BTreeMap<Option<String>, (Money, Money)> = BTreeMap::new();
        for (user, text) in self.store.earned_since(since_ms, None).await? {
            for who in [Some(user), None] {
                let day = days.entry(who).or_default();
                day.0 = day.0 + money(&text)?;
            }
        }
        let held = self.store.held(None).await?;
        let prices = self.prices(&held).await?;
        let mut dark = BTreeSet::new();
        for held in &held {
            for who in [Some(held.user.clone()), None] {
                match prices.get(&held.symbol) {
                    Some(price) => {
                        let gain = open_gain(held, *price)?;
                        let day = days.entry(who).or_default();
                        day.1 = day.1 + gain;
                    }
                    None => drop(dark.insert(who)),
                }
            }
        }
        days.retain(|who, _| !dark.contains(who));
        Ok(days)
    }

    /// Notes how today stands; answers it with its worst.
    ///
    /// # Errors
    /// [`RiskError`].
    pub(super) async fn note(&self, user: Option<&str>, gains: (Money, Money)) -> Result<DayGain, RiskError> {
        let ((realised, open), day) = (gains, self.date()?);
        let total = (realised + open).to_string();
        let worst = self.store.worst_of_day(user.unwrap_or(ACCOUNT), &day.to_string(), &total).await?;
        Ok(DayGain { realised, open, worst: money(&worst)? })
    }

    /// Today's date.
    ///
    /// # Errors
    /// Where the clock is beyond all dates.
    pub(super) fn date(&self) -> Result<Date, RiskError> {
        Ok(self.today()?.0)
    }

    /// Today, and when it began, epoch ms.
    fn today(&self) -> Result<(Date, i64), RiskError> {
        let bad = |error: jiff::Error| RiskError::Bad(format!("the day cannot be told: {error}"));
        let now = Timestamp::from_millisecond(self.clock.now_ms()).map_err(bad)?;
        let now = now.to_zoned(self.zone.clone());
        Ok((now.date(), now.start_of_day().map_err(bad)?.timestamp().as_millisecond()))
    }

    /// Last prices of what is held: fresh ones, else those that were last seen here.
    async fn prices(&self, held: &[Held]) -> Result<BTreeMap<String, Price>, RiskError> {
        let symbols: BTreeSet<String> = held.iter().map(|held| held.symbol.clone()).collect();
        if symbols.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<String> = symbols.iter().map(|symbol| key::price("", symbol)).collect();
        let texts: Vec<Option<String>> = redis::cmd("MGET").arg(names).query_async(&mut self.redis.clone()).await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut prices = BTreeMap::new();
        for (symbol, text) in symbols.into_iter().zip(texts) {
            let fresh: Option<Price> = text.and_then(|text| text.parse().ok());
            if let Some(price) = fresh.filter(|_| last.len() < SYMBOLS_MAX || last.contains_key(&symbol)) {
                last.insert(symbol.clone(), price);
            }
            if let Some(price) = fresh.or_else(|| last.get(&symbol).copied()) {
                prices.insert(symbol, price);
            }
        }
        Ok(prices)
    }
}

fn open_gain(held: &Held, price: Price) -> Result<Money, RiskError> {
    let quantity: Quantity = held
        .quantity
        .parse()
        .map_err(|why| RiskError::Bad(format!("{} of {} in all {why}", held.quantity, held.symbol)))?;
    Ok(Money::of(price, quantity) - money(&held.cost)?)
}

fn money(text: &str) -> Result<Money, RiskError> {
    Money::parse(text).map_err(|why| RiskError::Bad(format!("an amount '{text}' {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_counts_at_its_last_price_to_the_last_digit() {
        let held = |quantity: &str, cost: &str| Held {
            user: "alice".to_owned(),
            symbol: "IBM".to_owned(),
            quantity: quantity.to_owned(),
            cost: cost.to_owned(),
        };
        let price = "99.99999999".parse().unwrap();
        let gain = |quantity, cost| open_gain(&held(quantity, cost), price).unwrap().to_string();
        assert_eq!(gain("3", "300"), "-0.00000003");
        assert_eq!(gain("-3", "-300"), "0.00000003");
        assert_eq!(gain("0.00000001", "0.0000009999999998"), "0.0000000000000001");
        assert!(open_gain(&held("90000000000", "0"), price).is_err());
    }
}
