//! What `/health` says of the broker: as its calls have gone.

use super::*;

fn health(engine: &Engine) -> Option<(u16, Json)> {
    let (status, body) = engine.get("/health")?;
    Some((status, serde_json::from_str(&body).ok()?))
}

/// Waits until the broker's part is as wanted, and answers it.
fn until_broker(engine: &Engine, what: &str, is: impl Fn(u16, &Json) -> bool) -> Json {
    until(what, LIMIT, || {
        let (status, health) = health(engine)?;
        is(status, &health["broker"]).then(|| health["broker"].clone())
    })
}

#[test]
fn a_broker_that_is_away_is_said_to_be_since_when_and_why() {
    let mut broker = SimBroker::start(&["--class", "A", "--fill-ms", "5..10"]);
    let (redis, postgres) = (Redis::with(Options::new()), Postgres::start());
    let env = env(&broker, &redis, &postgres, "dedupes");
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let engine = Engine::start(&["run"], env);
    let well = until_broker(&engine, "the broker is well", |status, part| status == 200 && part["trading"] == true);
    assert_eq!((&well["status"], &well["kind"], &well["error"]), (&json!("ok"), &json!("bridge"), &Json::Null));
    assert!(well["calls"].as_u64() >= Some(2), "its books were asked for: {well}");

    let before = now_ms();
    broker.kill_9();
    let away =
        until_broker(&engine, "the broker is away", |status, part| status == 503 && part["status"] == "unhealthy");
    assert!(!away["error"].as_str().unwrap().is_empty() && away["error"] == away["last_error"], "{away}");
    assert!((before..=now_ms()).contains(&away["since"].as_i64().unwrap()), "{away}");
    assert!(health(&engine).is_some_and(|(_, all)| all["redis"]["status"] == "ok" && all["status"] == "unhealthy"));
    assert!(engine.get("/metrics").is_some_and(|(_, text)| text.contains("strat_broker_up 0")));

    broker.start_again();
    let back = until_broker(&engine, "the broker is back", |status, part| status == 200 && part["status"] == "ok");
    assert_eq!((&back["since"], back["last_error"].is_string()), (&Json::Null, true), "{back}");
    assert!(engine.get("/metrics").is_some_and(|(_, text)| text.contains("strat_broker_up 1")));
}

#[test]
fn orders_of_which_nobody_knows_are_counted_until_somebody_does() {
    let broker = SimBroker::start(&["--class", "B", "--fill-ms", "5..10"]);
    let (redis, postgres) = (Redis::with(Options::new()), Postgres::start());
    let env = env(&broker, &redis, &postgres, "queryable");
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let engine = Engine::start(&["run"], env);
    assert!(broker.set_lies("timeout_lost=100"));
    let (mut conn, key) = (redis.conn(), "user:al:strategy:s1");
    conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 stop_loss 95 buy_at {}", now_ms()));
    let unknown = until_broker(&engine, "an order is unknown", |_, part| part["unknown_orders"] == 1);
    assert!(unknown["calls_failed"].as_u64() >= Some(1), "{unknown}");
    assert!(broker.set_lies(""));
    wait_field(&mut conn, key, "filled_quantity", "10", &engine);
    until_broker(&engine, "nothing is unknown", |status, part| status == 200 && part["unknown_orders"] == 0);
}

#[test]
fn calls_that_the_broker_finds_too_many_are_counted_and_no_trouble() {
    let broker = SimBroker::start(&["--class", "A", "--fill-ms", "5..10"]);
    let (redis, postgres) = (Redis::with(Options::new()), Postgres::start());
    let env = env(&broker, &redis, &postgres, "dedupes");
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let engine = Engine::start(&["run"], env);
    assert!(broker.set_lies("rate_limit=100"));
    let (mut conn, key) = (redis.conn(), "user:al:strategy:s1");
    conn.run(&format!("STRAT.SET {key} symbol IBM quantity 10 stop_loss 95 buy_at {}", now_ms()));
    until_broker(&engine, "calls were limited", |status, part| {
        status == 200 && part["calls_limited"].as_u64() >= Some(1)
    });
    assert!(broker.set_lies(""));
    wait_field(&mut conn, key, "filled_quantity", "10", &engine);
}
