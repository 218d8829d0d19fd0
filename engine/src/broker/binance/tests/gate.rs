//! Waits, bans and weight, at moments that the test names.

use crate::broker::binance::gate::{Gate, Purpose, Shut};
use crate::broker::wire::http::Answer;
use hyper::{HeaderMap, StatusCode};
use std::time::Duration;
use tokio::time::Instant;

fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: hyper::body::Bytes::new() }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_ban_is_kept_to_by_exits_too_and_not_cut_short() {
    let gate = Gate::default();
    let mut now = Instant::now();
    assert_eq!(gate.pass(Purpose::Vital, now), Ok(()));
    assert_eq!(gate.heed(&answer(429, &[("retry-after", "7")]), now), Some(s(7)));
    assert_eq!(gate.pass(Purpose::Vital, now), Err(Shut::Asked(s(7))));
    assert_eq!(gate.heed(&answer(418, &[("retry-after", "3600")]), now), Some(s(3_600)), "no wait is shortened");
    assert_eq!(gate.heed(&answer(429, &[("retry-after", "1")]), now), Some(s(1)));
    assert_eq!(gate.pass(Purpose::Vital, now), Err(Shut::Banned(s(3_600))), "a shorter wait does not end a longer one");
    now += s(3_599);
    assert_eq!(gate.pass(Purpose::Vital, now), Err(Shut::Banned(s(1))));
    now += s(1);
    assert_eq!(gate.pass(Purpose::Vital, now), Ok(()));
}

#[test]
fn where_no_wait_is_named_the_shortest_is_assumed() {
    for (status, headers, refusal, wait) in [
        (429, vec![], true, 10),
        (418, vec![], true, 120),
        (403, vec![], false, 10),
        (418, vec![("retry-after", "soon")], true, 120),
        (418, vec![("retry-after", "99999999999")], true, 3 * 86_400),
    ] {
        let gate = Gate::default();
        let now = Instant::now();
        assert_eq!(gate.heed(&answer(status, &headers), now).is_some(), refusal, "{status}");
        assert_eq!(gate.pass(Purpose::Vital, now).unwrap_err().wait(), s(wait), "{status} {headers:?}");
    }
    let gate = Gate::default();
    let now = Instant::now();
    assert_eq!((gate.heed(&answer(400, &[("retry-after", "9")]), now), gate.pass(Purpose::Vital, now)), (None, Ok(())));
}

#[test]
fn near_the_limit_entries_and_lists_wait_and_exits_do_not() {
    let gate = Gate::default();
    let mut now = Instant::now();
    gate.allow(1_000);
    gate.heed(&answer(200, &[("x-mbx-used-weight-1m", "799")]), now);
    assert_eq!(gate.pass(Purpose::Patient, now), Ok(()));
    gate.heed(&answer(200, &[("x-mbx-used-weight-1m", "800")]), now);
    assert_eq!(gate.pass(Purpose::Patient, now), Err(Shut::Heavy(s(60))));
    assert_eq!(gate.pass(Purpose::Vital, now), Ok(()));
    now += s(59);
    assert_eq!(gate.pass(Purpose::Patient, now), Err(Shut::Heavy(s(1))));
    now += s(1);
    assert_eq!(gate.pass(Purpose::Patient, now), Ok(()), "another minute");
    gate.heed(&answer(200, &[("x-mbx-used-weight-1m", "900")]), now);
    gate.heed(&answer(200, &[("x-mbx-used-weight-1m", "3")]), now);
    assert_eq!(gate.pass(Purpose::Patient, now), Ok(()), "the count began anew");
}
