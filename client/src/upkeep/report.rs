//! What a whole pass over the keys has shown.

use super::pattern::Name;
use super::scan::Found;
use super::settings::UpkeepSettings;
use crate::reply::one_line;
use std::collections::BTreeMap;
use std::time::Duration;

/// Keys without a time to live, of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGroup {
    /// The family: a pattern from the settings, or a guess by the first part of the name. `{*}` in front: of a tagged
    /// partition.
    pub family: String,
    /// How many.
    pub keys: u64,
    /// Their memory, estimated.
    pub bytes: u64,
    /// One of them, in one line: what is no text is replaced, and a very long name is cut.
    pub example: String,
}

/// A key that takes much memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigKey {
    /// Its name, in one line: what is no text is replaced, and a very long name is cut.
    pub key: String,
    /// As `TYPE` says.
    pub kind: String,
    /// Memory, estimated from samples.
    pub bytes: u64,
    /// Bytes of a string, members or entries of anything else; `None` for a type of a module.
    pub length: Option<u64>,
    /// What is left of its life; `None`: no end.
    pub ttl: Option<Duration>,
}

/// A pass over all keys, from cursor 0 to cursor 0, as they were found, before any rule was applied.
///
/// `SCAN` shows each key that was there all the time at least once; one that is shown twice counts twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// Keys looked at.
    pub scanned: u64,
    /// Keys without a time to live by design.
    pub permanent: u64,
    /// Keys without one that should have one, the largest groups first.
    pub without_ttl: Vec<KeyGroup>,
    /// Such keys of families beyond the bound on groups.
    pub without_ttl_others: u64,
    /// The largest keys, permanent ones too, largest first.
    pub big: Vec<BigKey>,
}

/// Adds up slices.
#[derive(Debug, Default)]
pub(super) struct Tally {
    report: KeyReport,
    groups: BTreeMap<String, KeyGroup>,
}

impl Tally {
    pub(super) fn add(&mut self, found: &Found, settings: &UpkeepSettings) {
        let shown = String::from_utf8_lossy(&found.key);
        // The pattern of the scan saw to it that it begins with the prefix, unless bytes were replaced.
        let Some(name) = Name::of(&shown, &settings.prefix) else { return };
        self.report.scanned += 1;
        if found.bytes >= settings.big_key_bytes {
            self.add_big(found, one_line(&shown), settings.big_keys_max);
        }
        if settings.is_permanent(name.text) {
            self.report.permanent += 1;
        } else if found.ttl.is_none() {
            self.add_to_group(&name.group(settings.known()), found.bytes, &shown, settings.groups_max);
        }
    }

    fn add_to_group(&mut self, family: &str, bytes: u64, shown: &str, groups_max: usize) {
        if !self.groups.contains_key(family) {
            if self.groups.len() >= groups_max {
                self.report.without_ttl_others += 1;
                return;
            }
            let group = KeyGroup { family: family.to_owned(), keys: 0, bytes: 0, example: one_line(shown) };
            self.groups.insert(family.to_owned(), group);
        }
        if let Some(group) = self.groups.get_mut(family) {
            group.keys += 1;
            group.bytes = group.bytes.saturating_add(bytes);
        }
    }

    fn add_big(&mut self, found: &Found, key: String, most: usize) {
        let big = &mut self.report.big;
        if big.iter().any(|known| known.key == key) {
            return;
        }
        let (kind, bytes) = (found.kind.clone(), found.bytes);
        let key = BigKey { key, kind, bytes, length: found.length, ttl: found.ttl };
        let at = big.partition_point(|known| known.bytes >= bytes);
        big.insert(at, key);
        big.truncate(most);
    }

    pub(super) fn finish(self) -> KeyReport {
        let mut report = self.report;
        report.without_ttl = self.groups.into_values().collect();
        report.without_ttl.sort_by_key(|group| std::cmp::Reverse(group.keys));
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: &str, bytes: u64) -> Found {
        Found { key: key.into(), ttl: None, kind: "string".to_owned(), bytes, length: Some(1) }
    }

    fn tally(settings: &UpkeepSettings, keys: &[Found]) -> KeyReport {
        let mut tally = Tally::default();
        keys.iter().for_each(|key| tally.add(key, settings));
        tally.finish()
    }

    #[test]
    fn keys_are_grouped_and_what_is_permanent_is_left_out() {
        let with_ttl = Found { ttl: Some(Duration::from_secs(1)), ..found("price:B", 10) };
        let keys =
            [found("user:a:strategy:s", 9), found("price:A", 10), with_ttl, found("x:1:2", 5), found("x:3:4", 6)];
        let report = tally(&UpkeepSettings::default(), &keys);
        assert_eq!((report.scanned, report.permanent), (5, 1));
        let groups: Vec<_> =
            report.without_ttl.iter().map(|group| (group.family.as_str(), group.keys, group.bytes)).collect();
        assert_eq!(groups, [("x:*:*", 2, 11), ("price:*", 1, 10)]);
    }

    #[test]
    fn groups_are_bounded_and_the_rest_is_counted() {
        let settings = UpkeepSettings { groups_max: 2, ..UpkeepSettings::default() };
        let keys: Vec<_> = (0..10).map(|i| found(&format!("stray{i}"), 1)).collect();
        let report = tally(&settings, &keys);
        assert_eq!((report.without_ttl.len(), report.without_ttl_others), (2, 8));
    }

    #[test]
    fn the_largest_keys_are_kept_once_each() {
        let settings = UpkeepSettings { big_keys_max: 2, big_key_bytes: 10, ..UpkeepSettings::default() };
        let keys = [found("a", 11), found("b", 30), found("c", 9), found("d", 20), found("b", 30)];
        let big: Vec<_> = tally(&settings, &keys).big.into_iter().map(|key| (key.key, key.bytes)).collect();
        assert_eq!(big, [("b".to_owned(), 30), ("d".to_owned(), 20)]);
    }
}
