//! Revoked and one-time tokens.

use super::{HOSTILE, bare, clock, ours, refused, server};
use futures_util::StreamExt as _;
use redis::AsyncCommands as _;
use strat_client::Clock as _;
use strat_client::sessions::{ResetTokens, RevokedTokens, Settings};

#[tokio::test]
async fn a_revoked_token_stays_so_for_as_long_as_it_would_have_lived() {
    let redis = server();
    let mut connection = bare(&redis, "resp3").await;
    let clock = clock();
    let revoked = RevokedTokens::with_clock(connection.clone(), &Settings::default(), clock.clone()).unwrap();
    let expires_at = clock.now_ms() + 600_000;
    assert!(!revoked.is_revoked("abc").await.unwrap());
    assert!(revoked.revoke("abc", expires_at).await.unwrap());
    assert!(revoked.is_revoked("abc").await.unwrap());
    assert_eq!(revoked.are_revoked(&["x", "abc", "ABC"]).await.unwrap(), [false, true, false]);
    assert!(revoked.are_revoked(&[]).await.unwrap().is_empty());
    refused(revoked.are_revoked(&vec!["x"; 1_001])).await;
    let key = "token_blacklist:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let ttl: i64 = connection.pttl(key).await.unwrap();
    assert!((655_000..=660_000).contains(&ttl), "what is left and the leeway: {ttl}");
    assert!(!revoked.revoke("old", clock.now_ms() - 60_000).await.unwrap());
    assert!(revoked.revoke("just over", clock.now_ms() - 59_000).await.unwrap());
    let mut tenant = Settings::default();
    tenant.prefix = "{t2}".to_owned();
    assert!(!RevokedTokens::new(connection, &tenant).unwrap().is_revoked("abc").await.unwrap());
}

#[tokio::test]
async fn a_one_time_token_is_good_once_for_its_user_and_purpose() {
    let redis = server();
    let mut connection = bare(&redis, "resp3").await;
    let tokens = ResetTokens::new(connection.clone(), &Settings::default()).unwrap();
    let older = tokens.create("alice", "password").await.unwrap();
    let token = tokens.create("alice", "password").await.unwrap();
    let others = [tokens.create("alice", "email").await.unwrap(), tokens.create("bob", "password").await.unwrap()];
    let keys: Vec<String> = connection.scan_match("reset:*").await.unwrap().map(|key| key.unwrap()).collect().await;
    assert_eq!(keys.len(), 6);
    for key in keys {
        let ttl: i64 = connection.pttl(&key).await.unwrap();
        assert!((890_000..=900_000).contains(&ttl) && !key.contains(&token), "{key} {ttl}");
    }
    assert_eq!(tokens.consume(&older, "password").await.unwrap(), None, "a newer one was made");
    assert_eq!(tokens.consume(&token, "password").await.unwrap().as_deref(), Some("alice"));
    assert_eq!(tokens.consume(&token, "password").await.unwrap(), None, "once");
    assert_eq!(tokens.consume(&others[0], "password").await.unwrap(), None, "made for another purpose");
    assert_eq!(tokens.consume(&others[0], "email").await.unwrap(), None, "and used up by that");
    assert_eq!(tokens.consume(&others[1], "password").await.unwrap().as_deref(), Some("bob"));
    for text in ["", "latest:password:alice", "*", &"x".repeat(10_000)] {
        assert_eq!(tokens.consume(text, "password").await.unwrap(), None);
    }
    for id in HOSTILE {
        refused(tokens.create(id, "password")).await;
        refused(tokens.create("alice", id)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_show_a_one_time_token_at_once_one_gets_it() {
    let redis = server();
    let tokens = ResetTokens::new(ours(&redis).await, &Settings::default()).unwrap();
    let token = tokens.create("alice", "password").await.unwrap();
    let mut tries = Vec::new();
    for _ in 0..20 {
        let tokens = ResetTokens::new(ours(&redis).await, &Settings::default()).unwrap();
        let token = token.clone();
        tries.push(tokio::spawn(async move { tokens.consume(&token, "password").await.unwrap().is_some() }));
    }
    let mut got = 0;
    for one in tries {
        got += u32::from(one.await.unwrap());
    }
    assert_eq!(got, 1);
}
