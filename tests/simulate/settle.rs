//! A model of the reconciliation with the broker: what it has and we have not heard of.

use crate::effects::Fate;
use crate::recon::{Pass, Stage, user_of};
use crate::world::World;
use std::collections::BTreeMap;
use strat_client::ReportRequest;
use strat_core::order::OrderIdentity;
use strat_core::{Action, ExecType, Leg, Quantity, Strategy, StrategyKey};
use strat_engine::broker::{BrokerPosition, OrderSide, OrderState};
use strat_engine::executor::Job;
use strat_engine::reconcile::{differences, exit_in_hand, exit_of, own_order};

/// An order that the broker has listed and that is news, and whose it is where Postgres knows.
#[derive(Debug)]
pub(crate) struct Listed {
    user: String,
    state: OrderState,
    key: Option<String>,
}

/// A strategy whose lock a reconciliation holds, to report its attempt dead.
#[derive(Debug)]
pub(crate) struct Claimed {
    key: String,
    token: String,
    attempt: u64,
    shows: bool,
}

impl World {
    /// One look at the broker's orders; false where it gives no answer and nothing may be sent before.
    pub(crate) fn list_orders(&mut self, engine: usize, pass: &mut Pass) -> bool {
        if self.fate_at_broker() != Fate::Answered {
            return self.engines[engine].gate.as_ref() == Some(&pass.epoch);
        }
        for at in 0..self.broker.orders.len() {
            let order = &self.broker.orders[at];
            let fresh = self.now_ms - order.sent_ms < self.broker.settle_ms;
            let (user, state) = (order.request.user.clone(), order.state.clone());
            if fresh && !self.healed && self.random.chance(40) {
                continue;
            }
            let known = self.postgres.known_order(&state.client_order_id).cloned();
            match &known {
                Some(known) if known.cum_qty > state.cum_qty => {
                    self.tell_order(&state, "the broker knows of fewer fills");
                }
                Some(known) if known.cum_qty == state.cum_qty && (known.ended || !state.status.is_terminal()) => {}
                _ => pass.listed.push_back(Listed { user, state, key: known.map(|known| known.key) }),
            }
        }
        true
    }

    /// The next order of the listing.
    pub(crate) fn settle_next(&mut self, engine: usize, pass: &mut Pass) -> Stage {
        let Some(mut listed) = pass.listed.pop_front() else {
            self.compare_positions(engine, pass);
            return Stage::Close;
        };
        listed.key = listed.key.or_else(|| self.owner_of(&listed.user, &listed.state.client_order_id));
        let Some(key) = listed.key.clone() else {
            self.tell_order(&listed.state, "an order that is not ours");
            return Stage::Order;
        };
        if let Some(claimed) = self.claim_behind(engine, &key, &listed.state) {
            pass.claimed = Some(claimed);
            pass.listed.push_front(listed);
            return Stage::Dead;
        }
        self.settle_order(engine, &key, &listed.state, pass);
        Stage::Order
    }

    /// What the accounts hold, compared with what the strategies held when the pass began. What lasts is told.
    fn compare_positions(&mut self, engine: usize, pass: &Pass) {
        let mut accounts: BTreeMap<(String, String), Quantity> = BTreeMap::new();
        for order in &self.broker.orders {
            let account = (order.request.user.clone(), order.request.symbol.clone());
            let sum = accounts.entry(account).or_insert(Quantity::ZERO);
            *sum = match order.request.side {
                OrderSide::Buy => sum.plus(order.state.cum_qty),
                OrderSide::Sell => sum.net(order.state.cum_qty),
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
            .find(|(key, state)| state.as_ref().is_ok_and(|state| own(key, state, id).is_some()))
            .map(|(key, _)| key)
    }

    fn settle_order(&mut self, engine: usize, key: &str, state: &OrderState, pass: &mut Pass) {
        if self.redis.lock_of(key, self.now_ms).is_some() || self.engines[engine].tracks(key) {
            return;
        }
        let Some(strategy) = self.redis.strategy(key) else {
            return self.tell_order(state, "fills of a strategy that is gone");
        };
        if strategy.pending.is_some() || strategy.working.is_some() {
            return;
        }
        match own(key, &strategy, &state.client_order_id) {
            Some((Leg::Exit, attempt)) if strategy.position.is_open() && attempt == strategy.attempt => {
                pass.jobs.push(Job::unasked(key.to_owned(), exit_of(&strategy, state), strategy.cycle));
            }
            Some((Leg::Entry, _)) if strategy.position.is_open() => self.report_late(engine, key, &strategy, state),
            _ if state.cum_qty == Quantity::ZERO => {}
            _ => self.tell_order(state, "fills that no strategy accounts for"),
        }
    }

    /// The strategy, where the broker's order is a later attempt of its exit.
    fn behind(&self, key: &str, state: &OrderState) -> Option<Strategy> {
        let strategy = self.redis.strategy(key)?;
        let own = own(key, &strategy, &state.client_order_id);
        matches!(own, Some((Leg::Exit, attempt)) if attempt > strategy.attempt).then_some(strategy)
    }

    /// The broker has a later attempt than the strategy knows of: those before it are dead, and are reported so under the
    /// strategy's lock.
    fn claim_behind(&mut self, engine: usize, key: &str, state: &OrderState) -> Option<Claimed> {
        let strategy = self.behind(key, state)?;
        let (now, found) = (self.now_ms, &mut self.engines[engine].found);
        let since = *found.entry(state.client_order_id.clone()).or_insert(now);
        let entry_works = strategy.working.is_some_and(|action| action.leg(strategy.side) == Leg::Entry);
        if !strategy.position.is_open() || entry_works {
            return None;
        }
        let fate = self.fate_at_redis(engine, true);
        let (owner, epoch) = (format!("e{engine}"), self.redis.epoch.clone());
        let exit = (exit_in_hand(&strategy), owner.as_str());
        let lock = fate.happens().then(|| self.redis.lock(key, exit, crate::engine::TTL_MS, &epoch, now))?;
        let token = lock.ok().flatten().filter(|_| fate == Fate::Answered)?;
        let shows = now - since >= self.plan.settle_ms;
        Some(Claimed { key: key.to_owned(), token, attempt: strategy.attempt, shows })
    }

    /// Reports how the attempt ended that a claimed strategy is at; the order that it is behind is looked at again.
    pub(crate) fn tell_death(&mut self, engine: usize, pass: &mut Pass) -> Stage {
        let (Some(claimed), Some(listed)) = (pass.claimed.take(), pass.listed.pop_front()) else { return Stage::Order };
        let Claimed { key, token, attempt, shows } = claimed;
        let strategy = self.behind(&key, &listed.state).filter(|strategy| strategy.attempt == attempt);
        let dead = strategy.and_then(|strategy| self.end_of(&key, &strategy, shows));
        let fate = self.fate_at_redis(engine, true);
        let Some(dead) = dead.filter(|_| fate.happens()) else {
            self.redis.unlock(&key, &token, self.now_ms);
            return Stage::Order;
        };
        let done = self.redis.report(&key, &token, &dead, self.now_ms);
        self.say(|| format!("reconcile {key}: attempt {attempt} is dead: {done:?}"));
        if done.is_ok() {
            self.declared(&dead);
        }
        if done.is_ok() && fate == Fate::Answered {
            pass.listed.push_front(listed);
        }
        Stage::Order
    }

    /// How the attempt ended that the strategy is at, as far as the broker says. `shows`: what it denies never was accepted.
    fn end_of(&mut self, key: &str, strategy: &Strategy, shows: bool) -> Option<ReportRequest> {
        let key = StrategyKey::parse(key)?;
        let identity = OrderIdentity { key, cycle: strategy.cycle, leg: Leg::Exit, attempt: strategy.attempt };
        let id = identity.client_order_id();
        if self.fate_at_broker() != Fate::Answered {
            return None;
        }
        let Some(state) = self.broker.lookup(&id, self.now_ms, &mut self.random) else {
            return shows.then(|| ReportRequest::new(ExecType::Rejected).order_id(id).text("later attempt"));
        };
        let report = ReportRequest::new(state.status).order_id(id).text("later attempt").ts_ms(state.ts_ms);
        state.status.is_terminal().then(|| match state.avg_px.filter(|_| state.cum_qty > Quantity::ZERO) {
            Some(price) => report.cumulative(state.cum_qty, price),
            None => report,
        })
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
        if done.is_ok() {
            self.declared(&report);
        }
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

fn own(key: &str, strategy: &Strategy, id: &str) -> Option<(Leg, u64)> {
    own_order(StrategyKey::parse(key)?, strategy, id)
}
