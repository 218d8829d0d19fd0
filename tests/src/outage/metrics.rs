//! What `/metrics` says while the engine trades, and while something is away.

use super::world::World;
use crate::support::until;
use std::collections::BTreeMap;
use std::time::Duration;
use strat_engine::metrics::{ALL, Kind};

const LIMIT: Duration = Duration::from_secs(30);

/// Series and their values.
fn scrape(world: &World) -> (String, BTreeMap<String, f64>) {
    let (status, text) = until("/metrics answers", LIMIT, || world.engine.get("/metrics"));
    assert_eq!(status, 200, "{text}");
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().unwrap_or_else(|error| panic!("{line}: {error}"))))
    };
    let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect();
    (text, values)
}

#[test]
fn every_metric_is_exported_and_says_what_happened() {
    let mut world = World::start(&[]);
    let crossed = world.buy("m", 3, "95");
    world.guarded();
    world.feed.push("IBM", "94");
    world.ends(&crossed, &["EXITED_BY_SL"]);
    world.agrees();
    // An engine looks after Redis once it reads the journal.
    let (text, values) = until("the upkeep has looked at Redis' memory", LIMIT, || {
        Some(scrape(&world)).filter(|(_, values)| values.contains_key("redis_memory_used_bytes"))
    });
    for (name, kind, about) in ALL {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {name} {word}")), "{name} is not exported:\n{text}");
        assert!(text.contains(&format!("# HELP {name} {about}")), "{name} does not say what it is");
    }
    let value = |series: &str| *values.get(series).unwrap_or_else(|| panic!("no {series} in\n{text}"));
    let count = |series: &str| value(series).round() as i64;
    assert_eq!(count("strat_orders_submitted_total{action=\"STOPLOSS\",outcome=\"accepted\"}"), 3);
    assert_eq!(count("strat_orders_submitted_total{action=\"BUY\",outcome=\"accepted\"}"), 3);
    assert_eq!(count("strat_orders_submitted_total{action=\"BUY\",outcome=\"unknown\"}"), 0);
    assert_eq!(count("strat_tick_to_order_seconds_count"), 3);
    assert!(value("strat_tick_to_order_seconds_sum") < 90.0);
    assert_eq!(count("strat_triggers_fired_total"), 3);
    for (series, expected) in [
        ("redis_up", 1),
        ("postgres_up", 1),
        ("strat_reconciled", 1),
        ("strat_redis_takes_prices", 1),
        ("strat_armed_triggers", 0),
        ("strat_queue_entries{queue=\"exits\"}", 0),
    ] {
        assert_eq!(count(series), expected, "{series}");
    }
    assert!(value("redis_operation_seconds_count{command=\"STRAT.REPORT\",outcome=\"answered\"}") >= 6.0);
    world.redis.kill_9();
    until("it says that Redis is away", LIMIT, || (scrape(&world).1["redis_up"] < 0.5).then_some(()));
    world.redis.start_again();
    until("and that it is back", LIMIT, || {
        let (_, values) = scrape(&world);
        (values["redis_up"] > 0.5 && values["strat_reconciled"] > 0.5).then_some(())
    });
    world.end();
}
