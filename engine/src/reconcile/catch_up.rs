//! Attempts that were lost: the broker has a later attempt of an exit than the strategy knows of.

use super::Reconciler;
use super::broker::own_order;
use crate::broker::{BrokerError, BrokerOrder, OrderRef};
use color_eyre::Result;
use color_eyre::eyre::eyre;
use std::time::Duration;
use strat_client::{ReportRequest, StratCommands as _};
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Quantity, Strategy, StrategyKey};
use tokio::time::timeout;

/// Longest wait for a look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

impl Reconciler {
    /// An attempt follows only on the death of the one before. So those before the broker's are dead, and are reported so:
    /// sending one of them now would sell twice.
    pub(super) async fn catch_up(&self, id: StrategyKey<'_>, order: &BrokerOrder) -> Result<()> {
        let (key, mut redis) = (id.hash(), self.link.connection());
        let settings = self.executor.settings();
        loop {
            let Some(hash) = redis.strat_get(&key).await? else { return Ok(()) };
            let Ok(strategy) = hash.state() else { return Ok(()) };
            let own = own_order(id, &strategy, &order.state.client_order_id);
            if !matches!(own, Some((Leg::Exit, attempt)) if attempt > strategy.attempt) {
                return Ok(());
            }
            self.executor.note_found(&order.state.client_order_id);
            if !strategy.position.is_open() {
                return Ok(());
            }
            let Some(dead) = self.end_of(id, &strategy).await? else { return Ok(()) };
            let lock = redis.strat_lock(&key, exit_in_hand(&strategy), &settings.owner, settings.lock_ttl, None).await;
            // Somebody is at it: what it sends, it looks up first.
            let Ok(Some(token)) = lock else { return Ok(()) };
            redis.strat_report(&key, &token, &dead).await?;
            tracing::warn!(
                key,
                attempt = strategy.attempt,
                order = order.state.client_order_id,
                "the broker has a later attempt of an exit than Redis knew of"
            );
        }
    }
}

impl Reconciler {
    /// How the attempt ended that the strategy is at: as the broker says, or without a trace. `None` where the broker says
    /// that it has not.
    async fn end_of(&self, id: StrategyKey<'_>, strategy: &Strategy) -> Result<Option<ReportRequest>> {
        const WHY: &str = "the broker has a later attempt of this exit";
        let identity = OrderIdentity { key: id, cycle: strategy.cycle, leg: Leg::Exit, attempt: strategy.attempt };
        let client_order_id = identity.client_order_id();
        let name = OrderRef { client_order_id: &client_order_id, user: id.user, symbol: &strategy.symbol };
        let looked = timeout(LOOKUP_TIMEOUT, self.broker.lookup(name)).await;
        let looked = looked.unwrap_or_else(|_| Err(BrokerError::Unknown("no answer in time".to_owned())));
        Ok(
            match looked.map_err(|error| eyre!("the broker does not say how order {client_order_id} ended: {error}"))? {
                None => Some(ReportRequest::new(ExecType::Rejected).order_id(client_order_id).text(WHY)),
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
fn exit_in_hand(strategy: &Strategy) -> Action {
    let exit = |action: &Action| action.leg(strategy.side) == Leg::Exit;
    let in_flight = strategy.working.filter(exit).or(strategy.pending.filter(exit));
    in_flight.or(strategy.retry_action).unwrap_or_else(|| Action::timed_exit(strategy.side))
}
