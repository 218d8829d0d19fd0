//! Families of keys, by the shape of their names.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fmt;
use strat_core::key::split_tag;

/// More parts than any key of ours has.
const PARTS_MAX: usize = 16;
/// A name that nobody foresaw is cut to this in a report.
const PART_CHARS_MAX: usize = 64;

/// The shape of a family's names: `user:*:strategy:*`, `cache:**`.
///
/// `*` stands for one part between colons, `**` at the end for one part or more. The first part is literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPattern {
    text: Cow<'static, str>,
    /// Bytes in front of the first star: most names are of another family, and each is held against all of them.
    literal: usize,
}

const fn bytes_before_star(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() && text.as_bytes()[at] != b'*' {
        at += 1;
    }
    at
}

impl KeyPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::Config`] where a part is empty or mixes text with `*`, where it begins with `*`, or where `**` is not last.
    pub fn new(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split(':').collect();
        let last = parts.len() - 1;
        let bad = |(at, part): (usize, &&str)| match *part {
            "" => true,
            "*" => at == 0,
            "**" => at == 0 || at != last,
            literal => {
                literal.contains(['*', '{', '}']) || literal.chars().any(|c| c.is_whitespace() || c.is_control())
            }
        };
        if parts.len() > PARTS_MAX || parts.iter().enumerate().any(bad) {
            let shown = crate::reply::one_line(text);
            return Err(Error::Config(format!("key pattern '{shown}' must read like user:*:strategy:* or cache:**")));
        }
        Ok(Self { text: Cow::Owned(text.to_owned()), literal: bytes_before_star(text) })
    }

    /// A pattern of this crate's own.
    pub(super) const fn known(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), literal: bytes_before_star(text) }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a name, without prefix or tag, is of this family.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if !name.as_bytes().starts_with(&self.text.as_bytes()[..self.literal]) {
            return false;
        }
        let mut parts = name.split(':');
        for wanted in self.text.split(':') {
            match (wanted, parts.next()) {
                ("**", Some(_)) => return true,
                ("*", Some(part)) if !part.is_empty() => {}
                (literal, Some(part)) if literal == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key's name, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Without prefix or tag.
    pub(super) text: &'a str,
    /// Of the partition that is looked after. Without a prefix, keys with a tag are another's: reported, never changed.
    pub(super) own: bool,
}

impl<'a> Name<'a> {
    /// `None` for a key without the prefix.
    pub(super) fn of(key: &'a str, prefix: &str) -> Option<Self> {
        let rest = key.strip_prefix(prefix)?;
        match split_tag(rest) {
            Some((tag, text)) if !tag.is_empty() => Some(Self { text, own: false }),
            _ => Some(Self { text: rest, own: true }),
        }
    }

    /// What the key is called in a report.
    pub(super) fn group<'p>(self, mut known: impl Iterator<Item = &'p KeyPattern>) -> Cow<'p, str> {
        let family = known.find(|pattern| pattern.matches(self.text));
        let family = family.map_or_else(|| guess(self.text).into(), |pattern| Cow::Borrowed(pattern.as_str()));
        if self.own { family } else { ["{*}", &family].concat().into() }
    }
}

/// The first part says what a key is, the others are likely to be ids.
fn guess(name: &str) -> String {
    let mut parts = name.split(':');
    let first = parts.next().unwrap_or_default();
    let others = parts.count().min(PARTS_MAX);
    let mut family = String::with_capacity(first.len().min(PART_CHARS_MAX) + 2 * others);
    family.extend(first.chars().map(|c| if c.is_control() { ' ' } else { c }).take(PART_CHARS_MAX));
    family.extend(std::iter::repeat_n(":*", others));
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_one_part_and_two_are_the_rest() {
        for (pattern, name, fits) in [
            ("user:*:strategy:*", "user:alice:strategy:s1", true),
            ("user:*:strategy:*", "user:alice:strategy:", false),
            ("user:*:strategy:*", "user:alice:strategy:s1:x", false),
            ("user:*:strategy:*", "user:alice:orders:s1", false),
            ("journal", "journal", true),
            ("journal", "journal:1", false),
            ("journal", "journa", false),
            ("cache:**", "cache:a", true),
            ("cache:**", "cache:a:b:c", true),
            ("cache:**", "cache", false),
            ("price:*", "price:M&M", true),
        ] {
            assert_eq!(KeyPattern::new(pattern).unwrap().matches(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_mean_too_much_or_nothing_are_refused() {
        for text in ["", "*", "**", "*:a", "a:", "a::b", "a:**:b", "a*", "a:b*", "{t}a", "a b"] {
            let error = KeyPattern::new(text).unwrap_err().to_string();
            assert!(error.contains("user:*:strategy:*"), "{text}: {error}");
        }
    }

    #[test]
    fn keys_of_other_partitions_are_not_ones_own() {
        for (key, prefix, expected) in [
            ("price:A", "", Some(("price:A", true))),
            ("{t}price:A", "", Some(("price:A", false))),
            ("{t}price:A", "{t}", Some(("price:A", true))),
            ("{t}{u}price:A", "{t}", Some(("price:A", false))),
            ("{u}price:A", "{t}", None),
            ("price:A", "{t}", None),
        ] {
            assert_eq!(Name::of(key, prefix).map(|name| (name.text, name.own)), expected, "{key} {prefix}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_grouped_by_its_first_part() {
        let known = [KeyPattern::new("user:*:strategy:*").unwrap()];
        let group = |key| Name::of(key, "").unwrap().group(known.iter());
        assert_eq!(group("user:a:strategy:b"), "user:*:strategy:*");
        assert_eq!(group("user:a:b"), "user:*:*");
        assert_eq!(group("{t}user:a:strategy:b"), "{*}user:*:strategy:*");
        assert_eq!(group("lonely"), "lonely");
    }

    proptest! {
        #[test]
        fn no_key_makes_it_panic_and_a_guess_is_short(key in "\\PC{0,300}|[:*{}a]{0,40}") {
            if let Some(name) = Name::of(&key, "") {
                prop_assert!(name.group([].iter()).chars().count() <= PART_CHARS_MAX + 2 * PARTS_MAX + 3);
            }
            if let Ok(pattern) = KeyPattern::new(&key) {
                prop_assert!(pattern.matches(&key) || key.contains('*'));
            }
        }
    }
}
