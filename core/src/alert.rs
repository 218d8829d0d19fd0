//! Price alerts: a hash of its own, fired once by the tick that crosses its level.

use crate::decimal::Price;
use crate::event::{Event, EventType};
use crate::key::{AlertKey, check_symbol};
use crate::order::wire_enum;
use crate::refusal::{Code, Refusal, shown};
use crate::strategy::Fields;
use serde_json::{Map, Value};

/// Longest life of an alert, in seconds: ten years, as long as anybody may want to wait for a price.
pub const LIFE_SECONDS_MAX: i64 = 315_360_000;

wire_enum! {
    /// On which side of its level an alert fires.
    Condition {
        /// At prices at or above the level.
        Above = "ABOVE",
        /// At prices at or below the level.
        Below = "BELOW",
    }
}

wire_enum! {
    /// Where an alert is in its life. One whose time runs out goes with its key.
    AlertStatus {
        /// It waits for its price.
        Active = "ACTIVE",
        /// It has fired.
        Triggered = "TRIGGERED",
    }
}

/// Field names of an alert's hash. Any other field is the user's own and kept as it is.
pub mod alert_field {
    /// Exchange symbol; required.
    pub const SYMBOL: &str = "symbol";
    /// [`super::Condition`]; required.
    pub const CONDITION: &str = "condition";
    /// The level; required.
    pub const PRICE: &str = "price";
    /// [`super::AlertStatus`]; absent is ACTIVE, so that a plain `HSET` of the three above arms an alert.
    pub const STATUS: &str = "status";
    /// Epoch ms at which `STRAT.ALERT` armed it.
    pub const CREATED_AT: &str = "created_at";
    /// Price of the tick that fired it, as it was given.
    pub const TRIGGERED_PRICE: &str = "triggered_price";
    /// Epoch ms of that tick.
    pub const TRIGGERED_AT: &str = "triggered_at";
    /// What [`super::Alert::read`] asks for.
    pub const READ: [&str; 4] = [SYMBOL, CONDITION, PRICE, STATUS];
}

/// A price alert, as its hash says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Exchange symbol.
    pub symbol: String,
    /// Side of the level.
    pub condition: Condition,
    /// The level.
    pub price: Price,
    /// Where it is in its life.
    pub status: AlertStatus,
}

/// What firing an alert writes and publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct FiredAlert {
    /// Field writes.
    pub fields: Fields,
    /// The line for the user's subscribers.
    pub event: String,
}

impl Alert {
    /// Reads the fields of a hash.
    ///
    /// # Errors
    /// `BADFIELD` or `BADPRICE`, naming the field.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, Refusal> {
        let text = |name: &str| {
            let bytes = get(name).unwrap_or_default();
            str::from_utf8(bytes)
                .map_err(|_| Refusal::new(Code::BadField, format!("{name} {} is not UTF-8", shown(bytes))))
        };
        let symbol = text(alert_field::SYMBOL)?;
        check_symbol(symbol)?;
        let status = match text(alert_field::STATUS)? {
            "" => AlertStatus::Active,
            word => word.parse().map_err(|why| Refusal::new(Code::BadField, format!("status {why}")))?,
        };
        Ok(Self {
            symbol: symbol.to_owned(),
            condition: parse_condition(text(alert_field::CONDITION)?)?,
            price: parse_level(text(alert_field::PRICE)?)?,
            status,
        })
    }

    /// What the trigger book must watch: the side and the level; `None` once it has fired.
    #[must_use]
    pub fn armed(&self) -> Option<(Condition, Price)> {
        (self.status == AlertStatus::Active).then_some((self.condition, self.price))
    }

    /// Fires the alert if `price` crosses its level. `text` is the price as the tick gave it.
    #[must_use]
    pub fn fire(&self, key: &AlertKey<'_>, price: Price, text: &str, ts_ms: i64) -> Option<FiredAlert> {
        let (condition, level) = self.armed()?;
        let crossed = match condition {
            Condition::Above => price >= level,
            Condition::Below => price <= level,
        };
        crossed.then(|| {
            let triggered_at = ts_ms.to_string();
            let changed = [
                (alert_field::STATUS, AlertStatus::Triggered.as_str()),
                (alert_field::TRIGGERED_PRICE, text),
                (alert_field::TRIGGERED_AT, &triggered_at),
            ];
            let level = level.to_string();
            let about = [
                (alert_field::SYMBOL, self.symbol.as_str()),
                (alert_field::CONDITION, condition.as_str()),
                (alert_field::PRICE, &level),
            ];
            let member = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::from(*value));
            let data: Map<String, Value> = changed.iter().chain(&about).map(member).collect();
            FiredAlert {
                fields: changed.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
                event: Event::new(EventType::PriceAlert, ts_ms, key.alert, data).to_json(),
            }
        })
    }
}

/// The side of a level, in capitals or not.
///
/// # Errors
/// `BADFIELD` with the sides that there are.
pub fn parse_condition(text: &str) -> Result<Condition, Refusal> {
    let upper = text.to_ascii_uppercase();
    upper.parse().map_err(|_| {
        Refusal::new(Code::BadField, format!("condition {} must be ABOVE or BELOW", shown(text.as_bytes())))
    })
}

/// The level of an alert: any price, also 0 and below, which some instruments reach.
///
/// # Errors
/// `BADPRICE` with the text.
pub fn parse_level(text: &str) -> Result<Price, Refusal> {
    Price::parse(text.as_bytes())
        .map_err(|why| Refusal::new(Code::BadPrice, format!("price {} {why}", shown(text.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: AlertKey<'static> = AlertKey { prefix: "", user: "alice", alert: "a1" };

    fn read(fields: &[(&str, &str)]) -> Result<Alert, Refusal> {
        Alert::read(|name| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes()))
    }

    #[test]
    fn it_fires_at_its_level_and_beyond_and_once() {
        for (condition, fires, not) in
            [("ABOVE", ["2500.00", "2500.01"], "2499.99999999"), ("BELOW", ["2500", "2499.99"], "2500.00000001")]
        {
            let alert = read(&[("symbol", "IBM"), ("condition", condition), ("price", "2500")]).unwrap();
            let fire = |alert: &Alert, text: &str| alert.fire(&KEY, text.parse().unwrap(), text, 1_000);
            assert_eq!(fire(&alert, not), None);
            for text in fires {
                let fired = fire(&alert, text).unwrap();
                assert_eq!(
                    fired.event,
                    format!(
                        "{{\"type\":\"PRICE_ALERT\",\"timestamp\":\"1970-01-01T00:00:01.000Z\",\"strategy_id\":\"a1\",\
                         \"data\":{{\"condition\":\"{condition}\",\"price\":\"2500\",\"status\":\"TRIGGERED\",\
                         \"symbol\":\"IBM\",\"triggered_at\":\"1000\",\"triggered_price\":\"{text}\"}}}}"
                    )
                );
                let mut fields = vec![("symbol", "IBM"), ("condition", condition), ("price", "2500")];
                fields.extend(fired.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                let after = read(&fields).unwrap();
                assert_eq!((after.status, after.armed()), (AlertStatus::Triggered, None));
                assert_eq!(fire(&after, text), None, "once");
            }
        }
    }

    #[test]
    fn what_does_not_parse_is_refused_by_its_name() {
        let good = [("symbol", "IBM"), ("condition", "above"), ("price", "-1.5")];
        assert_eq!(read(&good).unwrap().price, "-1.5".parse().unwrap());
        for (name, value, code, what) in [
            ("symbol", "", Code::BadField, "symbol"),
            ("symbol", "I B M", Code::BadField, "symbol"),
            ("condition", "", Code::BadField, "condition"),
            ("condition", "BESIDE", Code::BadField, "condition"),
            ("price", "", Code::BadPrice, "price"),
            ("price", "1e5", Code::BadPrice, "price"),
            ("status", "GONE", Code::BadField, "status"),
        ] {
            let fields: Vec<_> =
                std::iter::once((name, value)).chain(good.into_iter().filter(|(known, _)| *known != name)).collect();
            let refusal = read(&fields).unwrap_err();
            assert_eq!(refusal.code, code, "{refusal}");
            assert!(refusal.to_string().contains(what), "{refusal}");
        }
    }
}
