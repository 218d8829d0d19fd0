//! A server whose memory runs short.

use super::{NOW, bare};
use futures_util::StreamExt as _;
use strat_client::upkeep::{Level, MemoryKind, MemoryThresholds, Upkeep, UpkeepSettings};
use strat_harness::servers::{Options, Redis};

#[tokio::test]
async fn memory_that_runs_short_is_an_event_once_and_published() {
    let redis = Redis::with(Options::plain().config("maxmemory-policy allkeys-lru"));
    let client = redis::Client::open(redis.url()).unwrap();
    let mut events = client.get_async_pubsub().await.unwrap();
    events.subscribe("events:admin").await.unwrap();
    let memory = MemoryThresholds { used_warn: 50, used_critical: 101, ..MemoryThresholds::default() };
    let settings = UpkeepSettings { memory, ..UpkeepSettings::default() };
    let mut upkeep = Upkeep::new(bare(&redis, "resp3").await, settings).unwrap();
    let mut kinds = async || {
        let events = upkeep.run_once(NOW).await.unwrap().events;
        events.into_iter().map(|event| (event.kind, event.to)).collect::<Vec<_>>()
    };
    redis.conn().run("CONFIG SET maxmemory 100mb");
    assert_eq!(kinds().await, []);
    let mut conn = redis.conn();
    conn.run("CONFIG SET maxmemory 6mb");
    for i in 0..80 {
        conn.run(&format!("SET other:{i} {}", "x".repeat(100_000)));
    }
    // Room enough that nothing more is deleted, and still more than half full.
    conn.run("CONFIG SET maxmemory 9mb");
    assert_eq!(kinds().await, [(MemoryKind::Used, Level::Warn), (MemoryKind::Evictions, Level::Warn)]);
    assert_eq!(kinds().await, [(MemoryKind::Evictions, Level::Normal)], "a level is told once");
    conn.run("CONFIG SET maxmemory 100mb");
    assert_eq!(kinds().await, [(MemoryKind::Used, Level::Normal)]);

    let mut published = Vec::new();
    for message in events.on_message().take(4).collect::<Vec<_>>().await {
        let event: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
        published.push(format!("{} {}", event["type"].as_str().unwrap(), event["data"]["to"].as_str().unwrap()));
    }
    let expected = ["MEMORY_USED WARN", "MEMORY_EVICTIONS WARN", "MEMORY_EVICTIONS NORMAL", "MEMORY_USED NORMAL"];
    assert_eq!(published, expected);
}
