//! Orders: actions, legs, execution types and the deterministic client order id.

use crate::key::StrategyKey;
use crate::strategy::Side;
use sha2::{Digest, Sha256};
use std::fmt;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text used in keys, hashes, streams and replies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Exact inverse of [`Self::as_str`].
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    format!("'{text}' is not one of {}", known.join(", "))
                })
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What is to be done at the broker, as it stands in `pending`, queue entries and locks.
    Action {
        /// Entry of a long, timed exit of a short.
        Buy = "BUY",
        /// Timed exit of a long, entry of a short.
        Sell = "SELL",
        /// Exit because the stop-loss was crossed.
        StopLoss = "STOPLOSS",
        /// Exit because the take-profit was crossed.
        TakeProfit = "TAKEPROFIT",
        /// Exit because the strategy was stopped or the day ends.
        SquareOff = "SQUAREOFF",
    }
}

wire_enum! {
    /// The two legs of a cycle. All exits of a cycle share one leg, so that at most one of them can exist at the broker.
    Leg {
        /// Opens the position.
        Entry = "ENTRY",
        /// Closes it.
        Exit = "EXIT",
    }
}

wire_enum! {
    /// The broker's execution report, in FIX terms (tag 150, ExecType).
    ExecType {
        /// Accepted and working.
        New = "NEW",
        /// Part of the quantity is filled, the rest works on.
        PartialFill = "PARTIAL_FILL",
        /// The whole quantity is filled.
        Fill = "FILL",
        /// Cancelled; what was filled before stays filled.
        Canceled = "CANCELED",
        /// Refused by broker or exchange.
        Rejected = "REJECTED",
        /// Its time in force has passed.
        Expired = "EXPIRED",
    }
}

impl ExecType {
    /// Whether no further fill can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::New | Self::PartialFill)
    }
}

impl Action {
    /// The leg that this action is of, for a strategy of `side`.
    #[must_use]
    pub const fn leg(self, side: Side) -> Leg {
        match (side, self) {
            (Side::Long, Self::Buy) | (Side::Short, Self::Sell) => Leg::Entry,
            _ => Leg::Exit,
        }
    }

    /// The action that opens a position of `side`.
    #[must_use]
    pub const fn entry(side: Side) -> Self {
        match side {
            Side::Long => Self::Buy,
            Side::Short => Self::Sell,
        }
    }

    /// The action that closes a position of `side` at its time.
    #[must_use]
    pub const fn timed_exit(side: Side) -> Self {
        match side {
            Side::Long => Self::Sell,
            Side::Short => Self::Buy,
        }
    }

    /// The hash field that keeps the last order id of this action.
    #[must_use]
    pub const fn order_field(self) -> &'static str {
        match self {
            Self::Buy => "last_buy_order",
            Self::StopLoss => "last_sl_order",
            Self::Sell | Self::TakeProfit | Self::SquareOff => "last_sell_order",
        }
    }
}

/// The consumer group of everybody who executes orders, on both queues.
pub const ENGINE_GROUP: &str = "engine";

/// An entry of `queue:orders` or `queue:exits`: field names.
pub mod queue_field {
    /// Key of the strategy's hash.
    pub const KEY: &str = "key";
    /// [`super::Action`].
    pub const ACTION: &str = "action";
    /// Cycle that the order belongs to.
    pub const CYCLE: &str = "cycle";
    /// Version of the hash when it was enqueued.
    pub const VERSION: &str = "version";
    /// Price of the tick that fired; empty for timed actions.
    pub const PRICE: &str = "price";
    /// Epoch ms of the tick that fired, or of the time that came; empty where neither applies.
    pub const TS: &str = "ts";
}

/// Attempts before and after the current one that are looked for, and whose orders are recognized.
pub const ATTEMPTS_NEAR: u64 = 8;

/// What identifies one order at the broker, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderIdentity<'a> {
    /// Whose strategy.
    pub key: StrategyKey<'a>,
    /// Which entry of it.
    pub cycle: u64,
    /// Entry or exit.
    pub leg: Leg,
    /// Rises only after proof that the previous attempt is dead with quantity left.
    pub attempt: u64,
}

impl fmt::Display for OrderIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.key.hash(), self.cycle, self.leg, self.attempt)
    }
}

impl OrderIdentity<'_> {
    /// The client order id: 20 characters of base32 (100 bits of SHA-256). A retry is the same order.
    #[must_use]
    pub fn client_order_id(&self) -> String {
        let digest = Sha256::digest(self.to_string().as_bytes());
        let mut id = data_encoding::BASE32_NOPAD.encode(&digest);
        id.truncate(20);
        id
    }

    /// The attempt that a client order id is of, looked for among so many before and after this one.
    #[must_use]
    pub fn attempt_of(self, client_order_id: &str, (before, after): (u64, u64)) -> Option<u64> {
        let oldest = self.attempt.saturating_sub(before);
        let newest = self.attempt.saturating_add(after);
        // The likeliest first.
        let attempts = (oldest..=self.attempt).rev().chain(self.attempt + 1..=newest);
        attempts.into_iter().find(|attempt| Self { attempt: *attempt, ..self }.client_order_id() == client_order_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity(key: &str, cycle: u64, leg: Leg, attempt: u64) -> String {
        let key = StrategyKey::parse(key).unwrap();
        OrderIdentity { key, cycle, leg, attempt }.client_order_id()
    }

    #[test]
    fn an_order_id_tells_its_attempt_to_who_looks_near_enough() {
        let key = StrategyKey::parse("user:alice:strategy:s1").unwrap();
        let third = OrderIdentity { key, cycle: 1, leg: Leg::Exit, attempt: 3 };
        let of = |attempt| OrderIdentity { attempt, ..third }.client_order_id();
        assert_eq!([0, 3, 5].map(|attempt| third.attempt_of(&of(attempt), (3, 2))), [Some(0), Some(3), Some(5)]);
        assert_eq!(third.attempt_of(&of(0), (2, 2)), None);
        assert_eq!(third.attempt_of(&OrderIdentity { cycle: 2, ..third }.client_order_id(), (8, 8)), None);
    }

    #[test]
    fn the_client_order_id_is_stable_for_ever() {
        // A literal: changing the derivation would double orders across an upgrade.
        assert_eq!(identity("user:alice:strategy:s1", 1, Leg::Entry, 0), "RQLYHBRGYJ746S3R2CEM");
    }

    #[test]
    fn every_part_of_the_identity_changes_the_id() {
        let base = identity("user:alice:strategy:s1", 1, Leg::Entry, 0);
        for other in [
            identity("user:alice:strategy:s1", 2, Leg::Entry, 0),
            identity("user:alice:strategy:s1", 1, Leg::Exit, 0),
            identity("user:alice:strategy:s1", 1, Leg::Entry, 1),
            identity("user:alice:strategy:s2", 1, Leg::Entry, 0),
            identity("user:bob:strategy:s1", 1, Leg::Entry, 0),
            identity("{t}user:alice:strategy:s1", 1, Leg::Entry, 0),
        ] {
            assert_ne!(base, other);
        }
        assert!(base.len() <= 20 && base.bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn legs_follow_the_side() {
        assert_eq!(Action::Buy.leg(Side::Long), Leg::Entry);
        assert_eq!(Action::Buy.leg(Side::Short), Leg::Exit);
        assert_eq!(Action::Sell.leg(Side::Short), Leg::Entry);
        assert_eq!(Action::StopLoss.leg(Side::Short), Leg::Exit);
    }

    proptest! {
        #[test]
        fn every_identity_has_an_id_that_brokers_take(
            user in "[A-Za-z0-9_.@-]{1,128}",
            strategy in "[A-Za-z0-9_.@-]{1,128}",
            (cycle, attempt) in (any::<u64>(), any::<u64>()),
            leg in proptest::sample::select(Leg::ALL),
        ) {
            let key = StrategyKey { prefix: "", user: &user, strategy: &strategy };
            let id = OrderIdentity { key, cycle, leg, attempt }.client_order_id();
            prop_assert!(id.len() == 20 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()), "{id}");
        }

        #[test]
        fn only_the_exact_words_parse(text in "[A-Za-z_]{0,14}|\\PC{0,8}") {
            prop_assert!(Action::parse(&text).is_none_or(|action| action.as_str() == text));
            prop_assert!(ExecType::parse(&text).is_none_or(|exec| exec.as_str() == text));
            prop_assert!(Leg::parse(&text).is_none_or(|leg| leg.as_str() == text));
        }
    }
}
