//! Preferences and subscriptions.

use super::{HOSTILE, bare, refused, server, small};
use redis::AsyncCommands as _;
use strat_client::sessions::{Preferences, Subscriptions};

#[tokio::test]
async fn preferences_are_kept_bounded_and_renewed_by_use() {
    let redis = server();
    for protocol in ["resp2", "resp3"] {
        let mut connection = bare(&redis, protocol).await;
        let preferences = Preferences::new(connection.clone(), &small()).unwrap();
        preferences.set(protocol, &[("theme", "dark"), ("zone", "Asia")]).await.unwrap();
        preferences.set(protocol, &[("theme", "light"), ("lot", "10")]).await.unwrap();
        refused(preferences.set(protocol, &[("theme", "dark"), ("one-more", "1")])).await;
        refused(preferences.set(protocol, &[("theme", "much too long")])).await;
        refused(preferences.set(protocol, &[("two words", "1")])).await;
        preferences.set(protocol, &[]).await.unwrap();
        assert_eq!(preferences.get(protocol, "theme").await.unwrap().as_deref(), Some("light"));
        let key = format!("preferences:{protocol}");
        for look in [true, false] {
            let _: bool = connection.pexpire(&key, 60_000).await.unwrap();
            if look {
                assert_eq!(preferences.get_all(protocol).await.unwrap().len(), 3);
            } else {
                assert_eq!(preferences.get(protocol, "none").await.unwrap(), None);
            }
            let ttl: i64 = connection.pttl(&key).await.unwrap();
            assert!(ttl > 89 * 86_400_000, "{ttl}");
        }
        assert!(preferences.get_all("bob").await.unwrap().is_empty());
        assert!(preferences.remove(protocol, "theme").await.unwrap());
        assert!(!preferences.remove(protocol, "theme").await.unwrap());
        assert!(preferences.remove_all(protocol).await.unwrap());
        assert!(preferences.get_all(protocol).await.unwrap().is_empty());
        for user in HOSTILE {
            refused(preferences.get_all(user)).await;
            refused(preferences.set(user, &[("a", "1")])).await;
            refused(preferences.remove_all(user)).await;
        }
    }
}

#[tokio::test]
async fn subscriptions_end_with_their_connection_or_its_heartbeat() {
    let redis = server();
    for protocol in ["resp2", "resp3"] {
        let mut connection = bare(&redis, protocol).await;
        let subscriptions = Subscriptions::new(connection.clone(), &small()).unwrap();
        subscriptions.subscribe(protocol, "c1", &["ticks:IBM", "orders"]).await.unwrap();
        subscriptions.subscribe(protocol, "c1", &["orders", "ticks:M&M"]).await.unwrap();
        subscriptions.subscribe(protocol, "c2", &["orders"]).await.unwrap();
        refused(subscriptions.subscribe(protocol, "c1", &["one-more"])).await;
        refused(subscriptions.subscribe(protocol, "c3", &["orders"])).await;
        refused(subscriptions.subscribe(protocol, "c1", &["two words"])).await;
        assert_eq!(subscriptions.of_user(protocol).await.unwrap().len(), 2);
        assert!(subscriptions.of_user("bob").await.unwrap().is_empty());

        let key = format!("subscriptions:{protocol}:c1");
        let _: bool = connection.pexpire(&key, 5_000).await.unwrap();
        assert!(subscriptions.heartbeat(protocol, "c1").await.unwrap());
        let ttl: i64 = connection.pttl(&key).await.unwrap();
        assert!(ttl > 50_000, "{ttl}");
        assert_eq!(subscriptions.unsubscribe(protocol, "c1", &["orders", "none"]).await.unwrap(), 1);
        assert_eq!(subscriptions.of_connection(protocol, "c1").await.unwrap().len(), 2);

        // A process died: the set of its connection runs out, and makes room for another.
        let _: u64 = connection.del(format!("subscriptions:{protocol}:c2")).await.unwrap();
        assert!(!subscriptions.heartbeat(protocol, "c2").await.unwrap());
        subscriptions.subscribe(protocol, "c3", &["orders"]).await.unwrap();
        let found = subscriptions.of_user(protocol).await.unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["c1", "c3"]);
        assert!(subscriptions.disconnect(protocol, "c1").await.unwrap());
        assert!(!subscriptions.disconnect(protocol, "c1").await.unwrap());
        assert!(!subscriptions.heartbeat(protocol, "c1").await.unwrap());
        assert_eq!(subscriptions.of_user(protocol).await.unwrap().len(), 1);
        for id in HOSTILE {
            refused(subscriptions.subscribe(id, "c1", &["orders"])).await;
            refused(subscriptions.subscribe("alice", id, &["orders"])).await;
            refused(subscriptions.disconnect(id, "c1")).await;
            refused(subscriptions.of_user(id)).await;
        }
    }
}
