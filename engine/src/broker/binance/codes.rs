//! What Binance's error codes say about the request that got them ("Error codes for Binance").
//!
//! Only a code that is documented as a refusal is one. Whatever else comes may come from an order that was carried out.

use super::super::wire::read::printable;
use serde::Deserialize;

/// The answer to a request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Coded {
    pub(super) code: i64,
    pub(super) msg: String,
}

/// What became of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Refused for good: it was not carried out and will not be.
    Refused,
    /// Not looked at: too many requests, or too many orders.
    TooOften,
    /// Not looked at: its time was outside of the window.
    Clock,
    /// Not looked at: key, signature or permissions.
    Keys,
    /// There is no such order, or none that can be cancelled.
    NoOrder,
    /// Nobody can tell.
    Unknown,
}

impl Coded {
    /// The codes of one answer; `None` where the body is no such thing.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn meaning(&self) -> Meaning {
        match self.code {
            // A repeat of an open order's id: the order exists.
            -2010 | -1010 if self.says("Duplicate order sent") => Meaning::Unknown,
            -2011 if self.says("Unknown order sent") => Meaning::NoOrder,
            -2013 => Meaning::NoOrder,
            -2010 | -1010 | -2011 => Meaning::Refused,
            -1003 | -1015 | -1034 => Meaning::TooOften,
            -1021 => Meaning::Clock,
            -1002 | -1022 | -2014 | -2015 => Meaning::Keys,
            // Refused by the API, before the matching engine; 11xx and 12xx are "request issues".
            -1013 | -1014 | -1020 | -1299..=-1100 => Meaning::Refused,
            // -1000, -1001, -1006, -1007, -1008, -1016 and what the documentation does not list.
            _ => Meaning::Unknown,
        }
    }

    fn says(&self, words: &str) -> bool {
        self.msg.contains(words)
    }

    /// In Binance's words.
    pub(super) fn words(&self) -> String {
        format!("Binance {}: {}", self.code, printable(&self.msg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Meaning::{Clock, Keys, NoOrder, Refused, TooOften, Unknown};

    #[test]
    fn only_what_is_documented_as_a_refusal_is_one() {
        for (code, msg, meaning) in [
            (-1000, "An unknown error occurred while processing the request.", Unknown),
            (-1001, "Internal error; unable to process your request. Please try again.", Unknown),
            (-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.", TooOften),
            (-1006, "An unexpected response was received from the message bus. Execution status unknown.", Unknown),
            (-1007, "Timeout waiting for response from backend server. Send status unknown.", Unknown),
            (-1008, "Server is currently overloaded with other requests.", Unknown),
            (-1013, "Filter failure: LOT_SIZE", Refused),
            (-1015, "Too many new orders; current limit is 50 orders per 10 SECOND.", TooOften),
            (-1021, "Timestamp for this request is outside of the recvWindow.", Clock),
            (-1022, "Signature for this request is not valid.", Keys),
            (-1100, "Illegal characters found in parameter 'newClientOrderId'.", Refused),
            (-1121, "Invalid symbol.", Refused),
            (-2010, "Account has insufficient balance for requested action.", Refused),
            (-2010, "Duplicate order sent.", Unknown),
            (-2010, "Market is closed.", Refused),
            (-2011, "Unknown order sent.", NoOrder),
            (-2011, "This account may not place or cancel orders.", Refused),
            (-2013, "Order does not exist.", NoOrder),
            (-2015, "Invalid API-key, IP, or permissions for action.", Keys),
            (
                -2026,
                "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
                Unknown,
            ),
            (-9999, "", Unknown),
            (0, "", Unknown),
        ] {
            assert_eq!(Coded { code, msg: msg.to_owned() }.meaning(), meaning, "{code} {msg}");
        }
        assert_eq!(Coded::read(b"<html>502</html>"), None);
        assert_eq!(Coded::read(br#"{"code":"-1","msg":""}"#), None);
    }
}
