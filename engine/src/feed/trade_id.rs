//! Trades by their name on the wire.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Which trade of its symbol a tick is. Only good for telling whether it is the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeId(u64);

impl TradeId {
    /// Of a number.
    #[must_use]
    pub const fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// Of any text: a number by its value, other names by a digest, so that it has room in every tick.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let digest = || {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            hasher.finish()
        };
        Self(text.parse().unwrap_or_else(|_| digest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trade_has_the_same_id() {
        assert_eq!(TradeId::of_text("96921"), TradeId::of_number(96_921));
        assert_eq!(TradeId::of_text("a-1"), TradeId::of_text("a-1"));
        for (one, other) in [("a-1", "a-2"), ("", "0"), ("7", "8"), ("-7", "7")] {
            assert_ne!(TradeId::of_text(one), TradeId::of_text(other), "{one} {other}");
        }
    }
}
