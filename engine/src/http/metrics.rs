//! `GET /metrics`: what was counted, and what is taken at the moment of asking.

use super::health::{ask_backlog, ask_postgres, ask_queues, ask_redis, broker_error};
use super::{Api, Watched};
use crate::market::Refusal;
use crate::metrics::{install, module_counted};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics::{counter, gauge};
use std::sync::Arc;
use strat_client::resilience::BreakerState;

/// Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn show(State((watched, api)): State<(Arc<Watched>, Arc<Api>)>) -> impl IntoResponse {
    let handle = install();
    take_counted(&watched);
    take_breaker(&api);
    tokio::join!(take_redis(&watched), take_postgres(&watched), take_queues(&watched), take_backlog(&watched));
    ([(CONTENT_TYPE, TEXT)], handle.render())
}

const fn number(flag: bool) -> f64 {
    if flag { 1.0 } else { 0.0 }
}

/// Seconds since then; 0 where there is nothing. Redis' clock and this one may differ a little.
fn age(now_ms: i64, then_ms: Option<i64>) -> f64 {
    then_ms.map_or(0.0, |then| now_ms.saturating_sub(then).max(0) as f64 / 1_000.0)
}

/// The breaker before the API's connection.
fn take_breaker(api: &Api) {
    let breaker = api.redis.breaker().status();
    gauge!("strat_breaker_open").set(number(breaker.state == BreakerState::Open));
    counter!("strat_breaker_opened_total").absolute(breaker.opened_total);
}

/// What the parts of the engine have counted themselves.
fn take_counted(watched: &Watched) {
    let market = watched.market.stats();
    counter!("strat_ticks_total").absolute(market.ticks);
    for why in Refusal::ALL {
        counter!("strat_ticks_refused_total", "reason" => why.as_str()).absolute(market.refused.of(why));
    }
    counter!("strat_triggers_fired_total").absolute(market.fired);
    gauge!("strat_redis_takes_prices").set(number(market.watching));
    gauge!("strat_feed_silent_symbols").set(watched.market.silent().0 as f64);
    if let Some(sent) = market.last_sent_ms {
        gauge!("strat_tick_age_seconds").set(watched.clock.now_ms().saturating_sub(sent).max(0) as f64 / 1_000.0);
    }
    let guard = watched.market.guard().status();
    gauge!("strat_guard_strategies").set(guard.shadow.strategies as f64);
    counter!("strat_guard_exits_total").absolute(guard.exits);
    counter!("strat_guard_alarms_total").absolute(guard.alarms);
    counter!("strat_redis_outages_total").absolute(guard.outages);
    let sync = watched.sync.status();
    counter!("strat_journal_applied_total").absolute(sync.applied);
    counter!("strat_journal_rejected_total").absolute(sync.rejected);
    watched.rows.stats().named().into_iter().for_each(|(name, count)| counter!(name).absolute(count));
    gauge!("strat_broker_up")
        .set(number(broker_error(&watched.broker.status(), &watched.gate.silent_accounts()).is_none()));
    gauge!("strat_orders_unknown").set(watched.executor.unknown().0 as f64);
    gauge!("strat_reconciled").set(number(watched.gate.peek().is_some()));
    gauge!("strat_engine_uptime_seconds").set(watched.started.elapsed().as_secs_f64());
}

async fn take_redis(watched: &Watched) {
    let health = ask_redis(watched).await;
    gauge!("redis_up").set(number(health.is_ok()));
    if let Ok(health) = health {
        gauge!("strat_strategies").set(health.strategies as f64);
        gauge!("strat_armed_triggers").set(health.armed as f64);
        gauge!("strat_unparseable_hashes").set(health.unparseable as f64);
        gauge!("strat_draining_symbols").set(health.draining as f64);
        module_counted(&health);
    }
}

async fn take_postgres(watched: &Watched) {
    gauge!("postgres_up").set(number(ask_postgres(watched).await.is_ok()));
}

async fn take_queues(watched: &Watched) {
    let Ok(depths) = ask_queues(watched).await else { return };
    let now_ms = watched.clock.now_ms();
    for (queue, entries, oldest) in
        [("exits", depths.exits, depths.oldest_exit_ms), ("orders", depths.orders, depths.oldest_order_ms)]
    {
        gauge!("strat_queue_entries", "queue" => queue).set(entries as f64);
        gauge!("strat_queue_oldest_seconds", "queue" => queue).set(age(now_ms, oldest));
    }
}

async fn take_backlog(watched: &Watched) {
    if let Ok(backlog) = ask_backlog(watched).await {
        gauge!("strat_journal_lag_seconds").set(age(watched.clock.now_ms(), backlog.oldest_ms));
        gauge!("strat_journal_pending_entries").set(backlog.pending as f64);
        if let Some(unread) = backlog.unread {
            gauge!("strat_journal_unread_entries").set(unread as f64);
        }
    }
}
