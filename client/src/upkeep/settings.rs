//! What to look at, how much at once, and what may be changed.

use super::clean::Rule;
use super::memory::MemoryThresholds;
use super::pattern::KeyPattern;
use crate::error::{Error, Result};
use std::time::Duration;

/// The families that live until somebody deletes them: strategies, alerts, the sets, the queues, the journal, and what must
/// outlive a restart.
const PERMANENT: [&str; 9] = [
    "user:*:strategy:*",
    "user:*:alert:*",
    "active_strategies",
    "symbol:*:strategies",
    "queue:orders",
    "queue:exits",
    "journal",
    "drain:*",
    "trail:*",
];

/// Settings of [`Upkeep`](super::Upkeep).
#[derive(Debug, Clone)]
pub struct UpkeepSettings {
    /// Only keys that begin with this (`{tag}` or a tenant's prefix). Empty unless set: all keys, but then those of tagged
    /// partitions are only reported.
    pub prefix: String,
    /// Keys asked for at once; twice as many are the most that holds the server up. 100 unless set; 1 to 10 000.
    pub slice: usize,
    /// Slices in one run. 100 unless set, at least 1.
    pub slices_per_run: usize,
    /// Longest wait for each reply. `None`, the default, leaves it to the connection, which has a limit of its own.
    pub timeout: Option<Duration>,
    /// Families without a time to live by design. They are neither reported nor changed, whatever the rules say. The strat
    /// module's own unless set.
    pub permanent: Vec<KeyPattern>,
    /// Different families in a report; keys of further ones are counted together. 100 unless set.
    pub groups_max: usize,
    /// The largest keys in a report. 20 unless set.
    pub big_keys_max: usize,
    /// From this size in memory on, bytes. 1 MiB unless set.
    pub big_key_bytes: u64,
    /// Members of a collection that Redis looks at to estimate its size (`MEMORY USAGE … SAMPLES`). 5 unless set; 1 to 100,
    /// as 0 would be all of them.
    pub samples: u32,
    /// What to put right; the first rule that fits a key counts. None unless set.
    pub rules: Vec<Rule>,
    /// Entries that all trimming of one slice may remove together. 10 000 unless set; 1 to 1 000 000.
    pub trim_per_slice: u64,
    /// Say what would be done, and do nothing. `true` unless set.
    pub dry_run: bool,
    /// When memory is short.
    pub memory: MemoryThresholds,
    /// Where memory's events are published, `None` for nowhere. `events:admin` unless set: the channel of a user called
    /// `admin`, who must not be a customer.
    pub channel: Option<String>,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            slice: 100,
            slices_per_run: 100,
            timeout: None,
            permanent: PERMANENT.map(KeyPattern::known).to_vec(),
            groups_max: 100,
            big_keys_max: 20,
            big_key_bytes: 1 << 20,
            samples: 5,
            rules: Vec::new(),
            trim_per_slice: 10_000,
            dry_run: true,
            memory: MemoryThresholds::default(),
            channel: Some("events:admin".to_owned()),
        }
    }
}

impl UpkeepSettings {
    pub(super) fn check(&self) -> Result<()> {
        let bounds = [
            ("slice", self.slice, 10_000),
            ("slices_per_run", self.slices_per_run, usize::MAX),
            ("samples", self.samples as usize, 100),
            ("trim_per_slice", usize::try_from(self.trim_per_slice).unwrap_or(usize::MAX), 1_000_000),
        ];
        for (name, value, most) in bounds {
            if !(1..=most).contains(&value) {
                return Err(Error::Config(format!("upkeep: {name} is {value} and must be 1 to {most}")));
            }
        }
        for rule in &self.rules {
            rule.check()?;
            if self.permanent.contains(&rule.pattern) {
                let pattern = &rule.pattern;
                return Err(Error::Config(format!("upkeep: {pattern} is permanent, a rule for it would never apply")));
            }
        }
        self.memory.check()
    }

    /// Whether a name is of a family without a time to live by design.
    pub(super) fn is_permanent(&self, name: &str) -> bool {
        self.permanent.iter().any(|pattern| pattern.matches(name))
    }

    /// All families that have a name here.
    pub(super) fn known(&self) -> impl Iterator<Item = &KeyPattern> {
        self.permanent.iter().chain(self.rules.iter().map(|rule| &rule.pattern))
    }
}
