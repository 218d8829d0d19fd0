//! Entries held against the limits of their user and of the account.
//!
//! The rules are `core`'s; here is what they are held against. All of it comes from Postgres and Redis, nothing from memory alone, so
//! a restart forgets neither a position nor a loss: positions and approvals from Postgres, the day's profit and loss from fills, prices
//! from Redis. What is approved is noted in Postgres before it is sent, one entry of a user (or account) after the other, so two
//! engines do not both find room for the last position.

mod day;
mod watch;

pub use day::DayGain;
use day::Days;
pub use watch::RiskWatch;

use crate::clock::Clock;
use crate::executor::machine::Verdict;
use crate::executor::{Candidate, EntryRisk};
use crate::store::{Asking, Changes, Counts, Store, Together};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;
use strat_client::Connection;
use strat_core::risk::{Check, Exposure, Limits, Scope, approve};
use strat_core::{Price, key};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest wait for what an entry is held against; then it is looked at again.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Entries judged at the same time: each holds a connection to Postgres while it waits for the one before, and others need some too.
const JUDGED_AT_A_TIME: usize = 3;

/// Limits where nothing else is said, and when a day begins.
#[derive(Debug, Clone)]
pub struct RiskSettings {
    /// Of each user of whom an admin said nothing else.
    pub each_user: Limits,
    /// Of all users together: they trade through one account of the broker.
    pub account: Limits,
    /// Where the day of the daily loss begins at midnight.
    pub zone: TimeZone,
}

/// Why limits cannot be judged now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RiskError {
    /// Postgres.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// Redis.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Something in Postgres or Redis is not what it must be.
    #[error("{0}")]
    Bad(String),
}

/// How a user, or the account, stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What holds now.
    pub limits: Limits,
    /// What counts.
    pub counts: Counts,
    /// The day; `None` where a price is missing.
    pub day: Option<DayGain>,
}

/// Holds entries against their limits. Clones share their connections.
#[derive(Clone)]
pub struct RiskDesk {
    settings: RiskSettings,
    store: Store,
    redis: Connection,
    days: Days,
    /// What users are limited to.
    said: Arc<Together<String, Changes>>,
    places: Arc<Semaphore>,
}

impl RiskDesk {
    /// A desk over connections of its own.
    #[must_use]
    pub fn new(settings: RiskSettings, store: Store, redis: Connection, clock: Arc<dyn Clock>) -> Self {
        let days = Days::new(store.clone(), redis.clone(), clock, settings.zone.clone());
        Self { settings, store, redis, days, said: Arc::default(), places: Arc::new(Semaphore::new(JUDGED_AT_A_TIME)) }
    }

    /// What a user is limited to.
    ///
    /// # Errors
    /// [`RiskError`].
    pub async fn limits_of(&self, user: &str) -> Result<Limits, RiskError> {
        let load = async |users: Vec<String>| self.store.risk_changes(&users).await;
        let changes = self.said.ask(user.to_owned(), load).await;
        let changes =
            changes.ok_or_else(|| RiskError::Bad("Postgres does not say what limits the user has".to_owned()))?;
        over(&self.settings.each_user, &changes)
    }

    /// Sets what a user is limited to: what is not named stays what everybody is limited to.
    ///
    /// # Errors
    /// Which text is wrong, in words; [`RiskError`].
    pub async fn limit(
        &self,
        user: &str,
        changes: &Changes,
        caller: &str,
    ) -> Result<Result<Limits, String>, RiskError> {
        let texts = changes.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let limits = self.settings.each_user.with(texts);
        if limits.is_ok() {
            self.store.say_risk(user, changes, caller).await?;
        }
        Ok(limits)
    }

    /// How a user stands; the account where none is named.
    ///
    /// # Errors
    /// [`RiskError`].
    pub async fn standing(&self, user: Option<&str>) -> Result<Standing, RiskError> {
        let limits = match user {
            Some(user) => self.limits_of(user).await?,
            None => self.settings.account.clone(),
        };
        let counts = self.store.risk_counts(user).await?;
        Ok(Standing { limits, counts, day: self.days.shown(user).await? })
    }

    async fn try_judge(&self, entry: &Candidate<'_>) -> Result<Verdict, RiskError> {
        let (user, strategy) = (entry.key.user, entry.key.strategy);
        let (own, account) = (self.limits_of(user).await?, &self.settings.account);
        if own.are_none() && account.are_none() {
            return Ok(Verdict::without_limits(entry.intent.clone()));
        }
        // Never closed, so this always holds.
        let _place = self.places.acquire().await;
        let last_price = match [&own, account].iter().any(|limits| needs_price(limits)) {
            true => self.last_price(entry).await?,
            false => None,
        };
        let known = Exposure { last_price, reference_price: entry.reference_price, ..Exposure::default() };
        let of_user = Exposure { day_gain: self.worst_for(&own, Some(user)).await?, ..known };
        let of_all = Exposure { day_gain: self.worst_for(account, None).await?, ..known };
        let judge = |user: Counts, all: Counts| {
            let (of_user, of_all) = (counted(of_user, user), counted(of_all, all));
            let checks = [
                Check { scope: Scope::User, limits: &own, exposure: &of_user },
                Check { scope: Scope::Account, limits: account, exposure: &of_all },
            ];
            approve(entry.intent.clone(), &checks)
        };
        let asking = Asking { user, strategy, cycle: entry.cycle, client_order_id: &entry.intent.client_order_id };
        let judged = self.store.approve_entry(asking, !account.are_none(), judge).await?;
        Ok(judged.map_or_else(Verdict::from, Verdict::Approved))
    }

    async fn worst_for(&self, limits: &Limits, user: Option<&str>) -> Result<Option<strat_core::Money>, RiskError> {
        match limits.max_daily_loss {
            Some(_) => Ok(self.days.gain_of(user).await?.map(|day| day.worst)),
            None => Ok(None),
        }
    }

    async fn last_price(&self, entry: &Candidate<'_>) -> Result<Option<Price>, RiskError> {
        let name = key::price(entry.key.prefix, &entry.intent.symbol);
        let text: Option<String> = redis::cmd("GET").arg(name).query_async(&mut self.redis.clone()).await?;
        // A text that is no price is none.
        Ok(text.and_then(|text| text.parse().ok()))
    }
}

/// Limits with what was said of a user over them. What was said is checked when it is said.
fn over(limits: &Limits, changes: &Changes) -> Result<Limits, RiskError> {
    let changes = changes.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    limits.with(changes).map_err(|why| RiskError::Bad(format!("a limit in risk_limits {why}")))
}

const fn needs_price(limits: &Limits) -> bool {
    limits.max_notional.is_some() || limits.price_collar_percent.is_some()
}

const fn counted(exposure: Exposure, counts: Counts) -> Exposure {
    let Counts { open_positions, orders_last_minute } = counts;
    Exposure { open_positions, orders_last_minute, ..exposure }
}

#[async_trait]
impl EntryRisk for RiskDesk {
    async fn judge(&self, entry: Candidate<'_>) -> Verdict {
        match timeout(ANSWER_MAX, self.try_judge(&entry)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                tracing::warn!(key = entry.key.hash(), %error, "an entry waits: its limits cannot be judged now");
                Verdict::Later("its limits cannot be judged now; the log says why")
            }
            Err(_) => Verdict::Later("what its limits depend on did not come in time"),
        }
    }
}
