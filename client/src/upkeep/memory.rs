//! When memory is short: levels with a distance between going up and coming down.

use crate::error::{Error, Result};
use crate::reply::count_of_text;
use crate::server::fields;
use serde_json::{Map, json};
use strat_core::event::Event;
use strat_core::time::rfc3339;

/// From which values on memory is short. Percentages are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryThresholds {
    /// Memory in use, percent of the limit. 75 unless set.
    pub used_warn: u64,
    /// 90 unless set.
    pub used_critical: u64,
    /// The limit where the server has no `maxmemory`, bytes. None unless set; without either, use is not judged.
    pub limit_bytes: Option<u64>,
    /// Resident memory, percent of the memory in use. 150 unless set.
    pub fragmentation_warn: u64,
    /// 200 unless set.
    pub fragmentation_critical: u64,
    /// Below so much memory in use fragmentation says nothing. 64 MiB unless set.
    pub fragmentation_floor_bytes: u64,
    /// So many percent below its threshold a level ends, so that a value near it is not an event each time. 5 unless set.
    pub margin: u64,
}

impl Default for MemoryThresholds {
    fn default() -> Self {
        Self {
            used_warn: 75,
            used_critical: 90,
            limit_bytes: None,
            fragmentation_warn: 150,
            fragmentation_critical: 200,
            fragmentation_floor_bytes: 64 << 20,
            margin: 5,
        }
    }
}

impl MemoryThresholds {
    pub(super) fn check(&self) -> Result<()> {
        let pairs = [(self.used_warn, self.used_critical), (self.fragmentation_warn, self.fragmentation_critical)];
        if pairs.iter().any(|&(warn, critical)| warn <= self.margin || critical <= warn) {
            let why = "upkeep: each critical threshold must be above its warning, and each warning above the margin";
            return Err(Error::Config(why.to_owned()));
        }
        Ok(())
    }
}

/// How short memory is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    #[default]
    Normal,
    /// Somebody should look.
    Warn,
    /// Somebody must act.
    Critical,
}

impl Level {
    /// `NORMAL`, `WARN` or `CRITICAL`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Warn => "WARN",
            Self::Critical => "CRITICAL",
        }
    }

    fn of(value: u64, (warn, critical): (u64, u64)) -> Self {
        match value {
            _ if value >= critical => Self::Critical,
            _ if value >= warn => Self::Warn,
            _ => Self::Normal,
        }
    }

    /// Up at once, down only past the margin.
    fn next(self, value: u64, thresholds: (u64, u64), margin: u64) -> Self {
        let held = Self::of(value.saturating_add(margin), thresholds).min(self);
        Self::of(value, thresholds).max(held)
    }
}

/// What `INFO` says of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryReading {
    /// `used_memory`, bytes.
    pub used_bytes: u64,
    /// `used_memory_rss`, bytes.
    pub resident_bytes: u64,
    /// `maxmemory`, bytes; `None` where the server has no limit.
    pub max_bytes: Option<u64>,
    /// `maxmemory_policy`. With any other than `noeviction` Redis may delete strategies to make room.
    pub policy: String,
    /// `evicted_keys`: keys deleted to make room since the server started.
    pub evicted_total: u64,
}

impl MemoryReading {
    pub(super) fn of_info(info: &str) -> Result<Self> {
        const NAMES: [&str; 5] = ["used_memory", "used_memory_rss", "maxmemory", "maxmemory_policy", "evicted_keys"];
        let found = fields(info, NAMES);
        let text = |at: usize| found[at].ok_or_else(|| Error::BadReply(format!("INFO does not say {}", NAMES[at])));
        let count = |at: usize| count_of_text(text(at)?, NAMES[at]);
        Ok(Self {
            used_bytes: count(0)?,
            resident_bytes: count(1)?,
            max_bytes: Some(count(2)?).filter(|&bytes| bytes > 0),
            policy: text(3)?.to_owned(),
            evicted_total: count(4)?,
        })
    }

    /// Memory in use, whole percent of the server's limit or of the given one; `None` without a limit.
    #[must_use]
    pub fn used_percent(&self, limit_bytes: Option<u64>) -> Option<u64> {
        percent(self.used_bytes, self.max_bytes.or(limit_bytes)?)
    }

    /// Resident memory, whole percent of the memory in use.
    #[must_use]
    pub fn fragmentation_percent(&self) -> Option<u64> {
        percent(self.resident_bytes, self.used_bytes)
    }
}

fn percent(part: u64, whole: u64) -> Option<u64> {
    u64::try_from((u128::from(part) * 100).checked_div(whole.into())?).ok()
}

/// What crossed a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// Memory in use; the value is a percentage.
    Used,
    /// Fragmentation; the value is a percentage.
    Fragmentation,
    /// Keys deleted to make room since the last reading; the value is their number. Any is a warning.
    Evictions,
}

impl MemoryKind {
    /// The type of its events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "MEMORY_USED",
            Self::Fragmentation => "MEMORY_FRAGMENTATION",
            Self::Evictions => "MEMORY_EVICTIONS",
        }
    }
}

/// A threshold was crossed, upwards or downwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEvent {
    /// What crossed it.
    pub kind: MemoryKind,
    /// Level before.
    pub from: Level,
    /// Level now.
    pub to: Level,
    /// As its kind says.
    pub value: u64,
    /// Epoch ms.
    pub at_ms: i64,
}

impl MemoryEvent {
    /// One line of JSON, in the shape of all events: `type`, `timestamp`, an empty `strategy_id`, and in `data` `from`, `to`
    /// and `value`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut data = Map::new();
        data.insert("from".to_owned(), json!(self.from.as_str()));
        data.insert("to".to_owned(), json!(self.to.as_str()));
        data.insert("value".to_owned(), json!(self.value));
        let (kind, timestamp) = (self.kind.as_str().to_owned(), rfc3339(self.at_ms));
        Event { kind, timestamp, strategy_id: String::new(), data }.to_json()
    }
}

/// Remembers the levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryWatch {
    used: Level,
    fragmentation: Level,
    evictions: Level,
    evicted_total: Option<u64>,
}

impl MemoryWatch {
    /// The watch after a reading, and what crossed a threshold with it.
    #[must_use]
    pub fn after(
        &self,
        reading: &MemoryReading,
        thresholds: &MemoryThresholds,
        at_ms: i64,
    ) -> (Self, Vec<MemoryEvent>) {
        let margin = thresholds.margin;
        // Without a limit there is nothing to be near to.
        let used = reading.used_percent(thresholds.limit_bytes).unwrap_or(0);
        let enough = reading.used_bytes >= thresholds.fragmentation_floor_bytes;
        let fragmentation = reading.fragmentation_percent().filter(|_| enough).unwrap_or(0);
        let evicted = match self.evicted_total {
            None => 0,
            // The counter began anew with the server.
            Some(before) => reading.evicted_total.checked_sub(before).unwrap_or(reading.evicted_total),
        };
        let of_fragmentation = (thresholds.fragmentation_warn, thresholds.fragmentation_critical);
        let next = Self {
            used: self.used.next(used, (thresholds.used_warn, thresholds.used_critical), margin),
            fragmentation: self.fragmentation.next(fragmentation, of_fragmentation, margin),
            evictions: if evicted > 0 { Level::Warn } else { Level::Normal },
            evicted_total: Some(reading.evicted_total),
        };
        let events = [
            (MemoryKind::Used, self.used, next.used, used),
            (MemoryKind::Fragmentation, self.fragmentation, next.fragmentation, fragmentation),
            (MemoryKind::Evictions, self.evictions, next.evictions, evicted),
        ];
        let crossed = events.into_iter().filter(|(_, from, to, _)| from != to);
        let events = crossed.map(|(kind, from, to, value)| MemoryEvent { kind, from, to, value, at_ms }).collect();
        (next, events)
    }
}

#[cfg(test)]
mod tests;
