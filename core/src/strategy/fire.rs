//! A price crosses an armed level.

use super::{Change, Strategy};
use crate::decimal::Price;
use crate::event::EventType;
use crate::order::Action;
use crate::strategy::Side;

impl Strategy {
    /// The exit that `price` fires, judged from the hash itself: stale book entries fire nothing.
    /// The stop-loss is judged first.
    #[must_use]
    pub fn crossed_by(&self, price: Price) -> Option<Action> {
        let arming = self.arming();
        let fell = arming.fall.is_some_and(|level| price <= level);
        let rose = arming.rise.is_some_and(|level| price >= level);
        let (stop, target) = match self.side {
            Side::Long => (fell, rose),
            Side::Short => (rose, fell),
        };
        match (stop, target) {
            (true, _) => Some(Action::StopLoss),
            (false, true) => Some(Action::TakeProfit),
            (false, false) => None,
        }
    }

    /// Fires the exit that `price` crosses, if any. `text` is the price as the tick gave it.
    #[must_use]
    pub fn fire(&self, price: Price, text: &str, ts_ms: i64) -> Option<Change> {
        let action = self.crossed_by(price)?;
        let (kind, level_name, level) = match action {
            Action::StopLoss => (EventType::SlTriggered, "stop_loss", self.stop_loss),
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
        Some(change)
    }
}
