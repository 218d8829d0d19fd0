//! The layer in the process.
//!
//! Nothing is searched for when something is invalidated: a counter is raised, and whatever was read while it was lower
//! is not shown any more. So a value that was read before an invalidation and arrives after it is dropped as well.

use super::settings::CacheSettings;
use crate::clock::Clock;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names that share a counter fall together; with so many counters that is seldom, and costs one read of Redis.
const COUNTERS: usize = 4_096;
/// What an entry costs besides key and JSON, in bytes.
const OVERHEAD: usize = 128;

/// Counts invalidations by what they name. Seeded at random, so that nobody can aim at another's counter.
pub(super) struct Marks {
    counters: Box<[AtomicU64]>,
    all: AtomicU64,
    seed: RandomState,
}

impl Marks {
    pub(super) fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { counters, all: AtomicU64::new(0), seed: RandomState::new() }
    }

    fn counter(&self, kind: char, name: &str) -> &AtomicU64 {
        &self.counters[self.seed.hash_one((kind, name)) as usize % COUNTERS]
    }

    /// Grows with every invalidation of the key, of one of the tags, or of everything.
    pub(super) fn generation(&self, key: &str, tags: &[String]) -> u64 {
        let counts = tags.iter().map(|tag| self.counter('t', tag)).chain([self.counter('k', key), &self.all]);
        counts.map(|count| count.load(Ordering::SeqCst)).sum()
    }

    pub(super) fn invalidate<S: AsRef<str>>(&self, keys: &[S], tags: &[S]) {
        let keys = keys.iter().map(|key| self.counter('k', key.as_ref()));
        let tags = tags.iter().map(|tag| self.counter('t', tag.as_ref()));
        keys.chain(tags).for_each(|count| {
            count.fetch_add(1, Ordering::SeqCst);
        });
    }

    pub(super) fn invalidate_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }
}

struct Entry<T> {
    value: Option<Arc<T>>,
    /// Epoch ms.
    until: i64,
    generation: u64,
    bytes: u32,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

pub(super) struct Local<T> {
    /// `None`: switched off.
    entries: Option<moka::future::Cache<String, Entry<T>>>,
    clock: Arc<dyn Clock>,
    ttl_ms: i64,
}

impl<T: Send + Sync + 'static> Local<T> {
    pub(super) fn new(settings: &CacheSettings) -> Self {
        // The clock may be set back; by this one nothing lives longer all the same.
        let entries = (settings.local_bytes > 0 && !settings.local_ttl.is_zero()).then(|| {
            moka::future::Cache::builder()
                .max_capacity(settings.local_bytes)
                .weigher(|_, entry: &Entry<T>| entry.bytes)
                .time_to_live(settings.local_ttl)
                .build()
        });
        let ttl_ms = i64::try_from(settings.local_ttl.as_millis()).unwrap_or(i64::MAX);
        Self { entries, clock: settings.clock.clone(), ttl_ms }
    }

    pub(super) fn is_on(&self) -> bool {
        self.entries.is_some()
    }

    /// `Some(None)`: it is remembered that there is no value.
    pub(super) async fn get(&self, key: &str, generation: u64) -> Option<Option<Arc<T>>> {
        let entry = self.entries.as_ref()?.get(key).await?;
        (entry.generation == generation && self.clock.now_ms() < entry.until).then_some(entry.value)
    }

    /// Keeps what was asked for at `generation`, `text` bytes as JSON, until epoch ms `until` at the latest.
    pub(super) async fn put(&self, key: &str, generation: u64, value: Option<Arc<T>>, until: i64, text: usize) {
        let Some(entries) = &self.entries else { return };
        let now = self.clock.now_ms();
        let until = until.min(now.saturating_add(self.ttl_ms));
        if until > now {
            let bytes = u32::try_from(text + key.len() + OVERHEAD).unwrap_or(u32::MAX);
            entries.insert(key.to_owned(), Entry { value, until, generation, bytes }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    #[test]
    fn a_generation_ends_with_its_key_its_tags_and_everything() {
        let marks = Marks::new();
        let now = || marks.generation("k", &["t".to_owned()]);
        let mut last = now();
        let mut ends = |what: &str| {
            assert!(now() > last, "{what}");
            last = now();
        };
        marks.invalidate(&["k"], &[]);
        ends("key");
        marks.invalidate(&[], &["t"]);
        ends("tag");
        marks.invalidate_all();
        ends("everything");
    }

    #[test]
    fn a_tag_is_not_the_key_of_that_name() {
        let marks = Marks::new();
        // One of a few may share a counter by chance.
        let untouched = (0..20).filter(|n| {
            let before = marks.generation(&format!("{n}"), &[]);
            marks.invalidate(&[], &[format!("{n}")]);
            marks.generation(&format!("{n}"), &[]) == before
        });
        assert!(untouched.count() >= 15);
    }

    #[tokio::test]
    async fn an_entry_ends_with_its_life_and_with_its_generation() {
        let clock = Arc::new(ManualClock::at(1_000));
        let settings =
            CacheSettings { clock: clock.clone(), local_ttl: Duration::from_millis(50), ..CacheSettings::default() };
        let local = Local::new(&settings);
        local.put("short", 0, Some(Arc::new(1)), 1_010, 4).await;
        local.put("long", 0, Some(Arc::new(2)), 9_999, 4).await;
        local.put("over", 0, Some(Arc::new(3)), 1_000, 4).await;
        clock.advance(Duration::from_millis(9));
        assert_eq!(local.get("short", 0).await, Some(Some(Arc::new(1))));
        assert_eq!(local.get("over", 0).await, None);
        assert_eq!(local.get("long", 1).await, None);
        clock.advance(Duration::from_millis(1));
        assert_eq!(local.get("short", 0).await, None);
        assert_eq!(local.get("long", 0).await, Some(Some(Arc::new(2))));
        clock.advance(Duration::from_millis(40));
        assert_eq!(local.get("long", 0).await, None);
    }

    #[tokio::test]
    async fn it_holds_no_more_bytes_than_allowed() {
        let local = Local::new(&CacheSettings { local_bytes: 10_000, ..CacheSettings::default() });
        for n in 0..1_000 {
            local.put(&n.to_string(), 0, Some(Arc::new(n)), i64::MAX, 100).await;
        }
        let entries = local.entries.as_ref().unwrap();
        entries.run_pending_tasks().await;
        assert!((1_000..=10_000).contains(&entries.weighted_size()), "{}", entries.weighted_size());
    }
}
