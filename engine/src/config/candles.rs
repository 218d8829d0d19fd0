//! Settings of the candles.

use super::table::{Setting, row};
use strat_client::candles::Hours;

/// In which sessions candles are built; none unless set.
#[derive(Debug, Clone, Default)]
pub struct CandleSettings {
    /// As it was given.
    text: String,
    /// What it says.
    hours: Option<Hours>,
}

impl CandleSettings {
    /// The sessions; `None` where no candles are built.
    #[must_use]
    pub const fn hours(&self) -> Option<&Hours> {
        self.hours.as_ref()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let hours = match words[..] {
            [] | ["off"] => None,
            ["always"] => Some(Hours::always()),
            [zone, open, close] => Some(Hours::new(zone, open, close).map_err(|why| why.to_string())?),
            _ => return Err("is none of off, always, or a zone and two times: America/New_York 09:30 16:00".to_owned()),
        };
        Ok(Self { text: text.to_owned(), hours })
    }
}

pub(super) const HOURS: Setting = row(
    "candles.hours",
    "STRAT_CANDLES_HOURS",
    "when the market trades whose candles are built: off, always (days of UTC), or `America/New_York 09:30 16:00`, Monday to Friday",
    |s, v| CandleSettings::parse(v).map(|v| s.candles = v),
    |s| if s.candles.text.is_empty() { "off".to_owned() } else { s.candles.text.clone() },
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_off_always_or_those_of_a_zone() {
        for text in ["", "off"] {
            assert!(CandleSettings::parse(text).unwrap().hours().is_none());
        }
        for text in ["always", "Asia/Kolkata 09:15 15:30"] {
            assert!(CandleSettings::parse(text).unwrap().hours().is_some());
        }
        for (text, why) in [("on", "none of"), ("Mars/Base 09:00 10:00", "zone"), ("UTC 25:00 26:00", "25:00")] {
            let refused = CandleSettings::parse(text).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
