//! A model of the reconciliation with the broker: what it has and we have not heard of.

use crate::effects::Fate;
use crate::recon::{Pass, user_of};
use crate::world::World;
use std::collections::BTreeMap;
use strat_client::ReportRequest;
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Quantity, Strategy, StrategyKey};
use strat_engine::broker::{BrokerPosition, OrderSide, OrderState};
use strat_engine::executor::Job;
use strat_engine::reconcile::differences;

impl World {
    /// One look at the broker's orders; false where it gives no answer and nothing may be sent before.
    pub(crate) fn settle_with_broker(&mut self, engine: usize, pass: &mut Pass) -> bool {
        let may_go_on = self.engines[engine].gate.as_ref() == Some(&pass.epoch);
        let odds = self.plan.odds.broker_lost;
        if self.broker.down || self.random.chance(odds) {
            return may_go_on;
        }
        for at in 0..self.broker.orders.len() {
            let order = &self.broker.orders[at];
            let fresh = self.now_ms - order.sent_ms < self.broker.settle_ms;
            let (user, state) = (order.request.user.clone(), order.state.clone());
            if fresh && !self.healed && self.random.chance(40) {
                continue;
            }
            let known = self.postgres.known_order(&state.client_order_id).cloned();
            let owner = match &known {
                Some(known) if known.cum_qty > state.cum_qty => {
                    self.tell_order(&state, "the broker knows of fewer fills");
                    continue;
                }
                Some(known) if known.cum_qty == state.cum_qty && (known.ended || !state.status.is_terminal()) => {
                    continue;
                }
                Some(known) => Some(known.key.clone()),
                None => self.owner_of(&user, &state.client_order_id),
            };
            match owner {
                Some(key) => self.settle_order(engine, &key, &state, pass),
                None => self.tell_order(&state, "an order that is not ours"),
            }
        }
        self.compare_positions(engine, pass);
        true
    }

    /// What the accounts hold, compared with what the strategies held when the pass began. What lasts is told.
    fn compare_positions(&mut self, engine: usize, pass: &Pass) {
        let mut accounts: BTreeMap<(String, String), Quantity> = BTreeMap::new();
        for order in &self.broker.orders {
            let account = (order.request.user.clone(), order.request.symbol.clone());
            let net = accounts.entry(account).or_insert(Quantity::ZERO);
            *net = match order.request.side {
                OrderSide::Buy => net.plus(order.state.cum_qty),
                OrderSide::Sell => net.minus(order.state.cum_qty),
            };
        }
        let listed = accounts.into_iter().map(|((user, symbol), quantity)| BrokerPosition { user, symbol, quantity });
        let now = differences(&pass.held, listed.collect());
        let before = std::mem::replace(&mut self.engines[engine].positions, now.clone());
        for (account, both) in now {
            if before.get(&account) == Some(&both) {
                self.told_position(&account.0, &account.1);
            }
        }
    }

    fn owner_of(&self, user: &str, id: &str) -> Option<String> {
        let rows = self.postgres.rows();
        let mine = rows.iter().filter(|row| row.user == user && !row.removed);
        mine.map(|row| (row.key(), row.state()))
            .find(|(key, state)| state.as_ref().is_ok_and(|state| own_order(key, state, id).is_some()))
            .map(|(key, _)| key)
    }

    fn settle_order(&mut self, engine: usize, key: &str, state: &OrderState, pass: &mut Pass) {
        self.catch_up(engine, key, state);
        if self.redis.lock_of(key, self.now_ms).is_some() || self.engines[engine].tracks(key) {
            return;
        }
        let Some(strategy) = self.redis.strategy(key) else {
            return self.tell_order(state, "fills of a strategy that is gone");
        };
        if strategy.pending.is_some() || strategy.working.is_some() {
            return;
        }
        match own_order(key, &strategy, &state.client_order_id) {
            Some(Leg::Exit) if strategy.position.is_open() => {
                let action = strategy.retry_action.unwrap_or_else(|| Action::timed_exit(strategy.side));
                pass.jobs.push(Job {
                    key: key.to_owned(),
                    action,
                    cycle: strategy.cycle,
                    ack: None,
                    must_query: true,
                    doubtful: false,
                    sent_ms: None,
                    entry_asked_ms: None,
                    unasked: true,
                    due_ms: None,
                });
            }
            Some(Leg::Entry) if strategy.position.is_open() => self.report_late(engine, key, &strategy, state),
            _ if state.cum_qty == Quantity::ZERO => {}
            _ => self.tell_order(state, "fills that no strategy accounts for"),
        }
    }

    /// How the attempt ended that the strategy is at.
    fn end_of(&self, key: &str, strategy: &Strategy) -> Option<ReportRequest> {
        let key = StrategyKey::parse(key)?;
        let identity = OrderIdentity { key, cycle: strategy.cycle, leg: Leg::Exit, attempt: strategy.attempt };
        let id = identity.client_order_id();
        let Some(order) = self.broker.orders.iter().rev().find(|order| order.request.client_order_id == id) else {
            return Some(ReportRequest::new(ExecType::Rejected).order_id(id).text("later attempt"));
        };
        let state = &order.state;
        let report = ReportRequest::new(state.status).order_id(id).text("later attempt").ts_ms(state.ts_ms);
        state.status.is_terminal().then(|| match state.avg_px.filter(|_| state.cum_qty > Quantity::ZERO) {
            Some(price) => report.cumulative(state.cum_qty, price),
            None => report,
        })
    }

    /// The broker has a later attempt than the strategy knows of: those before it are dead.
    fn catch_up(&mut self, engine: usize, key: &str, state: &OrderState) {
        loop {
            let Some(strategy) = self.redis.strategy(key) else { return };
            if later_attempt(key, &strategy, &state.client_order_id).is_none() {
                return;
            }
            self.engines[engine].found.insert(state.client_order_id.clone());
            if !strategy.position.is_open() || self.fate_at_redis(engine, true) != Fate::Answered {
                return;
            }
            let exit = |action: &Action| action.leg(strategy.side) == Leg::Exit;
            let in_flight = strategy.working.filter(exit).or(strategy.pending.filter(exit));
            let action = in_flight.or(strategy.retry_action).unwrap_or_else(|| Action::timed_exit(strategy.side));
            let (owner, epoch) = (format!("e{engine}"), self.redis.epoch.clone());
            let lock = self.redis.lock(key, (action, &owner), crate::engine::TTL_MS, &epoch, self.now_ms);
            let Ok(Some(token)) = lock else { return };
            let Some(dead) = self.end_of(key, &strategy) else { return };
            let done = self.redis.report(key, &token, &dead, self.now_ms);
            self.say(|| format!("reconcile {key}: attempt {} is dead: {done:?}", strategy.attempt));
            if done.is_err() {
                return;
            }
        }
    }

    /// An entry that filled on after its end was reported.
    fn report_late(&mut self, engine: usize, key: &str, strategy: &Strategy, state: &OrderState) {
        if self.fate_at_redis(engine, true) != Fate::Answered {
            return;
        }
        let Some(price) = state.avg_px else { return };
        let (owner, epoch) = (format!("e{engine}"), self.redis.epoch.clone());
        let lock = self.redis.lock(key, (Action::SquareOff, &owner), crate::engine::TTL_MS, &epoch, self.now_ms);
        let Ok(Some(token)) = lock else { return };
        let report = ReportRequest::new(state.status)
            .action(Action::entry(strategy.side))
            .order_id(&state.client_order_id)
            .cumulative(state.cum_qty, price)
            .ts_ms(state.ts_ms);
        let done = self.redis.report(key, &token, &report, self.now_ms);
        self.redis.unlock(key, &token, self.now_ms);
        self.say(|| format!("reconcile {key}: its entry filled on: {done:?}"));
    }

    fn tell_order(&mut self, state: &OrderState, what: &str) {
        let owner = self.broker.owners.get(&state.client_order_id).map(|(key, cycle, _)| (key.clone(), *cycle));
        if let Some((key, cycle)) = owner {
            self.say(|| format!("reconcile {key} ({}): told: {what}", user_of(&key)));
            self.alarm_of(&key, cycle, what);
        }
    }
}

/// Which order of a strategy's current cycle this is.
fn own_order(key: &str, strategy: &Strategy, id: &str) -> Option<Leg> {
    let key = StrategyKey::parse(key)?;
    let of = |leg, attempt| OrderIdentity { key, cycle: strategy.cycle, leg, attempt }.client_order_id();
    if of(Leg::Entry, 0) == id {
        return Some(Leg::Entry);
    }
    let known = of(Leg::Exit, strategy.attempt) == id || later_attempt(&key.hash(), strategy, id).is_some();
    known.then_some(Leg::Exit)
}

/// The attempt of an exit, if it is later than the strategy's.
fn later_attempt(key: &str, strategy: &Strategy, id: &str) -> Option<u64> {
    let key = StrategyKey::parse(key)?;
    let of = |attempt| OrderIdentity { key, cycle: strategy.cycle, leg: Leg::Exit, attempt }.client_order_id();
    (strategy.attempt + 1..=strategy.attempt + 8).find(|attempt| of(*attempt) == id)
}
