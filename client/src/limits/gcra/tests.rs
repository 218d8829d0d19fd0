use super::*;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;

fn per_second(count: u32, burst: u32) -> Limit {
    Limit::new(count, Duration::from_secs(1), burst).unwrap()
}

#[test]
fn a_burst_passes_then_one_per_interval() {
    let limit = per_second(10, 3);
    let mut full_at = 0;
    let mut call = |now| {
        let (decision, after) = decide(&limit, Class::Normal, 1, full_at, now);
        full_at = after;
        (decision.allowed, decision.remaining, decision.retry_after.as_millis(), decision.reset_after.as_millis())
    };
    assert_eq!(call(SECOND), (true, 2, 0, 100));
    assert_eq!(call(SECOND), (true, 1, 0, 200));
    assert_eq!(call(SECOND), (true, 0, 0, 300));
    assert_eq!(call(SECOND), (false, 0, 100, 300));
    assert_eq!(call(SECOND + 99_999), (false, 0, 1, 201));
    assert_eq!(call(SECOND + 100_000), (true, 0, 0, 300));
    assert_eq!(call(9 * SECOND), (true, 2, 0, 100));
}

#[test]
fn entries_stop_while_exits_still_pass() {
    let limit = per_second(1, 5).reserved(2).unwrap();
    let mut full_at = 0;
    let mut call = |class| {
        let (decision, after) = decide(&limit, class, 1, full_at, SECOND);
        full_at = after;
        (decision.allowed, decision.remaining)
    };
    assert_eq!([call(Class::Normal), call(Class::Normal), call(Class::Normal)], [(true, 2), (true, 1), (true, 0)]);
    assert_eq!(call(Class::Normal), (false, 0));
    assert_eq!([call(Class::Priority), call(Class::Priority)], [(true, 1), (true, 0)]);
    assert_eq!(call(Class::Priority), (false, 0));
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_waiting_longer_than_an_empty_limit() {
    let limit = per_second(1, 2);
    for full_at in [i64::MAX, 1_000 * SECOND] {
        let (decision, _) = decide(&limit, Class::Normal, 1, full_at, SECOND);
        assert_eq!((decision.allowed, decision.retry_after), (false, Duration::from_secs(1)), "{full_at}");
    }
    assert!(decide(&limit, Class::Normal, 2, i64::MIN, SECOND).0.allowed);
}

#[test]
fn limits_that_cannot_be_are_refused() {
    let day = Duration::from_secs(86_400);
    for (count, period, burst) in
        [(0, day, 1), (1, day, 0), (1, Duration::ZERO, 1), (10_001, day / 86_400, 1), (1, day, 367), (1, day * 367, 1)]
    {
        let error = Limit::new(count, period, burst).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
    assert!(per_second(1, 2).reserved(2).is_err());
    assert!(Limit::strict(2, day, 3).is_err());
    assert!(Limit::new(10_000, Duration::from_secs(1), 1).is_ok());
}

/// Pause in µs, priority, cost.
type Calls = Vec<(i64, bool, u32)>;

/// A limit, its count and period in µs, and calls.
fn histories() -> impl Strategy<Value = (Limit, (u32, u64), Calls)> {
    let limit = (1u32..50, 10_000u64..5_000_000, 1u32..20, 0u32..20);
    (limit, proptest::collection::vec((0i64..400_000, any::<bool>(), 1u32..4), 1..120)).prop_map(
        |((count, period, burst, reserved), calls)| {
            let limit = Limit::new(count, Duration::from_micros(period), burst).unwrap();
            (limit.reserved(reserved % burst).unwrap(), (count, period), calls)
        },
    )
}

/// What passed: when, whether with priority, at what cost.
fn passed(limit: &Limit, calls: &[(i64, bool, u32)]) -> Calls {
    let (mut now, mut full_at, mut passed) = (1_700_000_000 * SECOND, 0, Vec::new());
    for (pause, priority, cost) in calls {
        now += pause;
        let class = if *priority { Class::Priority } else { Class::Normal };
        let (decision, after) = decide(limit, class, *cost, full_at, now);
        if decision.allowed {
            passed.push((now, *priority, *cost));
        } else {
            assert_eq!(after, full_at, "a refused call leaves no trace");
        }
        full_at = after;
    }
    passed
}

/// The most that passed in spans between any two passed calls, less what `allowed` says for the span's length.
fn worst(passed: &[(i64, bool, u32)], allowed: impl Fn(i64) -> i128) -> i128 {
    let spans = (0..passed.len()).flat_map(|from| (from..passed.len()).map(move |to| (from, to)));
    let excess = spans.map(|(from, to)| {
        let cost: i128 = passed[from..=to].iter().map(|(_, _, cost)| i128::from(*cost)).sum();
        cost - allowed(passed[to].0 - passed[from].0)
    });
    excess.max().unwrap_or(0)
}

proptest! {
    #[test]
    fn never_more_than_the_burst_and_the_rate_in_any_span((limit, (count, period), calls) in histories()) {
        let passed = passed(&limit, &calls);
        let at_most = |burst: u32, span: i64| i128::from(burst) + i128::from(span) * i128::from(count) / i128::from(period);
        prop_assert!(worst(&passed, |span| at_most(limit.burst, span)) <= 0);
        // Entries alone keep to what is left beside the reserve.
        let normal: Vec<_> = passed.into_iter().filter(|(_, priority, _)| !priority).collect();
        prop_assert!(worst(&normal, |span| at_most(limit.usable(Class::Normal), span)) <= 0);
    }

    #[test]
    fn a_strict_limit_keeps_to_somebody_elses_windows(
        count in 1u32..30, burst in 1u32..30, calls in proptest::collection::vec(0i64..300_000, 1..150),
    ) {
        let limit = Limit::strict(count, Duration::from_secs(1), burst.min(count)).unwrap();
        let calls: Vec<_> = calls.into_iter().map(|pause| (pause, true, 1)).collect();
        let passed = passed(&limit, &calls);
        for (from, _, _) in &passed {
            let within = passed.iter().filter(|(at, _, _)| (*from..from + SECOND).contains(at)).count();
            prop_assert!(within <= count as usize, "{within} of {count}");
        }
    }

    #[test]
    fn entries_never_eat_the_reserve((limit, _, calls) in histories()) {
        let (mut now, mut full_at) = (SECOND, 0);
        for (pause, _, cost) in calls {
            now += pause;
            full_at = decide(&limit, Class::Normal, cost, full_at, now).1;
            let (exit, _) = decide(&limit, Class::Priority, limit.reserved.max(1), full_at, now);
            prop_assert!(limit.reserved == 0 || exit.allowed);
        }
    }

    #[test]
    fn what_is_told_comes_true((limit, _, calls) in histories()) {
        let (mut now, mut full_at) = (SECOND, 0);
        for (pause, priority, cost) in calls {
            now += pause;
            let class = if priority { Class::Priority } else { Class::Normal };
            let (decision, after) = decide(&limit, class, cost, full_at, now);
            full_at = after;
            let us = |wait: Duration| i64::try_from(wait.as_micros()).unwrap();
            let at = |wait: Duration, cost| decide(&limit, class, cost, full_at, now + us(wait)).0;
            if cost <= limit.usable(class) {
                // Not a whole ms sooner than told, but then.
                prop_assert!(decision.allowed || at(decision.retry_after, cost).allowed);
                let early = decision.retry_after.saturating_sub(Duration::from_millis(1));
                prop_assert!(decision.allowed || !at(early, cost).allowed);
            }
            prop_assert!(decision.remaining == 0 || at(Duration::ZERO, decision.remaining).allowed);
            prop_assert!(!at(Duration::ZERO, decision.remaining + 1).allowed);
            prop_assert!(at(decision.reset_after, limit.usable(class)).allowed);
        }
    }
}
