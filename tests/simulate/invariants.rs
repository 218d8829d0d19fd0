//! The promises, checked against what the broker knows.
//!
//! 1. At most one accepted order per id. 2. A crossed stop ends in an exit or an alarm. 3. Exits never exceed entries.
//! 4. A stale token or epoch changes nothing. 5. What is said to have ended has ended. 6. Nothing is lost.
//! 8. The book equals the hashes. L. Everything becomes quiet.

use crate::broker::Order;
use crate::engine::Standing;
use crate::recon::filled;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use strat_client::ReportRequest;
use strat_core::{Action, ExecType, Leg, Position, Quantity, Status, Strategy};
use strat_engine::executor::machine::Waits;

/// Between the last look-up before a request and the request itself, ms.
const LOOKED_MS: i64 = 1_000;

/// What was promised, and what was broken.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) broken: Vec<String>,
    /// Strategies and cycles of which somebody was told.
    alarms: BTreeMap<(String, u64), String>,
    /// Strategies and cycles whose stop was crossed, and who knows: Redis, or engines by their own copies alone.
    owed: BTreeMap<(String, u64), BTreeSet<Seer>>,
    sent: BTreeSet<(String, u64)>,
    /// Cycles that met limits of docs/guarantees.md.
    limits: BTreeSet<(String, u64, Limit)>,
    /// Accounts whose positions were told to differ, and when last.
    told_accounts: BTreeMap<(String, String), i64>,
    /// Orders that strategies were told to be rejected.
    rejected: BTreeSet<String>,
    /// When Redis came back with less than it had.
    losses: Vec<i64>,
}

/// Who saw that a level was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seer {
    Redis,
    Engine(usize),
}

/// What cannot be promised; docs/guarantees.md says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// The broker refused an attempt and took it later, and an engine without Redis sent an attempt at the same time.
    RefusalCrossed,
    /// Redis lost a position, and its user began the next cycle before anybody could restore it.
    BegunAnew,
    /// Redis lost what had fired, and Postgres had not heard of it.
    FiredAndLost,
}

impl Watch {
    pub(crate) fn wrong(&mut self, what: String) {
        if !self.broken.contains(&what) {
            self.broken.push(what);
        }
    }

    /// A level was crossed.
    pub(crate) fn owe_exit(&mut self, key: &str, cycle: u64, seer: Seer) {
        self.owed.entry((key.to_owned(), cycle)).or_default().insert(seer);
    }

    /// One of those who knew of a crossed level does not any more; true where it was the last, and nothing had been sent.
    fn forget(&mut self, what: &(String, u64), seer: Seer) -> bool {
        let Some(seers) = self.owed.get_mut(what).filter(|_| !self.sent.contains(what)) else { return false };
        let last = seers.remove(&seer) && seers.is_empty();
        if last {
            self.owed.remove(what);
        }
        last
    }

    /// An engine died: what it alone knew and had not sent is gone with it. Redis was away at the same time.
    pub(crate) fn forget_alone(&mut self, engine: usize) {
        for what in self.owed.keys().cloned().collect::<Vec<_>>() {
            self.forget(&what, Seer::Engine(engine));
        }
    }

    fn meet(&mut self, key: &str, cycle: u64, limit: Limit) {
        self.limits.insert((key.to_owned(), cycle, limit));
    }

    fn has_met(&self, key: &str, cycle: u64, limit: Limit) -> bool {
        self.limits.contains(&(key.to_owned(), cycle, limit))
    }

    /// Whether a cycle was begun on top of a position that Redis had lost.
    pub(crate) fn anew_on_a_loss(&self) -> bool {
        self.limits.iter().any(|(.., limit)| *limit == Limit::BegunAnew)
    }

    /// How many limits were met, counted by cycle.
    pub(crate) fn limits_met(&self) -> u64 {
        self.limits.len() as u64
    }

    pub(crate) fn exit_sent(&mut self, key: &str, cycle: u64) {
        self.sent.insert((key.to_owned(), cycle));
    }

    pub(crate) fn is_alarmed(&self, key: &str, cycle: u64) -> bool {
        self.alarms.contains_key(&(key.to_owned(), cycle))
    }
}

impl World {
    /// Somebody is told that a strategy needs a person.
    pub(crate) fn alarm(&mut self, key: &str, why: &str) {
        let cycle = self.redis.strategy(key).map_or(0, |known| known.cycle);
        self.alarm_of(key, cycle, why);
    }

    pub(crate) fn alarm_of(&mut self, key: &str, cycle: u64, why: &str) {
        self.say(|| format!("ALARM {key} cycle {cycle}: {why}"));
        self.watch.alarms.insert((key.to_owned(), cycle), why.to_owned());
    }

    /// An order was accepted.
    pub(crate) fn accepted(&mut self, at: usize) {
        let id = self.broker.orders[at].request.client_order_id.clone();
        let twins = self.broker.orders.iter().filter(|order| order.request.client_order_id == id).count();
        if twins > 1 {
            self.watch.wrong(format!("1: {twins} orders with the id {id} of {:?}", self.broker.owners.get(&id)));
        }
        self.check_declared(&id);
    }

    /// An order was filled, whole or in part.
    pub(crate) fn filled(&mut self, at: usize) {
        let id = self.broker.orders[at].request.client_order_id.clone();
        self.check_declared(&id);
        let Some((key, cycle, _)) = self.broker.owners.get(&id).cloned() else { return };
        let (bought, sold) = (self.broker.filled(&key, cycle, Leg::Entry), self.broker.filled(&key, cycle, Leg::Exit));
        if sold <= bought {
            return;
        }
        if self.refusal_crossed(&key, cycle, sold.minus(bought)) {
            self.watch.meet(&key, cycle, Limit::RefusalCrossed);
        } else {
            self.watch.wrong(format!("3: {key} cycle {cycle}: exits filled {sold} of {bought}"));
        }
    }

    /// Whether two exits were sold where one was due because the broker refused the one and took it later: the refusal was
    /// booked, so the next attempt followed, and one of two engines sent while the broker did not show yet what it had
    /// taken from the other, which worked without Redis. That makes one exit too many.
    fn refusal_crossed(&self, key: &str, cycle: u64, beyond: Quantity) -> bool {
        let exits = || self.broker.of(key, cycle, Leg::Exit);
        let crossed = |(one, other): (&Order, &Order)| {
            let apart = one.request.client_order_id != other.request.client_order_id;
            // The one did not show when the other was looked up for the last time, which was a moment before it was sent.
            let unseen = one.sent_ms.abs_diff(other.sent_ms) <= (self.broker.settle_ms + LOOKED_MS).unsigned_abs();
            apart && unseen && (one.alone || other.alone) && beyond <= one.state.cum_qty
        };
        let booked = |order: &&Order| self.refusal_booked(&order.request.client_order_id);
        self.engines.len() > 1 && exits().filter(booked).any(|one| exits().any(|other| crossed((one, other))))
    }

    /// Whether an order that the broker refused was once reported as rejected.
    fn refusal_booked(&self, id: &str) -> bool {
        self.watch.rejected.contains(id) && self.broker.refused.contains_key(id)
    }

    /// A strategy was told that an order has ended.
    pub(crate) fn declared(&mut self, report: &ReportRequest) {
        let Some(id) = report.order().filter(|_| report.exec_type().is_terminal()) else { return };
        let cum = report.filled().map_or(Quantity::ZERO, |(cum, _)| cum);
        self.broker.declared.insert(id.to_owned(), (report.exec_type(), cum, self.now_ms));
        if report.exec_type() == ExecType::Rejected {
            self.watch.rejected.insert(id.to_owned());
        }
        self.check_declared(id);
    }

    fn check_declared(&mut self, id: &str) {
        let Some((status, cum, at)) = self.broker.declared.get(id) else { return };
        // What is sent afterwards is another matter: the broker forgets a refused order, and somebody who was cut off may
        // send it once more.
        let mine = |order: &&Order| order.request.client_order_id == id && order.sent_ms <= *at;
        let wrong = |order: &&Order| order.is_open() || order.state.cum_qty > *cum;
        let Some(order) = self.broker.orders.iter().filter(mine).find(wrong) else { return };
        // Refused to the one engine, and taken from the other so shortly before that the last look-up, a moment before the
        // report, did not show it.
        let unseen = at - order.sent_ms <= self.broker.settle_ms + LOOKED_MS;
        match self.broker.owners.get(id).cloned() {
            Some((key, cycle, Leg::Exit))
                if *status == ExecType::Rejected && unseen && self.engines.len() > 1 && self.refusal_booked(id) =>
            {
                self.watch.meet(&key, cycle, Limit::RefusalCrossed);
            }
            _ => {
                let (is, has) = (order.state.status, order.state.cum_qty);
                self.watch.wrong(format!("5: order {id} was reported as {status} with {cum}, it is {is} with {has}"));
            }
        }
    }

    /// Redis came back with less than it had. What fired and neither it nor Postgres knows of is forgotten by all but the
    /// engines that saw it themselves.
    pub(crate) fn redis_lost_data(&mut self) {
        self.watch.losses.push(self.now_ms);
        for key in self.plan.wishes.iter().map(|wish| wish.key.clone()).collect::<Vec<_>>() {
            self.forget_fired(&key);
        }
    }

    /// As [`World::redis_lost_data`] of one strategy: what fired at levels which its user had moved is void.
    pub(crate) fn forget_fired(&mut self, of: &str) {
        for (key, cycle) in self.watch.owed.keys().filter(|(key, _)| key == of).cloned().collect::<Vec<_>>() {
            let exits = |known: Strategy| known.cycle == cycle && known.exit_in_flight();
            let known = self.redis.strategy(&key).is_some_and(exits)
                || self.postgres.row(&key).and_then(|row| row.state().ok()).is_some_and(exits);
            if !known && self.watch.forget(&(key.clone(), cycle), Seer::Redis) {
                self.say(|| format!("forgotten: {key} cycle {cycle} had fired"));
                self.watch.meet(&key, cycle, Limit::FiredAndLost);
            }
        }
    }

    /// A user begins the next cycle, because Redis says that the last one is over.
    pub(crate) fn begins_anew(&mut self, key: &str) {
        for cycle in self.cycles_of(key) {
            if self.broker.filled(key, cycle, Leg::Entry) != self.broker.filled(key, cycle, Leg::Exit)
                && self.was_lost_since(key, cycle)
            {
                self.watch.meet(key, cycle, Limit::BegunAnew);
            }
        }
    }

    /// Whether Redis lost data after something was sent in a cycle.
    fn was_lost_since(&self, key: &str, cycle: u64) -> bool {
        let legs = [Leg::Entry, Leg::Exit].into_iter();
        let first = legs.flat_map(|leg| self.broker.of(key, cycle, leg)).map(|order| order.sent_ms).min();
        first.is_some_and(|first| self.watch.losses.iter().any(|lost| *lost >= first))
    }

    /// The cycles in which something was sent.
    fn cycles_of(&self, key: &str) -> BTreeSet<u64> {
        self.broker.owners.values().filter(|(whose, ..)| whose == key).map(|(_, cycle, _)| *cycle).collect()
    }

    /// An engine told that an account holds something else than its strategies say.
    pub(crate) fn told_position(&mut self, user: &str, symbol: &str) {
        self.say(|| format!("told: {user} holds another quantity of {symbol} than its strategies say"));
        self.watch.told_accounts.insert((user.to_owned(), symbol.to_owned()), self.now_ms);
    }

    /// Whether what is left of a cycle was told to somebody as a difference of the account.
    fn is_told(&self, key: &str, cycle: u64, symbol: &str) -> bool {
        let account = (crate::recon::user_of(key).to_owned(), symbol.to_owned());
        let told = self.watch.told_accounts.get(&account).is_some_and(|told| *told >= self.healed_ms());
        self.watch.has_met(key, cycle, Limit::BegunAnew) && told
    }

    /// The book holds what the hash says.
    pub(crate) fn check_book(&mut self, key: &str) {
        let expected = self.redis.strategy(key).map(|known| (known.arming(), known.status));
        let found = self.redis.book.arming_of(key).map(|(arming, status, _)| (arming, status));
        if expected != found {
            self.watch.wrong(format!("8: the book holds {found:?} of {key}, the hash says {expected:?}"));
        }
    }

    pub(crate) const fn healed_ms(&self) -> i64 {
        crate::faults::START_MS + self.plan.heal_ms
    }

    /// Why it is not quiet yet.
    pub(crate) fn unrest(&self) -> Option<String> {
        let heal_ms = self.healed_ms();
        let journal = &self.redis.data.journal;
        if journal.has_new() || journal.pending() > 0 {
            return Some("the journal is not in Postgres".to_owned());
        }
        if let Some(due) = self.redis.book.next_due("") {
            return Some(format!("a time is waited for: {}", due - crate::faults::START_MS));
        }
        let thin = |order: &crate::broker::Order| order.thin && order.state.cum_qty > Quantity::ZERO;
        if let Some(order) = self.broker.orders.iter().find(|order| order.is_open() && !thin(order)) {
            return Some(format!("order {} is open", order.request.client_order_id));
        }
        for (number, engine) in self.engines.iter().enumerate() {
            if engine.gate.as_ref() != Some(&self.redis.epoch) || engine.reconciled_ms <= heal_ms {
                return Some(format!("e{number} is not reconciled"));
            }
            if engine.guard.is_away() {
                return Some(format!("e{number} works without Redis"));
            }
            for (run, at) in &engine.runs {
                let key = &at.machine.job().key;
                let person = at.standing == Standing::Waiting(Waits::Person) || self.is_alarmed_now(key);
                let next = at.standing == Standing::Waiting(Waits::AnotherOrder) || at.standing == Standing::Busy;
                if at.standing != Standing::Watching && !person && !(next && self.works(key)) {
                    return Some(format!("e{number}#{run} of {key} is {:?}", at.standing));
                }
            }
        }
        let items = self.redis.data.exits.iter().chain(self.redis.data.orders.iter());
        for (_, item) in items {
            if !self.is_alarmed_now(&item.key) && !self.works_for(&item.key, item.action) {
                return Some(format!("{} of {} is in its queue", item.action, item.key));
            }
        }
        self.plan.wishes.iter().find_map(|wish| self.unrest_of(&wish.key))
    }

    fn is_alarmed_now(&self, key: &str) -> bool {
        self.redis.strategy(key).is_some_and(|known| self.watch.is_alarmed(key, known.cycle))
    }

    fn unrest_of(&self, key: &str) -> Option<String> {
        let known = self.redis.strategy(key)?;
        let flying = known.pending.or(known.working);
        let action =
            flying.filter(|action| !self.works_for(key, *action) && !self.watch.is_alarmed(key, known.cycle))?;
        Some(format!("{action} of {key} is in flight and the broker has no open order of it"))
    }

    /// Whether the broker has an open order of the strategy's current cycle.
    fn works(&self, key: &str) -> bool {
        self.works_on(key, Leg::Entry) || self.works_on(key, Leg::Exit)
    }

    /// Whether an action may wait for the broker. An exit does not wait for an entry.
    fn works_for(&self, key: &str, action: Action) -> bool {
        let exit = self.redis.strategy(key).is_some_and(|known| action.leg(known.side) == Leg::Exit);
        if exit { self.works_on(key, Leg::Exit) } else { self.works(key) }
    }

    fn works_on(&self, key: &str, leg: Leg) -> bool {
        let cycle = self.redis.strategy(key).map(|known| known.cycle);
        cycle.is_some_and(|cycle| self.broker.of(key, cycle, leg).any(|order| order.is_open()))
    }

    /// Everything is quiet: nothing was lost.
    pub(crate) fn check_end(&mut self) {
        for key in self.plan.wishes.iter().map(|wish| wish.key.clone()).collect::<Vec<_>>() {
            self.check_book(&key);
            if let Some(known) = self.redis.strategy(&key) {
                self.check_strategy(&key, &known);
            }
            let hash = self.redis.data.hashes.get(&key).map(filled);
            let row = self.postgres.row(&key);
            let over = row.as_ref().and_then(|row| row.state().ok());
            // What has ended need not come back into Redis.
            if hash.is_none() && over.is_some_and(|over| over.status != Status::Running && over.is_idle()) {
                continue;
            }
            let row = row.map(|row| row.fields);
            if hash != row {
                self.watch.wrong(format!("8: {key} is {hash:?} in Redis and {row:?} in Postgres"));
            }
        }
        for what in self.redis.book.inconsistencies() {
            self.watch.wrong(format!("8: {what}"));
        }
        let held = self.redis.locks(self.now_ms).filter(|key| !self.works(key) && !self.is_alarmed_now(key));
        for key in held.map(str::to_owned).collect::<Vec<_>>() {
            self.watch.wrong(format!("L: {key} is still locked"));
        }
        for (key, cycle) in self.watch.owed.keys().cloned().collect::<Vec<_>>() {
            let sent = self.watch.sent.contains(&(key.clone(), cycle));
            let open = self.broker.filled(&key, cycle, Leg::Entry) > self.broker.filled(&key, cycle, Leg::Exit);
            // Where the next cycle was begun on top of its loss, the engine has said that the account holds more.
            let symbol = self.plan.wishes.iter().find(|wish| wish.key == key).map_or("", |wish| wish.symbol);
            if open && !sent && !self.watch.is_alarmed(&key, cycle) && !self.is_told(&key, cycle, symbol) {
                self.watch.wrong(format!("2: a level of {key} was crossed in cycle {cycle} and nothing was sold"));
            }
        }
    }

    fn check_strategy(&mut self, key: &str, known: &Strategy) {
        for cycle in self.cycles_of(key) {
            let crossed = self.watch.has_met(key, cycle, Limit::RefusalCrossed);
            if self.watch.is_alarmed(key, cycle) || crossed || self.is_told(key, cycle, &known.symbol) {
                continue;
            }
            let bought = self.broker.filled(key, cycle, Leg::Entry);
            let sold = self.broker.filled(key, cycle, Leg::Exit);
            if cycle != known.cycle || known.position == Position::None {
                if bought != sold {
                    self.watch.wrong(format!("6: {key} holds {bought} less {sold} of cycle {cycle}, its hash is in cycle {} with position {}", known.cycle, known.position));
                }
            } else if (bought, sold) != (known.filled, known.exited) {
                self.watch.wrong(format!(
                    "6: {key} bought {bought} and sold {sold} in cycle {cycle}, its hash says {} and {}",
                    known.filled, known.exited
                ));
            }
        }
        let armed = known.arming();
        let guarded = known.exit_in_flight()
            || (known.status == Status::Running && (known.stop_loss.is_none() || armed.triggers() > 0));
        if known.open_quantity() > Quantity::ZERO && !guarded && !self.watch.is_alarmed(key, known.cycle) {
            self.watch.wrong(format!("6: {key} holds {} and nothing guards it", known.open_quantity()));
        }
    }
}
