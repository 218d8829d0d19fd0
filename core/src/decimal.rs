//! Exact decimals. A price or quantity is an `i64` in units of 10⁻⁸, never a float.

use std::fmt;

/// Decimal places that a price or quantity may carry.
pub const DECIMALS: usize = 8;
/// Units in one: 10⁸.
pub const SCALE: i64 = 100_000_000;
/// Values lie strictly inside ±9·10¹⁰, so that units stay inside ±9·10¹⁸ and sums of two do not overflow `i128` products.
const LIMIT_UNITS: i64 = 90_000_000_000 * SCALE;
/// Largest amount of money that is read, in units of 10⁻¹⁶: 10²¹.
const MONEY_MAX: i128 = 10_i128.pow(37);
/// Longest text accepted: sign, 11 digits, point, 8 decimals, and room for leading zeros.
const TEXT_MAX: usize = 40;
/// Powers of ten, up to one in units.
const POWERS: [u64; DECIMALS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Why a text is not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// Not of the form `-?digits[.digits]`: empty, `nan`, `1e5`, `+1`, blanks.
    Malformed,
    /// More than 8 digits behind the point.
    TooManyDecimals,
    /// Outside ±9·10¹⁰.
    TooLarge,
    /// Zero or negative where only a positive value makes sense.
    NotPositive,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a plain decimal number such as 2500.00",
            Self::TooManyDecimals => "has more than 8 decimals",
            Self::TooLarge => "is outside +-90000000000",
            Self::NotPositive => "must be above 0",
        })
    }
}

impl std::error::Error for DecimalError {}

/// Parses `-?digits[.digits]` exactly into units of 10⁻⁸.
fn parse_units(text: &[u8]) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || text.len() > TEXT_MAX {
        return Err(DecimalError::Malformed);
    }
    // Beyond any price it stays at its end.
    let (mut units, mut point) = (0_u64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => units = units.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return Err(DecimalError::Malformed),
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - 1 - at);
    match decimals {
        0 if point.is_some() => return Err(DecimalError::Malformed),
        0..=DECIMALS => {}
        _ => return Err(DecimalError::TooManyDecimals),
    }
    let units = units.saturating_mul(POWERS[DECIMALS - decimals]);
    let units = i64::try_from(units).ok().filter(|units| *units < LIMIT_UNITS).ok_or(DecimalError::TooLarge)?;
    Ok(if negative { -units } else { units })
}

/// Writes `units / 10^scale` without trailing zeros.
fn write_scaled(f: &mut fmt::Formatter<'_>, units: i128, scale: u32) -> fmt::Result {
    let one = 10_u128.pow(scale);
    let magnitude = units.unsigned_abs();
    if units < 0 {
        f.write_str("-")?;
    }
    write!(f, "{}", magnitude / one)?;
    let fraction = magnitude % one;
    if fraction == 0 {
        return Ok(());
    }
    let digits = format!("{fraction:0width$}", width = scale as usize);
    write!(f, ".{}", digits.trim_end_matches('0'))
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// From units of 10⁻⁸.
            #[must_use]
            pub const fn from_units(units: i64) -> Self {
                Self(units)
            }

            /// In units of 10⁻⁸.
            #[must_use]
            pub const fn units(self) -> i64 {
                self.0
            }

            /// Parses `-?digits[.digits]` exactly; refuses everything else.
            ///
            /// # Errors
            /// [`DecimalError`] names what is wrong with the text.
            pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
                parse_units(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            /// Shortest exact form: no trailing zeros, no exponent.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_scaled(f, i128::from(self.0), DECIMALS as u32)
            }
        }

        impl std::str::FromStr for $name {
            type Err = DecimalError;
            fn from_str(text: &str) -> Result<Self, DecimalError> {
                Self::parse(text.as_bytes())
            }
        }
    };
}

fixed_point! {
    /// A price in the instrument's currency, in units of 10⁻⁸. May be negative (some futures were).
    Price
}
fixed_point! {
    /// A quantity in shares, contracts or coins, in units of 10⁻⁸.
    Quantity
}

impl Quantity {
    /// Parses a quantity above zero.
    ///
    /// # Errors
    /// [`DecimalError::NotPositive`] for zero and below, else as [`Quantity::parse`].
    pub fn parse_positive(text: &[u8]) -> Result<Self, DecimalError> {
        Self::parse(text).and_then(|q| if q.0 > 0 { Ok(q) } else { Err(DecimalError::NotPositive) })
    }

    /// `self - other`, not below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// `self - other` as a net position: below zero where `other` is more.
    #[must_use]
    pub fn net(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self + other`, saturating at the largest representable quantity.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// An amount of money: price × quantity, exact, in units of 10⁻¹⁶.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(i128);

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// The exact value of `quantity` at `price`.
    #[must_use]
    pub fn of(price: Price, quantity: Quantity) -> Self {
        Self(i128::from(price.0) * i128::from(quantity.0))
    }

    /// Parses `-?digits[.digits]` of up to 16 decimals exactly; refuses everything else.
    ///
    /// # Errors
    /// [`DecimalError`] names what is wrong with the text; too large is what is outside ±10²¹.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, decimals) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || decimals.is_some_and(|part| !plain(part)) || text.len() > TEXT_MAX {
            return Err(DecimalError::Malformed);
        }
        let decimals = decimals.unwrap_or_default();
        if decimals.len() > 2 * DECIMALS {
            return Err(DecimalError::TooManyDecimals);
        }
        let units: i128 = format!("{whole}{decimals:0<16}").parse().map_err(|_| DecimalError::TooLarge)?;
        if units > MONEY_MAX {
            return Err(DecimalError::TooLarge);
        }
        Ok(Self(if negative { -units } else { units }))
    }

    /// Parses an amount above zero.
    ///
    /// # Errors
    /// [`DecimalError::NotPositive`] for zero and below, else as [`Money::parse`].
    pub fn parse_positive(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text).and_then(|amount| if amount.0 > 0 { Ok(amount) } else { Err(DecimalError::NotPositive) })
    }

    /// Without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

/// Sums stay at the ends of what can be represented: 1.7·10²² on both sides, more than all prices and quantities give.
impl std::ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |a, b| a + b)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 2 * DECIMALS as u32)
    }
}

/// Average price of two fills, rounded half away from zero to 10⁻⁸. `None` where nothing was filled.
#[must_use]
pub fn average_price(first: (Quantity, Price), second: (Quantity, Price)) -> Option<Price> {
    let quantity = i128::from(first.0.0) + i128::from(second.0.0);
    if quantity <= 0 {
        return None;
    }
    let notional = Money::of(first.1, first.0).0 + Money::of(second.1, second.0).0;
    let half = if notional < 0 { -quantity / 2 } else { quantity / 2 };
    i64::try_from((notional + half) / quantity).ok().map(Price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_are_not_plain_decimals_are_refused() {
        for text in [
            "",
            "-",
            ".",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "1e5",
            "+1",
            " 1",
            "1 ",
            "1.",
            ".5",
            "1.2.3",
            "0x10",
            "1_000",
            "١",
            "1,5",
            "--1",
            "1.123456789e1",
        ] {
            assert_eq!(Price::parse(text.as_bytes()), Err(DecimalError::Malformed), "{text:?}");
        }
        assert_eq!(Price::parse(b"1.123456789"), Err(DecimalError::TooManyDecimals));
        for text in ["90000000000", "-90000000000", "99999999999999999999", "92233720368.54775808"] {
            assert_eq!(Price::parse(text.as_bytes()), Err(DecimalError::TooLarge), "{text:?}");
        }
        assert_eq!(Quantity::parse_positive(b"0"), Err(DecimalError::NotPositive));
        assert_eq!(Quantity::parse_positive(b"-3"), Err(DecimalError::NotPositive));
    }

    #[test]
    fn the_largest_price_is_kept_to_the_last_unit() {
        let text = "89999999999.99999999";
        assert_eq!(Price::parse(text.as_bytes()).map(|p| p.to_string()), Ok(text.to_owned()));
    }

    #[test]
    fn profit_is_exact() {
        let gain = Money::of("2500.05".parse().unwrap(), "3".parse().unwrap())
            - Money::of("2500.00000001".parse().unwrap(), "3".parse().unwrap());
        assert_eq!(gain.to_string(), "0.14999997");
    }

    #[test]
    fn an_average_lies_between_its_prices_and_rounds_half_away() {
        let q = |text: &str| text.parse::<Quantity>().unwrap();
        let p = |text: &str| text.parse::<Price>().unwrap();
        assert_eq!(average_price((q("4"), p("10")), (q("6"), p("20"))), Some(p("16")));
        assert_eq!(average_price((q("1"), p("0.00000001")), (q("1"), p("0"))), Some(p("0.00000001")));
        assert_eq!(average_price((q("0"), p("0")), (q("0"), p("7"))), None);
    }

    #[test]
    fn an_amount_is_read_as_it_is_written() {
        for text in ["0", "-0.0000000000000001", "1000000000000000000000", "-15.466666637"] {
            assert_eq!(Money::parse(text).map(|amount| amount.to_string()), Ok(text.to_owned()));
        }
        for (text, why) in [
            ("", DecimalError::Malformed),
            ("-", DecimalError::Malformed),
            ("1.", DecimalError::Malformed),
            (".5", DecimalError::Malformed),
            ("+1", DecimalError::Malformed),
            ("1e5", DecimalError::Malformed),
            ("NaN", DecimalError::Malformed),
            ("0.00000000000000001", DecimalError::TooManyDecimals),
            ("1000000000000000000001", DecimalError::TooLarge),
            ("9999999999999999999999999999999999999", DecimalError::TooLarge),
        ] {
            assert_eq!(Money::parse(text), Err(why), "{text}");
        }
        assert_eq!(Money::parse_positive("0"), Err(DecimalError::NotPositive));
    }

    proptest! {
        #[test]
        fn what_is_printed_of_an_amount_parses_to_the_same(units in -MONEY_MAX..=MONEY_MAX, text in "\\PC{0,20}") {
            prop_assert_eq!(Money::parse(&Money(units).to_string()), Ok(Money(units)));
            let _ = Money::parse(&text);
        }

        #[test]
        fn what_is_printed_parses_to_the_same_units(units in -LIMIT_UNITS + 1..LIMIT_UNITS) {
            let price = Price::from_units(units);
            prop_assert_eq!(price.to_string().parse::<Price>(), Ok(price));
        }

        #[test]
        fn parsing_never_panics(text in proptest::collection::vec(any::<u8>(), 0..48)) {
            let _ = Price::parse(&text);
        }

        #[test]
        fn what_parses_is_the_number_that_is_written(text in "-?[0-9.]{1,24}") {
            if let Ok(price) = Price::parse(text.as_bytes()) {
                // Read with other eyes: as digits without the point.
                let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
                let digits: i128 = format!("{whole}{decimals:0<8}").parse().unwrap();
                prop_assert_eq!(i128::from(price.units()), digits);
                prop_assert_eq!(price.to_string().parse::<Price>(), Ok(price));
            }
        }

        #[test]
        fn an_average_lies_between_its_prices(
            a in (1..LIMIT_UNITS, -LIMIT_UNITS + 1..LIMIT_UNITS),
            b in (1..LIMIT_UNITS, -LIMIT_UNITS + 1..LIMIT_UNITS),
        ) {
            let fill = |(quantity, price)| (Quantity::from_units(quantity), Price::from_units(price));
            let average = average_price(fill(a), fill(b));
            prop_assert!(average.is_some_and(|price| (a.1.min(b.1)..=a.1.max(b.1)).contains(&price.units())), "{average:?}");
        }

        #[test]
        fn quantities_neither_overflow_nor_fall_below_zero(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (Quantity::from_units(a), Quantity::from_units(b));
            prop_assert!(a.minus(b) >= Quantity::ZERO);
            let _ = a.plus(b);
        }

        #[test]
        fn order_of_texts_is_order_of_units(a in -LIMIT_UNITS + 1..LIMIT_UNITS, b in -LIMIT_UNITS + 1..LIMIT_UNITS) {
            let (a, b) = (Price::from_units(a), Price::from_units(b));
            prop_assert_eq!(a.cmp(&b), a.units().cmp(&b.units()));
        }
    }
}
