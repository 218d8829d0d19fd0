//! Ticks of one symbol, conflated so that no extreme is lost.

use crate::feed::Tick;
use strat_core::Price;

/// Prices of one symbol since the last one that Redis took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    low: (Price, String),
    high: (Price, String),
    last: (Price, String),
    pub(super) ts_ms: i64,
}

impl Range {
    pub(super) fn of(tick: &Tick) -> Self {
        let price = (tick.price, tick.price_text.clone());
        Self { low: price.clone(), high: price.clone(), last: price, ts_ms: tick.ts_ms }
    }

    pub(super) fn add(&mut self, tick: &Tick) {
        let newer = Self::of(tick);
        let older = std::mem::replace(self, newer);
        self.widen(&older);
    }

    /// Takes in what was seen before; the last price stays the newer one.
    pub(super) fn widen(&mut self, older: &Self) {
        if older.low.0 < self.low.0 {
            self.low = older.low.clone();
        }
        if older.high.0 > self.high.0 {
            self.high = older.high.clone();
        }
    }

    /// The prices to check, the last one last: it is the one that stays in `price:{symbol}`.
    pub(super) fn prices(&self) -> impl Iterator<Item = (Price, &str)> {
        let extremes = [&self.low, &self.high].into_iter().filter(|price| price.0 != self.last.0);
        extremes.chain([&self.last]).map(|price| (price.0, price.1.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(text: &str, ts_ms: i64) -> Tick {
        Tick { ts_ms, symbol: "IBM".into(), price: text.parse().unwrap(), price_text: text.to_owned(), size: None }
    }

    fn texts(range: &Range) -> Vec<&str> {
        range.prices().map(|(_, text)| text).collect()
    }

    #[test]
    fn low_and_high_survive_and_the_last_price_is_sent_last() {
        let mut range = Range::of(&tick("100.00", 1));
        assert_eq!(texts(&range), ["100.00"]);
        for (ts_ms, text) in [(2, "98"), (3, "103"), (4, "101")] {
            range.add(&tick(text, ts_ms));
        }
        assert_eq!((texts(&range), range.ts_ms), (vec!["98", "103", "101"], 4));
    }

    #[test]
    fn what_was_not_sent_widens_what_came_meanwhile() {
        let mut newer = Range::of(&tick("99", 9));
        newer.widen(&Range::of(&tick("90", 1)));
        assert_eq!((texts(&newer), newer.ts_ms), (vec!["90", "99"], 9));
    }
}
