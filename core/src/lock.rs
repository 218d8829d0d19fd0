//! The order lock: a string with a time to live that says who may place the one order in flight.

use crate::key::StrategyKey;
use crate::order::Action;
use crate::planted::{self, Mistake};
use crate::refusal::{Code, Refusal, shown};
use std::fmt;

/// Longest life of a lock, ms.
pub const TTL_MS_MAX: i64 = 3_600_000;
/// Longest owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 128;

/// What stands in a lock: `action owner token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock<'a> {
    /// The order that it was claimed for.
    pub action: Action,
    /// Who claimed it, for readers.
    pub owner: &'a str,
    /// What the holder shows; no two claims get the same one.
    pub token: &'a str,
}

impl fmt::Display for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action, self.owner, self.token)
    }
}

impl<'a> Lock<'a> {
    /// Reads a lock's value; `None` for anything that [`Lock`] does not write.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let (action, owner, token) = (words.next()?, words.next()?, words.next()?);
        let whole = words.next().is_none() && is_owner(owner) && Token::parse(token).is_some();
        Some(Self { action: Action::parse(action).filter(|_| whole)?, owner, token })
    }

    /// Whether who shows `token` is the holder: exactly the token that the claim was answered with, and no other
    /// spelling of it.
    #[must_use]
    pub fn is_held_by(&self, token: &str) -> bool {
        self.token == token || planted::is(Mistake::NoTokenCheck)
    }

    /// The lock, if `token` holds it.
    ///
    /// # Errors
    /// `BADTOKEN` where nobody or somebody else holds it: a stale token changes nothing.
    pub fn check(held: Option<Self>, token: &str, key: &StrategyKey<'_>) -> Result<Self, Refusal> {
        held.filter(|lock| lock.is_held_by(token)).ok_or_else(|| {
            Refusal::new(
                Code::BadToken,
                format!("token {} does not hold the lock of {}", shown(token.as_bytes()), key.hash()),
            )
        })
    }
}

/// Whether `owner` may stand in a lock: 1..=128 printable ASCII bytes without space.
#[must_use]
pub fn is_owner(owner: &str) -> bool {
    (1..=OWNER_BYTES_MAX).contains(&owner.len()) && owner.bytes().all(|b| b.is_ascii_graphic())
}

/// Checks an owner.
///
/// # Errors
/// `BADFIELD` naming the owner and the rule.
pub fn check_owner(owner: &str) -> Result<(), Refusal> {
    if is_owner(owner) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadField,
        format!("owner {} must be 1 to 128 printable ASCII bytes without space", shown(owner.as_bytes())),
    ))
}

/// A lock's token, `ms-n`: the time of the claim, and a number among the claims of that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Token {
    /// Epoch ms of the claim, or of an earlier one where the clock stepped back.
    pub ms: i64,
    /// Claims before it with the same `ms`.
    pub n: u64,
}

impl Token {
    /// The token of the next claim: it rises even where the clock steps back.
    #[must_use]
    pub const fn next(self, now_ms: i64) -> Self {
        if now_ms > self.ms { Self { ms: now_ms, n: 0 } } else { Self { ms: self.ms, n: self.n + 1 } }
    }

    /// Exact inverse of its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, n) = text.split_once('-')?;
        let token = Self { ms: ms.parse().ok()?, n: n.parse().ok()? };
        (token.ms >= 0 && token.to_string() == text).then_some(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_lock() -> impl Strategy<Value = (Action, String, Token)> {
        let token = (0..=i64::MAX, any::<u64>()).prop_map(|(ms, n)| Token { ms, n });
        (proptest::sample::select(Action::ALL), "[!-~]{1,128}", token)
    }

    #[test]
    fn what_nobody_of_ours_wrote_is_no_lock() {
        for value in [
            "",
            "BUY",
            "BUY engine",
            "BUY engine ",
            "BUY engine 1",
            "BUY engine 1-",
            "BUY engine 1-0 more",
            "BUY  engine 1-0",
            " BUY engine 1-0",
            "BUY engine 1-0\n",
            "buy engine 1-0",
            "HOLD engine 1-0",
            "BUY engine -1-0",
            "BUY engine 01-0",
            "BUY engine +1-0",
            "BUY \u{20ac} 1-0",
        ] {
            assert_eq!(Lock::parse(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(Lock::parse(b"BUY \xff 1-0"), None);
    }

    #[test]
    fn only_the_exact_token_holds() {
        let key = StrategyKey::parse("user:a:strategy:s").unwrap();
        let lock = Lock::parse(b"SELL engine-1 1760000000000-3").unwrap();
        assert_eq!(Lock::check(Some(lock), "1760000000000-3", &key), Ok(lock));
        for token in ["", "1760000000000-30", "1760000000000", "01760000000000-3", "1760000000000-3 ", "SELL"] {
            let refusal = Lock::check(Some(lock), token, &key).unwrap_err();
            assert_eq!(refusal.code, Code::BadToken, "{token:?}");
        }
        assert_eq!(Lock::check(None, "1760000000000-3", &key).unwrap_err().code, Code::BadToken);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back((action, owner, token) in any_lock()) {
            let token = token.to_string();
            let lock = Lock { action, owner: &owner, token: &token };
            let text = lock.to_string();
            prop_assert_eq!(Lock::parse(text.as_bytes()), Some(lock));
        }

        #[test]
        fn what_reads_is_what_would_be_written(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(lock) = Lock::parse(&value) {
                prop_assert_eq!(lock.to_string().into_bytes(), value.clone());
            }
        }

        #[test]
        fn something_like_a_lock_reads_only_as_it_is_written(value in "(BUY|SELL|STOPLOSS| )[ !-~]{0,12}[0-9 -]{0,8}") {
            if let Some(lock) = Lock::parse(value.as_bytes()) {
                prop_assert_eq!(lock.to_string(), value);
            }
        }

        #[test]
        fn tokens_rise_whatever_the_clock_does(times in proptest::collection::vec(0i64..1_000, 1..50)) {
            let mut last = Token::default();
            for now_ms in times {
                let next = last.next(now_ms);
                prop_assert!(next > last && next.ms >= now_ms);
                last = next;
            }
        }
    }
}
