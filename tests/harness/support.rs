//! What every test needs: waiting for a condition, and saying loudly what was left out.

use std::io::Write;
use std::time::{Duration, Instant};

/// Waits until `condition` gives a value; panics with `what` after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < limit, "after {limit:?} still not: {what}");
        // The pause between two looks, not a guess at how long something takes.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says something past the capture of the test harness: a skip or a measurement must be seen.
pub fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "\n*** {text} ***");
}

/// Whether something optional is missing: says so loudly, or fails where `STRAT_REQUIRE_SERVERS=1`
/// asks for everything.
pub fn skip(test: &str, missing: &str) {
    let required = std::env::var("STRAT_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
    assert!(!required, "{test} needs {missing} (STRAT_REQUIRE_SERVERS=1); run: make setup-test");
    loudly(&format!("SKIPPED {test}: {missing} is missing; run: make setup-test"));
}

/// Epoch milliseconds.
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
