//! Names of keys. A key may start with one `{tag}`; every derived key then carries the same prefix,
//! so that all keys of a partition share a slot of Redis Cluster. They are made for every change of a strategy: `concat`
//! does that with one allocation.

use crate::refusal::{Code, Refusal, shown};

/// Longest user, strategy, alert or consumer id, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest symbol, in bytes.
pub const SYMBOL_BYTES_MAX: usize = 64;
/// Longest tag between the braces, in bytes.
pub const TAG_BYTES_MAX: usize = 64;

/// Whether `id` is 1..=128 bytes of `[A-Za-z0-9_.@-]`.
#[must_use]
pub fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-'))
}

/// Whether `symbol` is 1..=64 printable ASCII bytes without space, colon or braces.
#[must_use]
pub fn is_symbol(symbol: &str) -> bool {
    (1..=SYMBOL_BYTES_MAX).contains(&symbol.len())
        && symbol.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'{' | b'}'))
}

/// Whether `tag` may stand between the braces: 1..=64 printable ASCII bytes without braces.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}'))
}

/// Checks a user or strategy id.
///
/// # Errors
/// `BADFIELD` naming the id and the rule.
pub fn check_id(what: &str, id: &str) -> Result<(), Refusal> {
    if is_id(id) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadField,
        format!("{what} {} must be 1 to 128 of A-Z a-z 0-9 _ . @ -", shown(id.as_bytes())),
    ))
}

/// Checks a symbol.
///
/// # Errors
/// `BADFIELD` naming the symbol and the rule.
pub fn check_symbol(symbol: &str) -> Result<(), Refusal> {
    if is_symbol(symbol) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadField,
        format!(
            "symbol {} must be 1 to 64 printable ASCII bytes without space, colon or braces",
            shown(symbol.as_bytes())
        ),
    ))
}

/// Splits a leading `{tag}` off. The prefix keeps its braces and is empty where there is no tag.
/// `None` where a brace opens but no valid tag follows.
#[must_use]
pub fn split_tag(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('{') {
        return Some(("", text));
    }
    let close = text.find('}')?;
    is_tag(&text[1..close]).then(|| text.split_at(close + 1))
}

/// `{tag}`, or nothing: what every key of a partition starts with.
#[must_use]
pub fn prefix_of_tag(tag: Option<&str>) -> String {
    tag.map_or_else(String::new, |tag| format!("{{{tag}}}"))
}

/// A strategy's identity. It comes from the key alone, so `COPY` and `RENAME` just work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StrategyKey<'a> {
    /// `{tag}` with its braces, or empty.
    pub prefix: &'a str,
    /// User id.
    pub user: &'a str,
    /// Strategy id.
    pub strategy: &'a str,
}

impl<'a> StrategyKey<'a> {
    /// Reads `[{tag}]user:{user}:strategy:{strategy}`; `None` for any other key.
    #[must_use]
    pub fn parse(key: &'a str) -> Option<Self> {
        let (prefix, name) = split_tag(key)?;
        let (user, strategy) = name.strip_prefix("user:")?.split_once(":strategy:")?;
        (is_id(user) && is_id(strategy)).then_some(Self { prefix, user, strategy })
    }

    /// As [`StrategyKey::parse`], from raw bytes.
    ///
    /// # Errors
    /// `BADFIELD` that shows the expected form.
    pub fn parse_argument(key: &'a [u8]) -> Result<Self, Refusal> {
        std::str::from_utf8(key).ok().and_then(Self::parse).ok_or_else(|| {
            Refusal::new(
                Code::BadField,
                format!(
                    "key {} must read user:<user_id>:strategy:<strategy_id>, ids of 1 to 128 of A-Z a-z 0-9 _ . @ -",
                    shown(key)
                ),
            )
        })
    }

    /// The key of the hash.
    #[must_use]
    pub fn hash(&self) -> String {
        [self.prefix, "user:", self.user, ":strategy:", self.strategy].concat()
    }

    /// The member of the sets: `user_id:strategy_id`.
    #[must_use]
    pub fn member(&self) -> String {
        [self.user, ":", self.strategy].concat()
    }

    /// The key of the order lock.
    #[must_use]
    pub fn lock(&self) -> String {
        [self.prefix, "lock:order:", self.user, ":", self.strategy].concat()
    }
}

/// A price alert's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlertKey<'a> {
    /// `{tag}` with its braces, or empty.
    pub prefix: &'a str,
    /// User id.
    pub user: &'a str,
    /// Alert id.
    pub alert: &'a str,
}

impl<'a> AlertKey<'a> {
    /// Reads `[{tag}]user:{user}:alert:{alert}`; `None` for any other key.
    #[must_use]
    pub fn parse(key: &'a str) -> Option<Self> {
        let (prefix, name) = split_tag(key)?;
        let (user, alert) = name.strip_prefix("user:")?.split_once(":alert:")?;
        (is_id(user) && is_id(alert)).then_some(Self { prefix, user, alert })
    }

    /// As [`AlertKey::parse`], from raw bytes.
    ///
    /// # Errors
    /// `BADFIELD` that shows the expected form.
    pub fn parse_argument(key: &'a [u8]) -> Result<Self, Refusal> {
        str::from_utf8(key).ok().and_then(Self::parse).ok_or_else(|| {
            Refusal::new(
                Code::BadField,
                format!(
                    "key {} must read user:<user_id>:alert:<alert_id>, ids of 1 to 128 of A-Z a-z 0-9 _ . @ -",
                    shown(key)
                ),
            )
        })
    }

    /// The key of the hash.
    #[must_use]
    pub fn hash(&self) -> String {
        [&alerts_of(self.prefix, self.user), self.alert].concat()
    }
}

/// What the keys of a user's alerts begin with.
#[must_use]
pub fn alerts_of(prefix: &str, user: &str) -> String {
    [prefix, "user:", user, ":alert:"].concat()
}

/// The key of the hash of a set's member, in the partition of `prefix`.
#[must_use]
pub fn hash_of_member(prefix: &str, member: &str) -> Option<String> {
    let (user, strategy) = member.split_once(':')?;
    (is_id(user) && is_id(strategy)).then(|| StrategyKey { prefix, user, strategy }.hash())
}

/// The set of RUNNING strategies of a partition.
#[must_use]
pub fn active(prefix: &str) -> String {
    [prefix, "active_strategies"].concat()
}

/// The set of RUNNING strategies of a symbol.
#[must_use]
pub fn symbol_set(prefix: &str, symbol: &str) -> String {
    [prefix, "symbol:", symbol, ":strategies"].concat()
}

/// The stream of entries to execute.
#[must_use]
pub fn queue_orders(prefix: &str) -> String {
    [prefix, "queue:orders"].concat()
}

/// The stream of exits to execute, always served before entries.
#[must_use]
pub fn queue_exits(prefix: &str) -> String {
    [prefix, "queue:exits"].concat()
}

/// The stream of every state change.
#[must_use]
pub fn journal(prefix: &str) -> String {
    [prefix, "journal"].concat()
}

/// The last price of a symbol.
#[must_use]
pub fn price(prefix: &str, symbol: &str) -> String {
    [prefix, "price:", symbol].concat()
}

/// The extreme prices of a storm that is not drained yet.
#[must_use]
pub fn drain(prefix: &str, symbol: &str) -> String {
    [prefix, "drain:", symbol].concat()
}

/// The best prices that trailing stops of a symbol follow.
#[must_use]
pub fn trail(prefix: &str, symbol: &str) -> String {
    [prefix, "trail:", symbol].concat()
}

/// The pub/sub channel of a user's events. Channels carry no tag.
#[must_use]
pub fn events_channel(user: &str) -> String {
    ["events:", user].concat()
}

/// What a key of ours other than a strategy's is, as far as the module must follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedKey<'a> {
    /// `active_strategies`.
    Active,
    /// `symbol:{symbol}:strategies`.
    SymbolSet(&'a str),
    /// `drain:{symbol}`.
    Drain(&'a str),
    /// `trail:{symbol}`.
    Trail(&'a str),
}

/// Recognizes the derived keys that follow the hashes; `None` for all others.
#[must_use]
pub fn parse_derived(key: &str) -> Option<(&str, DerivedKey<'_>)> {
    let (prefix, name) = split_tag(key)?;
    if name == "active_strategies" {
        return Some((prefix, DerivedKey::Active));
    }
    if let Some(symbol) = name.strip_prefix("drain:") {
        return is_symbol(symbol).then_some((prefix, DerivedKey::Drain(symbol)));
    }
    if let Some(symbol) = name.strip_prefix("trail:") {
        return is_symbol(symbol).then_some((prefix, DerivedKey::Trail(symbol)));
    }
    let symbol = name.strip_prefix("symbol:")?.strip_suffix(":strategies")?;
    is_symbol(symbol).then_some((prefix, DerivedKey::SymbolSet(symbol)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_gives_its_derived_names_with_the_same_prefix() {
        let key = StrategyKey::parse("{t1}user:alice:strategy:s-1").unwrap();
        assert_eq!(key.hash(), "{t1}user:alice:strategy:s-1");
        assert_eq!(key.lock(), "{t1}lock:order:alice:s-1");
        assert_eq!(active(key.prefix), "{t1}active_strategies");
        assert_eq!(symbol_set("", "M&M"), "symbol:M&M:strategies");
        assert_eq!(hash_of_member("{t1}", &key.member()), Some(key.hash()));
    }

    #[test]
    fn an_alert_and_a_strategy_are_never_taken_for_each_other() {
        for (key, strategy, alert) in [
            ("user:a:alert:b", false, true),
            ("{t}user:a:alert:b", false, true),
            ("user:a:strategy:b", true, false),
            ("user:a:alert:b:strategy:c", false, false),
            ("user:a:strategy:b:alert:c", false, false),
            ("user::alert:b", false, false),
            ("user:a:alert:", false, false),
        ] {
            assert_eq!((StrategyKey::parse(key).is_some(), AlertKey::parse(key).is_some()), (strategy, alert), "{key}");
            assert!(AlertKey::parse(key).is_none_or(|parsed| parsed.hash() == key));
        }
    }

    #[test]
    fn keys_of_another_shape_are_not_strategies() {
        for key in [
            "",
            "user",
            "user:a",
            "user:a:strategy:",
            "user::strategy:s",
            "user:a:strategy:s:x",
            "user:a b:strategy:s",
            "user:a:alert:1",
            "{t}user",
            "{}user:a:strategy:s",
            "{tuser:a:strategy:s",
            "{a}{b}user:a:strategy:s",
            "xuser:a:strategy:s",
            "user:a{b}:strategy:s",
        ] {
            assert_eq!(StrategyKey::parse(key), None, "{key:?}");
        }
    }

    #[test]
    fn symbols_of_real_exchanges_are_accepted() {
        for symbol in ["RELIANCE", "M&M", "BTC/USDT", "BRK.B", "NIFTY24DECFUT", "^GSPC"] {
            assert!(is_symbol(symbol), "{symbol}");
        }
        for symbol in ["", "A B", "A:B", "A{B", "\u{e9}", "A\n"] {
            assert!(!is_symbol(symbol), "{symbol:?}");
        }
    }

    #[test]
    fn derived_keys_are_recognized_with_and_without_a_tag() {
        assert_eq!(parse_derived("active_strategies"), Some(("", DerivedKey::Active)));
        assert_eq!(parse_derived("{t}symbol:M&M:strategies"), Some(("{t}", DerivedKey::SymbolSet("M&M"))));
        assert_eq!(parse_derived("drain:IBM"), Some(("", DerivedKey::Drain("IBM"))));
        assert_eq!(parse_derived("symbol:IBM"), None);
    }

    /// Texts that are nearly keys of ours.
    const NEARLY: &str = "(\\{[ -~]{0,6}\\}?|\\PC{0,3})(user|symbol|drain|active_strategies|u)?:?[A-Za-z0-9_.@:{} -]{0,6}(:strategy:|:strategies|:)?[A-Za-z0-9:]{0,5}";

    proptest! {
        #[test]
        fn a_key_that_parses_is_the_key_that_it_names(text in NEARLY) {
            if let Some(key) = StrategyKey::parse(&text) {
                prop_assert_eq!(key.hash(), text.clone());
                prop_assert_eq!(hash_of_member(key.prefix, &key.member()), Some(text.clone()));
                let lock = key.lock();
                prop_assert!(parse_derived(&lock).is_none());
            }
            if let Some((prefix, derived)) = parse_derived(&text) {
                let name = match derived {
                    DerivedKey::Active => active(prefix),
                    DerivedKey::SymbolSet(symbol) => symbol_set(prefix, symbol),
                    DerivedKey::Drain(symbol) => drain(prefix, symbol),
                    DerivedKey::Trail(symbol) => trail(prefix, symbol),
                };
                prop_assert_eq!(name, text.clone());
                prop_assert!(StrategyKey::parse(&text).is_none());
            }
        }

        #[test]
        fn a_made_key_parses_to_its_parts(
            tag in proptest::option::of("[!-z|~]{1,64}"),
            user in "[A-Za-z0-9_.@-]{1,128}",
            strategy in "[A-Za-z0-9_.@-]{1,128}",
        ) {
            let prefix = prefix_of_tag(tag.as_deref());
            let made = StrategyKey { prefix: &prefix, user: &user, strategy: &strategy };
            let name = made.hash();
            prop_assert_eq!(StrategyKey::parse(&name), Some(made));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(refusal) = StrategyKey::parse_argument(&bytes) {
                prop_assert!(refusal.to_string().bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = (split_tag(&text), parse_derived(&text), hash_of_member("", &text));
        }
    }
}
