//! `strat_client::limits`: the script and the rule agree, nobody gets more than allowed, and what happens without Redis.

use crate::link::{self, server};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;
use strat_client::limits::{
    Check, Class, Decision, Limit, LocalLimiter, RateLimiter, SCRIPT, Settings, WhenDown, decide,
};
use strat_client::{Connection, Error, ManualClock};
use strat_harness::servers::Redis;

const DAY: Duration = Duration::from_secs(86_400);

async fn bare(redis: &Redis, protocol: &str) -> MultiplexedConnection {
    link::bare(redis, &format!("?protocol={protocol}")).await
}

async fn ours(redis: &Redis) -> Connection {
    link::patient(redis, Duration::from_millis(20)).await
}

/// A loaded machine may take its time.
fn going_on() -> Settings {
    let mut settings = Settings::default();
    settings.timeout = Duration::from_secs(30);
    settings
}

fn refusing() -> Settings {
    let mut settings = going_on();
    settings.when_down = WhenDown::Refuse;
    settings
}

#[tokio::test]
async fn a_burst_passes_and_the_next_call_is_told_when() {
    let redis = server();
    for protocol in ["resp2", "resp3"] {
        let mut connection = bare(&redis, protocol).await;
        let limiter = RateLimiter::new(connection.clone(), &refusing()).unwrap();
        let limit = Limit::new(1, DAY, 2).unwrap();
        let check = Check::new("login", protocol, limit);
        let first = limiter.check(&check).await.unwrap();
        assert_eq!((first.allowed, first.remaining, first.reset_after, first.local), (true, 1, DAY, false));
        assert!(limiter.check(&check).await.unwrap().allowed);
        let third = limiter.check(&check).await.unwrap();
        assert!(!third.allowed && third.remaining == 0);
        assert!(third.retry_after <= DAY && third.retry_after > DAY - Duration::from_secs(60), "{third:?}");
        let ttl: i64 = connection.pttl(format!("ratelimit:login:{protocol}")).await.unwrap();
        assert!((1..=2 * 86_400_000).contains(&ttl) && ttl > 2 * 86_400_000 - 60_000, "{ttl}");
    }
}

#[tokio::test]
async fn users_actions_and_prefixes_do_not_share() {
    let redis = server();
    let connection = ours(&redis).await;
    let mut other = refusing();
    other.prefix = "{t2}".to_owned();
    let limiter = RateLimiter::new(connection.clone(), &refusing()).unwrap();
    let elsewhere = RateLimiter::new(connection, &other).unwrap();
    let limit = Limit::new(1, DAY, 1).unwrap();
    for (action, user) in [("login", "alice"), ("login", "bob"), ("order", "alice")] {
        assert!(limiter.check(&Check::new(action, user, limit)).await.unwrap().allowed);
        assert!(!limiter.check(&Check::new(action, user, limit)).await.unwrap().allowed);
        assert!(elsewhere.check(&Check::new(action, user, limit)).await.unwrap().allowed);
    }
    for hostile in ["bob:x", "a*", "a}", "", "a b", "a\r\n"] {
        let error = limiter.check(&Check::new("login", hostile, limit)).await.unwrap_err();
        assert!(error.to_string().contains("BADFIELD"), "{error}");
    }
    other.prefix = "a b".to_owned();
    assert!(matches!(RateLimiter::new(ours(&redis).await, &other), Err(Error::Config(_))));
}

#[tokio::test]
async fn many_checks_in_one_call_count_each_or_all_or_none() {
    let redis = server();
    let limiter = RateLimiter::new(ours(&redis).await, &refusing()).unwrap();
    let (five, two) = (Limit::new(1, DAY, 5).unwrap(), Limit::new(1, DAY, 2).unwrap());
    let both = [Check::new("five", "alice", five), Check::new("two", "alice", two)];
    for left in [1, 0] {
        let all = limiter.check_all(&both).await.unwrap();
        assert_eq!((all.allowed, all.remaining), (true, left));
    }
    assert!(!limiter.check_all(&both).await.unwrap().allowed);
    let each = limiter.check_many(&[both[0], both[1], both[0]]).await.unwrap();
    let found: Vec<_> = each.iter().map(|decision| (decision.allowed, decision.remaining)).collect();
    assert_eq!(found, [(true, 2), (false, 0), (true, 1)]);
    assert!(limiter.check_many(&[]).await.unwrap().is_empty());
    assert!(limiter.check_all(&[]).await.is_err());
}

#[tokio::test]
async fn entries_stop_while_exits_still_pass() {
    let redis = server();
    let limiter = RateLimiter::new(ours(&redis).await, &refusing()).unwrap();
    let limit = Limit::new(1, DAY, 5).unwrap().reserved(2).unwrap();
    let entry = Check::new("broker", "desk", limit);
    let mut passed = Vec::new();
    for check in [entry, entry, entry, entry, entry.priority(), entry, entry.priority(), entry.priority()] {
        passed.push(limiter.check(&check).await.unwrap().allowed);
    }
    assert_eq!(passed, [true, true, true, false, true, false, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_never_get_more_than_allowed() {
    let redis = server();
    let limit = Limit::new(1, DAY, 50).unwrap().reserved(10).unwrap();
    let mut limiters = Vec::new();
    for _ in 0..4 {
        limiters.push(RateLimiter::new(ours(&redis).await, &refusing()).unwrap());
    }
    let tasks = (0..200).map(|n| {
        let limiter = limiters[n % 4].clone();
        tokio::spawn(async move {
            let check = Check::new("order", "alice", limit);
            limiter.check(&check).await.unwrap().allowed
        })
    });
    let allowed = join_all(tasks).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count();
    assert_eq!(allowed, 40);
    let exits = (0..200).map(|n| {
        let limiter = limiters[n % 4].clone();
        tokio::spawn(async move {
            let check = Check::new("order", "alice", limit).priority();
            limiter.check(&check).await.unwrap().allowed
        })
    });
    let allowed = join_all(exits).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count();
    assert_eq!(allowed, 10);
}

/// Calls of one history: pause in seconds, which of two keys, priority, cost.
type Calls = Vec<(i64, usize, bool, u32)>;

/// An interval in µs, at least a minute, so that no key runs out by the server's own clock during the test; burst, reserve,
/// and calls.
fn histories() -> impl Strategy<Value = (u64, u32, u32, Calls)> {
    let calls = proptest::collection::vec((-100i64..5_000, 0usize..2, any::<bool>(), 1u32..4), 1..60);
    (60_000_000u64..5_000_000_000, 1u32..12, 0u32..12, calls)
}

#[tokio::test]
async fn the_script_and_the_rule_agree() {
    let redis = server();
    let mut connection = bare(&redis, "resp3").await;
    let script = redis::Script::new(SCRIPT);
    let mut runner = TestRunner::deterministic();
    for history in 0..40 {
        let (interval, burst, reserved, calls) = histories().new_tree(&mut runner).unwrap().current();
        let limit = Limit::new(1, Duration::from_micros(interval), burst).unwrap().reserved(reserved % burst).unwrap();
        let us = |calls: u32| i64::from(calls) * i64::try_from(interval).unwrap();
        let (mut now, mut full_at) = (1_700_000_000_000_000_i64, [0; 2]);
        for (pause, number, priority, cost) in calls {
            now += pause * 1_000_003;
            let class = if priority { Class::Priority } else { Class::Normal };
            let key = format!("ratelimit:{history}:{number}");
            let mut call = script.key(&key);
            call.arg(now).arg("each").arg(us(burst)).arg(us(limit.usable(class))).arg(us(cost));
            let (fits, debt): (bool, i64) = call.invoke_async(&mut connection).await.unwrap();
            let before = (full_at[number] - now).clamp(0, us(burst));
            let (decision, after) = decide(&limit, class, cost, full_at[number], now);
            assert_eq!((fits, debt), (decision.allowed, before), "{limit:?} {cost} at {now}");
            full_at[number] = after;
            let kept: Option<i64> = connection.get(&key).await.unwrap();
            assert_eq!(kept.unwrap_or(0), after, "{limit:?} {cost} at {now}");
        }
    }
}

/// Of several checks in a call: the intervals are days, so that nothing comes back between the one and the other.
#[tokio::test]
async fn the_limiter_of_the_process_agrees_with_that_of_redis() {
    let redis = server();
    let shared = RateLimiter::new(ours(&redis).await, &refusing()).unwrap();
    let local = LocalLimiter::new(Arc::new(ManualClock::at(1_700_000_000_000)), 1_000);
    let limits = [3, 5, 9].map(|burst| Limit::new(1, DAY, burst).unwrap().reserved(burst / 2).unwrap());
    let mut runner = TestRunner::deterministic();
    let calls = (any::<bool>(), proptest::collection::vec((0usize..3, any::<bool>(), 1u32..3), 1..5));
    for n in 0..400 {
        let (all, calls) = calls.new_tree(&mut runner).unwrap().current();
        let user = format!("user-{}", n / 10);
        let check = |(limit, priority, cost): &(usize, bool, u32)| {
            let check = Check::new(["three", "five", "nine"][*limit], &user, limits[*limit]).cost(*cost);
            if *priority { check.priority() } else { check }
        };
        let checks: Vec<_> = calls.iter().map(check).collect();
        let (found, expected) = if all {
            (shared.check_all(&checks).await.map(|one| vec![one]), local.check_all(&checks).map(|one| vec![one]))
        } else {
            (shared.check_many(&checks).await, local.check_many(&checks))
        };
        let told = |decisions: Vec<Decision>| -> Vec<_> {
            decisions.into_iter().map(|decision| (decision.allowed, decision.remaining)).collect()
        };
        assert_eq!(
            found.map(told).map_err(|e| e.to_string()),
            expected.map(told).map_err(|e| e.to_string()),
            "{calls:?}"
        );
    }
}

/// Without Redis: the answer is an error, or this process decides.
#[tokio::test]
async fn without_redis_it_refuses_or_decides_locally() {
    let mut redis = server();
    let connection = ours(&redis).await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let strict = RateLimiter::new(connection.clone(), &refusing()).unwrap();
    let local = RateLimiter::with_clock(connection, &going_on(), clock.clone()).unwrap();
    let limit = Limit::new(1, Duration::from_secs(60), 3).unwrap().reserved(1).unwrap();
    let entry = Check::new("broker", "desk", limit);
    assert!(!local.check(&entry).await.unwrap().local);
    redis.kill_9();

    let error = strict.check(&entry).await.unwrap_err();
    assert!(error.outcome_unknown() || matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(matches!(strict.check(&entry).await.unwrap_err(), Error::Unavailable { .. }));
    let mut passed = Vec::new();
    for check in [entry, entry, entry, entry.priority(), entry.priority()] {
        let decision = local.check(&check).await.unwrap();
        assert!(decision.local);
        passed.push(decision.allowed);
    }
    assert_eq!(passed, [true, true, false, true, false]);
    clock.advance(Duration::from_secs(60));
    assert!(local.check(&entry.priority()).await.unwrap().allowed);
    assert!(!local.check_all(&[entry, Check::new("broker.day", "desk", limit)]).await.unwrap().allowed);

    redis.start_again();
    let decided = async {
        while local.check(&Check::new("login", "alice", limit)).await.unwrap().local {
            clock.advance(Duration::from_secs(60));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), decided).await.unwrap();
}

#[tokio::test]
async fn what_redis_refuses_for_good_is_not_covered_up() {
    let redis = server();
    redis.conn().run("SET ratelimit:login:alice notanumber");
    redis.conn().run("LPUSH ratelimit:login:bob x");
    let limiter = RateLimiter::new(ours(&redis).await, &going_on()).unwrap();
    let limit = Limit::new(1, DAY, 1).unwrap();
    assert!(
        limiter.check(&Check::new("login", "alice", limit)).await.unwrap().allowed,
        "what is no time counts as none"
    );
    let error = limiter.check(&Check::new("login", "bob", limit)).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}
