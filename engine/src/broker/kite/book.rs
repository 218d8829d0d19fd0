//! Kite's order book, read for everybody who waits for it at once.
//!
//! Kite answers ten such requests in a second, and a storm of stops looks up many more orders than that. So a look-up is
//! answered by the first reading that was begun after it asked, whoever began it.

use super::KiteBroker;
use super::order::{Listed, is_tag};
use super::wire;
use crate::broker::BrokerError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Most readings in a second, of ten that Kite answers. They are counted, not paced: an exit waits for a look-up, and is seldom one of many.
const READINGS_MAX: usize = 8;
/// Of those, most that nobody waits for: an exit's look-up that comes late is old when it is there, and is asked for again.
const UPKEEP_MAX: usize = 4;
const PERIOD: Duration = Duration::from_secs(1);
/// Orders of one reading whose trades are asked for, because Kite has put no price to their fills yet.
const PRICED_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Book {
    readings: Mutex<Readings>,
}

#[derive(Default)]
struct Readings {
    /// When the last ones were begun, oldest first.
    begun: VecDeque<Instant>,
    /// What the last one found.
    found: Option<Arc<[Listed]>>,
}

impl Readings {
    /// What was found by a reading that was begun after a question.
    fn since(&self, asked: Instant) -> Option<&Arc<[Listed]>> {
        self.found.as_ref().filter(|_| self.begun.back().is_some_and(|begun| *begun >= asked))
    }

    /// When another is one of at most so many in a second.
    fn free_at(&self, most: usize) -> Option<Instant> {
        let before = self.begun.len().checked_sub(most)?;
        self.begun.get(before).map(|begun| *begun + PERIOD)
    }

    fn begin(&mut self, now: Instant) {
        self.begun.push_back(now);
        if self.begun.len() > READINGS_MAX {
            self.begun.pop_front();
        }
        self.found = None;
    }
}

impl KiteBroker {
    /// Waits until a reading that nobody waits for leaves room for others.
    pub(super) async fn room_for_upkeep(&self) {
        // Not held meanwhile.
        let free = self.book.readings.lock().await.free_at(UPKEEP_MAX);
        if let Some(free) = free {
            sleep_until(free).await;
        }
    }

    /// The order book as it was at some moment after this was called.
    pub(super) async fn order_book(&self) -> Result<Arc<[Listed]>, BrokerError> {
        let asked = Instant::now();
        let mut readings = self.book.readings.lock().await;
        if let Some(found) = readings.since(asked) {
            return Ok(Arc::clone(found));
        }
        if let Some(free) = readings.free_at(READINGS_MAX) {
            sleep_until(free).await;
        }
        readings.begin(Instant::now());
        let mut orders = wire::orders(&self.rest.get("/orders").await?).map_err(BrokerError::Unknown)?;
        self.put_prices(&mut orders).await;
        Ok(Arc::clone(readings.found.insert(orders.into())))
    }

    /// Kite documents an average price for complete orders only. Where it has none for fills, the trades have.
    async fn put_prices(&self, orders: &mut [Listed]) {
        let wanting = orders.iter_mut().filter(|order| order.lacks_price() && is_tag(&order.tag));
        for order in wanting.take(PRICED_MAX) {
            let answer = self.rest.get(&format!("/orders/{}/trades", order.order_id)).await;
            let trades = answer.and_then(|body| wire::trades(&body).map_err(BrokerError::Unknown));
            match trades {
                Ok((filled, price)) if filled == order.cum_qty => order.avg_px = Some(price),
                // It has filled on; the next reading has both.
                Ok(_) => self.look.notify_one(),
                Err(error) => tracing::warn!(%error, order = order.order_id, "no price of its fills yet"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_few_readings_go_at_once_and_more_wait_for_room_in_the_second() {
        let (mut readings, first) = (Readings::default(), Instant::now());
        for n in 0..8 {
            assert_eq!(readings.free_at(READINGS_MAX), None);
            readings.begin(first + n * MS);
        }
        assert_eq!(readings.free_at(READINGS_MAX), Some(first + PERIOD));
        assert_eq!(readings.free_at(UPKEEP_MAX), Some(first + 4 * MS + PERIOD));
        readings.begin(first + PERIOD);
        assert_eq!(readings.free_at(READINGS_MAX), Some(first + MS + PERIOD));
    }

    #[test]
    fn a_question_is_answered_by_a_reading_that_was_begun_after_it() {
        let (mut readings, asked) = (Readings::default(), Instant::now());
        readings.begin(asked + MS);
        assert!(readings.since(asked).is_none(), "nothing is found yet");
        readings.found = Some(Vec::new().into());
        assert!(readings.since(asked).is_some());
        assert!(readings.since(asked + MS * 2).is_none());
    }
}
