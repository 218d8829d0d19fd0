//! Attempts that were lost: the broker has a later attempt of an exit than the strategy knows of.

use super::Reconciler;
use super::broker::own_order;
use super::compare::concerns_one_row;
use crate::broker::{BrokerError, BrokerOrder, OrderRef};
use crate::failure::sentence;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use std::time::Duration;
use strat_client::{LockToken, ReportRequest, StratCommands as _};
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Quantity, Strategy, StrategyKey};
use tokio::time::timeout;

/// Longest wait for a look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

impl Reconciler {
    /// An attempt follows only on the death of the one before. So those before the broker's are dead, and are reported so:
    /// sending one of them now would sell twice.
    ///
    /// Answers whether the strategy is where the broker is; otherwise the next reconciliation goes on.
    pub(super) async fn catch_up(&self, id: StrategyKey<'_>, order: &BrokerOrder) -> Result<bool> {
        let (key, mut redis) = (id.hash(), self.link.connection());
        let settings = self.executor.settings();
        while let Some(strategy) = self.behind(id, order).await? {
            let earlier_shows = self.executor.note_found(&order.state.client_order_id);
            let entry_works = strategy.working.is_some_and(|action| action.leg(strategy.side) == Leg::Entry);
            // Whoever carries the exit out ends the entry first.
            if !strategy.position.is_open() || entry_works {
                return Ok(true);
            }
            let lock = redis.strat_lock(&key, exit_in_hand(&strategy), &settings.owner, settings.lock_ttl, None).await;
            // Somebody is at it: what it sends, it looks up first.
            let Ok(Some(token)) = lock else { return Ok(false) };
            let told = self.tell_death(id, order, (strategy.attempt, earlier_shows), &token).await;
            if matches!(told, Ok(true)) {
                continue;
            }
            redis.strat_unlock(&key, &token).await?;
            return match told {
                // It says no to this report: its own trouble, and nobody else's.
                Err(error) if concerns_one_row(&error) => {
                    tracing::error!(key, error = sentence(&error), "AN EXIT'S DEATH COULD NOT BE REPORTED");
                    Ok(false)
                }
                told => told,
            };
        }
        Ok(true)
    }

    /// The strategy, where the broker's order is a later attempt of its exit.
    async fn behind(&self, id: StrategyKey<'_>, order: &BrokerOrder) -> Result<Option<Strategy>> {
        let Some(hash) = self.link.connection().strat_get(&id.hash()).await? else { return Ok(None) };
        let Ok(strategy) = hash.state() else { return Ok(None) };
        let own = own_order(id, &strategy, &order.state.client_order_id);
        let later = matches!(own, Some((Leg::Exit, attempt)) if attempt > strategy.attempt);
        Ok((later && self.is_of_now(&strategy, order)).then_some(strategy))
    }

    /// Reports how the attempt ended that the strategy is at, under its lock; false where that is not known, or where it is
    /// at another attempt by now. `earlier_shows`: an attempt that the broker denies never was accepted.
    async fn tell_death(
        &self,
        id: StrategyKey<'_>,
        order: &BrokerOrder,
        (attempt, earlier_shows): (u64, bool),
        token: &LockToken,
    ) -> Result<bool> {
        let Some(strategy) = self.behind(id, order).await?.filter(|strategy| strategy.attempt == attempt) else {
            return Ok(false);
        };
        let Some(dead) = self.end_of(id, &strategy, earlier_shows).await? else { return Ok(false) };
        let key = id.hash();
        self.link.connection().strat_report(&key, token, &dead).await?;
        let found = &order.state.client_order_id;
        tracing::warn!(key, attempt, order = found, "the broker has a later attempt of an exit than Redis knew of");
        Ok(true)
    }
}

impl Reconciler {
    /// How the attempt ended that the strategy is at: as the broker says, or without a trace. `None` where the broker says
    /// that it has not, or may not show it yet.
    async fn end_of(&self, id: StrategyKey<'_>, strategy: &Strategy, shows: bool) -> Result<Option<ReportRequest>> {
        const WHY: &str = "the broker has a later attempt of this exit";
        let identity = OrderIdentity { key: id, cycle: strategy.cycle, leg: Leg::Exit, attempt: strategy.attempt };
        let client_order_id = identity.client_order_id();
        let name = OrderRef { client_order_id: &client_order_id, user: id.user, symbol: &strategy.symbol };
        let looked = timeout(LOOKUP_TIMEOUT, self.broker.lookup(name)).await;
        let looked = looked.unwrap_or_else(|_| Err(BrokerError::Unknown("no answer in time".to_owned())));
        Ok(
            match looked.map_err(|error| eyre!("the broker does not say how order {client_order_id} ended: {error}"))? {
                None => shows.then(|| ReportRequest::new(ExecType::Rejected).order_id(client_order_id).text(WHY)),
                Some(state) if state.status.is_terminal() => {
                    let report =
                        ReportRequest::new(state.status).order_id(client_order_id).ts_ms(state.ts_ms).text(WHY);
                    Some(match state.avg_px.filter(|_| state.cum_qty > Quantity::ZERO) {
                        Some(price) => report.cumulative(state.cum_qty, price),
                        None => report,
                    })
                }
                Some(_) => None,
            },
        )
    }
}

/// The exit that can be claimed.
#[must_use]
pub fn exit_in_hand(strategy: &Strategy) -> Action {
    let exit = |action: &Action| action.leg(strategy.side) == Leg::Exit;
    let in_flight = strategy.working.filter(exit).or(strategy.pending.filter(exit));
    in_flight.or(strategy.retry_action).unwrap_or_else(|| Action::timed_exit(strategy.side))
}
