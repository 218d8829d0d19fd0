//! Kite's order book, read for everybody who waits for it at once.
//!
//! Kite answers ten such requests in a second, and a storm of stops looks up many more orders than that. So a look-up is
//! answered by the first reading that was begun after it asked, whoever began it.

use super::KiteBroker;
use super::order::{Listed, is_tag};
use super::wire;
use crate::broker::BrokerError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Least time between two readings.
const PAUSE: Duration = Duration::from_millis(150);
/// Orders of one reading whose trades are asked for, because Kite has put no price to their fills yet.
const PRICED_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Book {
    last: Mutex<Option<Reading>>,
}

struct Reading {
    begun: Instant,
    orders: Option<Arc<[Listed]>>,
}

impl KiteBroker {
    /// The order book as it was at some moment after this was called.
    pub(super) async fn order_book(&self) -> Result<Arc<[Listed]>, BrokerError> {
        let asked = Instant::now();
        let mut last = self.book.last.lock().await;
        if let Some(Reading { begun, orders }) = last.as_ref() {
            if let Some(orders) = orders.as_ref().filter(|_| *begun >= asked) {
                return Ok(Arc::clone(orders));
            }
            sleep_until(*begun + PAUSE).await;
        }
        let reading = last.insert(Reading { begun: Instant::now(), orders: None });
        let mut orders = wire::orders(&self.rest.get("/orders").await?).map_err(BrokerError::Unknown)?;
        self.put_prices(&mut orders).await;
        Ok(Arc::clone(reading.orders.insert(orders.into())))
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
