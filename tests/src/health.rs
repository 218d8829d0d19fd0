//! The engine's HTTP answers.

use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::until;
use serde_json::Value as Json;
use std::time::Duration;

fn json(engine: &Engine, path: &str) -> Option<(u16, Json)> {
    let (status, body) = engine.get(path)?;
    Some((status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))))
}

#[test]
fn health_says_what_is_there_and_503_when_something_is_away() {
    let mut redis = Redis::with(Options::new().durable());
    let mut postgres = Postgres::start();
    let dir = temp_dir();
    let ledger = dir.path().join("ledger.jsonl").display().to_string();
    let settings = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url()), ("STRAT_PAPER_LEDGER", ledger)];
    let env: Env = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let mut engine = Engine::start(&["run"], env);
    redis.conn().run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 1 position BOUGHT stop_loss 1");
    let (_, body) = json(&engine, "/health/redis").unwrap();
    for field in
        ["status", "latency_ms", "connected_clients", "used_memory_human", "uptime_in_seconds", "redis_version"]
    {
        assert!(body.get(field).is_some_and(|value| !value.is_null()), "no {field} in {body}");
    }
    assert!(body.to_string().contains("0.1.0"), "the module's version: {body}");
    let count = |body: &Json, field: &str| body.get(field).and_then(Json::as_i64);
    until("the strategy is counted", Duration::from_secs(10), || {
        let (_, body) = json(&engine, "/health/redis")?;
        (count(&body, "strategies") == Some(1) && count(&body, "armed") == Some(1)).then_some(())
    });
    let limit = Duration::from_secs(30);
    let unhealthy =
        |engine: &Engine, path: &str| json(engine, path).is_some_and(|(status, _)| status == 503).then_some(());
    redis.kill_9();
    until("503 without Redis", limit, || unhealthy(&engine, "/health/redis"));
    until("503 without Redis", limit, || unhealthy(&engine, "/health"));
    redis.start_again();
    engine.wait_healthy();
    postgres.kill_9();
    until("503 without Postgres", limit, || unhealthy(&engine, "/health"));
    postgres.start_again();
    engine.wait_healthy();
    assert!(engine.get("/nothing").is_some_and(|(status, _)| status == 404));
    assert_eq!(engine.terminate(), Some(0), "{}", engine.log());
}
