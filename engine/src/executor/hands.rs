//! Orders in hand: how the broker's reports and lost locks find the machine that an order belongs to.

use super::machine::{Input, OrderMachine, Phase};
use crate::broker::OrderState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_client::LockToken;
use strat_core::Action;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// An order that the broker has not spoken of for this long is looked up: terminal reports get lost.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// One order in hand. What is told to it waits here until its machine watches.
#[derive(Debug)]
pub(super) struct Hand {
    number: u64,
    /// Key of the strategy's hash.
    pub(super) key: String,
    action: Action,
    state: Mutex<State>,
    ring: Notify,
}

#[derive(Debug, Default)]
struct State {
    news: Option<OrderState>,
    lock: Option<LockToken>,
    lost: bool,
    order_id: Option<String>,
    /// Since when nobody knows whether the broker has it.
    unknown_since: Option<Instant>,
}

impl Hand {
    /// The lock to keep alive.
    pub(super) fn lock(&self) -> Option<LockToken> {
        held(&self.state).lock.clone()
    }

    /// Notes that a lock is gone, unless another was taken meanwhile.
    pub(super) fn lose(&self, lock: &LockToken) -> bool {
        let mut state = held(&self.state);
        let lost = state.lock.as_ref() == Some(lock);
        if lost {
            (state.lock, state.lost) = (None, true);
            self.ring.notify_one();
        }
        lost
    }

    fn tell(&self, news: &OrderState) {
        let mut state = held(&self.state);
        let older = state.news.as_ref().is_some_and(|known| {
            known.cum_qty > news.cum_qty
                || (known.cum_qty == news.cum_qty && known.status.is_terminal() && !news.status.is_terminal())
        });
        if !older {
            state.news = Some(news.clone());
        }
        self.ring.notify_one();
    }

    fn take(&self) -> Option<Input> {
        let mut state = held(&self.state);
        if let Some(news) = state.news.take() {
            return Some(Input::Execution(news));
        }
        std::mem::take(&mut state.lost).then_some(Input::LockLost)
    }

    /// Waits for something that concerns an order which works at the broker, at most so long.
    pub(super) async fn watch(&self, patience: Duration) -> Input {
        let silent = Instant::now() + patience;
        loop {
            if let Some(input) = self.take() {
                return input;
            }
            tokio::select! {
                () = self.ring.notified() => {}
                () = sleep_until(silent) => return Input::Silent,
            }
        }
    }
}

/// All orders in hand.
#[derive(Debug, Default)]
pub(super) struct Hands {
    numbers: AtomicU64,
    all: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_number: HashMap<u64, Arc<Hand>>,
    /// Two jobs of one strategy may have the same order: the one from the queue, and one that was sent without Redis.
    by_order: HashMap<String, Vec<u64>>,
}

impl Hands {
    /// Takes an order in hand.
    pub(super) fn take(&self, key: &str, action: Action) -> Arc<Hand> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let hand = Arc::new(Hand { number, key: key.to_owned(), action, state: Mutex::default(), ring: Notify::new() });
        held(&self.all).by_number.insert(number, Arc::clone(&hand));
        hand
    }

    /// Follows the machine: its lock, and the order that reports are to find.
    pub(super) fn follow(&self, hand: &Hand, machine: &OrderMachine) {
        let order_id = machine.order().map(|order| order.client_order_id.as_str());
        let mut state = held(&hand.state);
        let is_unknown = machine.phase() == Phase::Unknown;
        state.unknown_since = is_unknown.then(|| state.unknown_since.unwrap_or_else(Instant::now));
        if state.lock.as_ref() != machine.lock() {
            (state.lock, state.lost) = (machine.lock().cloned(), false);
        }
        if state.order_id.as_deref() != order_id {
            let mut all = held(&self.all);
            all.unlist(state.order_id.as_deref(), hand.number);
            if let Some(id) = order_id {
                all.by_order.entry(id.to_owned()).or_default().push(hand.number);
            }
            // What was said of another order, an attempt before this one, is no news of this one.
            state.news = None;
            state.order_id = order_id.map(str::to_owned);
        }
    }

    /// Lets an order go.
    pub(super) fn drop_hand(&self, hand: &Hand) {
        let order_id = held(&hand.state).order_id.take();
        let mut all = held(&self.all);
        all.unlist(order_id.as_deref(), hand.number);
        all.by_number.remove(&hand.number);
    }

    /// Passes on what the broker said; whether anybody has the order in hand.
    pub(super) fn tell(&self, news: &OrderState) -> bool {
        let hands: Vec<_> = {
            let all = held(&self.all);
            let numbers = all.by_order.get(&news.client_order_id).into_iter().flatten();
            numbers.filter_map(|number| all.by_number.get(number).cloned()).collect()
        };
        hands.iter().for_each(|hand| hand.tell(news));
        !hands.is_empty()
    }

    /// Whether an order of a strategy is in hand.
    pub(super) fn has_key(&self, key: &str) -> bool {
        held(&self.all).by_number.values().any(|hand| hand.key == key)
    }

    /// Whether one for this action is.
    pub(super) fn has_order(&self, key: &str, action: Action) -> bool {
        held(&self.all).by_number.values().any(|hand| hand.key == key && hand.action == action)
    }

    /// All, in no order.
    pub(super) fn all(&self) -> Vec<Arc<Hand>> {
        held(&self.all).by_number.values().cloned().collect()
    }

    /// For how long nobody knows whether the broker has them, of the orders of which that is so.
    pub(super) fn unknown(&self) -> Vec<Duration> {
        self.all().iter().filter_map(|hand| Some(held(&hand.state).unknown_since?.elapsed())).collect()
    }

    /// Those that may be at the broker.
    pub(super) fn orders(&self) -> usize {
        held(&self.all).by_order.len()
    }
}

impl Index {
    fn unlist(&mut self, order_id: Option<&str>, number: u64) {
        let Some(id) = order_id else { return };
        if let Some(numbers) = self.by_order.get_mut(id) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                self.by_order.remove(id);
            }
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_in_hand_is_no_entry_in_hand() {
        let hands = Hands::default();
        let exit = hands.take("user:a:strategy:s", Action::SquareOff);
        assert!(hands.has_key("user:a:strategy:s"));
        assert!(hands.has_order("user:a:strategy:s", Action::SquareOff));
        assert!(!hands.has_order("user:a:strategy:s", Action::Sell));
        assert!(!hands.has_key("user:a:strategy:other"));
        hands.drop_hand(&exit);
        assert!(!hands.has_key("user:a:strategy:s"));
    }
}
