//! Calls of `strat_client::market`. The bare side makes the same values of the replies, by the same parsers: what is compared
//! is what comes on top of that.

use crate::Case;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, cmd, pipe};
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use strat_client::core::{Price, Quantity};
use strat_client::market::{Market, MarketSettings, OrderBook, PricePoint, Stats, Tick, Trade};

type Ours = Market<MultiplexedConnection>;

/// Symbols of a batch.
const BATCH: usize = 50;

/// What is read must live as long as a measurement.
fn market(connection: MultiplexedConnection) -> Ours {
    let hour = Duration::from_secs(3_600);
    Market::new(connection, MarketSettings { price_ttl: hour, book_ttl: hour, ..MarketSettings::default() }).unwrap()
}

fn symbols() -> Vec<String> {
    (0..BATCH).map(|n| format!("S{n}")).collect()
}

fn price(n: u64) -> Price {
    Price::from_units(250_000_000_000 + i64::try_from(n).unwrap() * 5_000_000)
}

fn tick(n: u64) -> Tick {
    Tick { ts_ms: 1_700_000_000_000 + i64::try_from(n).unwrap(), price: price(n), quantity: Quantity::from_units(100) }
}

fn book() -> OrderBook {
    let side = |from: u64| (0..10).map(|n| (price(from + n).to_string(), "10".to_owned())).collect();
    OrderBook::new(1, side(0), side(10)).unwrap()
}

fn stats() -> Stats {
    let trade = |n| Trade { ts_ms: 1, price: price(n), quantity: Quantity::from_units(100), side: None };
    Stats::of_trades(&[trade(1), trade(2)], 0, 2).unwrap()
}

/// All that is read later; the blocks that warm up are served after it.
async fn fill(market: Ours) {
    let symbols = symbols();
    for symbol in &symbols {
        market.set_price(symbol, price(1)).await.unwrap();
        market.set_stats(symbol, &stats()).await.unwrap();
    }
    let trade = |n| Trade { ts_ms: 1, price: price(n), quantity: Quantity::from_units(100), side: None };
    market.add_trades("S0", &(0..50).map(trade).collect::<Vec<_>>()).await.unwrap();
    market.set_order_book("S0", &book()).await.unwrap();
    let points: Vec<_> = (0..100).map(|n| PricePoint { ts_ms: tick(n).ts_ms, price: price(n) }).collect();
    market.add_history("S0", &points).await.unwrap();
}

/// A case from what is done with a market, and with a bare connection.
fn case(
    name: &'static str,
    ours: impl Fn(Arc<Ours>, u64) -> BoxFuture<'static, ()> + Clone + 'static,
    bare: impl Fn(MultiplexedConnection, u64) -> BoxFuture<'static, ()> + Clone + 'static,
) -> Case {
    Case {
        name,
        ours: Box::new(move |connection| {
            let (market, ours) = (Arc::new(market(connection)), ours.clone());
            tokio::spawn(fill((*market).clone()));
            Box::new(move |n| ours(Arc::clone(&market), n))
        }),
        bare: Box::new(move |connection| {
            let bare = bare.clone();
            Box::new(move |n| bare(connection.clone(), n))
        }),
    }
}

fn number<T: FromStr<Err: Debug>>(text: String) -> T {
    text.parse().unwrap()
}

fn point(text: &str) -> Option<PricePoint> {
    let (ts_ms, price) = text.split_once(' ')?;
    Some(PricePoint { ts_ms: ts_ms.parse().ok()?, price: price.parse().ok()? })
}

/// A result that nobody looks at.
fn used<T>(result: T) {
    std::hint::black_box(result);
}

async fn one<T: FromRedisValue>(mut connection: MultiplexedConnection, command: &Cmd) -> T {
    command.query_async(&mut connection).await.unwrap()
}

async fn many<T: FromRedisValue>(mut connection: MultiplexedConnection, commands: &Pipeline) -> T {
    commands.query_async(&mut connection).await.unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    [prices(), tapes(), others()].into_iter().flatten().collect()
}

fn prices() -> Vec<Case> {
    vec![
        case(
            "market set_price",
            |market, n| Box::pin(async move { market.set_price("X", price(n)).await.unwrap() }),
            |connection, n| {
                Box::pin(async move {
                    one(connection, cmd("SET").arg("price:X").arg(price(n).to_string()).arg("PX").arg(3_600_000)).await
                })
            },
        ),
        case(
            "market price",
            |market, _| Box::pin(async move { used(market.price("S0").await.unwrap()) }),
            |connection, _| {
                Box::pin(async move {
                    used(one::<Option<String>>(connection, cmd("GET").arg("price:S0")).await.map(number::<Price>))
                })
            },
        ),
        case(
            "market aged_price",
            |market, _| Box::pin(async move { used(market.aged_price("S0").await.unwrap()) }),
            |connection, _| {
                let mut commands = pipe();
                commands.cmd("PTTL").arg("price:S0").cmd("GET").arg("price:S0");
                Box::pin(async move {
                    let (left, text) = many::<(i64, Option<String>)>(connection, &commands).await;
                    used((left, text.map(number::<Price>)));
                })
            },
        ),
        case(
            "market prices of 50",
            |market, _| {
                Box::pin(async move {
                    let symbols = symbols();
                    let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
                    used(market.prices(&symbols).await.unwrap());
                })
            },
            |connection, _| {
                Box::pin(async move {
                    let keys: Vec<_> = symbols().iter().map(|symbol| format!("price:{symbol}")).collect();
                    let texts: Vec<Option<String>> = one(connection, cmd("MGET").arg(keys)).await;
                    used(texts.into_iter().map(|text| text.map(number::<Price>)).collect::<Vec<_>>());
                })
            },
        ),
        case(
            "market stats of 50",
            |market, _| {
                Box::pin(async move {
                    let symbols = symbols();
                    let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
                    used(market.stats_of(&symbols).await.unwrap());
                })
            },
            |connection, _| {
                Box::pin(async move {
                    let mut commands = pipe();
                    for symbol in symbols() {
                        let fields = ["ts_ms", "open", "high", "low", "last", "volume"];
                        commands.cmd("HMGET").arg(format!("market:stats:{symbol}")).arg(&fields);
                    }
                    let rows: Vec<[Option<String>; 6]> = many(connection, &commands).await;
                    let row = |row: [Option<String>; 6]| row.map(|text| text.map(number::<Price>));
                    used(rows.into_iter().map(row).collect::<Vec<_>>());
                })
            },
        ),
    ]
}

fn tapes() -> Vec<Case> {
    vec![
        case(
            "market add_ticks",
            |market, n| Box::pin(async move { market.add_ticks("X", &[tick(n)]).await.unwrap() }),
            |connection, n| {
                let mut commands = pipe();
                commands.atomic().cmd("LPUSH").arg("tick:Y").arg(tick(n).to_string()).ignore();
                commands.cmd("LTRIM").arg("tick:Y").arg(0).arg(999).ignore();
                commands.cmd("PEXPIRE").arg("tick:Y").arg(300_000).ignore();
                Box::pin(async move { many(connection, &commands).await })
            },
        ),
        case(
            "market trades, 20",
            |market, _| Box::pin(async move { used(market.trades("S0", 20).await.unwrap()) }),
            |connection, _| {
                Box::pin(async move {
                    let texts: Vec<String> = one(connection, cmd("LRANGE").arg("trades:S0").arg(0).arg(19)).await;
                    used(texts.into_iter().map(number::<Trade>).collect::<Vec<_>>());
                })
            },
        ),
        case(
            "market add_history",
            |market, n| {
                let point = PricePoint { ts_ms: tick(n).ts_ms, price: price(n) };
                Box::pin(async move { market.add_history("X", &[point]).await.unwrap() })
            },
            |connection, n| {
                let (key, ts_ms) = ("history:Y", tick(n).ts_ms);
                let mut commands = pipe();
                commands.atomic().cmd("ZREMRANGEBYSCORE").arg(key).arg(ts_ms).arg(ts_ms).ignore();
                commands.cmd("ZADD").arg(key).arg(ts_ms).arg(format!("{ts_ms} {}", price(n))).ignore();
                let oldest = format!("({}", ts_ms - 86_400_000);
                commands.cmd("ZREMRANGEBYSCORE").arg(key).arg("-inf").arg(oldest).ignore();
                commands.cmd("ZREMRANGEBYRANK").arg(key).arg(0).arg(-10_001).ignore();
                commands.cmd("PEXPIRE").arg(key).arg(86_400_000).ignore();
                Box::pin(async move { many(connection, &commands).await })
            },
        ),
        case(
            "market history, 100",
            |market, _| Box::pin(async move { used(market.history("S0", 0, 1 << 52, 100).await.unwrap()) }),
            |connection, _| {
                let mut range = cmd("ZRANGE");
                range.arg("history:S0").arg(0).arg(1_i64 << 52).arg("BYSCORE").arg("LIMIT").arg(0).arg(100);
                Box::pin(async move {
                    let texts: Vec<String> = one(connection, &range).await;
                    used(texts.iter().filter_map(|text| point(text)).collect::<Vec<_>>());
                })
            },
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case(
            "market set_order_book, 10 levels",
            |market, _| Box::pin(async move { market.set_order_book("X", &book()).await.unwrap() }),
            |connection, _| {
                Box::pin(async move {
                    let book = book();
                    let side = |levels: &[strat_client::market::Level]| -> Vec<_> {
                        levels
                            .iter()
                            .map(|level| [level.price_text(), level.quantity_text()].map(str::to_owned))
                            .collect()
                    };
                    let json = serde_json::json!({"ts_ms": 1, "bids": side(book.bids()), "asks": side(book.asks())});
                    let set =
                        cmd("SET").arg("market:orderbook:Y").arg(json.to_string()).arg("PX").arg(3_600_000).clone();
                    one(connection, &set).await
                })
            },
        ),
        case(
            "market order_book, 10 levels",
            |market, _| Box::pin(async move { used(market.order_book("S0").await.unwrap()) }),
            |connection, _| {
                Box::pin(async move {
                    let text: Option<String> = one(connection, cmd("GET").arg("market:orderbook:S0")).await;
                    used(text.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap()));
                })
            },
        ),
        case(
            "market set_stats",
            |market, _| Box::pin(async move { market.set_stats("X", &stats()).await.unwrap() }),
            |connection, _| {
                let stats = stats();
                let mut commands = pipe();
                let set = commands.atomic().cmd("HSET").arg("market:stats:Y").arg("ts_ms").arg(stats.ts_ms);
                for (field, price) in
                    [("open", stats.open), ("high", stats.high), ("low", stats.low), ("last", stats.last)]
                {
                    set.arg(field).arg(price.to_string());
                }
                set.arg("volume").arg(stats.volume.to_string()).arg("change").arg(stats.change().to_string());
                set.arg("change_percent").arg(stats.change_percent().unwrap().to_string()).ignore();
                commands.cmd("PEXPIRE").arg("market:stats:Y").arg(300_000).ignore();
                Box::pin(async move { many(connection, &commands).await })
            },
        ),
        case(
            "market change",
            |market, _| {
                Box::pin(async move { used(market.change("S0", tick(10).ts_ms, tick(90).ts_ms).await.unwrap()) })
            },
            |connection, _| {
                let mut commands = pipe();
                for ts_ms in [tick(10).ts_ms, tick(90).ts_ms] {
                    let range = commands.cmd("ZRANGE").arg("history:S0").arg(ts_ms).arg("-inf");
                    range.arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(1);
                }
                Box::pin(async move {
                    let (from, to): (Vec<String>, Vec<String>) = many(connection, &commands).await;
                    let known = |points: Vec<String>| points.first().and_then(|text| point(text));
                    used((known(from), known(to)));
                })
            },
        ),
    ]
}
