//! A price crosses an armed level.

use super::{Change, Strategy};
use crate::decimal::Price;
use crate::event::EventType;
use crate::order::Action;
use crate::strategy::Side;

/// A level that a price crossed.
enum Crossed {
    Stop(Price),
    TrailingStop(Price),
    Target(Price),
}

impl Strategy {
    /// The exit that `price` fires, judged from the hash itself: stale book entries fire nothing. `best`: the best price
    /// that came since the strategy began to follow, see [`Strategy::trailing`]. The stop-loss is judged first.
    #[must_use]
    pub fn crossed_by(&self, price: Price, best: Option<Price>) -> Option<Action> {
        self.crossed(price, best).map(|crossed| match crossed {
            Crossed::Stop(_) | Crossed::TrailingStop(_) => Action::StopLoss,
            Crossed::Target(_) => Action::TakeProfit,
        })
    }

    fn crossed(&self, price: Price, best: Option<Price>) -> Option<Crossed> {
        let arming = self.arming();
        let fell = arming.fall.filter(|level| price <= *level);
        let rose = arming.rise.filter(|level| price >= *level);
        let (stop, target) = match self.side {
            Side::Long => (fell, rose),
            Side::Short => (rose, fell),
        };
        let gain = |price: Price| self.side.gain(price.units());
        let trailing = arming.trail.and_then(|_| self.trailing_stop(best)).filter(|stop| gain(price) <= gain(*stop));
        let stops = stop.map(Crossed::Stop).or(trailing.map(Crossed::TrailingStop));
        stops.or(target.map(Crossed::Target))
    }

    /// Fires the exit that `price` crosses, if any. `text` is the price as the tick gave it; `best` as in
    /// [`Strategy::crossed_by`].
    #[must_use]
    pub fn fire(&self, price: Price, best: Option<Price>, text: &str, ts_ms: i64) -> Option<Change> {
        let (kind, action, level_name, level) = match self.crossed(price, best)? {
            Crossed::Stop(level) => (EventType::SlTriggered, Action::StopLoss, "stop_loss", level),
            Crossed::TrailingStop(level) => (EventType::SlTriggered, Action::StopLoss, "trailing_stop", level),
            Crossed::Target(level) => (EventType::TpTriggered, Action::TakeProfit, "take_profit", level),
        };
        let mut change = Change::new(kind);
        change
            .enqueue(action, self.cycle, text, ts_ms)
            .with("symbol", &self.symbol)
            .with("price", text)
            .with(level_name, level)
            .with("quantity", self.open_quantity())
            .with("action", action);
        Some(change)
    }
}
