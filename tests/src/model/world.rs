//! The world of the model: a few strategies, their locks, and what may be done to them.

use super::rules::{self, Action, Busy, Exec, Order, Position, Status};
use std::collections::BTreeMap;

/// Strategies.
pub(super) const KEYS: usize = 3;
/// Symbols.
pub(super) const SYMBOLS: usize = 2;

/// Which token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// The one that holds the lock, if there is a lock.
    Held,
    /// One that held it before, or nobody's.
    Stale,
}

/// Which epoch is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epoch {
    None,
    Current,
    Over,
}

/// A `SET`.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) symbol: usize,
    pub(super) long: bool,
    pub(super) quantity: i64,
    pub(super) stop: Option<i64>,
    pub(super) target: Option<i64>,
    pub(super) leaves: bool,
    pub(super) running: bool,
    pub(super) open: bool,
    pub(super) entry_at: Option<i64>,
    pub(super) exit_at: Option<i64>,
    pub(super) nx: bool,
}

/// The one field of an `UPDATE`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit {
    Stop(Option<i64>),
    Target(Option<i64>),
    EntryAt(Option<i64>),
    ExitAt(Option<i64>),
    Leaves(bool),
    Quantity(i64),
    Symbol(usize),
    Status(Status),
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Set(usize, Set),
    /// Without a token or with one; with the right version, a wrong one, or none.
    Update(usize, Edit, Option<Token>, Option<bool>),
    Del(usize),
    Tick(usize, i64),
    Due(i64),
    Lock(usize, Action, Epoch),
    Extend(usize, Token),
    Unlock(usize, Token),
    Report(usize, Token, Exec, i64, i64),
    /// The time of a lock is over.
    Expire(usize),
    /// Memory may have lost writes: another database is flushed.
    NewEpoch,
    /// The data set is saved and loaded again.
    Reload,
    /// The code panics and the books are rebuilt.
    Panic,
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Number(i64),
    Numbers(Vec<i64>),
    Nil,
    Token,
    Refused(&'static str),
    Anything,
}

#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) strategies: BTreeMap<usize, rules::Strategy>,
    /// For what each lock was claimed.
    pub(super) locks: BTreeMap<usize, Action>,
    /// Of the last step.
    pub(super) answer: Option<Answer>,
    pub(super) queued: Vec<(usize, Order)>,
}

impl World {
    /// Takes a step: the answer, and what it enqueues in `queued`.
    pub(super) fn step(&mut self, step: &Step) -> Answer {
        match step {
            Step::Set(key, set) => self.set(*key, set),
            Step::Update(key, edit, token, version) => self.update(*key, *edit, *token, *version),
            Step::Del(key) => {
                self.locks.remove(key);
                Answer::Number(i64::from(self.strategies.remove(key).is_some()))
            }
            Step::Tick(symbol, price) => {
                let fire = |strategy: &mut rules::Strategy| {
                    (strategy.symbol == *symbol).then(|| strategy.fire(*price)).flatten()
                };
                Answer::Number(self.each(fire))
            }
            Step::Due(now) => {
                let enqueued = self.each(|strategy| strategy.due(*now));
                let times = self.strategies.values().map(rules::Strategy::times);
                let next = times.flat_map(|(entry, exit)| [entry, exit]).flatten().min();
                Answer::Numbers(vec![enqueued, next.unwrap_or(-1)])
            }
            Step::Lock(key, action, epoch) => self.lock(*key, *action, *epoch),
            Step::Extend(key, token) => Answer::Number(i64::from(self.holds(*key, *token))),
            Step::Unlock(key, token) => {
                let holds = self.holds(*key, *token);
                if holds {
                    self.locks.remove(key);
                }
                Answer::Number(i64::from(holds))
            }
            Step::Report(key, token, exec, cum, ts) => self.report(*key, *token, *exec, (*cum, *ts)),
            Step::Expire(key) => {
                self.locks.remove(key);
                Answer::Anything
            }
            Step::NewEpoch | Step::Reload | Step::Panic => Answer::Anything,
        }
    }

    /// Does something to every strategy; answers the number of orders.
    fn each(&mut self, act: impl Fn(&mut rules::Strategy) -> Option<Order>) -> i64 {
        let orders = self.strategies.iter_mut().filter_map(|(key, strategy)| Some((*key, act(strategy)?)));
        self.queued.extend(orders);
        self.queued.len() as i64
    }

    fn holds(&self, key: usize, token: Token) -> bool {
        token == Token::Held && self.locks.contains_key(&key)
    }

    fn set(&mut self, key: usize, set: &Set) -> Answer {
        let old = self.strategies.get(&key);
        if old.is_some() && set.nx {
            // What stands there is judged only where it would be replaced.
            return Answer::Nil;
        }
        if old.is_some_and(|old| !old.is_idle() || self.locks.contains_key(&key)) {
            return Answer::Refused("BUSY");
        }
        let (cycle, version) = old.map_or((0, 0), |old| (old.cycle + u64::from(set.open), old.version));
        let new = rules::Strategy {
            symbol: set.symbol,
            long: set.long,
            quantity: set.quantity,
            stop: set.stop,
            target: set.target,
            leaves: set.leaves,
            status: if set.running { Status::Running } else { Status::Stopped },
            position: if set.open { Position::Open } else { Position::None },
            pending: None,
            working: None,
            filled: if set.open { set.quantity } else { 0 },
            exited: 0,
            prior: 0,
            attempt: 0,
            retry: None,
            entry_at: set.entry_at,
            exit_at: set.exit_at,
            cycle,
            version: version + 1,
        };
        self.strategies.insert(key, new);
        Answer::Number(version as i64 + 1)
    }

    fn update(&mut self, key: usize, edit: Edit, token: Option<Token>, right_version: Option<bool>) -> Answer {
        let holds = token.is_some_and(|token| self.holds(key, token));
        let locked = self.locks.contains_key(&key);
        let Some(strategy) = self.strategies.get_mut(&key) else { return Answer::Nil };
        if right_version == Some(false) {
            return Answer::Refused("BADVERSION");
        }
        if token.is_some() && !holds {
            return Answer::Refused("BADTOKEN");
        }
        let before = strategy.clone();
        let mut after = strategy.clone();
        match edit {
            Edit::Stop(level) => after.stop = level,
            Edit::Target(level) => after.target = level,
            Edit::EntryAt(at) => after.entry_at = at,
            Edit::ExitAt(at) => after.exit_at = at,
            Edit::Leaves(leaves) => after.leaves = leaves,
            Edit::Quantity(quantity) => after.quantity = quantity,
            Edit::Symbol(symbol) => after.symbol = symbol,
            Edit::Status(status) => after.status = status,
        }
        if after == before {
            return Answer::Number(before.version as i64);
        }
        let order_changes = after.symbol != before.symbol || after.quantity != before.quantity;
        let entry_in_flight = [before.pending, before.working].into_iter().flatten().any(|a| before.is_entry(a));
        let ended = matches!(after.status, Status::Completed | Status::Failed) && after.status != before.status;
        let busy = (!before.is_idle() && (after.symbol != before.symbol || ended))
            || (entry_in_flight && after.quantity != before.quantity)
            || (order_changes && locked && token.is_none());
        if busy {
            return Answer::Refused("BUSY");
        }
        after.version += 1;
        if before.status == Status::Running && after.status != Status::Running {
            self.queued.extend(after.wind_down().map(|order| (key, order)));
        }
        let version = after.version as i64;
        *strategy = after;
        Answer::Number(version)
    }

    fn lock(&mut self, key: usize, action: Action, epoch: Epoch) -> Answer {
        if epoch == Epoch::Over {
            return Answer::Refused("UNSYNCED");
        }
        let Some(strategy) = self.strategies.get(&key) else { return Answer::Refused("NOSTRAT") };
        if self.locks.contains_key(&key) {
            return Answer::Nil;
        }
        match strategy.may_claim(action) {
            Err(Busy) => Answer::Refused("BUSY"),
            Ok(()) => {
                self.locks.insert(key, action);
                Answer::Token
            }
        }
    }

    fn report(&mut self, key: usize, token: Token, exec: Exec, (cum, ts): (i64, i64)) -> Answer {
        let holds = self.holds(key, token);
        let Some(strategy) = self.strategies.get_mut(&key) else { return Answer::Refused("NOSTRAT") };
        let Some(action) = self.locks.get(&key).copied().filter(|_| holds) else { return Answer::Refused("BADTOKEN") };
        if exec.fills() && cum == 0 {
            return Answer::Refused("ERR");
        }
        match strategy.report(action, exec, cum, ts) {
            Err(Busy) => Answer::Refused("BUSY"),
            Ok(order) => {
                self.queued.extend(order.map(|order| (key, order)));
                if !matches!(exec, Exec::New | Exec::PartialFill) {
                    self.locks.remove(&key);
                }
                Answer::Number(strategy.version as i64)
            }
        }
    }
}
