//! Open positions between their levels, and calm mode.

use std::time::Duration;
use strat_client::core::strategy::Mood;
use strat_client::core::{Side, StrategyKey};
use strat_client::positions::{Calm, CalmSettings, CalmState, open_positions};
use strat_client::{Config, Connection, Error};
use strat_harness::resp::Conn;
use strat_harness::servers::Redis;
use strat_harness::support::until;

async fn connect(redis: &Redis) -> Connection {
    Connection::open(&Config::from_url(&redis.url()).unwrap()).await.unwrap()
}

const fn key(user: &'static str, strategy: &'static str) -> StrategyKey<'static> {
    StrategyKey { prefix: "", user, strategy }
}

/// Three positions of alice, one of which has no price, a strategy without a position, and one of bob's.
fn prepare(redis: &Redis) {
    let mut conn = redis.conn();
    for (name, fields) in [
        ("alice:strategy:fixed", "symbol IBM position BOUGHT stop_loss 95 take_profit 110"),
        ("alice:strategy:trail", "symbol IBM position BOUGHT trail 4"),
        ("alice:strategy:short", "symbol AIG position SHORTED side SHORT stop_loss 105"),
        ("alice:strategy:idle", "symbol IBM"),
        ("bob:strategy:other", "symbol IBM position BOUGHT"),
    ] {
        let held = if fields.contains("position") { "filled_quantity 10 entry_price 100" } else { "" };
        conn.run(&format!("HSET user:{name} quantity 10 {fields} {held}"));
    }
    for price in ["103", "108", "106"] {
        conn.run(&format!("STRAT.SLCHECK IBM {price}"));
    }
}

#[tokio::test]
async fn a_user_sees_how_far_each_position_is_from_its_levels() {
    let redis = Redis::start();
    prepare(&redis);
    let mut connection = connect(&redis).await;
    let mut positions = open_positions(&mut connection, "alice", None).await.unwrap();
    positions.sort_by_key(|position| position.strategy.key().to_owned());
    let [fixed, short, trail] = &positions[..] else { panic!("{positions:?}") };
    let standing = fixed.standing.unwrap();
    assert_eq!((fixed.last.as_deref(), standing.gain.unwrap().to_string().as_str()), (Some("106"), "60"));
    assert_eq!(
        (standing.stop.unwrap().left, standing.target.unwrap().left),
        ("11".parse().unwrap(), "4".parse().unwrap())
    );
    let stop = trail.standing.unwrap().stop.unwrap();
    assert_eq!((stop.level, stop.left), ("104".parse().unwrap(), "2".parse().unwrap()), "behind the best price");
    assert_eq!((short.side, short.last.as_deref(), short.standing), (Side::Short, None, None), "no price is invented");
    assert_eq!(open_positions(&mut connection, "nobody", None).await.unwrap(), []);
    assert_eq!(open_positions(&mut connection, "alice", Some("t")).await.unwrap(), []);
}

#[tokio::test]
async fn calm_mode_stores_a_word_and_no_amount() {
    let mut redis = Redis::start();
    prepare(&redis);
    let mut connection = connect(&redis).await;
    let settings = CalmSettings { flag_ttl: Duration::from_millis(50), ..CalmSettings::default() };
    let calm = Calm::new(settings);
    let (fixed, other) = (key("alice", "fixed"), key("bob", "other"));
    assert!(!calm.is_calm(&mut connection, &fixed).await.unwrap());
    calm.flag(&mut connection, &fixed, true).await.unwrap();
    assert!(!calm.is_calm(&mut connection, &other).await.unwrap(), "only this position");
    let mut conn = redis.conn();
    until("the flag ends by itself", Duration::from_secs(5), || {
        (conn.run("EXISTS calm:alice:fixed").int() == 0).then_some(())
    });
    calm.choose(&mut connection, "alice", true).await.unwrap();
    assert!(
        calm.is_calm(&mut connection, &fixed).await.unwrap() && !calm.is_calm(&mut connection, &other).await.unwrap()
    );
    calm.choose(&mut connection, "alice", false).await.unwrap();
    assert!(!calm.is_calm(&mut connection, &fixed).await.unwrap());
    choices_are_flagged_for_those_who_read_flags(&mut connection, &mut conn).await;
    let positions = open_positions(&mut connection, "alice", None).await.unwrap();
    assert_eq!(calm.store(&mut connection, &positions).await.unwrap(), 2, "one has no price");
    let keys = [fixed, key("alice", "short"), other];
    assert_eq!(calm.moods(&mut connection, &keys).await.unwrap(), [Some(Mood::HighGain), None, None]);
    assert_eq!(conn.run("GET calm:mood:alice:fixed").text(), "HIGH_GAIN");
    assert!((1_790..=1_800).contains(&conn.run("TTL calm:mood:alice:fixed").int()));
    for hostile in ["a:b", "a*", "", "a b"] {
        assert!(matches!(calm.choose(&mut connection, hostile, true).await, Err(Error::Config(_))), "{hostile}");
    }
    redis.kill_9();
    let away = calm.is_calm(&mut connection, &fixed).await;
    assert!(away.is_err_and(|error| error.is_retryable() || error.outcome_unknown()));
    assert!(open_positions(&mut connection, "alice", None).await.is_err());
}

/// A flag that a choice left behind makes nothing calm.
async fn choices_are_flagged_for_those_who_read_flags(connection: &mut Connection, conn: &mut Conn) {
    let calm = Calm::default();
    let keys = [key("alice", "fixed"), key("alice", "short"), key("bob", "other")];
    calm.choose(connection, "alice", true).await.unwrap();
    calm.flag(connection, &keys[1], true).await.unwrap();
    let states = calm.states(connection, &keys).await.unwrap();
    assert_eq!(states, [CalmState::Chosen, CalmState::Flagged, CalmState::Plain]);
    calm.renew(connection, &keys[..1]).await.unwrap();
    assert!((3_590..=3_600).contains(&conn.run("TTL calm:alice:fixed").int()));
    calm.choose(connection, "alice", false).await.unwrap();
    let states = calm.states(connection, &keys).await.unwrap();
    assert_eq!(states, [CalmState::Ended, CalmState::Flagged, CalmState::Plain]);
    assert!(!calm.is_calm(connection, &keys[0]).await.unwrap() && calm.is_calm(connection, &keys[1]).await.unwrap());
    calm.end(connection, &keys).await.unwrap();
    assert_eq!(calm.states(connection, &keys).await.unwrap(), [CalmState::Plain; 3]);
    assert_eq!(calm.states(connection, &[]).await.unwrap(), []);
}
