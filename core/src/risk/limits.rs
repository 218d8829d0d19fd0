//! Limits: their names, their texts, and one user's over everybody's.

use crate::decimal::{Money, Price, Quantity};
use crate::order::wire_enum;

wire_enum! {
    /// What the largest daily loss leads to; entries stop either way.
    OnDailyLoss {
        /// Positions stay as they are, guarded by their stops; the default.
        StopEntries = "stop_entries",
        /// What is open is squared off.
        SquareOff = "square_off",
    }
}

/// How limits are called, in settings, in the API and in refusals.
pub const LIMIT_NAMES: [&str; 7] = [
    "max_quantity",
    "max_notional",
    "max_open_positions",
    "max_orders_per_minute",
    "max_daily_loss",
    "price_collar_percent",
    "on_daily_loss",
];

/// Lifts a limit that would hold otherwise.
const NO_LIMIT: &str = "none";

/// What an entry may be at most. What is `None` is not limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Quantity of an entry.
    pub max_quantity: Option<Quantity>,
    /// Its worth at the last price.
    pub max_notional: Option<Money>,
    /// Positions, those included that an entry is on its way for.
    pub max_open_positions: Option<u32>,
    /// Entries approved in any minute.
    pub max_orders_per_minute: Option<u32>,
    /// Loss of the day, realised and open: at this much entries stop.
    pub max_daily_loss: Option<Money>,
    /// How far the last price may be from the price that the entry reckons with, in percent of that.
    pub price_collar_percent: Option<Price>,
    /// What reaching the daily loss leads to besides.
    pub on_daily_loss: OnDailyLoss,
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

impl Limits {
    /// No limits at all.
    pub const NONE: Self = Self {
        max_quantity: None,
        max_notional: None,
        max_open_positions: None,
        max_orders_per_minute: None,
        max_daily_loss: None,
        price_collar_percent: None,
        on_daily_loss: OnDailyLoss::StopEntries,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self { on_daily_loss: self.on_daily_loss, ..Self::NONE }
    }

    /// Sets one of them; `none`, or an empty text, lifts it.
    ///
    /// # Errors
    /// What is wrong with name or text, in words.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let given = Some(text).filter(|text| !text.is_empty() && *text != NO_LIMIT);
        match name {
            "max_quantity" => {
                self.max_quantity = parsed(given, |text| Quantity::parse_positive(text.as_bytes()))?;
            }
            "max_notional" => self.max_notional = parsed(given, Money::parse_positive)?,
            "max_open_positions" => self.max_open_positions = given.map(count).transpose()?,
            "max_orders_per_minute" => self.max_orders_per_minute = given.map(count).transpose()?,
            "max_daily_loss" => self.max_daily_loss = parsed(given, Money::parse_positive)?,
            "price_collar_percent" => {
                let percent = parsed(given, |text| Quantity::parse_positive(text.as_bytes()))?;
                self.price_collar_percent = percent.map(|percent| Price::from_units(percent.units()));
            }
            "on_daily_loss" => self.on_daily_loss = given.map_or(Ok(OnDailyLoss::StopEntries), str::parse)?,
            _ => return Err(format!("is not one of {}", LIMIT_NAMES.join(", "))),
        }
        Ok(())
    }

    /// These, with what `changes` say put over them.
    ///
    /// # Errors
    /// Which change is wrong, and how.
    pub fn with<'a>(&self, changes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut limits = self.clone();
        for (name, text) in changes {
            limits.set(name, text).map_err(|why| format!("{name} '{text}' {why}"))?;
        }
        Ok(limits)
    }

    /// The text of one of them; `none` where it is not limited or the name is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        fn shown<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(|| NO_LIMIT.to_owned(), T::to_string)
        }
        match name {
            "max_quantity" => shown(self.max_quantity.as_ref()),
            "max_notional" => shown(self.max_notional.as_ref()),
            "max_open_positions" => shown(self.max_open_positions.as_ref()),
            "max_orders_per_minute" => shown(self.max_orders_per_minute.as_ref()),
            "max_daily_loss" => shown(self.max_daily_loss.as_ref()),
            "price_collar_percent" => shown(self.price_collar_percent.as_ref()),
            "on_daily_loss" => self.on_daily_loss.to_string(),
            _ => NO_LIMIT.to_owned(),
        }
    }
}

fn parsed<T, E: ToString>(given: Option<&str>, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, String> {
    given.map(|text| parse(text).map_err(|why| why.to_string())).transpose()
}

/// 0 is a limit too: no position at all.
fn count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| "is not a whole number".to_owned())
}
