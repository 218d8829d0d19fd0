//! Calls of one process for the same key at the same time: one goes, the others get what it brings.

use super::error::CacheError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) type Outcome<T> = Result<Option<Arc<T>>, CacheError>;

pub(super) struct Flight<T> {
    /// Of the layer in the process, when it began.
    generation: u64,
    /// Held by the one who goes. If that one gives up, the next goes.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) outcome: OnceLock<Outcome<T>>,
}

type UnderWay<T> = HashMap<String, Arc<Flight<T>>>;

pub(super) struct Flights<T>(Mutex<UnderWay<T>>);

impl<T> Flights<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat in the flight for `key`. What began before an invalidation brings an old value, and what has ended answers
    /// nobody who comes later: then a new one begins.
    pub(super) fn join<'a>(&'a self, key: &'a str, generation: u64) -> Seat<'a, T> {
        let mut under_way = self.under_way();
        let open = |flight: &&Arc<Flight<T>>| flight.generation == generation && flight.outcome.get().is_none();
        let flight = under_way.get(key).filter(open).cloned().unwrap_or_else(|| {
            let flight = Arc::new(Flight { generation, turn: Default::default(), outcome: OnceLock::new() });
            under_way.insert(key.to_owned(), flight.clone());
            flight
        });
        Seat { flights: self, key, flight }
    }
}

pub(super) struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: &'a str,
    pub(super) flight: Arc<Flight<T>>,
}

impl<T> Drop for Seat<'_, T> {
    /// The first who leaves after the end, or the last who gives up, clears the place.
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way();
        let listed = under_way.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // The list's and this one.
        let last = Arc::strong_count(&self.flight) == 2;
        if listed && (last || self.flight.outcome.get().is_some()) {
            under_way.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_come_while_it_is_under_way_share_a_flight() {
        let flights = Flights::<u32>::new();
        let (first, second) = (flights.join("k", 0), flights.join("k", 0));
        assert!(Arc::ptr_eq(&first.flight, &second.flight));
        assert!(!Arc::ptr_eq(&first.flight, &flights.join("other", 0).flight));
        drop((first, second));
        assert!(flights.under_way().is_empty());
    }

    #[test]
    fn nobody_joins_what_began_before_an_invalidation_or_has_ended() {
        let flights = Flights::<u32>::new();
        let old = flights.join("k", 0);
        let new = flights.join("k", 1);
        assert!(!Arc::ptr_eq(&old.flight, &new.flight));
        drop(old);
        assert_eq!(flights.under_way().len(), 1, "the old flight's end does not clear the new one's place");
        new.flight.outcome.set(Ok(None)).unwrap();
        let later = flights.join("k", 1);
        assert!(!Arc::ptr_eq(&new.flight, &later.flight));
        drop((new, later));
        assert!(flights.under_way().is_empty());
    }
}
