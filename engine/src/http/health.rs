//! How the parts of the engine are, asked at the moment.

use super::Watched;
use crate::broker::{AccountOf, BrokerStatus};
use crate::guard::{GuardStatus, Watcher};
use crate::market::{MarketStats, Refusal};
use crate::store::Ping;
use crate::sync::{self, Backlog};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use color_eyre::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use strat_client::{Health, QueueDepths, QueueReader};

/// Longest wait for one check; a server that takes longer is not healthy.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an order may be looked up before somebody should look at the broker.
const UNKNOWN_MAX: Duration = Duration::from_secs(10);
/// How old the guard's knowledge may be while Redis is there.
const BEHIND_MAX: Duration = Duration::from_secs(10);
/// Accounts that are named.
const NAMED_MAX: usize = 20;

pub(super) async fn health(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let (healthy, body) = health_of(&watched).await;
    answer(healthy, body)
}

/// Whether everything is well, and what is not.
pub(super) async fn health_of(watched: &Watched) -> (bool, Value) {
    let (redis, postgres, journal, queues) =
        tokio::join!(check_redis(watched), check_postgres(watched), check_sync(watched), check_queues(watched));
    let silent = watched.market.silent();
    let market = check_market(watched.market.stats(), &silent, watched.silence, watched.clock.now_ms());
    let guard = check_guard(watched.market.guard().status());
    let broker = check_broker(watched.broker.status(), watched.executor.unknown(), watched);
    let reconciled = watched.gate.peek().is_some();
    let parts = [&redis, &postgres, &journal, &queues, &market, &guard, &broker];
    let healthy = reconciled && parts.iter().all(|part| part["status"] == "ok");
    (
        healthy,
        json!({
            "status": status(healthy),
            "engine": watched.engine,
            "engine_version": env!("CARGO_PKG_VERSION"),
            "engine_uptime_in_seconds": watched.started.elapsed().as_secs(),
            "reconciled": reconciled,
            "redis": redis,
            "postgres": postgres,
            "sync": journal,
            "queues": queues,
            "market": market,
            "guard": guard,
            "broker": broker,
        }),
    )
}

pub(super) async fn redis_health(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let redis = check_redis(&watched).await;
    answer(redis["status"] == "ok", redis)
}

fn answer(healthy: bool, body: Value) -> (StatusCode, Json<Value>) {
    (if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

const fn status(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "unhealthy" }
}

fn unhealthy(error: &str) -> Value {
    json!({ "status": "unhealthy", "error": error })
}

/// Asks a part how it is; why it cannot say, where it cannot.
async fn ask<T, E: Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(CHECK_TIMEOUT, question).await {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(answer) => answer.map_err(|error| error.to_string()),
    }
}

pub(super) async fn ask_redis(watched: &Watched) -> Result<Health, String> {
    ask(watched.link.connection().health()).await
}

pub(super) async fn ask_postgres(watched: &Watched) -> Result<Ping, String> {
    ask(watched.store.ping()).await
}

pub(super) async fn ask_backlog(watched: &Watched) -> Result<Backlog, String> {
    ask(sync::backlog(&mut watched.link.connection())).await
}

pub(super) async fn ask_queues(watched: &Watched) -> Result<QueueDepths, String> {
    ask(async { QueueReader::new(&watched.link.connection(), "", &watched.engine, CHECK_TIMEOUT)?.depths().await })
        .await
}

async fn check_redis(watched: &Watched) -> Value {
    match ask_redis(watched).await {
        Err(error) => unhealthy(&error),
        Ok(health) => json!({
            "status": "ok",
            "address": watched.link.address(),
            "latency_ms": milliseconds(health.latency),
            "connected_clients": health.connected_clients,
            "used_memory_human": health.used_memory_human,
            "uptime_in_seconds": health.uptime_in_seconds,
            "redis_version": health.redis_version,
            "server_name": health.server_name,
            "module_version": health.module_version,
            "strategies": health.strategies,
            "armed": health.armed,
        }),
    }
}

async fn check_postgres(watched: &Watched) -> Value {
    match ask_postgres(watched).await {
        Err(error) => unhealthy(&error),
        Ok(ping) => json!({ "status": "ok", "latency_ms": milliseconds(ping.latency), "version": ping.version }),
    }
}

async fn check_sync(watched: &Watched) -> Value {
    let state = watched.sync.status();
    let backlog = match ask_backlog(watched).await {
        Err(error) => return unhealthy(&error),
        Ok(backlog) => backlog,
    };
    let trouble = state.complaint(&backlog, tokio::time::Instant::now());
    json!({
        "status": status(trouble.is_none()),
        "error": trouble,
        "leader": state.leader,
        "unread": backlog.unread,
        "pending": backlog.pending,
        "applied": state.applied,
        "rejected": state.rejected,
    })
}

async fn check_queues(watched: &Watched) -> Value {
    match ask_queues(watched).await {
        Err(error) => unhealthy(&error),
        Ok(depths) => json!({ "status": "ok", "exits": depths.exits, "orders": depths.orders }),
    }
}

/// Stops are watched only while prices come in and Redis takes them.
fn check_market(stats: MarketStats, silent: &(usize, Vec<String>), silence: Duration, now_ms: i64) -> Value {
    let age_ms = stats.last_sent_ms.map(|sent| now_ms.saturating_sub(sent).max(0));
    let limit = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
    let error = if stats.ended {
        Some("the feed has ended")
    } else if !stats.watching {
        Some("Redis does not take prices")
    } else if limit > 0 && age_ms.is_none_or(|age| age > limit) {
        Some("no tick was taken for longer than feed.silence_seconds")
    } else if silent.0 > 0 {
        Some("the feed says nothing of symbols with open positions")
    } else {
        None
    };
    json!({
        "status": status(error.is_none()),
        "error": error,
        "watching": stats.watching,
        "ended": stats.ended,
        "ticks": stats.ticks,
        "tick_age_ms": age_ms,
        "silent": silent.0,
        "silent_symbols": silent.1,
        "refused_prices": stats.refused.of(Refusal::Price),
        "dropped_jumps": stats.refused.of(Refusal::Jump),
    })
}

/// The engine must know what to guard before Redis is away, and somebody must watch at any time.
fn check_guard(guard: GuardStatus) -> Value {
    let error = match (guard.watching, guard.behind) {
        (Watcher::Nobody, _) => Some("nobody watches the stops"),
        (_, None) if guard.enabled => Some("the guard does not know the strategies yet"),
        (Watcher::Redis, Some(behind)) if guard.enabled && behind > BEHIND_MAX => {
            Some("the guard does not hear of changes")
        }
        _ => None,
    };
    json!({
        "status": status(error.is_none()),
        "error": error,
        "enabled": guard.enabled,
        "watching": guard.watching.as_str(),
        "strategies": guard.shadow.strategies,
        "armed": guard.shadow.armed,
        "exits": guard.exits,
        "alarms": guard.alarms,
        "outages": guard.outages,
        "behind_ms": guard.behind.map(|behind| behind.as_millis() as u64),
    })
}

/// As its calls have gone: it is not asked for the sake of this.
fn check_broker(broker: BrokerStatus, (unknown, longest): (usize, Duration), watched: &Watched) -> Value {
    let silent = watched.gate.silent_accounts();
    let mut body = broker_json(broker, &silent, unknown, longest);
    body["orders_working"] = watched.executor.working().into();
    body["trading"] = watched.trades().into();
    body
}

/// What is wrong with the broker, where something is.
pub(super) fn broker_error(broker: &BrokerStatus, silent: &BTreeSet<AccountOf>) -> Option<String> {
    let waits = || {
        let named: Vec<_> = silent.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        (!named.is_empty()).then(|| {
            format!("orders wait, exits as well, until their accounts tell those that they have: {}", named.join(", "))
        })
    };
    broker.error().map(str::to_owned).or_else(waits)
}

fn broker_json(broker: BrokerStatus, silent: &BTreeSet<AccountOf>, unknown: usize, longest: Duration) -> Value {
    let error = match broker_error(&broker, silent) {
        Some(error) => Some(error),
        None if longest > UNKNOWN_MAX => {
            Some(format!("whether it has an order is not known for {} s: look at the broker", longest.as_secs()))
        }
        None => None,
    };
    json!({
        "status": status(error.is_none()),
        "kind": broker.kind,
        "error": error,
        "notice": broker.notice(),
        "since": broker.trouble.map(|trouble| trouble.since_ms),
        "last_error": broker.last.as_ref().map(|last| &last.error),
        "last_error_at": broker.last.as_ref().map(|last| last.since_ms),
        "calls": broker.calls,
        "calls_failed": broker.failed,
        "calls_limited": broker.limited,
        "unknown_orders": unknown,
        "accounts_waited_for": silent.len(),
    })
}

/// Milliseconds with three decimals, rounded: a measurement, not money.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Complaint, Trouble};
    use crate::guard::shadow::ShadowStats;

    #[test]
    fn a_market_is_healthy_while_ticks_come_and_are_taken() {
        let stats = MarketStats { watching: true, last_sent_ms: Some(1_000), ..MarketStats::default() };
        let healthy = |stats, silence, now_ms| {
            check_market(stats, &(0, vec![]), Duration::from_secs(silence), now_ms)["status"] == "ok"
        };
        assert!(healthy(stats, 60, 61_000) && !healthy(stats, 60, 61_001) && healthy(stats, 0, i64::MAX));
        assert!(!healthy(MarketStats { watching: false, ..stats }, 60, 1_000));
        assert!(!healthy(MarketStats { ended: true, ..stats }, 0, 1_000));
        let none = MarketStats { last_sent_ms: None, ..stats };
        assert!(!healthy(none, 60, 1_000) && healthy(none, 0, 1_000));
        let silent = (1, vec!["IBM".to_owned()]);
        assert_eq!(check_market(stats, &silent, Duration::ZERO, 1_000)["status"], "unhealthy");
    }

    #[test]
    fn a_broker_is_healthy_while_it_answers_and_says_what_it_has() {
        let status = BrokerStatus {
            kind: "bridge".to_owned(),
            trouble: None,
            last: None,
            calls: 2,
            failed: 1,
            limited: 0,
            complaint: None,
        };
        let of = |status: &BrokerStatus, seconds| {
            broker_json(status.clone(), &BTreeSet::new(), 1, Duration::from_secs(seconds))
        };
        assert_eq!(of(&status, 0)["status"], "ok");
        let unknown = of(&status, 11);
        assert!(unknown["status"] == "unhealthy" && unknown["error"].to_string().contains("11 s"), "{unknown}");
        let trouble = Some(Trouble { error: "broker not reachable: refused".to_owned(), since_ms: 7 });
        let away = of(&BrokerStatus { trouble: trouble.clone(), last: trouble, ..status }, 0);
        assert_eq!(
            (&away["status"], &away["since"], &away["last_error_at"]),
            (&json!("unhealthy"), &json!(7), &json!(7))
        );
        assert_eq!((&away["unknown_orders"], &away["calls_failed"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn a_broker_is_healthy_until_it_lets_no_order_in() {
        let of = |complaint, silent: &[AccountOf]| {
            let (kind, trouble, last) = ("kite".to_owned(), None, None);
            let status = BrokerStatus { kind, trouble, last, calls: 0, failed: 0, limited: 0, complaint };
            broker_json(status, &silent.iter().cloned().collect(), 0, Duration::ZERO)
        };
        let told = |urgent| of(Some(Complaint { text: "log in".to_owned(), urgent }), &[]);
        assert_eq!((&told(false)["status"], &told(false)["notice"]), (&json!("ok"), &json!("log in")));
        assert_eq!((&told(true)["status"], &told(true)["error"]), (&json!("unhealthy"), &json!("log in")));
        let waits = of(None, &[AccountOf::User("bob".to_owned())]);
        assert!(waits["status"] == "unhealthy" && waits["error"].to_string().contains("the account of bob"), "{waits}");
    }

    #[test]
    fn a_guard_is_healthy_while_somebody_watches_and_it_knows_what_to_guard() {
        let well = GuardStatus {
            enabled: true,
            watching: Watcher::Redis,
            shadow: ShadowStats::default(),
            behind: Some(Duration::from_millis(200)),
            outages: 0,
            exits: 0,
            alarms: 0,
        };
        let healthy = |guard| check_guard(guard)["status"] == "ok";
        assert!(healthy(well) && healthy(GuardStatus { watching: Watcher::Engine, ..well }));
        assert!(!healthy(GuardStatus { watching: Watcher::Nobody, ..well }));
        assert!(!healthy(GuardStatus { behind: None, ..well }));
        let late = GuardStatus { behind: Some(Duration::from_secs(60)), ..well };
        assert!(!healthy(late) && healthy(GuardStatus { watching: Watcher::Engine, ..late }));
        assert!(healthy(GuardStatus { enabled: false, behind: None, ..well }));
    }
}
