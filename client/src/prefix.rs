//! What may stand before a key: a tenant, a `{hash tag}`, or both.

use crate::error::Result;
use strat_core::key::split_tag;
use strat_core::refusal::{Code, Refusal, shown};

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 128;

/// Braces elsewhere would make another part of the key its hash tag.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let rest = split_tag(prefix).map(|(_, rest)| rest);
    let fits = |rest: &str| rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'{' | b'}'));
    if prefix.len() <= PREFIX_BYTES_MAX && rest.is_some_and(fits) {
        return Ok(());
    }
    let rule = "must be at most 128 printable ASCII bytes without blanks, with braces only around a leading {tag}";
    Err(Refusal::new(Code::BadField, format!("prefix {} {rule}", shown(prefix.as_bytes()))).into())
}

#[cfg(test)]
mod tests {
    use super::check_prefix;

    #[test]
    fn a_prefix_is_a_tag_or_a_name_or_both_or_nothing() {
        for prefix in ["", "{t1}", "tenant:", "{t1}tenant:", "a*"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix:?}");
        }
        for prefix in ["a b", "a\n", "{", "{}", "a{b}", "{a}{b}", "\u{e9}", &"x".repeat(129)] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
    }
}
