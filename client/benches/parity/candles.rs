//! Calls of `strat_client::candles`. The bare side makes the same numbers of the replies, by the same parsers: what is
//! compared is what comes on top of that.

use crate::Case;
use redis::aio::MultiplexedConnection;
use redis::pipe;
use std::sync::Arc;
use std::time::Duration;
use strat_client::candles::{Candle, CandleBuilder, CandleSettings, CandleStore, Gaps, Hours, Timeframe};
use strat_client::core::{Price, Quantity};
use strat_client::market::{Decimal, Tick};

const MINUTE: i64 = 60_000;
/// Minutes that are read.
const COUNT: i64 = 60;
const FIELDS: [&str; 8] = ["open", "high", "low", "close", "volume", "trades", "first_ms", "last_ms"];

fn store(connection: MultiplexedConnection) -> CandleStore<MultiplexedConnection> {
    CandleStore::new(connection, CandleSettings::default()).unwrap()
}

/// An hour of minutes, and what is above them.
fn candles() -> Vec<Candle> {
    let mut builder = CandleBuilder::new(Arc::new(Hours::always()), Duration::ZERO).unwrap();
    for minute in 0..COUNT {
        let price = Price::from_units(250_000_000_000 + minute * 5_000_000);
        builder.push(&Tick { ts_ms: minute * MINUTE, price, quantity: Quantity::from_units(100) });
    }
    builder.changes(usize::MAX)
}

/// Of each timeframe the newest.
fn newest() -> Vec<Candle> {
    let all = candles();
    let of = |timeframe| all.iter().rfind(|candle: &&Candle| candle.timeframe == timeframe).copied();
    Timeframe::ALL.into_iter().filter_map(of).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    vec![write(), range()]
}

fn write() -> Case {
    Case {
        name: "candles write, one of each timeframe",
        ours: Box::new(|connection| {
            let (store, candles) = (store(connection), Arc::new(newest()));
            Box::new(move |_| {
                let (store, candles) = (store.clone(), Arc::clone(&candles));
                Box::pin(async move { store.write(&[("X", &candles)]).await.unwrap() })
            })
        }),
        bare: Box::new(|connection| {
            let candles = Arc::new(newest());
            Box::new(move |_| {
                let (mut connection, candles) = (connection.clone(), Arc::clone(&candles));
                Box::pin(async move {
                    let mut commands = pipe();
                    commands.atomic();
                    for c in candles.iter() {
                        let key = format!("candle:Y:{}:{}", c.timeframe, c.period.start_ms);
                        let set = commands.cmd("HSET").arg(&key);
                        for (field, price) in FIELDS.iter().zip([c.open, c.high, c.low, c.close]) {
                            set.arg(field).arg(price.to_string());
                        }
                        set.arg("volume").arg(c.volume.to_string()).arg("trades").arg(c.trades);
                        set.arg("first_ms").arg(c.first_ms).arg("last_ms").arg(c.last_ms).ignore();
                        commands.cmd("PEXPIRE").arg(&key).arg(3_600_000).ignore();
                    }
                    commands.exec_async(&mut connection).await.unwrap();
                })
            })
        }),
    }
}

/// Prices, volume, and the rest.
fn numbers(row: &[Option<String>; 8]) -> Option<([Price; 4], Decimal, [i64; 3])> {
    let text = |at: usize| row[at].as_deref();
    let price = |at| text(at)?.parse().ok();
    let whole = |at| text(at)?.parse().ok();
    Some(([price(0)?, price(1)?, price(2)?, price(3)?], text(4)?.parse().ok()?, [whole(5)?, whole(6)?, whole(7)?]))
}

fn range() -> Case {
    Case {
        name: "candles range, 60 minutes",
        ours: Box::new(|connection| {
            let (store, hours) = (store(connection), Arc::new(Hours::always()));
            let filling = store.clone();
            // The blocks that warm up are served after it.
            tokio::spawn(async move { filling.write(&[("X", &candles())]).await.unwrap() });
            Box::new(move |_| {
                let (store, hours) = (store.clone(), Arc::clone(&hours));
                Box::pin(async move {
                    let whole = (0, COUNT * MINUTE);
                    drop(store.range("X", Timeframe::Minute, &hours, whole, Gaps::Leave).await.unwrap());
                })
            })
        }),
        bare: Box::new(|connection| {
            Box::new(move |_| {
                let mut connection = connection.clone();
                Box::pin(async move {
                    let mut commands = pipe();
                    for minute in 0..COUNT {
                        commands.cmd("HMGET").arg(format!("candle:X:1m:{}", minute * MINUTE)).arg(&FIELDS);
                    }
                    let rows: Vec<[Option<String>; 8]> = commands.query_async(&mut connection).await.unwrap();
                    drop(rows.iter().filter_map(numbers).collect::<Vec<_>>());
                })
            })
        }),
    }
}
