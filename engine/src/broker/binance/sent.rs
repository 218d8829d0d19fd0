//! Ids that were sent. Binance takes an id again once its order has ended, as a second real order: so a repeat asks first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Ids that are remembered; the oldest go first. The executor asks before it repeats anyway.
const IDS_MAX: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    at: HashMap<String, Instant>,
    order: VecDeque<String>,
}

impl Sent {
    /// When `id` was last sent.
    pub(super) fn last(&self, id: &str) -> Option<Instant> {
        self.lock().at.get(id).copied()
    }

    /// Notes that `id` is about to be sent.
    pub(super) fn note(&self, id: &str) {
        let mut state = self.lock();
        if state.at.insert(id.to_owned(), Instant::now()).is_none() {
            state.order.push_back(id.to_owned());
        }
        while state.order.len() > IDS_MAX {
            if let Some(oldest) = state.order.pop_front() {
                state.at.remove(&oldest);
            }
        }
    }

    /// It was not sent now after all: what was known of it before stands.
    pub(super) fn take_back(&self, id: &str, before: Option<Instant>) {
        let mut state = self.lock();
        match before {
            Some(before) => drop(state.at.insert(id.to_owned(), before)),
            None => {
                state.at.remove(id);
                // Nearly always the last.
                if state.order.back().is_some_and(|last| last == id) {
                    state.order.pop_back();
                } else {
                    state.order.retain(|known| known != id);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_told_from_a_first_time() {
        let sent = Sent::default();
        assert_eq!(sent.last("a"), None);
        sent.note("a");
        let first = sent.last("a");
        sent.note("a");
        assert!(first.is_some() && sent.last("a") >= first);
        sent.take_back("a", first);
        assert_eq!(sent.last("a"), first);
        sent.note("b");
        sent.take_back("b", None);
        assert_eq!(sent.last("b"), None, "it was never sent");
        for number in 0..=IDS_MAX {
            sent.note(&number.to_string());
        }
        let state = sent.lock();
        assert_eq!((state.at.len(), state.order.len()), (IDS_MAX, IDS_MAX));
    }
}
