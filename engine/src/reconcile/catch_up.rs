//! Attempts that were lost: the broker has a later attempt of an exit than the strategy knows of.

use super::Reconciler;
use super::broker::own_order;
use crate::broker::BrokerOrder;
use color_eyre::Result;
use strat_client::{ReportRequest, StratCommands as _};
use strat_core::{Action, ExecType, Leg, Strategy, StrategyKey};

impl Reconciler {
    /// An attempt follows only on the death of the one before. So those before the broker's are dead, and are reported so:
    /// sending one of them now would sell twice.
    pub(super) async fn catch_up(&self, id: StrategyKey<'_>, order: &BrokerOrder) -> Result<()> {
        let (key, mut redis) = (id.hash(), self.link.connection());
        let settings = self.executor.settings();
        loop {
            let Some(hash) = redis.strat_get(&key).await? else { return Ok(()) };
            let Ok(strategy) = hash.state() else { return Ok(()) };
            let behind = match own_order(id, &strategy, &order.state.client_order_id) {
                Some((Leg::Exit, attempt)) => attempt > strategy.attempt && strategy.position.is_open(),
                _ => false,
            };
            if !behind {
                return Ok(());
            }
            let lock = redis.strat_lock(&key, exit_in_hand(&strategy), &settings.owner, settings.lock_ttl, None).await;
            // Somebody is at it: what it sends, it looks up first.
            let Ok(Some(token)) = lock else { return Ok(()) };
            let dead = ReportRequest::new(ExecType::Rejected).text("the broker has a later attempt of this exit");
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

/// The exit that can be claimed.
fn exit_in_hand(strategy: &Strategy) -> Action {
    let exit = |action: &Action| action.leg(strategy.side) == Leg::Exit;
    let in_flight = strategy.working.filter(exit).or(strategy.pending.filter(exit));
    in_flight.or(strategy.retry_action).unwrap_or_else(|| Action::timed_exit(strategy.side))
}
