//! What the engine counts and measures, by Prometheus' naming rules. `GET /metrics` shows it; `docs/monitoring.md` says what
//! each value means.
//!
//! Events are counted where they happen. What is a state, or counted elsewhere already, is taken when it is asked for
//! (`http/metrics.rs`).

use crate::broker::BrokerError;
use crate::executor::Job;
use crate::executor::machine::Claim;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use strat_client::upkeep::{KeyReport, Level, MemoryEvent, MemoryKind, MemoryReading};
use strat_client::{Health, Observer, Outcome};
use strat_core::Action;
use strat_core::risk::Rule;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How many were at most so large.
    Histogram,
}

/// Redis' answers, by command and outcome.
pub const REDIS_OPERATION: &str = "redis_operation_seconds";
/// From the tick to the broker.
pub const TICK_TO_ORDER: &str = "strat_tick_to_order_seconds";
/// Answers of the broker to orders.
pub const ORDERS: &str = "strat_orders_submitted_total";
/// Locks that were not given.
pub const LOCK_REFUSALS: &str = "strat_lock_refusals_total";
/// Differences that a reconciliation found.
pub const RECONCILE_DIFFERENCES: &str = "strat_reconcile_differences_total";

/// Entries that the engine's own limit holds back.
pub const PUT_OFF: &str = "strat_entries_put_off_total";
/// Calls for exits that went beyond it.
pub const OVER_LIMIT: &str = "strat_exit_calls_over_limit_total";
/// Lines of a feed that were no quote, and are left out.
pub const TICKS_REJECTED: &str = "strat_feed_rejected_total";
/// Connections to the broker's stream of order updates that ended or were not made.
pub const STREAM_LOST: &str = "strat_broker_stream_lost_total";

/// Exits whose steps of protection are used up.
pub const PROTECTION_USED_UP: &str = "strat_exit_protection_used_up_total";
/// Entries that a limit refused.
pub const RISK_REFUSED: &str = "strat_risk_refused_total";

/// Storms.
pub const DRAINS: &str = "strat_drains_total";
/// Stops and targets fired by the module.
pub const MODULE_FIRED: &str = "strat_module_fired_total";
/// How short Redis' memory is.
pub const MEMORY_LEVEL: &str = "redis_memory_level";
/// Keys that should end and do not.
pub const KEYS_WITHOUT_TTL: &str = "redis_keys_without_ttl";
/// Keys that take much.
pub const BIG_KEYS: &str = "redis_big_keys";
/// Keys put right.
pub const KEYS_CLEANED: &str = "strat_upkeep_keys_cleaned_total";
/// Looks at all keys.
pub const UPKEEP_PASSES: &str = "strat_upkeep_passes_total";
/// Looks that failed.
pub const UPKEEP_FAILURES: &str = "strat_upkeep_failures_total";

/// Every metric: name, kind and what it is.
pub const ALL: &[(&str, Kind, &str)] = &[
    (REDIS_OPERATION, Kind::Histogram, "time until a request to Redis had ended, by its first command and outcome"),
    (
        TICK_TO_ORDER,
        Kind::Histogram,
        "from the time of the tick that fired a stop until the broker had answered to its exit",
    ),
    (ORDERS, Kind::Counter, "orders given to the broker, by action and by what it answered"),
    (LOCK_REFUSALS, Kind::Counter, "orders that could not be claimed, by reason"),
    (RECONCILE_DIFFERENCES, Kind::Counter, "differences found between Redis, Postgres and the broker"),
    (TICKS_REJECTED, Kind::Counter, "messages or entries of the feed that were meant to be ticks and make no sense"),
    (PUT_OFF, Kind::Counter, "entries that had to wait because of the account's limit of calls to the broker"),
    (OVER_LIMIT, Kind::Counter, "calls for exits that were made beyond the account's limit"),
    (PROTECTION_USED_UP, Kind::Counter, "attempts of exits beyond the last step of their protection"),
    (STREAM_LOST, Kind::Counter, "times that the broker's stream of order updates was lost or not to be had"),
    (RISK_REFUSED, Kind::Counter, "entries that a limit refused, by rule"),
    ("strat_ticks_total", Kind::Counter, "ticks read from the feed"),
    ("strat_ticks_refused_total", Kind::Counter, "ticks that were kept away from the stops, by reason"),
    ("strat_triggers_fired_total", Kind::Counter, "stops, targets and alerts that this engine's ticks fired"),
    ("strat_redis_takes_prices", Kind::Gauge, "1 while Redis takes prices and so watches the stops"),
    ("strat_tick_age_seconds", Kind::Gauge, "since Redis last took a price; absent before the first"),
    ("strat_feed_silent_symbols", Kind::Gauge, "symbols with open positions of which the feed says nothing"),
    ("strat_guard_strategies", Kind::Gauge, "strategies in the engine's own copy of the books"),
    ("strat_guard_exits_total", Kind::Counter, "exits that the engine sent by itself while Redis was away"),
    ("strat_guard_alarms_total", Kind::Counter, "exits that were crossed without Redis and left to another engine"),
    ("strat_redis_outages_total", Kind::Counter, "times that Redis did not take prices"),
    ("strat_broker_up", Kind::Gauge, "1 while calls to the broker are answered, a refusal included"),
    ("strat_orders_unknown", Kind::Gauge, "orders of which it is not known whether the broker has them"),
    ("strat_reconciled", Kind::Gauge, "1 while Redis' memory is the one that was reconciled: orders are sent"),
    ("strat_journal_unread_entries", Kind::Gauge, "journal entries that Postgres has not got and nobody has read"),
    ("strat_journal_pending_entries", Kind::Gauge, "journal entries that were read and not applied yet"),
    ("strat_journal_applied_total", Kind::Counter, "journal entries that this engine brought to Postgres"),
    ("strat_journal_rejected_total", Kind::Counter, "journal entries that were put aside"),
    ("strat_queue_entries", Kind::Gauge, "orders in a queue, by queue"),
    ("strat_strategies", Kind::Gauge, "strategies that the module knows"),
    ("strat_armed_triggers", Kind::Gauge, "price triggers that are armed"),
    (DRAINS, Kind::Counter, "ticks that crossed more than one call fires: the rest went on in slices"),
    ("strat_draining_symbols", Kind::Gauge, "symbols of which something is still being fired in slices"),
    (MODULE_FIRED, Kind::Counter, "stops and targets that the module has fired, whoever sent the tick"),
    (
        "strat_unparseable_hashes",
        Kind::Gauge,
        "hashes of strategies and alerts that do not parse, and so guard nothing",
    ),
    (
        "strat_queue_oldest_seconds",
        Kind::Gauge,
        "how long the oldest order of a queue is in it, by queue; 0 where it is empty",
    ),
    (
        "strat_journal_lag_seconds",
        Kind::Gauge,
        "how old the oldest journal entry is that is not in Postgres; 0 where all are",
    ),
    (
        "strat_breaker_open",
        Kind::Gauge,
        "1 while the breaker before the API's connection to Redis lets nothing through",
    ),
    ("strat_breaker_opened_total", Kind::Counter, "times that it has opened"),
    ("redis_memory_used_bytes", Kind::Gauge, "memory that Redis uses"),
    ("redis_memory_max_bytes", Kind::Gauge, "its limit; 0 where it has none"),
    (MEMORY_LEVEL, Kind::Gauge, "how short memory is, by kind: 0 normal, 1 warning, 2 critical"),
    (KEYS_WITHOUT_TTL, Kind::Gauge, "keys without an end of which nobody knows why, at the last look at all keys"),
    (BIG_KEYS, Kind::Gauge, "keys that take a mebibyte or more, at most 20 are counted"),
    (KEYS_CLEANED, Kind::Counter, "keys that were given the end that they lacked"),
    (UPKEEP_PASSES, Kind::Counter, "looks at all keys that this engine has finished"),
    (UPKEEP_FAILURES, Kind::Counter, "looks at Redis' keys or memory that failed or were cut short"),
    ("redis_hits_total", Kind::Counter, "rows for answers that were found in Redis"),
    ("redis_misses_total", Kind::Counter, "rows for answers that were looked for in Redis and not found there"),
    ("redis_failures_total", Kind::Counter, "requests of the cache of rows that Redis did not answer"),
    ("cache_local_hits_total", Kind::Counter, "rows for answers that were found in this process"),
    ("cache_local_misses_total", Kind::Counter, "rows for answers that were not found in this process"),
    ("cache_computes_total", Kind::Counter, "rows for answers that were read from Postgres"),
    ("cache_compute_failures_total", Kind::Counter, "such reads that failed"),
    (
        "cache_computes_alone_total",
        Kind::Counter,
        "such reads without a lock, because Redis was away or another took too long",
    ),
    ("cache_joins_total", Kind::Counter, "answers that waited for such a read of this process"),
    ("cache_waits_total", Kind::Counter, "answers that waited for such a read of another process"),
    ("cache_overloads_total", Kind::Counter, "answers refused because too many reads were under way"),
    ("cache_unstored_total", Kind::Counter, "rows that were read and not cached, because they had changed meanwhile"),
    ("cache_invalidations_total", Kind::Counter, "times that changed rows were dropped from the cache"),
    ("redis_up", Kind::Gauge, "1 while Redis answers"),
    ("postgres_up", Kind::Gauge, "1 while Postgres answers"),
    ("strat_engine_uptime_seconds", Kind::Gauge, "since the engine started"),
];

/// Bounds of what takes between a fraction of a millisecond and the seconds of an outage.
const SECONDS: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

const SUM_EVERY: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count; what was counted before is lost. Where somebody else's recorder is installed, that one gets it all.
pub fn install() -> &'static PrometheusHandle {
    HANDLE.get_or_init(|| {
        let builder = ALL.iter().filter(|(_, kind, _)| *kind == Kind::Histogram).fold(
            PrometheusBuilder::new(),
            |builder, (name, ..)| match builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), SECONDS) {
                Ok(builder) => builder,
                // Only where there are no bounds.
                Err(_) => PrometheusBuilder::new(),
            },
        );
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        for (name, kind, about) in ALL {
            match kind {
                Kind::Counter => describe_counter!(*name, *about),
                Kind::Gauge => describe_gauge!(*name, *about),
                Kind::Histogram => describe_histogram!(*name, *about),
            }
        }
        begin_at_zero();
        handle
    })
}

/// Sums up what the histograms were told, until cancelled: without it they would keep every value until somebody asks.
pub async fn keep_small(cancel: CancellationToken) {
    let handle = install();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(SUM_EVERY) => handle.run_upkeep(),
        }
    }
}

const OUTCOMES: [&str; 5] = ["accepted", "rejected", "unknown", "rate_limited", "unavailable"];

/// A rate needs a first value: what has not happened yet is 0, not absent.
fn begin_at_zero() {
    let counters = [
        RECONCILE_DIFFERENCES,
        PUT_OFF,
        TICKS_REJECTED,
        OVER_LIMIT,
        PROTECTION_USED_UP,
        STREAM_LOST,
        KEYS_CLEANED,
        UPKEEP_PASSES,
        UPKEEP_FAILURES,
        DRAINS,
        MODULE_FIRED,
    ];
    counters.into_iter().for_each(|name| counter!(name).increment(0));
    for kind in [MemoryKind::Used, MemoryKind::Fragmentation, MemoryKind::Evictions] {
        memory_gauge(kind).set(0.0);
    }
    // Nothing is known of these before the first look.
    [KEYS_WITHOUT_TTL, BIG_KEYS].into_iter().for_each(|name| gauge!(name).set(0.0));
    for action in Action::ALL {
        for outcome in OUTCOMES {
            counter!(ORDERS, "action" => action.as_str(), "outcome" => outcome).increment(0);
        }
    }
    for rule in Rule::ALL {
        counter!(RISK_REFUSED, "rule" => rule.as_str()).increment(0);
    }
    Claim::REFUSALS.map(lock_count).into_iter().for_each(|count| count.increment(0));
    // A histogram is there once it was asked for.
    let _ = histogram!(TICK_TO_ORDER);
}

fn lock_count(reason: &'static str) -> metrics::Counter {
    counter!(LOCK_REFUSALS, "reason" => reason)
}

/// The broker has answered, or has not in time.
pub(crate) fn submitted<T>(job: &Job, answer: &Result<T, BrokerError>, now_ms: i64) {
    let outcome = OUTCOMES[match answer {
        Ok(_) => 0,
        Err(BrokerError::Rejected(_)) => 1,
        Err(BrokerError::Unknown(_)) => 2,
        Err(BrokerError::RateLimited { .. }) => 3,
        Err(BrokerError::Unavailable(_)) => 4,
    }];
    counter!(ORDERS, "action" => job.action.as_str(), "outcome" => outcome).increment(1);
    let by_price = matches!(job.action, Action::StopLoss | Action::TakeProfit);
    if let Some(due_ms) = job.due_ms.filter(|_| answer.is_ok() && by_price) {
        let took = Duration::from_millis(now_ms.saturating_sub(due_ms).max(0).unsigned_abs());
        histogram!(TICK_TO_ORDER).record(took);
    }
}

/// An order could not be claimed.
pub(crate) fn lock_refused(reason: &'static str) {
    lock_count(reason).increment(1);
}

/// What the module had counted when it was last asked.
#[derive(Debug, Default)]
struct Counted {
    uptime_s: u64,
    fired: u64,
    drains: u64,
}

static COUNTED: Mutex<Counted> = Mutex::new(Counted { uptime_s: 0, fired: 0, drains: 0 });

/// Goes on with what the module counts: it begins anew with its server, and ours must not.
pub(crate) fn module_counted(health: &Health) {
    let mut last = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if health.uptime_in_seconds < last.uptime_s {
        *last = Counted::default();
    }
    // An answer that was overtaken by a later one says nothing new.
    counter!(MODULE_FIRED).increment(health.fired.saturating_sub(last.fired));
    counter!(DRAINS).increment(health.drains.saturating_sub(last.drains));
    last.uptime_s = last.uptime_s.max(health.uptime_in_seconds);
    (last.fired, last.drains) = (last.fired.max(health.fired), last.drains.max(health.drains));
}

fn memory_gauge(kind: MemoryKind) -> metrics::Gauge {
    let kind = match kind {
        MemoryKind::Used => "used",
        MemoryKind::Fragmentation => "fragmentation",
        MemoryKind::Evictions => "evictions",
    };
    gauge!(MEMORY_LEVEL, "kind" => kind)
}

/// Memory as it was read.
pub(crate) fn memory(reading: &MemoryReading) {
    gauge!("redis_memory_used_bytes").set(reading.used_bytes as f64);
    gauge!("redis_memory_max_bytes").set(reading.max_bytes.unwrap_or(0) as f64);
}

/// Memory is at another level.
pub(crate) fn memory_level(event: &MemoryEvent) {
    let level = match event.to {
        Level::Normal => 0.0,
        Level::Warn => 1.0,
        Level::Critical => 2.0,
    };
    memory_gauge(event.kind).set(level);
}

/// All keys were looked at.
pub(crate) fn upkeep_finished(report: &KeyReport) {
    counter!(UPKEEP_PASSES).increment(1);
    let listed: u64 = report.without_ttl.iter().map(|group| group.keys).sum();
    gauge!(KEYS_WITHOUT_TTL).set((listed + report.without_ttl_others) as f64);
    gauge!(BIG_KEYS).set(report.big.len() as f64);
}

/// A look at Redis failed, or was cut short.
pub(crate) fn upkeep_failed() {
    counter!(UPKEEP_FAILURES).increment(1);
}

/// So many keys were given an end.
pub(crate) fn cleaned(keys: u64) {
    counter!(KEYS_CLEANED).increment(keys);
}

/// Something that was meant to be a tick makes no sense.
pub(crate) fn tick_rejected() {
    counter!(TICKS_REJECTED).increment(1);
}

/// An exit is sent with its widest protection once more.
pub(crate) fn protection_used_up() {
    counter!(PROTECTION_USED_UP).increment(1);
}

/// An entry has to wait for its account's limit.
pub(crate) fn put_off() {
    counter!(PUT_OFF).increment(1);
}

/// A limit has refused an entry.
pub(crate) fn risk_refused(rule: Rule) {
    counter!(RISK_REFUSED, "rule" => rule.as_str()).increment(1);
}

/// An exit goes although its account has made as many calls as it may.
pub(crate) fn over_limit() {
    counter!(OVER_LIMIT).increment(1);
}

/// The stream of order updates ended, or could not be opened.
pub(crate) fn stream_lost() {
    counter!(STREAM_LOST).increment(1);
}

/// A reconciliation found so many differences.
pub(crate) fn differences(found: usize) {
    counter!(RECONCILE_DIFFERENCES).increment(found as u64);
}

/// Measures the requests to Redis.
#[derive(Debug)]
pub(crate) struct RedisOperations;

impl Observer for RedisOperations {
    fn ended(&self, command: &str, took: Duration, outcome: Outcome) {
        // These wait in the server until something comes.
        if !matches!(command, "XREADGROUP" | "XREAD") {
            histogram!(REDIS_OPERATION, "command" => command.to_owned(), "outcome" => outcome.as_str()).record(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_operators_speaks_of_each_metric() {
        let page = include_str!("../../docs/monitoring.md");
        for (name, ..) in ALL {
            assert!(page.contains(&format!("`{name}")), "docs/monitoring.md says nothing of {name}");
        }
    }

    #[test]
    fn names_follow_prometheus_rules() {
        for (name, kind, about) in ALL {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name} says its unit");
            assert!(!about.is_empty() && !about.ends_with('.'));
            assert_eq!(ALL.iter().filter(|(other, ..)| other == name).count(), 1, "{name}");
        }
    }
}
