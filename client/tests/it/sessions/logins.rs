//! What ends and what does not, and whose is whose.

use super::{HOSTILE, HOUR, bare, clock, ours, refused, server, small};
use redis::AsyncCommands as _;
use std::time::Duration;
use strat_client::sessions::{Session, SessionToken, Sessions, Settings};

fn ids(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

#[tokio::test]
async fn a_session_is_found_by_its_token_alone_and_redis_never_sees_the_token() {
    let redis = server();
    for protocol in ["resp2", "resp3"] {
        let mut connection = bare(&redis, protocol).await;
        let sessions = Sessions::new(connection.clone(), &Settings::default()).unwrap();
        let token = sessions.create(protocol, &[("ip", "192.0.2.7"), ("agent", "caf\u{e9}")]).await.unwrap();
        let session = sessions.get(token.as_str()).await.unwrap().unwrap();
        assert_eq!((session.user_id.as_str(), session.data["ip"].as_str()), (protocol, "192.0.2.7"));
        assert_eq!((session.data.len(), session.id.as_str()), (2, token.id().as_str()));
        assert_eq!(session.ends_at_ms - session.created_at_ms, 30 * 86_400_000);
        assert_eq!(sessions.touch(token.as_str()).await.unwrap().unwrap().data, session.data);
        assert_eq!(ids(&sessions.list(protocol).await.unwrap()), [token.id()]);

        let key = format!("session:user:{protocol}:{}", token.id());
        let ttl: i64 = connection.pttl(&key).await.unwrap();
        assert!((86_000_000..=86_400_000).contains(&ttl), "{ttl}");
        let ttl: i64 = connection.pttl(format!("session:index:{protocol}")).await.unwrap();
        assert!(ttl > 29 * 86_400_000, "{ttl}");
        let dump: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        let secret = token.as_str().rsplit_once('.').unwrap().1;
        assert!(!key.contains(secret) && !dump.windows(secret.len()).any(|part| part == secret.as_bytes()));
        // What a reader of Redis finds does not log him in.
        assert_eq!(sessions.get(&format!("{protocol}.{}", &token.id()[..43])).await.unwrap(), None);
        assert_eq!(sessions.get(&token.id()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn touching_prolongs_a_session_up_to_its_greatest_age() {
    let redis = server();
    let mut connection = bare(&redis, "resp3").await;
    let clock = clock();
    let mut settings = Settings::default();
    (settings.idle_ttl, settings.age_max) = (HOUR, 3 * HOUR);
    let sessions = Sessions::with_clock(connection.clone(), &settings, clock.clone()).unwrap();
    let token = sessions.create("alice", &[]).await.unwrap();
    let key = format!("session:user:alice:{}", token.id());
    let _: bool = connection.pexpire(&key, 600_000).await.unwrap();
    clock.advance(HOUR / 2);
    let touched = sessions.touch(token.as_str()).await.unwrap().unwrap();
    assert_eq!(touched.seen_at_ms - touched.created_at_ms, 1_800_000);
    let ttl: i64 = connection.pttl(&key).await.unwrap();
    assert!((3_590_000..=3_600_000).contains(&ttl), "{ttl}");
    clock.advance(2 * HOUR);
    assert!(sessions.touch(token.as_str()).await.unwrap().is_some());
    let ttl: i64 = connection.pttl(&key).await.unwrap();
    assert!((1_790_000..=1_800_000).contains(&ttl), "the greatest age is nearer than an hour: {ttl}");
    clock.advance(HOUR / 2);
    assert_eq!(sessions.get(token.as_str()).await.unwrap(), None);
    assert_eq!(sessions.touch(token.as_str()).await.unwrap(), None);
    assert!(sessions.list("alice").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_makes_way_and_the_index_forgets_what_ended() {
    let redis = server();
    let mut connection = bare(&redis, "resp3").await;
    let clock = clock();
    let sessions = Sessions::with_clock(connection.clone(), &small(), clock.clone()).unwrap();
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(sessions.create("alice", &[]).await.unwrap());
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(sessions.get(tokens[0].as_str()).await.unwrap(), None, "the oldest made way");
    let live: Vec<_> = tokens[1..].iter().map(SessionToken::id).collect();
    assert_eq!(ids(&sessions.list("alice").await.unwrap()), live);

    // One runs out by itself: it does not count any more, so that the next one pushes nobody out.
    let _: u64 = connection.del(format!("session:user:alice:{}", live[1])).await.unwrap();
    let newest = sessions.create("alice", &[]).await.unwrap();
    let expected = [live[0].clone(), live[2].clone(), newest.id()];
    assert_eq!(ids(&sessions.list("alice").await.unwrap()), expected);
    let _: u64 = connection.del(format!("session:user:alice:{}", live[2])).await.unwrap();
    assert_eq!(sessions.list("alice").await.unwrap().len(), 2);
    let count: u64 = connection.zcard("session:index:alice").await.unwrap();
    assert_eq!(count, 2, "a list mends the index");
    // What the index does not name is no session, whatever happened to it.
    let _: u64 = connection.del("session:index:alice").await.unwrap();
    assert_eq!(sessions.get(newest.as_str()).await.unwrap(), None);
    assert_eq!(sessions.touch(newest.as_str()).await.unwrap(), None);
}

#[tokio::test]
async fn sessions_end_one_by_one_all_at_once_or_sooner() {
    let redis = server();
    let clock = clock();
    let sessions = Sessions::with_clock(ours(&redis).await, &Settings::default(), clock.clone()).unwrap();
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(sessions.create("alice", &[]).await.unwrap());
    }
    assert!(sessions.delete(tokens[0].as_str()).await.unwrap());
    assert!(!sessions.delete(tokens[0].as_str()).await.unwrap());
    assert_eq!(sessions.touch(tokens[0].as_str()).await.unwrap(), None, "it does not come back to life");
    assert!(sessions.delete_listed("alice", &tokens[1].id()).await.unwrap());
    assert!(sessions.expire(tokens[2].as_str(), HOUR).await.unwrap());
    assert!(sessions.expire(tokens[2].as_str(), 2 * HOUR).await.unwrap());
    assert!(sessions.touch(tokens[2].as_str()).await.unwrap().is_some());
    clock.advance(HOUR);
    assert_eq!(sessions.get(tokens[2].as_str()).await.unwrap(), None, "a touch does not prolong it beyond that");
    assert!(!sessions.expire(tokens[0].as_str(), HOUR).await.unwrap());
    assert_eq!(sessions.delete_all("alice").await.unwrap(), 2);
    assert_eq!(sessions.get(tokens[3].as_str()).await.unwrap(), None);
    assert_eq!(sessions.delete_all("alice").await.unwrap(), 0);
}

#[tokio::test]
async fn no_user_and_no_tenant_sees_anothers_sessions() {
    let redis = server();
    let sessions = Sessions::new(ours(&redis).await, &Settings::default()).unwrap();
    let mut tenant = Settings::default();
    tenant.prefix = "{t2}".to_owned();
    let elsewhere = Sessions::new(ours(&redis).await, &tenant).unwrap();
    let (alice, bob) = (sessions.create("alice", &[]).await.unwrap(), sessions.create("bob", &[]).await.unwrap());
    assert!(sessions.get_for("alice", alice.as_str()).await.unwrap().is_some());
    assert_eq!(sessions.get_for("alice", bob.as_str()).await.unwrap(), None);
    assert_eq!(elsewhere.get(alice.as_str()).await.unwrap(), None);
    assert!(!sessions.delete_listed("alice", &bob.id()).await.unwrap());
    assert_eq!(sessions.delete_all("alice").await.unwrap(), 1);
    assert_eq!(ids(&sessions.list("bob").await.unwrap()), [bob.id()]);
    // One user's secret behind another's name.
    let secret = bob.as_str().rsplit_once('.').unwrap().1;
    for user in HOSTILE.into_iter().chain(["alice", "bob.", "BOB"]) {
        let forged = format!("{user}.{secret}");
        assert_eq!(sessions.get(&forged).await.unwrap(), None, "{forged:?}");
        assert_eq!(sessions.touch(&forged).await.unwrap(), None, "{forged:?}");
        assert!(!sessions.delete(&forged).await.unwrap() && !sessions.expire(&forged, HOUR).await.unwrap());
    }
    for user in HOSTILE {
        refused(sessions.create(user, &[])).await;
        refused(sessions.list(user)).await;
        refused(sessions.delete_all(user)).await;
        refused(sessions.delete_listed(user, &bob.id())).await;
    }
    for id in ["*", "", "../bob", &bob.id()[1..], &bob.id().to_uppercase()] {
        refused(sessions.delete_listed("bob", id)).await;
    }
    assert!(sessions.get(bob.as_str()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_session_keeps_is_bounded() {
    let redis = server();
    let sessions = Sessions::new(ours(&redis).await, &small()).unwrap();
    refused(sessions.create("alice", &[("ends_at", "99999999999999")])).await;
    refused(sessions.create("alice", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])).await;
    refused(sessions.create("alice", &[("a", "12345678901")])).await;
    refused(sessions.create("alice", &[("", "1")])).await;
    assert!(sessions.list("alice").await.unwrap().is_empty());
}
