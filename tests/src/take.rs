//! Entries handed out with their strategies claimed, in one step.

use crate::resp::{Conn, Value};
use crate::servers::engine::{self, Env};
use crate::servers::process::temp_dir;
use crate::servers::{Engine, Options, Postgres, Redis};
use crate::support::until;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;
use strat_client::{Config, Connection, Queue, QueueReader, StratCommands as _};

const LIMIT: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(60);

/// Two positions whose stops are crossed by 90, and the group that executes.
fn fired(conn: &mut Conn) {
    for id in ["s1", "s2"] {
        conn.run(&format!("STRAT.SET user:alice:strategy:{id} symbol IBM quantity 10 position BOUGHT stop_loss 99"));
    }
    conn.run("XGROUP CREATE queue:exits engine 0 MKSTREAM");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 90").int(), 2);
}

/// Id, key, token and strategy of an entry.
fn parts(entry: &Value) -> (String, String, Value, Value) {
    let items = entry.items();
    (items[0].text(), items[1].fields()["key"].clone(), items[2].clone(), items[3].clone())
}

#[test]
fn entries_come_with_the_lock_and_the_strategy_in_both_protocols() {
    let redis = Redis::start();
    fired(&mut redis.conn());
    for mut conn in [redis.conn(), redis.conn3()] {
        let taken = conn.run("STRAT.TAKE queue:exits me 60000 COUNT 1");
        let (id, key, token, strategy) = parts(&taken.items()[0]);
        assert_eq!(taken.items().len(), 1);
        assert_eq!(strategy.fields(), conn.run(&format!("STRAT.GET {key}")).fields());
        let held = conn.run(&format!("GET {}", key.replace("user:", "lock:order:").replace("strategy:", ""))).text();
        assert_eq!(held, format!("STOPLOSS me {}", token.text()));
        conn.run(&format!("STRAT.REPORT {key} {} FILL CUMQTY 10 AVGPX 89 ACK queue:exits {id}", token.text()));
    }
    let mut conn = redis.conn();
    assert_eq!(conn.run("STRAT.TAKE queue:exits me 60000"), Value::Array(vec![]), "both are handed out");
    assert_eq!((conn.run("XLEN queue:exits").int(), conn.run("STRAT.DEBUG VERIFY")), (0, Value::Array(vec![])));
}

#[test]
fn what_cannot_be_claimed_comes_without_a_token_and_says_why_to_lock() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    fired(&mut conn);
    let held = conn.run("STRAT.LOCK user:alice:strategy:s1 STOPLOSS other 60000").text();
    conn.run("DEL user:alice:strategy:s2");
    let foreign = "STRAT.SET {t}user:alice:strategy:s1 symbol IBM quantity 10 position BOUGHT pending STOPLOSS";
    conn.run(foreign);
    conn.run("XADD queue:exits * key {t}user:alice:strategy:s1 action STOPLOSS cycle 1 version 1");
    conn.run("XADD queue:exits * no order");
    let taken = conn.run("STRAT.TAKE queue:exits me 60000 COUNT 10");
    assert_eq!(taken.items().len(), 4, "each is handed out, once");
    for entry in taken.items() {
        assert_eq!(entry.items()[2..], [Value::Nil, Value::Nil], "{entry:?}");
    }
    assert_eq!(conn.run("KEYS *lock:order:*").texts(), ["lock:order:alice:s1"], "nothing else is claimed");
    assert_eq!(conn.run("STRAT.LOCK user:alice:strategy:s1 STOPLOSS me 60000"), Value::Nil);
    assert_eq!(conn.code("STRAT.LOCK user:alice:strategy:s2 STOPLOSS me 60000"), "NOSTRAT");
    assert_eq!(conn.run(&format!("STRAT.UNLOCK user:alice:strategy:s1 {held}")).int(), 1, "the holder's is as it was");
    assert_eq!(conn.run("XPENDING queue:exits engine").items()[0], Value::Int(4));
}

#[test]
fn what_was_handed_out_and_claimed_outlives_a_crash_and_reaches_replicas() {
    let mut redis = Redis::with(Options::new().tcp().durable());
    let replica = Redis::with(Options::new().tcp());
    replica.conn().run(&format!("REPLICAOF 127.0.0.1 {}", redis.port()));
    let mut conn = redis.conn();
    until("the replica follows", LIMIT, || conn.run("INFO replication").text().contains("state=online").then_some(()));
    fired(&mut conn);
    let (id, key, token, _) = parts(&conn.run("STRAT.TAKE queue:exits me 3600000").items()[0]);
    let state = |conn: &mut Conn| {
        let pending =
            conn.run("XPENDING queue:exits engine - + 10").items().first().map(|row| row.items()[..2].to_vec());
        let delivered = conn.run("XINFO GROUPS queue:exits").items()[0].pairs();
        let delivered = delivered.into_iter().find(|(name, _)| name.text() == "last-delivered-id").unwrap().1.text();
        (pending, delivered, conn.run("GET lock:order:alice:s1"), conn.run("STRAT.GET user:alice:strategy:s1").fields())
    };
    let before = state(&mut conn);
    assert_eq!(before.1, id);
    let mut follower = replica.conn();
    until("the replica has it", LIMIT, || (follower.run("GET lock:order:alice:s1") != Value::Nil).then_some(()));
    assert_eq!(state(&mut follower), before);
    redis.kill_9();
    redis.start_again();
    let mut conn = redis.conn();
    assert_eq!(state(&mut conn), before);
    let report = format!("STRAT.REPORT {key} {} FILL CUMQTY 10 AVGPX 89 ACK queue:exits {id}", token.text());
    assert!(conn.run(&report).int() > 0, "the token holds");
}

/// What the reader is handed of its queue, as it waits for it.
async fn next(reader: &mut QueueReader, epoch: Option<&str>) -> strat_client::Result<Vec<strat_client::Taken>> {
    reader.take(Queue::Exits, 10, Duration::from_millis(200), TTL, epoch).await
}

#[tokio::test]
async fn readers_wait_share_and_find_their_group_again() {
    let redis = Redis::start();
    let mut conn = redis.conn();
    let connection = Connection::open(&Config::from_url(&redis.url()).unwrap()).await.unwrap();
    let reader = |name: &str| QueueReader::new(&connection, "", name, Duration::from_secs(5)).unwrap();
    let (mut one, mut two) = (reader("one"), reader("two"));
    assert!(next(&mut one, None).await.unwrap().is_empty(), "there is nothing, and no group either");
    assert!(next(&mut two, None).await.unwrap().is_empty());
    conn.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 10 position BOUGHT stop_loss 99");
    conn.run("STRAT.SET user:alice:strategy:s2 symbol AIG quantity 10 position BOUGHT stop_loss 99");
    // Whoever waits is handed what comes; the other goes on waiting, and gets the next.
    let patient = Duration::from_secs(5);
    for (symbol, id) in [("IBM", "s1"), ("AIG", "s2")] {
        let fire = async { connection.clone().strat_slcheck(symbol, "90").await.unwrap() };
        let wait = one.take(Queue::Exits, 10, patient, TTL, None);
        let (taken, fired) = tokio::join!(wait, fire);
        assert_eq!(fired, 1, "{symbol}");
        let taken = taken.unwrap();
        let entry = taken[0].delivery.as_ref().unwrap();
        assert_eq!((taken.len(), entry.key.as_str()), (1, format!("user:alice:strategy:{id}").as_str()));
        assert!(taken[0].claim.as_ref().is_some_and(|claim| claim.strategy.is_some()));
        assert!(next(&mut two, None).await.unwrap().is_empty(), "woken or not, it was handed to the other");
    }
    conn.run("FLUSHALL");
    assert_eq!(next(&mut one, Some("0-0")).await.unwrap_err().code(), Some(strat_client::core::Code::Unsynced));
    for _ in 0..2 {
        assert!(next(&mut one, None).await.unwrap().is_empty(), "the group is made again");
    }
    fired_again(&mut conn);
    assert_eq!(next(&mut two, None).await.unwrap().len(), 1);
}

fn fired_again(conn: &mut Conn) {
    conn.run("STRAT.SET user:alice:strategy:s3 symbol IBM quantity 10 position BOUGHT stop_loss 99");
    assert_eq!(conn.run("STRAT.SLCHECK IBM 90").int(), 1);
}

#[test]
fn the_engine_asks_for_no_lock_of_its_own_on_the_way_to_the_broker() {
    let redis = Redis::with(Options::new().durable());
    let postgres = Postgres::start();
    let feed = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let dir = temp_dir();
    let env: Env = [
        ("REDIS_URL", redis.url()),
        ("DATABASE_URL", postgres.url()),
        ("STRAT_PAPER_LEDGER", dir.path().join("ledger.jsonl").display().to_string()),
        ("STRAT_FEED_KIND", "lines".to_owned()),
        ("STRAT_FEED_ADDRESS", feed.local_addr().unwrap().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert!(engine::run(&["migrate"], &env, Duration::from_secs(60)).status.success());
    let mut engine = Engine::launch(&["run"], env);
    let (mut lines, _) = feed.accept().unwrap();
    lines.write_all(b"IBM,100\n").unwrap();
    engine.wait_healthy();
    let mut conn = redis.conn();
    conn.run("STRAT.SET user:alice:strategy:s1 symbol IBM quantity 10 position BOUGHT entry_price 100 stop_loss 99");
    conn.run("CONFIG RESETSTAT");
    lines.write_all(b"IBM,98.5\n").unwrap();
    until("the stop is out", LIMIT, || {
        // The paper broker fills at the next price.
        lines.write_all(b"IBM,98.5\n").unwrap();
        (conn.run("HGET user:alice:strategy:s1 position").text() == "EXITED_BY_SL").then_some(())
    });
    let calls = conn.run("INFO commandstats").text();
    assert!(calls.contains("cmdstat_strat.take:") && !calls.contains("cmdstat_strat.lock:"), "{calls}");
    assert_eq!(conn.run("EXISTS lock:order:alice:s1").int(), 0);
}
