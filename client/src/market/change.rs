//! A price at a time, and how it changed between two times.

use super::Decimal;
use strat_core::Price;

/// A price at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PricePoint {
    /// Epoch ms.
    pub ts_ms: i64,
    /// The price then.
    pub price: Price,
}

/// How a price changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The last price at or before the period's begin.
    pub from: PricePoint,
    /// The last price at or before the period's end.
    pub to: PricePoint,
    /// `to` less `from`, exact.
    pub absolute: Decimal,
    /// Of the magnitude of `from`, rounded half away from zero to 10⁻⁸ percent; `None` where `from` is 0.
    pub percent: Option<Decimal>,
}

impl Change {
    /// From one price to another.
    #[must_use]
    pub fn between(from: PricePoint, to: PricePoint) -> Self {
        let absolute = Decimal::from(to.price) - Decimal::from(from.price);
        Self { from, to, absolute, percent: Decimal::percent_change(from.price, to.price) }
    }
}
