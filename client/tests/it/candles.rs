//! Candles on a real server.

mod day;

use crate::link::bare;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use std::time::Duration;
use strat_client::candles::{Candle, CandleBuilder, CandleSettings, CandleStore, Gaps, Hours, Taken, Timeframe};
use strat_client::core::Code;
use strat_client::market::Tick;
use strat_client::{Config, Connection, Error};
use strat_harness::servers::{Options, Redis};

type Bare = CandleStore<MultiplexedConnection>;

const MINUTE: i64 = 60_000;
/// 2013-10-08 09:30 in New York.
const OPEN: i64 = 1_381_239_000_000;

/// One store over RESP2 and one over RESP3, on the same keys.
async fn stores(redis: &Redis) -> [Bare; 2] {
    let two = CandleStore::new(bare(redis, "?protocol=resp2").await, CandleSettings::default()).unwrap();
    [two, CandleStore::new(bare(redis, "?protocol=resp3").await, CandleSettings::default()).unwrap()]
}

fn new_york() -> Arc<Hours> {
    Arc::new(Hours::new("America/New_York", "09:30", "16:00").unwrap())
}

fn builder() -> CandleBuilder {
    CandleBuilder::new(new_york(), Duration::from_secs(5)).unwrap()
}

/// So long after the open.
fn tick(after_ms: i64, price: &str) -> Tick {
    Tick { ts_ms: OPEN + after_ms, price: price.parse().unwrap(), quantity: "1.5".parse().unwrap() }
}

async fn minutes(store: &Bare, gaps: Gaps) -> Vec<Candle> {
    store.range("IBM", Timeframe::Minute, &new_york(), (OPEN, OPEN + 10 * MINUTE), gaps).await.unwrap()
}

#[tokio::test]
async fn candles_come_back_as_they_were_built_and_do_not_stay_for_ever() {
    let redis = Redis::with(Options::plain());
    for store in stores(&redis).await {
        let mut builder = builder();
        for tick in [tick(1, "10"), tick(2, "12.25"), tick(MINUTE, "11")] {
            builder.push(&tick);
        }
        let built = builder.changes(100);
        assert_eq!(store.write_changes("IBM", &mut builder).await.unwrap(), built.len());
        assert_eq!(store.write_changes("IBM", &mut builder).await.unwrap(), 0, "nothing changed since");
        assert_eq!(minutes(&store, Gaps::Leave).await, built[..2]);
        // The second minute, and the others that are open then.
        assert_eq!(store.at("IBM", &new_york(), OPEN + MINUTE).await.unwrap(), built[1..]);

        let key = format!("candle:IBM:1m:{OPEN}");
        let hash = redis.conn().call(&["HGETALL", &key]).fields();
        let texts = ["open", "high", "low", "close", "volume", "trades"].map(|field| hash[field].as_str());
        assert_eq!(texts, ["10", "12.25", "10", "12.25", "3", "2"]);
        for key in redis.conn().run("KEYS *").texts() {
            let left = redis.conn().call(&["TTL", &key]).int();
            assert!((3_500..=3_600).contains(&left), "{key} lives for {left} s");
        }
        redis.conn().run("FLUSHALL");
    }
}

#[tokio::test]
async fn a_gap_is_no_candle_or_a_flat_one_and_nothing_is_added_at_the_ends() {
    let redis = Redis::with(Options::plain());
    for store in stores(&redis).await {
        let mut builder = builder();
        for tick in [tick(2 * MINUTE, "10"), tick(2 * MINUTE + 1, "11"), tick(5 * MINUTE, "9")] {
            builder.push(&tick);
        }
        store.write_changes("IBM", &mut builder).await.unwrap();
        let starts = |candles: &[Candle]| -> Vec<_> {
            candles.iter().map(|candle| (candle.period.start_ms - OPEN) / MINUTE).collect()
        };
        let left = minutes(&store, Gaps::Leave).await;
        assert_eq!(starts(&left), [2, 5]);
        let filled = minutes(&store, Gaps::Flat).await;
        assert_eq!(starts(&filled), [2, 3, 4, 5]);
        let flat = filled[2];
        assert_eq!([flat.open, flat.high, flat.low, flat.close], [left[0].close; 4]);
        assert_eq!((flat.trades, flat.volume.to_string()), (0, "0".into()));
    }
}

#[tokio::test]
async fn another_process_goes_on_where_one_ended() {
    let redis = Redis::with(Options::plain());
    let [store, other] = stores(&redis).await;
    let ticks = [tick(MINUTE - 3, "10"), tick(MINUTE - 2, "14"), tick(MINUTE + 2, "12"), tick(MINUTE + 5, "13")];
    // One that sees them all.
    let mut whole = builder();
    ticks.iter().for_each(|tick| assert_eq!(whole.push(tick), Taken::Newest));
    let late = tick(MINUTE - 1, "7");
    whole.push(&late);

    let mut first = builder();
    ticks[..3].iter().for_each(|tick| assert_eq!(first.push(tick), Taken::Newest));
    store.write_changes("IBM", &mut first).await.unwrap();
    let lateness = Duration::from_secs(5);
    let mut second = other.resume("IBM", new_york(), lateness, OPEN + MINUTE + 3).await.unwrap();
    second.push(&ticks[3]);
    assert_eq!(second.push(&late), Taken::Late, "into a minute that had ended");
    other.write_changes("IBM", &mut second).await.unwrap();
    assert_eq!(minutes(&store, Gaps::Leave).await, whole.changes(2));
    assert_eq!(store.at("IBM", &new_york(), OPEN + MINUTE).await.unwrap(), whole.changes(9)[1..]);
}

#[tokio::test]
async fn what_is_asked_for_has_bounds_and_what_is_no_candle_is_an_error() {
    let redis = Redis::with(Options::plain());
    let settings = CandleSettings { batch_max: 3, ..CandleSettings::default() };
    let store = CandleStore::new(bare(&redis, "").await, settings).unwrap();
    let hours = new_york();
    let asked = async |symbol, minutes| {
        store.range(symbol, Timeframe::Minute, &hours, (OPEN, OPEN + minutes * MINUTE), Gaps::Leave).await
    };
    assert!(asked("IBM", 3).await.unwrap().is_empty());
    assert_eq!(asked("IBM", 4).await.unwrap_err().code(), Some(Code::BadField));
    assert_eq!(asked("A:B", 1).await.unwrap_err().code(), Some(Code::BadField));
    // Five candles, three at a time.
    let mut builder = builder();
    builder.push(&tick(0, "1"));
    assert_eq!(store.write(&[("IBM", &builder.changes(9))]).await.unwrap_err().code(), Some(Code::BadField));
    assert_eq!(store.write_changes("IBM", &mut builder).await.unwrap(), 5);
    redis.conn().call(&["HDEL", &format!("candle:IBM:1m:{OPEN}"), "low"]);
    assert!(matches!(asked("IBM", 1).await, Err(Error::BadReply(_))));
}

#[tokio::test]
async fn tenants_have_candles_of_their_own() {
    let redis = Redis::with(Options::plain());
    let connection = bare(&redis, "").await;
    let tenant = |tag: &str| CandleSettings { prefix: tag.to_owned(), ..CandleSettings::default() };
    let [a, b] = ["{a}", "{b}"].map(|tag| CandleStore::new(connection.clone(), tenant(tag)).unwrap());
    let mut builder = builder();
    builder.push(&tick(0, "1"));
    a.write_changes("IBM", &mut builder).await.unwrap();
    assert_eq!(minutes(&a, Gaps::Flat).await.len(), 1);
    assert!(minutes(&b, Gaps::Flat).await.is_empty());
    let reached = b.at("{a}candle:IBM", &new_york(), OPEN).await.unwrap_err();
    assert_eq!(reached.code(), Some(Code::BadField));
    assert!(matches!(CandleStore::new(connection, tenant("a:")), Err(Error::Config(_))));
}

#[tokio::test]
async fn without_redis_candles_are_built_and_kept_until_they_can_be_written() {
    let mut redis = Redis::with(Options::plain());
    let config = Config::from_url(&redis.socket().display().to_string()).unwrap();
    let config = config.with_reconnect_wait(Duration::from_millis(50));
    let store = CandleStore::new(Connection::open(&config).await.unwrap(), CandleSettings::default()).unwrap();
    let mut builder = builder();
    builder.push(&tick(0, "1"));
    store.write_changes("IBM", &mut builder).await.unwrap();
    redis.kill_9();
    builder.push(&tick(1, "2"));
    // The first request may find the socket still there.
    let _ = store.write_changes("IBM", &mut builder).await;
    assert!(matches!(store.write_changes("IBM", &mut builder).await, Err(Error::Unavailable { .. })));
    let read = store.at("IBM", &new_york(), OPEN).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert!(store.resume("IBM", new_york(), Duration::ZERO, OPEN).await.is_err());
    assert_eq!(builder.push(&tick(MINUTE, "3")), Taken::Newest);

    redis.start_again();
    let [store, _] = stores(&redis).await;
    let kept = builder.changes(2);
    assert_eq!(store.write_changes("IBM", &mut builder).await.unwrap(), 6);
    assert_eq!(minutes(&store, Gaps::Leave).await, kept);
    assert_eq!(kept[0].trades, 2, "what came before the end is in it");
}
