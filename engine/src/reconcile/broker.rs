//! Reconciliation with the broker: orders and their fills; then positions, in `positions`.
//!
//! What the broker has and we have not heard of is told to its strategy, where that is certain: the order's id is the
//! strategy's own of the current cycle. Everything else is reported, and never guessed at or acted upon.

use super::Reconciler;
use super::audit::{accounts_for, row_of};
use crate::broker::{BrokerOrder, OrderState};
use crate::executor::Job;
use crate::executor::machine::LATER_ATTEMPTS_MAX;
use crate::store::{KnownOrder, OrderRow};
use color_eyre::Result;
use std::collections::{BTreeMap, BTreeSet};
use strat_client::{ReportRequest, StratCommands as _};
use strat_core::order::OrderIdentity;
use strat_core::{Action, Leg, Quantity, Strategy, StrategyKey};

/// Orders of an account settled in one pass; the next one goes on.
const SETTLED_MAX: usize = 1_000;
/// Dead attempts before the current one among which an order is looked for.
const ATTEMPTS_MAX: u64 = 32;
/// Findings remembered as told; beyond that they are told again.
const TOLD_MAX: usize = 10_000;

/// What was told already, so that each thing is told once.
#[derive(Debug, Default)]
pub(super) struct Told {
    orders: BTreeSet<String>,
    /// Differences of the last pass: only one that lasts is told.
    pub(super) positions: BTreeMap<(String, String), (Quantity, Quantity)>,
    pub(super) told_positions: BTreeSet<(String, String)>,
}

/// Our word on an order of the broker's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// Nothing new in it.
    Known,
    /// Its fills or its end have not been reported.
    Behind,
    /// We have never heard of it.
    Unknown,
    /// We know of more than the broker does.
    Ahead,
}

fn judge(order: &BrokerOrder, known: Option<&KnownOrder>) -> Finding {
    let Some(known) = known else { return Finding::Unknown };
    let ended = order.state.status.is_terminal();
    match order.state.cum_qty.cmp(&known.cum_qty) {
        std::cmp::Ordering::Less => Finding::Ahead,
        std::cmp::Ordering::Greater => Finding::Behind,
        std::cmp::Ordering::Equal if ended && !known.ended => Finding::Behind,
        std::cmp::Ordering::Equal => Finding::Known,
    }
}

/// Which order of a strategy's current cycle this is: the leg and the attempt.
#[must_use]
pub fn own_order(key: StrategyKey<'_>, strategy: &Strategy, client_order_id: &str) -> Option<(Leg, u64)> {
    let of = |leg, attempt| OrderIdentity { key, cycle: strategy.cycle, leg, attempt };
    if of(Leg::Entry, 0).client_order_id() == client_order_id {
        return Some((Leg::Entry, 0));
    }
    // Later ones too: Redis and Postgres may have lost the death of attempts that the broker has seen.
    let exit = of(Leg::Exit, strategy.attempt);
    exit.attempt_of(client_order_id, (ATTEMPTS_MAX, LATER_ATTEMPTS_MAX)).map(|attempt| (Leg::Exit, attempt))
}

/// Which exit an order was, as far as it can be told: nobody but the engine that sent it knows for certain.
#[must_use]
pub fn exit_of(strategy: &Strategy, state: &OrderState) -> Action {
    let by_price = || state.avg_px.and_then(|price| strategy.crossed_by(price, None));
    strategy.retry_action.or_else(by_price).unwrap_or_else(|| Action::timed_exit(strategy.side))
}

impl Reconciler {
    /// One look at what an account has told. Jobs for what is not reported yet go to the executor.
    ///
    /// # Errors
    /// Where the broker, Redis or Postgres gives no answer.
    pub(super) async fn settle_listed(&self, listed: Vec<BrokerOrder>) -> Result<()> {
        let ids: Vec<String> = listed.iter().map(|order| order.state.client_order_id.clone()).collect();
        let known = self.store.known_orders(&ids).await?;
        let (mut settled, mut lost) = (0, Vec::new());
        for order in listed {
            let id = order.state.client_order_id.as_str();
            let finding = judge(&order, known.get(id));
            if finding == Finding::Known || settled >= SETTLED_MAX {
                continue;
            }
            settled += 1;
            if finding == Finding::Ahead {
                self.tell_order(
                    &order,
                    "THE BROKER KNOWS OF FEWER FILLS THAN WERE REPORTED: compare its books with table orders",
                );
                continue;
            }
            let owner = match known.get(id) {
                Some(known) => Some(known.key.clone()),
                None => self.owner_of(&order).await?,
            };
            match owner {
                Some(key) => lost.extend(self.settle_order(&key, &order).await?),
                None => self.tell_order(&order, "THE BROKER HAS AN ORDER THAT IS NOT OURS: it is left alone"),
            }
        }
        self.write_lost(&lost).await;
        Ok(())
    }

    /// The strategy whose order this is, among its user's.
    async fn owner_of(&self, order: &BrokerOrder) -> Result<Option<String>> {
        for row in self.store.of_user(&order.user).await? {
            let key = row.key();
            let (Some(id), Ok(strategy)) = (StrategyKey::parse(&key), row.state()) else { continue };
            if own_order(id, &strategy, &order.state.client_order_id).is_some() {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// A strategy that nobody is at and that has nothing in flight.
    async fn at_rest(&self, id: StrategyKey<'_>, order: &BrokerOrder) -> Result<Option<Strategy>> {
        let key = id.hash();
        let mut redis = self.link.connection();
        let locked: bool =
            redis::cmd("EXISTS").arg(id.lock()).query_async(&mut redis).await.map_err(strat_client::Error::from)?;
        if locked || self.executor.tracks(&key) {
            return Ok(None);
        }
        let Some(hash) = redis.strat_get(&key).await? else {
            self.tell_order(order, "THE BROKER HAS FILLS OF A STRATEGY THAT IS GONE: nobody guards them");
            return Ok(None);
        };
        // In flight: its queue entry, or the hand-over of orphans, brings it to the executor.
        Ok(hash.state().ok().filter(|strategy| strategy.pending.is_none() && strategy.working.is_none()))
    }

    /// Sees to it that a strategy hears of its order, unless somebody is at it. Where it has heard, and only Postgres has
    /// not, answers the row.
    async fn settle_order(&self, key: &str, order: &BrokerOrder) -> Result<Option<OrderRow>> {
        let Some(id) = StrategyKey::parse(key) else { return Ok(None) };
        if !self.catch_up(id, order).await? {
            return Ok(None);
        }
        let Some(strategy) = self.at_rest(id, order).await? else { return Ok(None) };
        let of_now = self.is_of_now(&strategy, order);
        match own_order(id, &strategy, &order.state.client_order_id) {
            Some((leg, attempt)) if of_now && accounts_for(&strategy, leg, attempt, &order.state) => {
                Ok(row_of(id, &strategy, leg, attempt, order))
            }
            own => self.settle_at_rest(key, &strategy, own, order).await.map(|()| None),
        }
    }

    /// Whether an order is of the strategy's cycle by its time too. An older one has the same id, but is of the time before
    /// the strategy was deleted and created again.
    pub(super) fn is_of_now(&self, strategy: &Strategy, order: &BrokerOrder) -> bool {
        let skew = i64::try_from(self.broker.clock_skew().as_millis()).unwrap_or(i64::MAX);
        strategy.cycle_at.is_none_or(|began| order.state.ts_ms.saturating_add(skew) >= began)
    }

    /// Tells a strategy with nothing in flight of an order that it does not account for.
    async fn settle_at_rest(
        &self,
        key: &str,
        strategy: &Strategy,
        own: Option<(Leg, u64)>,
        order: &BrokerOrder,
    ) -> Result<()> {
        match own {
            Some((Leg::Exit, attempt)) if strategy.position.is_open() && attempt == strategy.attempt => {
                let action = exit_of(strategy, &order.state);
                // A full channel: the next reconciliation tries again.
                if self.adopted.try_send(Job::unasked(key.to_owned(), action, strategy.cycle)).is_ok() {
                    tracing::warn!(key, order = order.state.client_order_id, status = %order.state.status, "the broker has an exit that was not reported; the executor looks it up");
                }
                Ok(())
            }
            Some((Leg::Entry, _)) if strategy.position.is_open() => self.report_late(key, strategy, order).await,
            _ if order.state.cum_qty == Quantity::ZERO => Ok(()),
            _ => {
                self.tell_order(
                    order,
                    "THE BROKER HAS FILLS THAT NO STRATEGY ACCOUNTS FOR: compare its positions and trade by hand",
                );
                Ok(())
            }
        }
    }

    /// An entry that filled on after its end was reported: what it filled is held, so it is guarded and sold with the rest.
    async fn report_late(&self, key: &str, strategy: &Strategy, order: &BrokerOrder) -> Result<()> {
        let Some(price) = order.state.avg_px else { return Ok(()) };
        let mut redis = self.link.connection();
        let settings = self.executor.settings();
        // The lock of an exit: its holder may report on the entry.
        let token = redis.strat_lock(key, Action::SquareOff, &settings.owner, settings.lock_ttl, None).await;
        let Ok(Some(token)) = token else { return Ok(()) };
        let state = &order.state;
        let report = ReportRequest::new(state.status)
            .action(Action::entry(strategy.side))
            .order_id(&state.client_order_id)
            .cumulative(state.cum_qty, price)
            .ts_ms(state.ts_ms);
        let outcome = redis.strat_report(key, &token, &report).await;
        redis.strat_unlock(key, &token).await?;
        outcome?;
        tracing::warn!(key, order = state.client_order_id, filled = %state.cum_qty, "an entry filled on after its end; what it filled is guarded");
        Ok(())
    }

    fn tell_order(&self, order: &BrokerOrder, what: &'static str) {
        let mut told = self.told();
        if told.orders.len() >= TOLD_MAX {
            told.orders.clear();
        }
        let state = &order.state;
        if told.orders.insert(format!("{} {}", state.client_order_id, state.cum_qty)) {
            tracing::error!(user = order.user, symbol = order.symbol, order = state.client_order_id, status = %state.status, quantity = %order.quantity, filled = %state.cum_qty, "{what}");
        }
    }

    pub(super) fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::OrderSide;
    use strat_core::ExecType;

    fn order(status: ExecType, cum: &str) -> BrokerOrder {
        let state = OrderState {
            client_order_id: "X".into(),
            status,
            cum_qty: cum.parse().unwrap(),
            avg_px: None,
            text: String::new(),
            ts_ms: 1,
        };
        let quantity = "10".parse().unwrap();
        BrokerOrder { user: "alice".into(), symbol: "IBM".into(), side: OrderSide::Buy, quantity, state }
    }

    #[test]
    fn only_what_was_not_reported_is_news() {
        let known = |cum: &str, ended| KnownOrder { key: "k".into(), cum_qty: cum.parse().unwrap(), ended };
        let judged = |order, known: Option<KnownOrder>| judge(&order, known.as_ref());
        assert_eq!(judged(order(ExecType::Fill, "10"), Some(known("10", true))), Finding::Known);
        assert_eq!(judged(order(ExecType::New, "0"), Some(known("0", false))), Finding::Known);
        assert_eq!(judged(order(ExecType::Canceled, "4"), Some(known("4", false))), Finding::Behind);
        assert_eq!(judged(order(ExecType::Fill, "10"), Some(known("4", true))), Finding::Behind);
        assert_eq!(judged(order(ExecType::Fill, "10"), None), Finding::Unknown);
        assert_eq!(judged(order(ExecType::New, "0"), Some(known("4", false))), Finding::Ahead);
    }

    #[test]
    fn an_order_belongs_to_the_current_cycle_or_to_nobody() {
        let key = StrategyKey::parse("user:alice:strategy:s1").unwrap();
        let strategy = |cycle: &str, attempt: &str| {
            let fields = [("symbol", "IBM"), ("quantity", "10"), ("cycle", cycle), ("attempt", attempt)];
            Strategy::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, v)| v.as_bytes())).unwrap()
        };
        let id = |cycle, leg, attempt| OrderIdentity { key, cycle, leg, attempt }.client_order_id();
        assert_eq!(own_order(key, &strategy("2", "1"), &id(2, Leg::Entry, 0)), Some((Leg::Entry, 0)));
        assert_eq!(own_order(key, &strategy("2", "1"), &id(2, Leg::Exit, 1)), Some((Leg::Exit, 1)));
        assert_eq!(own_order(key, &strategy("2", "1"), &id(2, Leg::Exit, 0)), Some((Leg::Exit, 0)));
        assert_eq!(
            own_order(key, &strategy("2", "1"), &id(2, Leg::Exit, 2)),
            Some((Leg::Exit, 2)),
            "Redis may have lost attempts"
        );
        assert_eq!(own_order(key, &strategy("2", "1"), &id(1, Leg::Entry, 0)), None);
    }
}
