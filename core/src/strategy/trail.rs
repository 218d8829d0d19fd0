//! A trailing stop: a level that follows the best price since the entry at a distance, and never goes back.
//!
//! The best price lives outside the hash, in the running extremes of the symbol (`trail:{symbol}`), because one new
//! high may be news to a million stops. The hash holds where its own part of them begins: `trail_ref`, the price to
//! start from, and `trail_from`, the number of the first extreme that counts.

use super::{Change, Side, Strategy};
use crate::decimal::{DecimalError, Price, Quantity, SCALE};
use crate::event::EventType;
use crate::order::Action;

/// Units of a whole: 100 %, in units of 10⁻⁸ of a percent.
const WHOLE: i64 = 100 * SCALE;

/// How far a trailing stop stays behind the best price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// `5.00`: in the price's currency, in units of 10⁻⁸.
    Absolute(i64),
    /// `1.5%`: a part of the best price, in units of 10⁻⁸ of a percent.
    Percent(i64),
}

impl Distance {
    /// Parses `5.00` or `1.5%`.
    ///
    /// # Errors
    /// What is wrong with the number; [`DecimalError::TooLarge`] for 100 % and more, at which a long's stop could never
    /// be reached and would sink as the price rises.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let Some(percent) = text.strip_suffix(b"%") else {
            return Quantity::parse_positive(text).map(|distance| Self::Absolute(distance.units()));
        };
        match Quantity::parse_positive(percent)?.units() {
            units if units < WHOLE => Ok(Self::Percent(units)),
            _ => Err(DecimalError::TooLarge),
        }
    }

    /// The level at this distance from `best`. A percentage is rounded up to whole units, so that the stop fires rather
    /// later than earlier; it is at least one unit, so that no price is its own stop.
    #[must_use]
    pub fn level(self, side: Side, best: Price) -> Price {
        Price::from_units(side.height_of(self.below(side.height(best))).units())
    }

    /// As [`Distance::level`], in heights. Never falls where `best` rises.
    pub(crate) fn below(self, best: i64) -> i64 {
        let away = match self {
            Self::Absolute(units) => i128::from(units),
            Self::Percent(units) => {
                let whole = i128::from(WHOLE);
                let part = i128::from(best.unsigned_abs()) * i128::from(units);
                ((part + whole - 1) / whole).max(1)
            }
        };
        // Beyond every price it is never reached, wherever exactly it is.
        i64::try_from(i128::from(best) - away).unwrap_or(-i64::MAX)
    }
}

impl Side {
    /// Maps prices so that what is better for this side is higher: a short gains where the price falls.
    pub(crate) const fn height(self, price: Price) -> i64 {
        match self {
            Self::Long => price.units(),
            // Prices are far from i64::MIN, so the negation is exact.
            Self::Short => -price.units(),
        }
    }

    /// The price of a height.
    pub(crate) const fn height_of(self, height: i64) -> Price {
        match self {
            Self::Long => Price::from_units(height),
            Self::Short => Price::from_units(-height),
        }
    }

    /// The better of two prices.
    #[must_use]
    pub fn better(self, a: Price, b: Price) -> Price {
        if self.height(a) >= self.height(b) { a } else { b }
    }
}

/// Where the running extremes of a strategy begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Anchor {
    /// The price to start from (`trail_ref`).
    pub reference: Price,
    /// Number of the first extreme that counts (`trail_from`).
    pub from: i64,
}

/// A trailing stop that is followed: the position is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trailing {
    /// Direction of the position.
    pub side: Side,
    /// How far it stays behind.
    pub distance: Distance,
    /// Where it begins; `None` until somebody has seen to it, see [`Strategy::anchor_trail`].
    pub anchor: Option<Anchor>,
    /// Whether it fires. It follows the price all the same: an exit in flight may come back.
    pub armed: bool,
}

/// What is known of the market when a trailing stop begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailStart {
    /// Number that the next extreme of the symbol will have at least.
    pub from: i64,
    /// The last price, if there is one.
    pub last: Option<Price>,
}

impl Strategy {
    /// The trailing stop, while a position is open.
    #[must_use]
    pub fn trailing(&self) -> Option<Trailing> {
        let distance = self.trail.filter(|_| self.open_quantity() > Quantity::ZERO)?;
        let anchor = self.trail_ref.zip(self.trail_from);
        let anchor = anchor.map(|(reference, from)| Anchor { reference, from });
        Some(Trailing { side: self.side, distance, anchor, armed: self.stop_is_armed() })
    }

    /// The level of the stop-loss now, where the best price since the entry is `best`: the tighter one of the fixed and
    /// of the trailing stop.
    #[must_use]
    pub fn stop_level(&self, best: Option<Price>) -> Option<Price> {
        let trailing = self.trail.zip(best).map(|(distance, best)| distance.level(self.side, best));
        match (self.stop_loss, trailing) {
            (Some(fixed), Some(trailing)) => Some(self.side.better(fixed, trailing)),
            (fixed, trailing) => fixed.or(trailing),
        }
    }

    /// Lets `change` say where the trailing stop begins, if it begins with this change, and forget it where there is
    /// none any more. A position that the change opens begins at the price of its entry; a trailing stop that is given to
    /// an open one begins at the better of that and the last price. Another distance changes nothing about the extremes.
    ///
    /// Asked of the strategy as it is after the change.
    pub fn anchor_trail(&self, change: &mut Change, was_open: bool, start: &TrailStart) {
        match self.trailing() {
            Some(trailing) if trailing.anchor.is_none() && was_open => {
                self.write_anchor(change, (self.entry_price, start.last), start.from);
            }
            Some(trailing) if trailing.anchor.is_none() => {
                // What stands in the hash may be the last cycle's.
                let entry = self.entry_price.filter(|_| change.fields.iter().any(|(name, _)| name == "entry_price"));
                let last = start.last.filter(|_| entry.is_none());
                self.write_anchor(change, (entry, last), start.from);
            }
            // A number that no extreme has yet begins now: beyond it nothing would count for years.
            Some(trailing) if trailing.anchor.is_some_and(|anchor| anchor.from > start.from) => {
                change.fields.retain(|(known, _)| known != "trail_from");
                change.set("trail_from", start.from);
            }
            None => {
                for (name, stands) in
                    [("trail_ref", self.trail_ref.is_some()), ("trail_from", self.trail_from.is_some())]
                {
                    change.fields.retain(|(known, _)| known != name);
                    change.set_if(stands, name, "");
                }
            }
            Some(_) => {}
        }
    }

    /// A hash that was written by hand has an open position and a trailing stop that begins nowhere: it begins at the
    /// better of its entry's price and the price at hand.
    #[must_use]
    pub fn begin_trail(&self, start: &TrailStart) -> Option<Change> {
        self.trailing().filter(|trailing| trailing.anchor.is_none())?;
        let mut change = Change::new(EventType::StrategyUpdated);
        self.write_anchor(&mut change, (self.entry_price, start.last), start.from);
        (!change.fields.is_empty()).then_some(change)
    }

    fn write_anchor(&self, change: &mut Change, prices: (Option<Price>, Option<Price>), from: i64) {
        let reference = match prices {
            (Some(entry), Some(last)) => Some(self.side.better(entry, last)),
            (entry, last) => entry.or(last),
        };
        // Without any price the first tick says where it begins.
        if let Some(reference) = reference {
            change.set("trail_ref", reference).set("trail_from", from);
        }
    }

    /// Whether a crossed stop-loss would fire.
    pub(super) fn stop_is_armed(&self) -> bool {
        self.is_guarded() && self.retry().is_none_or(|(_, action)| action != Action::StopLoss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generate;

    fn level(distance: &str, side: Side, best: &str) -> String {
        Distance::parse(distance.as_bytes()).unwrap().level(side, best.parse().unwrap()).to_string()
    }

    #[test]
    fn a_stop_stays_behind_the_best_price_and_percentages_round_away_from_it() {
        let cases = [
            ("5", Side::Long, "100", "95"),
            ("5", Side::Short, "100", "105"),
            ("1.5%", Side::Long, "2500", "2462.5"),
            ("1.5%", Side::Short, "2500", "2537.5"),
            // A third of 1 % of 0.00000100 is a third of a unit: one whole unit away.
            ("0.33333333%", Side::Long, "0.000001", "0.00000099"),
            ("0.33333333%", Side::Short, "0.000001", "0.00000101"),
            ("10%", Side::Long, "0.00000015", "0.00000013"),
            ("10%", Side::Short, "0.00000015", "0.00000017"),
            // Some futures traded below zero: the stop of a long is still below.
            ("10%", Side::Long, "-40", "-44"),
            ("10%", Side::Short, "-40", "-36"),
            ("50%", Side::Long, "0", "-0.00000001"),
        ];
        for (distance, side, best, expected) in cases {
            assert_eq!(level(distance, side, best), expected, "{distance} {side} {best}");
        }
    }

    #[test]
    fn a_distance_is_above_0_and_a_percentage_below_100() {
        for bad in ["", "0", "0%", "%", "-1", "100%", "150%", "1.5 %", "1e1", "0.000000001"] {
            assert!(Distance::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Distance::parse(b"99.99999999%"), Ok(Distance::Percent(WHOLE - 1)));
    }

    fn distance() -> impl Generate<Value = Distance> {
        prop_oneof![
            (1..9_000_000_000_000_000_000_i64).prop_map(Distance::Absolute),
            (1..10_000_i64).prop_map(Distance::Absolute),
            (1..WHOLE).prop_map(Distance::Percent),
        ]
    }

    fn height() -> impl Generate<Value = i64> {
        prop_oneof![-9_000_000_000_000_000_000..9_000_000_000_000_000_000_i64, -1_000..1_000_i64]
    }

    proptest! {
        #[test]
        fn the_level_never_falls_where_the_best_price_rises(distance in distance(), best in height(), more in 0..1_000_i64) {
            prop_assert!(distance.below(best) <= distance.below(best + more));
            prop_assert!(distance.below(best) < best);
        }

        #[test]
        fn sides_mirror_each_other(distance in distance(), best in height()) {
            let long = distance.level(Side::Long, Price::from_units(best)).units();
            let short = distance.level(Side::Short, Price::from_units(-best)).units();
            prop_assert_eq!(long, -short);
        }
    }
}
