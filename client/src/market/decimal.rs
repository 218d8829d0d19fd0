//! Exact decimals for sums, differences and percentages, which may not fit into a price.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use strat_core::decimal::{DECIMALS, DecimalError, SCALE};
use strat_core::{Price, Quantity};

/// Digits before the point that parse; 30 of them and 8 behind still fit.
const WHOLE_DIGITS_MAX: usize = 30;

/// An exact decimal in units of 10⁻⁸, as a price is, but of 128 bits: a day's volume, the difference of any two prices and
/// every percentage of them fit. May be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(i128);

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From units of 10⁻⁸.
    #[must_use]
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// In units of 10⁻⁸.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.0
    }

    /// By how many percent `to` lies above `from` (below: negative), of the magnitude of `from`, rounded half away from
    /// zero to 10⁻⁸ percent. `None` where `from` is 0.
    #[must_use]
    pub fn percent_change(from: Price, to: Price) -> Option<Self> {
        let base = i128::from(from.units().unsigned_abs());
        if base == 0 {
            return None;
        }
        // Two prices differ by less than 2·10¹⁹ units, so this stays below 4·10²⁹.
        let part = (Self::from(to) - Self::from(from)).0 * 100 * i128::from(SCALE);
        let rounded = (2 * part.abs() + base) / (2 * base);
        Some(Self(rounded * part.signum()))
    }
}

impl From<Price> for Decimal {
    fn from(price: Price) -> Self {
        Self(price.units().into())
    }
}

impl From<Quantity> for Decimal {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.units().into())
    }
}

impl Add for Decimal {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Decimal {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Decimal {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl fmt::Display for Decimal {
    /// Shortest exact form: no trailing zeros, no exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (magnitude, one) = (self.0.unsigned_abs(), u128::from(SCALE.unsigned_abs()));
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / one)?;
        match magnitude % one {
            0 => Ok(()),
            fraction => write!(f, ".{}", format!("{fraction:0DECIMALS$}").trim_end_matches('0')),
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// `-?digits[.digits]`, nothing else.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        // Nearly all are no larger than a price, and need no detour then.
        match Price::parse(text.as_bytes()) {
            Err(DecimalError::TooLarge) => parse_wide(text),
            narrow => narrow.map(Self::from),
        }
    }
}

/// A plain number of at most 8 decimals that is beyond any price.
fn parse_wide(text: &str) -> Result<Decimal, DecimalError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() > WHOLE_DIGITS_MAX {
        return Err(DecimalError::TooLarge);
    }
    let units: i128 = format!("{whole}{fraction:0<DECIMALS$}").parse().map_err(|_| DecimalError::Malformed)?;
    Ok(Decimal(if text.starts_with('-') { -units } else { units }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn percentages_are_exact_and_round_half_away_from_zero() {
        for (from, to, percent) in [
            ("100", "101", "1"),
            ("100", "99.5", "-0.5"),
            ("3", "4", "33.33333333"),
            ("3", "5", "66.66666667"),
            ("3", "1", "-66.66666667"),
            // Half a unit of 10⁻⁸ percent, both ways.
            ("20000000000", "20000000001", "0.00000001"),
            ("20000000000", "19999999999", "-0.00000001"),
            ("-2", "-1", "50"),
            ("-2", "1", "150"),
            ("0.00000001", "89999999999.99999999", "899999999999999999800"),
        ] {
            let found = Decimal::percent_change(price(from), price(to)).unwrap();
            assert_eq!(found.to_string(), percent, "{from} to {to}");
        }
        assert_eq!(Decimal::percent_change(Price::ZERO, price("1")), None);
    }

    #[test]
    fn only_plain_numbers_parse() {
        for text in ["", "-", "+1", ".5", "1.", "1e5", " 1", "1.2.3", "--1", "1.-5", "nan"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::Malformed), "{text:?}");
        }
        assert_eq!("1.123456789".parse::<Decimal>(), Err(DecimalError::TooManyDecimals));
        assert_eq!("1".repeat(31).parse::<Decimal>(), Err(DecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(units in -10_i128.pow(37)..10_i128.pow(37)) {
            let decimal = Decimal::from_units(units);
            prop_assert_eq!(decimal.to_string().parse::<Decimal>(), Ok(decimal));
        }

        #[test]
        fn a_price_and_its_decimal_read_the_same(units in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            let price = Price::from_units(units);
            prop_assert_eq!(Decimal::from(price).to_string(), price.to_string());
        }

        #[test]
        fn a_percentage_is_the_nearest(from in -10_000_i64..10_000, to in -10_000_i64..10_000) {
            prop_assume!(from != 0);
            let found = Decimal::percent_change(Price::from_units(from), Price::from_units(to)).unwrap().units();
            let base = i128::from(from.abs());
            let exact = i128::from(to - from) * 10_000_000_000;
            prop_assert!((found * base - exact).abs() * 2 <= base);
        }
    }
}
