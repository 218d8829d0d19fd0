//! The names of a cache's keys, and what may stand in them.
//!
//! Key, tag and namespace hold no colon, so that a name has one reading: whatever a user typed into one part, it cannot
//! become another part, nor the key of another namespace.

use crate::error::{Error, Result};
use crate::shared::check_prefix;
use strat_core::key::is_id;
use strat_core::refusal::{Code, Refusal, shown};

/// Longest key or tag, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Second words of the cache's other keys: a namespace of that name would fall under the same ACL patterns.
const RESERVED: [&str; 3] = ["lock", "tag", "invalidate"];

/// Makes the names of one namespace.
#[derive(Debug, Clone)]
pub(super) struct Names {
    value: String,
    lock: String,
    tag: String,
    channel: String,
}

impl Names {
    pub(super) fn new(prefix: &str, namespace: &str) -> Result<Self> {
        check_prefix(prefix)?;
        if !is_id(namespace) || RESERVED.contains(&namespace) {
            let rule = "must be 1 to 128 of A-Z a-z 0-9 _ . @ - and none of lock, tag, invalidate";
            return Err(refused("namespace", namespace, rule));
        }
        Ok(Self {
            value: [prefix, "cache:", namespace, ":"].concat(),
            lock: [prefix, "cache:lock:", namespace, ":"].concat(),
            tag: [prefix, "cache:tag:", namespace, ":"].concat(),
            channel: [prefix, "cache:invalidate:", namespace].concat(),
        })
    }

    pub(super) fn value(&self, key: &str) -> String {
        [&self.value, key].concat()
    }

    pub(super) fn lock(&self, key: &str) -> String {
        [&self.lock, key].concat()
    }

    pub(super) fn tag(&self, tag: &str) -> String {
        [&self.tag, tag].concat()
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }
}

/// Checks a key or a tag.
pub(super) fn check(what: &str, name: &str) -> Result<()> {
    let printable = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'{' | b'}');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(printable) {
        return Ok(());
    }
    Err(refused(what, name, "must be 1 to 200 printable ASCII bytes without space, colon or braces"))
}

fn refused(what: &str, name: &str, rule: &str) -> Error {
    Refusal::new(Code::BadField, format!("{what} {} {rule}", shown(name.as_bytes()))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_key_carries_prefix_and_namespace() {
        let names = Names::new("{t1}", "strategies").unwrap();
        assert_eq!(names.value("alice/s1"), "{t1}cache:strategies:alice/s1");
        assert_eq!(names.lock("alice/s1"), "{t1}cache:lock:strategies:alice/s1");
        assert_eq!(names.tag("alice"), "{t1}cache:tag:strategies:alice");
        assert_eq!(names.channel(), "{t1}cache:invalidate:strategies");
    }

    #[test]
    fn names_that_could_be_read_as_others_are_refused() {
        for key in ["", "a:b", "a b", "{a}", "a\r\n", "\u{e9}", "a\0", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(matches!(check("key", key), Err(Error::Refused { code: Code::BadField, .. })), "{key:?}");
        }
        for namespace in ["", "a:b", "lock", "tag", "invalidate", "a/b", "{a}"] {
            assert!(Names::new("", namespace).is_err(), "{namespace:?}");
        }
        assert!(Names::new("a b", "n").is_err());
    }

    proptest! {
        /// Two different places never share a key, whatever prefix, namespace and key are.
        #[test]
        fn no_two_places_share_a_key(
            a in ("[a-z:]{0,12}", "[a-z]{1,4}", "[a-z/]{1,4}"),
            b in ("[a-z:]{0,12}", "[a-z]{1,4}", "[a-z/]{1,4}"),
        ) {
            let keys = |(prefix, namespace, key): &(String, String, String)| {
                let names = Names::new(prefix, namespace).ok()?;
                Some([names.value(key), names.lock(key), names.tag(key)])
            };
            if let (Some(mine), Some(theirs)) = (keys(&a), keys(&b)) {
                prop_assert_eq!(mine.iter().any(|key| theirs.contains(key)), a == b);
            }
        }
    }
}
