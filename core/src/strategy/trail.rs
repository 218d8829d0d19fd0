//! A stop that follows the best price since entry.
//!
//! The stop lies [`Offset`] behind the best price, on the side of a loss. It only ever moves in the position's favour,
//! because the best price does. Which prices came since a position began to be followed is known per symbol, not per
//! strategy: the hash holds the moment from which on they count (`trail_from`) and a best price to begin with
//! (`trail_ref`), the trigger book the rest.

use super::{Fields, Side, Strategy};
use crate::decimal::{DecimalError, Price, Quantity, SCALE};

/// How far the stop stays behind the best price: `5.00`, or `1.5%` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offset {
    /// In units of the price.
    Absolute(i64),
    /// In 10⁻⁸ percent.
    Percent(i64),
}

/// Units of a whole, in 10⁻⁸ percent.
const WHOLE: i64 = 100 * SCALE;

impl Offset {
    /// Parses `5.00` or `1.5%`.
    ///
    /// # Errors
    /// As for a positive decimal; a percentage must lie below 100, or a rising price would let the stop fall.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let Some(percent) = text.strip_suffix(b"%") else {
            return Quantity::parse_positive(text).map(|offset| Self::Absolute(offset.units()));
        };
        let percent = Quantity::parse_positive(percent)?.units();
        if percent < WHOLE { Ok(Self::Percent(percent)) } else { Err(DecimalError::TooLarge) }
    }

    /// The number in it, and what it counts.
    pub(crate) const fn units(self) -> i64 {
        match self {
            Self::Absolute(units) | Self::Percent(units) => units,
        }
    }

    /// The stop behind a best price, both as gains: see [`Side::gain`]. A percentage is taken of the price's magnitude and
    /// rounded up to the next unit, so that the stop never lies nearer than was asked for; it is one at least. `i64::MIN`
    /// fires at no price.
    pub(crate) fn behind(self, best: i64) -> i64 {
        let distance = match self {
            Self::Absolute(units) => i128::from(units),
            Self::Percent(percent) => {
                let whole = i128::from(WHOLE);
                ((i128::from(best.unsigned_abs()) * i128::from(percent) + whole - 1) / whole).max(1)
            }
        };
        i64::try_from(i128::from(best) - distance).unwrap_or(i64::MIN)
    }

    /// The largest offset of the same kind that `gain` reaches from a best price; `None` where it reaches none.
    pub(crate) fn reached(self, best: i64, gain: i64) -> Option<i64> {
        let fallen = i128::from(best) - i128::from(gain);
        if fallen <= 0 {
            return None;
        }
        let offset = match self {
            Self::Absolute(_) => fallen,
            // Of nothing every percentage is nothing, but the price has fallen.
            Self::Percent(_) => fallen * i128::from(WHOLE) / i128::from(best.unsigned_abs().max(1)),
        };
        Some(i64::try_from(offset).unwrap_or(i64::MAX))
    }
}

impl Side {
    /// A price as the gain of a position of this side: the higher the better. Its own inverse. No price is `i64::MIN`.
    #[must_use]
    pub const fn gain(self, units: i64) -> i64 {
        match self {
            Self::Long => units,
            Self::Short => -units,
        }
    }
}

/// What the trigger book must know of a strategy that follows the best price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailing {
    /// Which way is better.
    pub side: Side,
    /// How far behind the stop stays.
    pub offset: Offset,
    /// A best price to begin with.
    pub reference: Option<Price>,
    /// The moment from which on prices count, epoch ms.
    pub from: i64,
}

impl Trailing {
    /// The best price, as a gain: of the one to begin with and the best that came since; `i64::MIN` where there is none.
    pub(crate) fn best(&self, since: i64) -> i64 {
        since.max(self.reference.map_or(i64::MIN, |price| self.side.gain(price.units())))
    }
}

impl Strategy {
    /// Which prices the strategy follows, whether or not its stop is armed at the moment: an exit that fails must find the
    /// best price that came meanwhile.
    #[must_use]
    pub fn trailing(&self) -> Option<Trailing> {
        let (offset, from) = self.trail.filter(|_| self.position.is_open()).zip(self.trail_from)?;
        Some(Trailing { side: self.side, offset, reference: self.trail_ref, from })
    }

    /// Whether it has a position and a trail, and nobody said yet from when on prices count.
    #[must_use]
    pub fn begins_trailing(&self) -> bool {
        self.trail.is_some() && self.position.is_open() && self.trail_from.is_none()
    }

    /// The fields that let it follow prices from a moment on; the price of the entry is the first.
    #[must_use]
    pub fn begin_trailing(&self, from: i64) -> Fields {
        let mut fields = vec![("trail_from".to_owned(), from.to_string())];
        if let Some(price) = self.entry_price.filter(|_| self.trail_ref.is_none()) {
            fields.push(("trail_ref".to_owned(), price.to_string()));
        }
        fields
    }

    /// Where the trailing stop lies, given the best price that came since it began.
    #[must_use]
    pub fn trailing_stop(&self, since: Option<Price>) -> Option<Price> {
        let trailing = self.trailing()?;
        let best = trailing.best(since.map_or(i64::MIN, |price| self.side.gain(price.units())));
        let stop = (best > i64::MIN).then(|| trailing.offset.behind(best)).filter(|stop| *stop > i64::MIN)?;
        Some(Price::from_units(self.side.gain(stop)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy as Generate;

    /// Prices lie inside ±9·10¹⁸ units.
    const LIMIT: i64 = 9_000_000_000_000_000_000;

    fn price() -> impl Generate<Value = i64> {
        prop_oneof![-3..3_i64, -300..300_i64, (1 - LIMIT)..LIMIT]
    }

    fn offset() -> impl Generate<Value = Offset> {
        prop_oneof![
            (1..300_i64).prop_map(Offset::Absolute),
            (1..LIMIT).prop_map(Offset::Absolute),
            (1..WHOLE).prop_map(Offset::Percent),
        ]
    }

    proptest! {
        #[test]
        fn a_better_price_never_loosens_the_stop(offset in offset(), a in price(), b in price()) {
            let (worse, better) = (a.min(b), a.max(b));
            prop_assert!(offset.behind(worse) <= offset.behind(better));
            prop_assert!(offset.behind(better) < better, "it lies behind");
        }

        #[test]
        fn what_is_reached_is_what_fires(offset in offset(), best in price(), gain in price()) {
            let fires = gain <= offset.behind(best);
            prop_assert_eq!(offset.reached(best, gain).is_some_and(|most| offset.units() <= most), fires);
        }
    }

    #[test]
    fn a_percentage_is_rounded_away_from_the_price() {
        let offset = Offset::parse(b"1.5%").unwrap();
        assert_eq!(offset.behind(200 * SCALE), 197 * SCALE);
        assert_eq!(offset.behind(1), 0);
        assert_eq!(offset.behind(-200 * SCALE), -203 * SCALE);
    }

    #[test]
    fn an_offset_is_positive_and_a_percentage_below_a_hundred() {
        assert_eq!(Offset::parse(b"5.00"), Ok(Offset::Absolute(5 * SCALE)));
        assert_eq!(Offset::parse(b"99.99999999%"), Ok(Offset::Percent(WHOLE - 1)));
        assert_eq!(Offset::parse(b"100%"), Err(DecimalError::TooLarge));
        for text in ["0", "-1", "%", "0%", "5 %", "1.5%%", ""] {
            assert!(Offset::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
