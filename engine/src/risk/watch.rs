//! Looks every second whether a day has lost as much as it may: entries stop by themselves then, and what is open is squared off
//! where that was asked for. One engine of several does it.

use super::{RiskDesk, RiskError, over};
use crate::store::Changes;
use crate::strategies::Desk;
use crate::sync::SyncHandle;
use crate::upkeep::Duty;
use futures_util::stream::{self, StreamExt as _};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use strat_client::Connection;
use strat_core::risk::{Limits, OnDailyLoss, Rule};
use strat_core::{Money, StrategyKey};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time between two times that old approvals are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// Strategies squared off in one look; the next look takes the rest.
const SQUARED_OFF_MAX: i64 = 500;
/// Commands at the same time.
const AT_A_TIME: usize = 16;

/// The watch over daily losses.
pub struct RiskWatch {
    desk: RiskDesk,
    exits: Desk<Connection>,
    sync: SyncHandle,
    /// The day that the next two are of.
    day: Option<Date>,
    /// Who has lost as much as he may, said once.
    told: BTreeSet<Option<String>>,
    /// The worst of the day that is noted: nothing is written that is known.
    noted: BTreeMap<Option<String>, Money>,
    forgot: Option<Instant>,
}

impl RiskWatch {
    /// A watch that has not begun. `exits` squares off.
    #[must_use]
    pub(crate) fn new(desk: RiskDesk, exits: Desk<Connection>, sync: SyncHandle) -> Self {
        let (told, noted) = (BTreeSet::new(), BTreeMap::new());
        Self { desk, exits, sync, day: None, told, noted, forgot: None }
    }

    /// Works until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut duty = Duty::new(LOOK_EVERY, self.sync.clone(), cancel.clone());
        while duty.comes().await {
            match cancel.run_until_cancelled(self.look()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "daily losses cannot be watched now; the next look tries again")
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), RiskError> {
        if self.forgot.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            self.desk.store.forget_approvals().await?;
            self.forgot = Some(Instant::now());
        }
        let said = self.desk.store.all_risk_changes().await?;
        let limited = |limits: &Limits| limits.max_daily_loss.is_some();
        if !limited(&self.desk.settings.each_user)
            && !limited(&self.desk.settings.account)
            && !said.values().any(|changes| changes.contains_key(Rule::MaxDailyLoss.as_str()))
        {
            return Ok(());
        }
        let today = self.desk.days.date()?;
        if self.day.replace(today) != Some(today) {
            self.told.clear();
            self.noted.clear();
        }
        for (who, gains) in self.desk.days.all().await? {
            self.judge(who, gains, &said).await?;
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        who: Option<String>,
        gains: (Money, Money),
        said: &BTreeMap<String, Changes>,
    ) -> Result<(), RiskError> {
        let limits = match &who {
            Some(user) => over(&self.desk.settings.each_user, said.get(user).unwrap_or(&Changes::new()))?,
            None => self.desk.settings.account.clone(),
        };
        let Some(max) = limits.max_daily_loss else { return Ok(()) };
        let known = self.noted.get(&who).copied().filter(|noted| *noted <= gains.0 + gains.1);
        let worst = match known {
            Some(worst) => worst,
            // Worse than before; or the first look, which asks what the day was like.
            None => self.desk.days.note(who.as_deref(), gains).await?.worst,
        };
        self.noted.insert(who.clone(), worst);
        let lost = Money::ZERO - worst;
        if lost < max {
            self.told.remove(&who);
            return Ok(());
        }
        if self.told.insert(who.clone()) {
            let (user, lost) = (who.as_deref().unwrap_or("(the account)"), lost.to_string());
            tracing::error!(user, lost, limit = %max, "DAILY LOSS REACHED: entries stop for today");
        }
        if limits.on_daily_loss == OnDailyLoss::SquareOff {
            self.square_off(who.as_deref()).await?;
        }
        Ok(())
    }

    /// Stops what is in the market; what it holds is squared off.
    async fn square_off(&self, user: Option<&str>) -> Result<(), RiskError> {
        let found = self.desk.store.in_market(user, SQUARED_OFF_MAX).await?;
        let stops = found.into_iter().map(|(user, strategy)| stop(self.exits.clone(), user, strategy));
        stream::iter(stops).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
        Ok(())
    }
}

async fn stop(exits: Desk<Connection>, user: String, strategy: String) {
    match exits.stop(&StrategyKey { prefix: "", user: &user, strategy: &strategy }, false).await {
        Ok(_) => tracing::warn!(user, strategy, "squared off: the day has lost as much as it may"),
        Err(error) => tracing::error!(user, strategy, %error, "NOT SQUARED OFF YET; tried again in a second"),
    }
}
