//! What a tick fires, and what it costs where it fires nothing.

use super::{KEY, Stage};
use crate::servers::{Options, Redis};
use crate::support::until;
use std::time::Duration;

#[test]
fn a_level_crossed_when_armed_fires_on_the_next_tick() {
    let mut stage = Stage::new();
    stage.conn.run("STRAT.SLCHECK IBM 90");
    stage.hold("LONG", "stop_loss 99.50");
    stage.expect(&[("pending", "")]);
    assert_eq!(stage.conn.run("STRAT.SLCHECK AIG 1").int(), 0, "another symbol");
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 90").int(), 1);
    stage.expect(&[("pending", "STOPLOSS")]);
}

#[test]
fn a_moved_stop_fires_where_it_is_now() {
    let mut stage = Stage::new();
    stage.hold("LONG", "stop_loss 99.50");
    stage.conn.run(&format!("STRAT.UPDATE {KEY} stop_loss 95.00"));
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 96").int(), 0);
    // The same by a plain write, which no command of ours sees.
    stage.conn.run(&format!("HSET {KEY} stop_loss 97.00"));
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 97.01").int(), 0);
    assert_eq!(stage.conn.run("STRAT.SLCHECK IBM 96").int(), 1);
}

#[test]
fn a_tick_stores_the_price_for_a_while() {
    let mut stage = Stage::with(Options::new().config("strat.price-ttl-ms 5000"));
    stage.conn.run("STRAT.SLCHECK IBM 181.2500 M&M 7 TS 1");
    assert_eq!(stage.conn.run("GET price:IBM").text(), "181.2500");
    assert_eq!(stage.conn.run("GET price:M&M").text(), "7");
    let ttl = stage.conn.run("PTTL price:IBM").int();
    assert!((1..=5000).contains(&ttl), "{ttl}");
    stage.conn.run("STRAT.SLCHECK {t}IBM 5");
    assert_eq!(stage.conn.run("GET {t}price:IBM").text(), "5");
    assert_eq!(stage.conn.run("GET price:IBM").text(), "181.2500");
}

#[test]
fn a_price_lives_on_while_ticks_come() {
    let mut stage = Stage::with(Options::new().config("strat.price-ttl-ms 1600"));
    stage.hold("LONG", "stop_loss 99.50");
    let mut renewed = 0;
    let mut last = 0;
    until("the time to live is renewed again and again", Duration::from_secs(10), || {
        stage.conn.run("STRAT.SLCHECK IBM 100");
        let ttl = stage.conn.run("PTTL price:IBM").int();
        assert!((1_400..=1_600).contains(&ttl), "{ttl}");
        renewed += usize::from(ttl > last);
        last = ttl;
        (renewed > 5).then_some(())
    });
    // What somebody else did to the key does not last either.
    stage.conn.run("DEL price:IBM");
    stage.conn.run("STRAT.SLCHECK IBM 100");
    assert!(stage.conn.run("PTTL price:IBM").int() > 1_400);
}

#[test]
fn ticks_that_fire_nothing_cost_no_byte_of_the_append_only_file() {
    let mut stage = Stage::with(Options::new().durable().config("strat.price-ttl-ms 200"));
    stage.hold("LONG", "stop_loss 99.50");
    let size = |redis: &Redis| redis.info("persistence", "aof_current_size").parse::<u64>().unwrap();
    let before = size(&stage.redis);
    for tick in 0..200 {
        assert_eq!(stage.conn.run(&format!("STRAT.SLCHECK IBM 100.{tick:03} AIG 48")).int(), 0);
    }
    assert_eq!(size(&stage.redis), before);
    until("the prices expire", Duration::from_secs(5), || {
        (stage.conn.run("EXISTS price:IBM price:AIG").int() == 0).then_some(())
    });
    // Redis itself writes the end of any key with a time to live: once per symbol that went quiet.
    let quiet = size(&stage.redis);
    assert!(quiet - before <= 2 * 64, "{} bytes for two prices that ended", quiet - before);
    stage.conn.run("STRAT.SLCHECK IBM 99");
    assert!(size(&stage.redis) > quiet, "a trigger is written");
}
