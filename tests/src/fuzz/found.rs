//! What fuzzing found, each by itself.

use crate::resp::Value;
use crate::servers::Redis;
use crate::support::{now_ms, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_set_that_expires_under_our_own_write_is_made_whole() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    for number in 0..5 {
        conn.run(&format!("STRAT.SET user:u:strategy:{number} symbol IBM quantity 1"));
    }
    // It goes when somebody looks, and the next to look is the module's own SADD.
    conn.run("DEBUG SET-ACTIVE-EXPIRE 0");
    conn.run("PEXPIRE symbol:IBM:strategies 1");
    let set_at = now_ms();
    until("the set's time is over", LIMIT, || (now_ms() > set_at + 2).then_some(()));
    conn.run("STRAT.SET user:u:strategy:9 symbol IBM quantity 1");
    until("every member is back", LIMIT, || (conn.run("STRAT.DEBUG VERIFY") == Value::Array(vec![])).then_some(()));
    assert_eq!(conn.run("SCARD symbol:IBM:strategies").int(), 6);
}
