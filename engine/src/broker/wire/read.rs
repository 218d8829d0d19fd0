//! What a broker says, read strictly: amounts exactly, texts printable and bounded.

use crate::failure::one_line;
use serde::Deserialize;
use serde_json::value::RawValue;
use strat_core::decimal::{DECIMALS, DecimalError};
use strat_core::{Price, Quantity};

/// Longest text taken over from a broker.
const TEXT_CHARS_MAX: usize = 500;

/// A body as JSON.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("{} in '{}'", one_line(&error.to_string()), excerpt(body)))
}

/// The beginning of a body, for messages.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(120)]);
    printable(&text)
}

/// A text on one line, no longer than a log wants it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect()
}

/// A decimal by its own rule, with what it is in the complaint.
pub(crate) fn decimal<T>(what: &str, text: &str, parse: fn(&[u8]) -> Result<T, DecimalError>) -> Result<T, String> {
    parse(text.as_bytes()).map_err(|why| format!("{what} '{}' {why}", printable(text)))
}

/// An average price, which has as many digits as the division gave: those beyond ours are cut off.
pub(crate) fn average(what: &str, text: &str) -> Result<Price, String> {
    decimal(what, cut(text), Price::parse)
}

/// A decimal without the digits beyond ours.
pub(crate) fn cut(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, part)) if part.len() > DECIMALS && part.bytes().all(|byte| byte.is_ascii_digit()) => {
            &text[..whole.len() + 1 + DECIMALS]
        }
        _ => text,
    }
}

/// A decimal that JSON gives as a number or between quotes. Its digits are kept as they were written: a float would
/// make others of them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct Amount<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Amount<'a> {
    /// The digits.
    pub(crate) fn text(self) -> &'a str {
        let raw = self.0.get();
        raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw)
    }

    /// As a price above 0.
    pub(crate) fn price(self, what: &str) -> Result<Price, String> {
        let price = decimal(what, self.text(), Price::parse)?;
        if price > Price::ZERO { Ok(price) } else { Err(format!("{what} {price} is not above 0")) }
    }

    /// As a quantity of either sign.
    pub(crate) fn quantity(self, what: &str) -> Result<Quantity, String> {
        decimal(what, self.text(), Quantity::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_keep_eight_digits() {
        for (text, price) in [("100.3", "100.3"), ("105.89884751234", "105.89884751"), ("0.000000019", "0.00000001")] {
            assert_eq!(average("p", text).unwrap().to_string(), price);
        }
        for text in ["100.1234567890x", "nan", "1e5", "100.", ".123456789"] {
            assert!(average("p", text).is_err(), "{text}");
        }
    }

    #[derive(Deserialize)]
    struct Trade<'a> {
        #[serde(borrow)]
        p: Amount<'a>,
    }

    #[test]
    fn amounts_are_what_was_written() {
        for (body, price) in [
            (r#"{"p":126.55}"#, Ok("126.55")),
            (r#"{"p":"0.00000001"}"#, Ok("0.00000001")),
            (r#"{"p":89999999999.99999999}"#, Ok("89999999999.99999999")),
            (r#"{"p":1e2}"#, Err("p '1e2' is not")),
            (r#"{"p":null}"#, Err("p 'null' is not")),
            (r#"{"p":0}"#, Err("p 0 is not above 0")),
            (r#"{"p":-1}"#, Err("p ")),
            (r#"{"p":{"a":1}}"#, Err("p '{")),
        ] {
            let read = json::<Trade<'_>>(body.as_bytes()).and_then(|trade| trade.p.price("p"));
            match (read, price) {
                (Ok(read), Ok(price)) => assert_eq!(read.to_string(), price, "{body}"),
                (Err(why), Err(begins)) => assert!(why.starts_with(begins), "{body}: {why}"),
                (read, _) => panic!("{body}: {read:?}"),
            }
        }
    }
}
