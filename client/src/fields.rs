//! Fields on their way to the server: `SET` and `UPDATE`.

use crate::error::Result;
use strat_core::field::{self, OnStop};
use strat_core::{Action, Position, Price, Quantity, Side, Status};

/// A field's value as the text that the hash will keep.
///
/// Made from texts, exact decimals, whole numbers and the core's words, and from nothing else: a float has no exact text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue(String);

impl FieldValue {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self(text)
    }
}

macro_rules! field_values {
    ($($type:ty),+) => {$(
        impl From<$type> for FieldValue {
            fn from(value: $type) -> Self {
                Self(value.to_string())
            }
        }
    )+};
}
field_values!(&String, Price, Quantity, Side, Status, Position, Action, OnStop, i64, u64, i32, u32);

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(self, value: impl Into<FieldValue>) -> Self {
            self.field(stringify!($name), value)
        }
    )+};
}

macro_rules! common_setters {
    () => {
        /// Sets any field, also one that only you know. A field set twice keeps the last value.
        #[must_use]
        pub fn field(mut self, name: impl Into<String>, value: impl Into<FieldValue>) -> Self {
            let name = name.into();
            self.fields.retain(|(known, _)| *known != name);
            self.fields.push((name, value.into().0));
            self
        }

        setters! {
            /// LONG (the default) or SHORT.
            side,
            /// Local time of day to buy, `HH:MM[:SS]`.
            buy_time,
            /// Local time of day to sell, `HH:MM[:SS]`.
            sell_time,
            /// IANA zone of the local times.
            timezone,
            /// Session calendar.
            calendar,
            /// Price that ends the position at a loss; `""` for none.
            stop_loss,
            /// Price that ends the position at a gain; `""` for none.
            take_profit,
            /// Trailing distance, `5.00` or `1.5%`; `""` for none.
            trail,
            /// What stopping does to an open position.
            on_stop,
            /// RUNNING, STOPPED, COMPLETED or FAILED.
            status,
            /// Epoch ms to buy.
            buy_at,
            /// Epoch ms to sell.
            sell_at,
        }

        /// The fields in the order in which they were given.
        pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
        }

        /// Checks every field by the server's own rules, before anything is sent. The server checks again.
        ///
        /// # Errors
        /// The refusal that the server would answer with.
        pub fn check(&self) -> Result<()> {
            for (name, value) in self.fields() {
                field::check(name.as_bytes(), value.as_bytes())?;
            }
            Ok(())
        }
    };
}

/// A whole strategy for `STRAT.SET`.
///
/// ```
/// use strat_client::StrategySpec;
/// let spec = StrategySpec::new("RELIANCE", "10").buy_time("09:30").sell_time("15:00").stop_loss("2450.00");
/// assert!(spec.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategySpec {
    fields: Vec<(String, String)>,
}

impl StrategySpec {
    /// The two fields that every strategy needs.
    #[must_use]
    pub fn new(symbol: impl Into<FieldValue>, quantity: impl Into<FieldValue>) -> Self {
        Self { fields: Vec::new() }.field("symbol", symbol).field("quantity", quantity)
    }

    /// From fields as they stand somewhere else, a database row or a hash: how a strategy is restored.
    #[must_use]
    pub fn from_fields<N: Into<String>, V: Into<FieldValue>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        fields.into_iter().fold(Self { fields: Vec::new() }, |spec, (name, value)| spec.field(name, value))
    }

    common_setters!();
}

/// A change of some fields for `STRAT.UPDATE`; the others stay as they are.
///
/// ```
/// use strat_client::StrategyUpdate;
/// let update = StrategyUpdate::new().stop_loss("2475.50").take_profit("").if_version(7);
/// assert_eq!(update.fields().count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StrategyUpdate {
    fields: Vec<(String, String)>,
    pub(crate) if_version: Option<u64>,
    pub(crate) token: Option<String>,
}

impl StrategyUpdate {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the version is still this one; else `BADVERSION`.
    #[must_use]
    pub fn if_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// Only if this token still holds the order lock; else `BADTOKEN`.
    #[must_use]
    pub fn token(mut self, token: &crate::LockToken) -> Self {
        self.token = Some(token.as_str().to_owned());
        self
    }

    setters! {
        /// Exchange symbol.
        symbol,
        /// Quantity of the next entry.
        quantity,
        /// The last error, in words.
        error,
    }

    common_setters!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use strat_core::Code;

    #[test]
    fn texts_are_sent_as_they_were_given_and_the_last_one_counts() {
        let spec = StrategySpec::new("M&M", "10").stop_loss("2500.00").stop_loss("2500.50").field("note", "x");
        let fields: Vec<_> = spec.fields().collect();
        assert_eq!(fields, [("symbol", "M&M"), ("quantity", "10"), ("stop_loss", "2500.50"), ("note", "x")]);
    }

    #[test]
    fn exact_values_become_their_exact_text() {
        let update = StrategyUpdate::new()
            .stop_loss("0.10".parse::<Price>().unwrap())
            .side(Side::Short)
            .buy_at(1_700_000_000_000_i64);
        let fields: Vec<_> = update.fields().collect();
        assert_eq!(fields, [("stop_loss", "0.1"), ("side", "SHORT"), ("buy_at", "1700000000000")]);
    }

    #[test]
    fn a_bad_field_is_found_before_it_is_sent() {
        let error = StrategySpec::new("IBM", "0").check().unwrap_err();
        assert_eq!(error.code(), Some(Code::BadField));
        let error = StrategyUpdate::new().stop_loss("nan").check().unwrap_err();
        assert_eq!(error.code(), Some(Code::BadPrice));
    }

    #[test]
    fn a_hash_becomes_a_spec_field_by_field() {
        let spec = StrategySpec::from_fields([("symbol", "IBM"), ("quantity", "5"), ("pending", "SELL")]);
        assert_eq!(spec.fields().last(), Some(("pending", "SELL")));
    }
}
