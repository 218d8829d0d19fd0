//! A price crosses an armed level.

use super::{Change, Strategy};
use crate::decimal::Price;
use crate::event::EventType;
use crate::order::Action;
use crate::strategy::Side;

impl Strategy {
    /// The exit that `price` fires, judged from the hash itself: stale book entries fire nothing.
    /// The stop-loss is judged first. `best` is the best price since the entry, where a trailing stop follows it.
    #[must_use]
    pub fn crossed_by(&self, price: Price, best: Option<Price>) -> Option<Action> {
        let arming = self.arming();
        let fell = arming.fall.is_some_and(|level| price <= level);
        let rose = arming.rise.is_some_and(|level| price >= level);
        let (stop, target) = match self.side {
            Side::Long => (fell, rose),
            Side::Short => (rose, fell),
        };
        let trailed = self.trailing().filter(|trailing| trailing.armed).zip(best).is_some_and(|(trailing, best)| {
            let height = |price| self.side.height(price);
            height(price) <= trailing.distance.below(height(best))
        });
        match (stop || trailed, target) {
            (true, _) => Some(Action::StopLoss),
            (false, true) => Some(Action::TakeProfit),
            (false, false) => None,
        }
    }

    /// Fires the exit that `price` crosses, if any. `text` is the price as the tick gave it; `best` is the best price
    /// since the entry, where a trailing stop follows it.
    #[must_use]
    pub fn fire(&self, price: Price, text: &str, ts_ms: i64, best: Option<Price>) -> Option<Change> {
        let action = self.crossed_by(price, best)?;
        let best = best.filter(|_| self.trail.is_some());
        let (kind, level_name, level) = match action {
            Action::StopLoss => (EventType::SlTriggered, "stop_loss", self.stop_level(best)),
            _ => (EventType::TpTriggered, "take_profit", self.take_profit),
        };
        let mut change = Change::new(kind);
        change
            .enqueue(action, self.cycle, text, ts_ms)
            .with("symbol", &self.symbol)
            .with("price", text)
            .with(level_name, level.unwrap_or_default())
            .with("quantity", self.open_quantity())
            .with("action", action);
        if let Some(best) = best {
            change.with("best_price", best);
        }
        Some(change)
    }
}
