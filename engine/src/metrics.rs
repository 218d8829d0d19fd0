//! What the engine counts and measures, by Prometheus' naming rules. `GET /metrics` shows it; `docs/monitoring.md` says what
//! each value means.
//!
//! Events are counted where they happen. What is a state, or counted elsewhere already, is taken when it is asked for
//! (`http/metrics.rs`).

use crate::broker::BrokerError;
use crate::executor::Job;
use crate::executor::machine::Claim;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use strat_client::{Observer, Outcome};
use strat_core::Action;
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
    ("strat_ticks_total", Kind::Counter, "ticks read from the feed"),
    ("strat_ticks_refused_total", Kind::Counter, "ticks that were not believed, by reason"),
    ("strat_triggers_fired_total", Kind::Counter, "stops, targets and alerts that this engine's ticks fired"),
    ("strat_redis_takes_prices", Kind::Gauge, "1 while Redis takes prices and so watches the stops"),
    ("strat_tick_age_seconds", Kind::Gauge, "since Redis last took a price; absent before the first"),
    ("strat_feed_silent_symbols", Kind::Gauge, "symbols with open positions of which the feed says nothing"),
    ("strat_guard_strategies", Kind::Gauge, "strategies in the engine's own copy of the books"),
    ("strat_guard_exits_total", Kind::Counter, "exits that the engine sent by itself while Redis was away"),
    ("strat_guard_alarms_total", Kind::Counter, "exits that were crossed without Redis and left to another engine"),
    ("strat_redis_outages_total", Kind::Counter, "times that Redis did not take prices"),
    ("strat_reconciled", Kind::Gauge, "1 while Redis' memory is the one that was reconciled: orders are sent"),
    ("strat_journal_unread_entries", Kind::Gauge, "journal entries that Postgres has not got and nobody has read"),
    ("strat_journal_pending_entries", Kind::Gauge, "journal entries that were read and not applied yet"),
    ("strat_journal_applied_total", Kind::Counter, "journal entries that this engine brought to Postgres"),
    ("strat_journal_rejected_total", Kind::Counter, "journal entries that were put aside"),
    ("strat_queue_entries", Kind::Gauge, "orders in a queue, by queue"),
    ("strat_strategies", Kind::Gauge, "strategies that the module knows"),
    ("strat_armed_triggers", Kind::Gauge, "price triggers that are armed"),
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
    counter!(RECONCILE_DIFFERENCES).increment(0);
    for action in Action::ALL {
        for outcome in OUTCOMES {
            counter!(ORDERS, "action" => action.as_str(), "outcome" => outcome).increment(0);
        }
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
