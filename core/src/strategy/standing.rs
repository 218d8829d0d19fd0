//! Where an open position stands at a price.

use super::{Side, Strategy};
use crate::decimal::{Money, Price, Quantity};
use crate::order::wire_enum;

/// Hundredths of a percent in one.
const BASIS_POINTS: i128 = 10_000;

/// An open position at a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Quantity held.
    pub open: Quantity,
    /// What closing it at this price would gain or lose against the entry's average price, before costs; `None` where the
    /// hash does not say what the entry cost.
    pub gain: Option<Money>,
    /// The nearest stop: fixed or trailing. `None` without one.
    pub stop: Option<Distance>,
    /// The take-profit. `None` without one.
    pub target: Option<Distance>,
}

/// A level, and how far the price is from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// The level.
    pub level: Price,
    /// How far the price may still move before the level is reached; 0 or less where it is reached.
    pub left: Price,
    /// The same in hundredths of a percent of the price, rounded down: it is never farther than it looks. `None` where the
    /// price is 0 or below.
    pub left_bps: Option<i64>,
}

impl Distance {
    fn of(level: Price, price: Price, left: i64) -> Self {
        let share = i128::from(left) * BASIS_POINTS;
        let left_bps = (price > Price::ZERO).then(|| share.div_euclid(i128::from(price.units())));
        Self { level, left: Price::from_units(left), left_bps: left_bps.and_then(|bps| i64::try_from(bps).ok()) }
    }
}

wire_enum! {
    /// A profit or loss as a word, for those who do not want to look at the amount.
    Mood {
        /// A loss of 5 % of the entry or more.
        DeepLoss = "DEEP_LOSS",
        /// A loss of 1 % or more.
        Loss = "LOSS",
        /// Within 1 %.
        Flat = "FLAT",
        /// A gain of 1 % or more.
        Gain = "GAIN",
        /// A gain of 5 % or more.
        HighGain = "HIGH_GAIN",
    }
}

impl Strategy {
    /// Where the open position stands at a price; `None` where there is none. `best` as in [`Strategy::crossed_by`].
    #[must_use]
    pub fn standing(&self, price: Price, best: Option<Price>) -> Option<Standing> {
        let open = self.open_quantity();
        let gain = |price: Price| self.side.gain(price.units());
        let nearest = [self.stop_loss, self.trailing_stop(best)].into_iter().flatten().max_by_key(|stop| gain(*stop));
        (open > Quantity::ZERO).then(|| Standing {
            open,
            gain: self.entry_price.map(|entry| {
                let (paid, worth) = (Money::of(entry, open), Money::of(price, open));
                if self.side == Side::Long { worth - paid } else { paid - worth }
            }),
            stop: nearest.map(|stop| Distance::of(stop, price, gain(price).saturating_sub(gain(stop)))),
            target: self.take_profit.map(|level| Distance::of(level, price, gain(level).saturating_sub(gain(price)))),
        })
    }

    /// How the position does at a price, against the entry's average price; `None` where there is none, or where the entry
    /// cost nothing.
    #[must_use]
    pub fn mood(&self, price: Price) -> Option<Mood> {
        let entry = self.entry_price.filter(|entry| *entry > Price::ZERO && self.open_quantity() > Quantity::ZERO)?;
        let moved = i128::from(self.side.gain(price.units())) - i128::from(self.side.gain(entry.units()));
        let hundredth = i128::from(entry.units());
        Some(match moved * 100 {
            moved if moved <= -5 * hundredth => Mood::DeepLoss,
            moved if moved <= -hundredth => Mood::Loss,
            moved if moved < hundredth => Mood::Flat,
            moved if moved < 5 * hundredth => Mood::Gain,
            _ => Mood::HighGain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(fields: &[(&str, &str)]) -> Strategy {
        let base = [("symbol", "IBM"), ("quantity", "10"), ("filled_quantity", "10"), ("entry_price", "100")];
        let all: Vec<_> = base.iter().chain(fields).copied().collect();
        Strategy::read(|name| all.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes()))
            .unwrap()
    }

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_position_stands_between_its_levels() {
        let long = held(&[("position", "BOUGHT"), ("stop_loss", "95"), ("take_profit", "110.50")]);
        let standing = long.standing(price("104"), None).unwrap();
        assert_eq!((standing.open, standing.gain.unwrap().to_string()), ("10".parse().unwrap(), "40".to_owned()));
        let (stop, target) = (standing.stop.unwrap(), standing.target.unwrap());
        assert_eq!((stop.level, stop.left, stop.left_bps), (price("95"), price("9"), Some(865)));
        assert_eq!((target.left, target.left_bps), (price("6.50"), Some(625)));
        let short = held(&[("position", "SHORTED"), ("side", "SHORT"), ("stop_loss", "105"), ("take_profit", "90")]);
        let standing = short.standing(price("106"), None).unwrap();
        assert_eq!(standing.gain.unwrap().to_string(), "-60");
        let (stop, target) = (standing.stop.unwrap(), standing.target.unwrap());
        assert_eq!((stop.left, stop.left_bps, target.left), (price("-1"), Some(-95), price("16")), "it is reached");
        assert_eq!(held(&[]).standing(price("1"), None), None, "there is no position");
    }

    #[test]
    fn the_nearest_stop_counts() {
        let fields =
            [("position", "BOUGHT"), ("stop_loss", "95"), ("trail", "5"), ("trail_ref", "100"), ("trail_from", "1")];
        let long = held(&fields);
        let stop = |best: Option<&str>| long.standing(price("108"), best.map(price)).unwrap().stop.unwrap().level;
        assert_eq!((stop(None), stop(Some("110"))), (price("95"), price("105")));
    }

    #[test]
    fn a_mood_hides_the_amount() {
        let long = held(&[("position", "BOUGHT")]);
        for (at, mood) in [
            ("95", Mood::DeepLoss),
            ("95.01", Mood::Loss),
            ("99", Mood::Loss),
            ("99.01", Mood::Flat),
            ("100.99", Mood::Flat),
            ("101", Mood::Gain),
            ("104.99", Mood::Gain),
            ("105", Mood::HighGain),
        ] {
            assert_eq!(long.mood(price(at)), Some(mood), "{at}");
            assert_eq!(Mood::parse(mood.as_str()), Some(mood));
        }
        assert_eq!(held(&[("position", "SHORTED"), ("side", "SHORT")]).mood(price("105")), Some(Mood::DeepLoss));
        assert_eq!(held(&[]).mood(price("105")), None);
    }
}
