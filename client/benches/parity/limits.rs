//! Calls of `strat_client::limits`.

use crate::Case;
use redis::Script;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use strat_client::limits::{Check, Limit, RateLimiter, SCRIPT, Settings};

static LOADED: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

/// The same limit in µs: each call costs 100 of 1,000.
fn limit() -> Limit {
    Limit::new(10_000, Duration::from_secs(1), 10).unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "limits check",
            ours: Box::new(|connection| {
                let limiter = Arc::new(RateLimiter::new(connection, &Settings::default()).unwrap());
                Box::new(move |turn| {
                    let limiter = limiter.clone();
                    Box::pin(async move {
                        let user = format!("user-{}", turn % 100);
                        limiter.check(&Check::new("order", &user, limit())).await.unwrap();
                    })
                })
            }),
            bare: Box::new(|connection| {
                Box::new(move |turn| {
                    let mut connection = connection.clone();
                    Box::pin(async move {
                        let mut call = LOADED.key(format!("ratelimit:order:user-{}", turn % 100));
                        call.arg("").arg("each").arg(1_000).arg(1_000).arg(100);
                        let _: Vec<i64> = call.invoke_async(&mut connection).await.unwrap();
                    })
                })
            }),
        },
        Case {
            name: "limits check_many of 8",
            ours: Box::new(|connection| {
                let limiter = Arc::new(RateLimiter::new(connection, &Settings::default()).unwrap());
                Box::new(move |turn| {
                    let limiter = limiter.clone();
                    Box::pin(async move {
                        let users: Vec<_> = (turn..turn + 8).map(|user| format!("user-{}", user % 100)).collect();
                        let checks: Vec<_> = users.iter().map(|user| Check::new("order", user, limit())).collect();
                        limiter.check_many(&checks).await.unwrap();
                    })
                })
            }),
            bare: Box::new(|connection| {
                Box::new(move |turn| {
                    let mut connection = connection.clone();
                    Box::pin(async move {
                        let mut call = LOADED.prepare_invoke();
                        call.arg("").arg("each");
                        for user in turn..turn + 8 {
                            call.key(format!("ratelimit:order:user-{}", user % 100)).arg(1_000).arg(1_000).arg(100);
                        }
                        let _: Vec<i64> = call.invoke_async(&mut connection).await.unwrap();
                    })
                })
            }),
        },
    ]
}
