//! Price alerts through the module.

use std::time::Duration;
use strat_client::core::{AlertKey, AlertStatus, Code, Condition};
use strat_client::{AlertCommands as _, AlertQuery, AlertSpec, Config, Connection, Error, StratCommands as _};
use strat_harness::servers::Redis;

fn key(user: &str, alert: &str) -> String {
    AlertKey { prefix: "", user, alert }.hash()
}

#[tokio::test]
async fn alerts_are_armed_listed_fired_and_ended() {
    let mut redis = Redis::start();
    let mut connection = Connection::open(&Config::from_url(&redis.url()).unwrap()).await.unwrap();
    let above = AlertSpec::new("IBM", Condition::Above, "105.50").expires_in(Duration::from_secs(60));
    for alert in ["1", "2", "3"] {
        connection.strat_alert(&key("alice", alert), &above).await.unwrap();
    }
    connection.strat_alert(&key("bob", "1"), &AlertSpec::new("IBM", Condition::Below, "90")).await.unwrap();
    assert_eq!(connection.strat_slcheck_at("IBM", "106", 5_000).await.unwrap(), 3);
    let first = connection.strat_alerts(&AlertQuery::of("alice").count(2)).await.unwrap();
    let rest = connection.strat_alerts(&AlertQuery::of("alice").cursor(first.cursor.unwrap())).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.cursor), (2, 1, None));
    for alert in first.items.iter().chain(&rest.items) {
        assert_eq!(alert.alert().unwrap().status, AlertStatus::Triggered);
        assert_eq!((alert.triggered(), alert.text("price")), (Some((5_000, "106")), "105.50"));
    }
    assert!(connection.end_alert(&key("alice", "1")).await.unwrap());
    assert!(!connection.end_alert(&key("alice", "1")).await.unwrap());
    let waiting = connection.strat_alerts(&AlertQuery::of("bob")).await.unwrap();
    assert_eq!((waiting.items.len(), waiting.items[0].triggered()), (1, None));
    let refused = connection.strat_alert(&key("bob", "x"), &AlertSpec::new("IBM", Condition::Above, "1e5")).await;
    assert!(matches!(&refused, Err(Error::Refused { code: Code::BadPrice, .. })), "{refused:?}");
    redis.kill_9();
    let away = connection.strat_alert(&key("bob", "y"), &above).await;
    assert!(matches!(away, Err(Error::Unavailable { .. } | Error::Lost { .. })), "{away:?}");
}
