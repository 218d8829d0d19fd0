//! Market data on a real server.

use crate::link::bare;
use redis::aio::MultiplexedConnection;
use std::collections::BTreeMap;
use std::time::Duration;
use strat_client::core::{Code, Price};
use strat_client::market::{Aggressor, Market, MarketSettings, OrderBook, PricePoint, Stats, SymbolInfo, Tick, Trade};
use strat_client::{Config, Connection, Error};
use strat_harness::servers::{Options, Redis};

type Bare = Market<MultiplexedConnection>;

/// One market over RESP2 and one over RESP3, on the same keys.
async fn markets(redis: &Redis, settings: MarketSettings) -> [Bare; 2] {
    let two = Market::new(bare(redis, "?protocol=resp2").await, settings.clone()).unwrap();
    [two, Market::new(bare(redis, "?protocol=resp3").await, settings).unwrap()]
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn tick(ts_ms: i64) -> Tick {
    Tick { ts_ms, price: price("100.05"), quantity: "3".parse().unwrap() }
}

fn point(ts_ms: i64, text: &str) -> PricePoint {
    PricePoint { ts_ms, price: price(text) }
}

/// Whether a key lives no longer than this.
fn assert_ttl(redis: &Redis, key: &str, ttl: Duration) {
    let left = redis.conn().call(&["PTTL", key]).int();
    let ttl = i64::try_from(ttl.as_millis()).unwrap();
    assert!(left > 0 && left <= ttl, "{key} lives for {left} ms of {ttl}");
}

#[tokio::test]
async fn prices_come_back_with_their_age() {
    let redis = Redis::with(Options::plain());
    for (n, market) in markets(&redis, MarketSettings::default()).await.iter().enumerate() {
        let symbol = format!("IBM{n}");
        assert_eq!(market.price(&symbol).await.unwrap(), None);
        assert_eq!(market.aged_price(&symbol).await.unwrap(), None);
        market.set_price(&symbol, price("2500.050")).await.unwrap();
        assert_eq!(redis.conn().call(&["GET", &format!("price:{symbol}")]).text(), "2500.05");
        assert_ttl(&redis, &format!("price:{symbol}"), Duration::from_secs(10));
        let aged = market.aged_price(&symbol).await.unwrap().unwrap();
        assert_eq!(aged.price, price("2500.05"));
        assert!(aged.age.unwrap() < Duration::from_secs(9), "{aged:?}");

        // As if six seconds had passed.
        redis.conn().call(&["PEXPIRE", &format!("price:{symbol}"), "4000"]);
        let age = market.aged_price(&symbol).await.unwrap().unwrap().age.unwrap();
        assert!((Duration::from_secs(6)..Duration::from_secs(9)).contains(&age), "{age:?}");
        assert_eq!(market.fresh_price(&symbol, Duration::from_secs(5)).await.unwrap(), None);
        assert_eq!(market.fresh_price(&symbol, Duration::from_secs(10)).await.unwrap(), Some(price("2500.05")));
        // A price for ever says nothing of its age.
        redis.conn().call(&["PERSIST", &format!("price:{symbol}")]);
        assert_eq!(market.aged_price(&symbol).await.unwrap().unwrap().age, None);
        assert_eq!(market.fresh_price(&symbol, Duration::MAX).await.unwrap(), None);
    }
}

#[tokio::test]
async fn many_prices_are_one_call_in_the_order_asked_for() {
    let redis = Redis::with(Options::plain());
    let settings = MarketSettings { batch_max: 3, ..MarketSettings::default() };
    for market in markets(&redis, settings).await {
        market.set_prices(&[("A", price("1")), ("B", price("-2.5"))]).await.unwrap();
        assert_ttl(&redis, "price:B", Duration::from_secs(10));
        let read = market.prices(&["B", "none", "A"]).await.unwrap();
        assert_eq!(read, [Some(price("-2.5")), None, Some(price("1"))]);
        let aged = market.aged_prices(&["B", "none", "A"]).await.unwrap();
        assert_eq!(aged.iter().map(|aged| aged.map(|aged| aged.price)).collect::<Vec<_>>(), read);
        assert!(market.prices(&[]).await.unwrap().is_empty());
        let refused = market.prices(&["A"; 4]).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::BadField), "{refused}");
    }
}

#[tokio::test]
async fn what_is_no_price_is_an_error_and_no_price() {
    let redis = Redis::with(Options::plain());
    redis.conn().call(&["SET", "price:X", "1e5"]);
    redis.conn().call(&["SADD", "price:S", "1"]);
    for market in markets(&redis, MarketSettings::default()).await {
        assert!(matches!(market.price("X").await, Err(Error::BadReply(_))));
        assert!(matches!(market.prices(&["X"]).await, Err(Error::BadReply(_))));
        assert!(market.price("S").await.is_err());
        for symbol in ["", "A B", "A:B", "{t}A", "A\n"] {
            let refused = market.price(symbol).await.unwrap_err();
            assert_eq!(refused.code(), Some(Code::BadField), "{symbol:?}");
        }
    }
}

#[tokio::test]
async fn ticks_and_trades_keep_the_newest_first_and_no_more_than_they_may() {
    let redis = Redis::with(Options::plain());
    let settings = MarketSettings { ticks_max: 3, trades_max: 2, ..MarketSettings::default() };
    for (n, market) in markets(&redis, settings.clone()).await.iter().enumerate() {
        let symbol = format!("IBM{n}");
        market.add_ticks(&symbol, &[tick(1), tick(2)]).await.unwrap();
        market.add_ticks(&symbol, &[tick(3), tick(4)]).await.unwrap();
        assert_eq!(market.ticks(&symbol, 9).await.unwrap(), [tick(4), tick(3), tick(2)]);
        assert_eq!(market.ticks(&symbol, 1).await.unwrap(), [tick(4)]);
        assert!(market.ticks(&symbol, 0).await.unwrap().is_empty());
        assert_ttl(&redis, &format!("tick:{symbol}"), settings.tick_ttl);

        let trade = |ts_ms, side| Trade { ts_ms, price: price("7"), quantity: "0.5".parse().unwrap(), side };
        let trades = [trade(1, None), trade(2, Some(Aggressor::Buy)), trade(3, Some(Aggressor::Sell))];
        market.add_trades(&symbol, &trades).await.unwrap();
        assert_eq!(market.trades(&symbol, 9).await.unwrap(), [trades[2], trades[1]]);
        assert_ttl(&redis, &format!("trades:{symbol}"), settings.trade_ttl);
        assert!(market.trades("none", 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_order_book_is_kept_to_its_depth_with_its_texts() {
    let redis = Redis::with(Options::plain());
    let side = |prices: &[&str]| prices.iter().map(|price| ((*price).to_owned(), "1.50".to_owned())).collect();
    let book = OrderBook::new(5, side(&["99", "100.00", "98"]), side(&["100.10", "100.05"])).unwrap();
    let kept = OrderBook::new(5, side(&["100.00", "99"]), side(&["100.05", "100.10"])).unwrap();
    for market in markets(&redis, MarketSettings { depth_max: 2, ..MarketSettings::default() }).await {
        assert_eq!(market.order_book("none").await.unwrap(), None);
        market.set_order_book("IBM", &book).await.unwrap();
        let read = market.order_book("IBM").await.unwrap().unwrap();
        assert_eq!(read, kept);
        assert_eq!(
            (read.best_bid().unwrap().price_text(), read.spread().unwrap().to_string()),
            ("100.00", "0.05".into())
        );
        assert_ttl(&redis, "market:orderbook:IBM", Duration::from_secs(10));
        redis.conn().call(&["SET", "market:orderbook:BAD", r#"{"ts_ms":1,"bids":[["1e5","1"]],"asks":[]}"#]);
        assert!(matches!(market.order_book("BAD").await, Err(Error::BadReply(_))));
    }
}

#[tokio::test]
async fn statistics_and_information_come_back_and_replace_what_was() {
    let redis = Redis::with(Options::plain());
    let p = price;
    let stats = Stats {
        ts_ms: 9,
        open: p("3"),
        high: p("5"),
        low: p("2.5"),
        last: p("4"),
        volume: "1000000000000.5".parse().unwrap(),
    };
    let other = BTreeMap::from([("isin".to_owned(), "US4592001014".to_owned())]);
    let info = SymbolInfo {
        tick_size: p("0.01"),
        lot_size: "1".parse().unwrap(),
        exchange: "NYSE".into(),
        currency: "USD".into(),
        other,
    };
    for market in markets(&redis, MarketSettings::default()).await {
        market.set_stats("IBM", &stats).await.unwrap();
        assert_eq!(market.stats_of(&["none", "IBM"]).await.unwrap(), [None, Some(stats)]);
        let hash = redis.conn().call(&["HGETALL", "market:stats:IBM"]).fields();
        assert_eq!((hash["change"].as_str(), hash["change_percent"].as_str()), ("1", "33.33333333"));
        assert_ttl(&redis, "market:stats:IBM", Duration::from_secs(300));

        market.set_symbol_info("IBM", &info).await.unwrap();
        assert_eq!(market.symbol_infos(&["IBM", "none"]).await.unwrap(), [Some(info.clone()), None]);
        let bare = SymbolInfo { other: BTreeMap::new(), ..info.clone() };
        market.set_symbol_info("IBM", &bare).await.unwrap();
        assert_eq!(market.symbol_info("IBM").await.unwrap(), Some(bare), "what was before is gone");
        assert_ttl(&redis, "symbol:info:IBM", Duration::from_secs(3_600));
        let refused = market.set_symbol_info("strategies", &info).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::BadField), "{refused}");
    }
}

#[tokio::test]
async fn a_history_takes_late_prices_and_forgets_the_oldest() {
    let redis = Redis::with(Options::plain());
    let settings =
        MarketSettings { history_max: 4, history_age: Duration::from_millis(1_000), ..MarketSettings::default() };
    for (n, market) in markets(&redis, settings.clone()).await.iter().enumerate() {
        let symbol = format!("IBM{n}");
        let points = [point(1_000, "10"), point(1_500, "12"), point(1_200, "11")];
        market.add_history(&symbol, &points).await.unwrap();
        market.add_history(&symbol, &points).await.unwrap();
        assert_eq!(market.history(&symbol, 0, 9_999, 10).await.unwrap(), [points[0], points[2], points[1]]);
        assert_eq!(market.history(&symbol, 1_001, 1_200, 10).await.unwrap(), [points[2]]);
        assert_eq!(market.history(&symbol, 0, 9_999, 1).await.unwrap(), [points[0]]);
        // Of the same millisecond the last that came stays.
        market.add_history(&symbol, &[point(1_500, "13")]).await.unwrap();
        let change = market.change(&symbol, 1_100, 9_999).await.unwrap().unwrap();
        assert_eq!((change.from, change.to), (point(1_000, "10"), point(1_500, "13")));
        assert_eq!((change.absolute.to_string(), change.percent.unwrap().to_string()), ("3".into(), "30".into()));
        assert_eq!(market.change(&symbol, 999, 9_999).await.unwrap(), None, "nothing is known of that time");

        market.add_history(&symbol, &[point(2_100, "1")]).await.unwrap();
        let times = |points: Vec<PricePoint>| points.iter().map(|point| point.ts_ms).collect::<Vec<_>>();
        assert_eq!(times(market.history(&symbol, 0, 9_999, 10).await.unwrap()), [1_200, 1_500, 2_100], "by age");
        market.add_history(&symbol, &[point(2_101, "1"), point(2_102, "1")]).await.unwrap();
        let left = times(market.history(&symbol, 0, 9_999, 10).await.unwrap());
        assert_eq!(left, [1_500, 2_100, 2_101, 2_102], "by count");
        let left = redis.conn().call(&["PTTL", &format!("history:{symbol}")]).int();
        assert!(left <= 1_000 && left != -1, "{left}");
        assert!(market.history(&symbol, -1, 9, 1).await.is_err());
    }
}

#[tokio::test]
async fn symbols_are_listed_past_other_keys_and_up_to_a_bound() {
    let redis = Redis::with(Options::plain());
    let [market, other] = markets(&redis, MarketSettings { scan_max: 100_000, ..MarketSettings::default() }).await;
    for batch in 0..4 {
        let names: Vec<_> = (0..1_000).map(|n| format!("S{batch}-{n}")).collect();
        let prices: Vec<_> = names.iter().map(|name| (name.as_str(), price("1"))).collect();
        market.set_prices(&prices).await.unwrap();
    }
    redis.conn().call(&["SET", "price:not a symbol", "1"]);
    redis.conn().call(&["SET", "{t}price:T", "1"]);
    redis.conn().call(&["SADD", "price:set", "1"]);
    let all = market.symbols().await.unwrap();
    assert_eq!((all.symbols.len(), all.complete), (4_000, true));
    assert_eq!(other.symbols().await.unwrap(), all);
    let hasty = MarketSettings { scan_max: 1_000, ..MarketSettings::default() };
    let part = Market::new(bare(&redis, "").await, hasty).unwrap().symbols().await.unwrap();
    assert!(!part.complete && part.symbols.len() < 4_000, "{}", part.symbols.len());
}

#[tokio::test]
async fn tenants_have_keys_of_their_own() {
    let redis = Redis::with(Options::plain());
    let tenant = |tag: &str| MarketSettings { prefix: tag.to_owned(), ..MarketSettings::default() };
    let connection = bare(&redis, "").await;
    let [a, b, none] = ["{a*}", "{ab}", ""].map(|tag| Market::new(connection.clone(), tenant(tag)).unwrap());
    a.set_price("IBM", price("1")).await.unwrap();
    a.add_ticks("IBM", &[tick(1)]).await.unwrap();
    b.set_price("AIG", price("2")).await.unwrap();
    for other in [&b, &none] {
        assert_eq!(other.price("IBM").await.unwrap(), None);
        assert!(other.ticks("IBM", 1).await.unwrap().is_empty());
    }
    // The key of another, as a symbol.
    assert_eq!(none.price("{a*}price:IBM").await.unwrap_err().code(), Some(Code::BadField));
    assert_eq!(a.symbols().await.unwrap().symbols.into_iter().collect::<Vec<_>>(), ["IBM"], "the star is no pattern");
    assert!(none.symbols().await.unwrap().symbols.is_empty());
    assert!(matches!(Market::new(connection, tenant("a:")), Err(Error::Config(_))));
}

#[tokio::test]
async fn without_redis_every_call_says_so_and_makes_no_price_up() {
    let mut redis = Redis::with(Options::plain());
    let config = Config::from_url(&redis.socket().display().to_string()).unwrap();
    let config = config.with_reconnect_wait(Duration::from_millis(50));
    let ours = Market::new(Connection::open(&config).await.unwrap(), MarketSettings::default()).unwrap();
    ours.set_price("IBM", price("1")).await.unwrap();
    let [market, _] = markets(&redis, MarketSettings::default()).await;
    redis.kill_9();
    // The first request may find the socket still there.
    let _ = ours.price("IBM").await;
    assert!(matches!(ours.price("IBM").await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.prices(&["IBM"]).await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.fresh_price("IBM", Duration::MAX).await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.set_price("IBM", price("1")).await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.add_ticks("IBM", &[tick(1)]).await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.history("IBM", 0, 1, 1).await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.order_book("IBM").await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.stats("IBM").await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.symbol_info("IBM").await, Err(Error::Unavailable { .. })));
    assert!(matches!(ours.symbols().await, Err(Error::Unavailable { .. })));
    assert!(market.price("IBM").await.is_err());

    redis.start_again();
    let [market, _] = markets(&redis, MarketSettings::default()).await;
    assert_eq!(market.price("IBM").await.unwrap(), None, "it is back, and knows nothing");
}

#[tokio::test]
async fn a_mute_server_is_waited_for_no_longer_than_set() {
    let redis = Redis::with(Options::plain());
    let settings = MarketSettings { call_timeout: Some(Duration::from_millis(50)), ..MarketSettings::default() };
    let [market, _] = markets(&redis, settings).await;
    redis.pause();
    let answer = market.set_price("IBM", price("1")).await;
    redis.resume();
    assert!(matches!(&answer, Err(error @ Error::Timeout { .. }) if error.outcome_unknown()), "{answer:?}");
}
