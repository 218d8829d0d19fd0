use super::*;
use crate::clock::ManualClock;
use crate::limits::Limit;
use std::time::Duration;

fn limiter(keys_max: usize) -> (Arc<ManualClock>, LocalLimiter) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    (clock.clone(), LocalLimiter::new(clock, keys_max))
}

fn per_second(count: u32, burst: u32) -> Limit {
    Limit::new(count, Duration::from_secs(1), burst).unwrap()
}

#[test]
fn time_gives_back_what_was_used_and_each_user_has_his_own() {
    let (clock, limiter) = limiter(10);
    let check = |user| limiter.check(&Check::new("login", user, per_second(1, 1))).unwrap();
    assert!(check("alice").allowed && check("bob").allowed);
    let refused = check("alice");
    assert_eq!((refused.allowed, refused.retry_after, refused.local), (false, Duration::from_secs(1), true));
    clock.advance(Duration::from_secs(1));
    assert!(check("alice").allowed);
}

#[test]
fn a_look_says_what_a_check_would_and_counts_nothing() {
    let (_, limiter) = limiter(10);
    let check = Check::new("login", "alice", per_second(1, 1));
    for _ in 0..3 {
        let looked = limiter.look(&check).unwrap();
        assert_eq!((looked.allowed, looked.remaining), (true, 1));
    }
    assert!(limiter.check(&check).unwrap().allowed && !limiter.look(&check).unwrap().allowed);
}

#[test]
fn a_call_under_several_limits_counts_under_all_or_none() {
    let (_, limiter) = limiter(10);
    let (second, day) = (per_second(5, 5), Limit::new(2, Duration::from_secs(86_400), 2).unwrap());
    let both = [Check::new("order.second", "alice", second), Check::new("order.day", "alice", day)];
    let tightest = limiter.check_all(&both).unwrap();
    assert_eq!((tightest.allowed, tightest.remaining), (true, 1));
    assert!(limiter.check_all(&both).unwrap().allowed);
    let refused = limiter.check_all(&both).unwrap();
    assert_eq!((refused.allowed, refused.retry_after), (false, Duration::from_secs(43_200)));
    assert_eq!(limiter.check(&both[0]).unwrap().remaining, 2, "the limit that had room was not used by it");
    assert!(limiter.check_all(&[]).is_err());
}

#[test]
fn beyond_its_bound_it_forgets_the_limit_that_is_nearest_to_full() {
    let (clock, limiter) = limiter(100);
    let hour = Limit::new(1, Duration::from_secs(3_600), 1).unwrap();
    let allowed = |user: &str, limit| limiter.check(&Check::new("login", user, limit)).unwrap().allowed;
    assert!(allowed("guesser", hour));
    for n in 0..10_000 {
        assert!(allowed(&format!("other-{n}"), per_second(1, 1)));
        clock.advance(Duration::from_millis(1));
    }
    let book = limiter.book.lock().unwrap();
    assert_eq!((book.full_at.len(), book.sorted.len()), (100, 100));
    drop(book);
    assert!(!allowed("guesser", hour), "others do not push out who has used most");
}

#[test]
fn names_and_costs_that_cannot_be_are_refused() {
    let (_, limiter) = limiter(10);
    let limit = per_second(1, 3).reserved(1).unwrap();
    for user in ["", "a:b", "a}", "a b", "a*", "a\n"] {
        assert!(limiter.check(&Check::new("login", user, limit)).is_err(), "{user:?}");
        assert!(limiter.check(&Check::new(user, "alice", limit)).is_err(), "{user:?}");
    }
    for cost in [0, 3] {
        assert!(limiter.check(&Check::new("login", "alice", limit).cost(cost)).is_err(), "{cost}");
    }
    assert!(limiter.check(&Check::new("login", "alice", limit).cost(3).priority()).unwrap().allowed);
    let many = vec![Check::new("login", "alice", limit); super::super::CHECKS_MAX + 1];
    assert!(limiter.check_many(&many).is_err());
}
