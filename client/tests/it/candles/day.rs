//! A real day: the candles that come back from Redis are those of a plain sort and cut over the file.

use super::{Bare, new_york, stores};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;
use strat_client::candles::{CandleBuilder, Gaps, Timeframe};
use strat_client::market::Tick;
use strat_harness::resp::Conn;
use strat_harness::rng::Rng;
use strat_harness::servers::{Options, Redis, paths};
use strat_harness::support::loudly;

/// The session of 2013-10-08 in New York, four hours behind UTC: 09:30 to 16:00.
const OPEN: i64 = 1_381_239_000_000;
const CLOSE: i64 = OPEN + 390 * 60_000;
const SYMBOLS: [&str; 4] = ["AIG", "BAC", "IBM", "SPY"];
/// Names and lengths, ms; the day is as long as the session.
const TIMEFRAMES: [(&str, i64); 5] =
    [("1m", 60_000), ("5m", 300_000), ("15m", 900_000), ("1h", 3_600_000), ("1d", CLOSE - OPEN)];

/// A line of the file: time, price in 1/10,000 dollars, shares.
type Print = (i64, i64, i64);

/// The fields of a candle by the name of its key.
type Candles = BTreeMap<String, BTreeMap<String, String>>;

/// The prints of each symbol in the order of the file; `None` where there is no file.
fn prints() -> Option<BTreeMap<String, Vec<Print>>> {
    let folder =
        std::env::var_os("STRAT_TEST_DATA").map_or_else(|| paths::root().join("../shared/data"), PathBuf::from);
    let path = folder.join("us-trades-2013-10-08.csv.gz");
    let Ok(file) = File::open(&path) else {
        let path = path.display();
        loudly(&format!("SKIPPED candles of a real day: no {path}; name its folder in STRAT_TEST_DATA"));
        return None;
    };
    let mut prints: BTreeMap<String, Vec<Print>> = BTreeMap::new();
    for line in BufReader::new(GzDecoder::new(file)).lines().skip(1).map(Result::unwrap) {
        let cells: Vec<_> = line.split(',').collect();
        let (dollars, fraction) = cells[2].split_once('.').unwrap();
        assert_eq!(fraction.len(), 4, "{line}");
        let price = dollars.parse::<i64>().unwrap() * 10_000 + fraction.parse::<i64>().unwrap();
        let print = (cells[0].parse().unwrap(), price, cells[3].parse().unwrap());
        prints.entry(cells[1].to_owned()).or_default().push(print);
    }
    Some(prints)
}

/// The calculation: sorted by time, those of one time as they came, and cut into periods counted from the open.
fn calculate(symbol: &str, prints: &[Print]) -> Candles {
    let mut inside: Vec<_> = prints.iter().filter(|(ts_ms, ..)| (OPEN..CLOSE).contains(ts_ms)).collect();
    inside.sort_by_key(|(ts_ms, ..)| *ts_ms);
    let mut candles = Candles::new();
    for (name, length) in TIMEFRAMES {
        for group in inside.chunk_by(|a, b| (a.0 - OPEN) / length == (b.0 - OPEN) / length) {
            let (first, last) = (group[0], group[group.len() - 1]);
            let prices = || group.iter().map(|(_, price, _)| *price);
            let fields = [
                ("open", dollars(first.1)),
                ("high", dollars(prices().max().unwrap())),
                ("low", dollars(prices().min().unwrap())),
                ("close", dollars(last.1)),
                ("volume", group.iter().map(|(.., size)| *size).sum::<i64>().to_string()),
                ("trades", group.len().to_string()),
                ("first_ms", first.0.to_string()),
                ("last_ms", last.0.to_string()),
            ];
            let start = OPEN + (first.0 - OPEN) / length * length;
            let fields = fields.map(|(name, text)| (name.to_owned(), text));
            candles.insert(format!("candle:{symbol}:{name}:{start}"), fields.into());
        }
    }
    candles
}

/// 1/10,000 dollars as the shortest text.
fn dollars(price: i64) -> String {
    let text = format!("{}.{:04}", price / 10_000, price % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whatever stands in Redis.
fn stored(redis: &mut Conn) -> Candles {
    let keys = redis.run("KEYS *").texts();
    keys.into_iter().map(|key| (key.clone(), redis.call(&["HGETALL", &key]).fields())).collect()
}

/// Builds the candles of a symbol and writes what changed every few thousand ticks. Answers how many were late.
async fn build(store: &Bare, symbol: &str, prints: &[Print]) -> u64 {
    let mut builder = CandleBuilder::new(new_york(), Duration::from_secs(5)).unwrap();
    for some in prints.chunks(3_000) {
        for (ts_ms, price, size) in some {
            let (price, quantity) = (dollars(*price).parse().unwrap(), size.to_string().parse().unwrap());
            builder.push(&Tick { ts_ms: *ts_ms, price, quantity });
        }
        store.write_changes(symbol, &mut builder).await.unwrap();
    }
    let counts = builder.counts();
    let outside = prints.iter().filter(|(ts_ms, ..)| !(OPEN..CLOSE).contains(ts_ms)).count();
    assert_eq!((counts.outside, counts.too_late, counts.dropped), (outside as u64, 0, 0), "{symbol}");
    assert_eq!(counts.newest + counts.late + counts.outside, prints.len() as u64, "{symbol}");
    counts.late
}

/// What a range gives is what stands in Redis, in order.
async fn compare_ranges(store: &Bare, symbol: &str, expected: &Candles) {
    for (name, _) in TIMEFRAMES {
        let timeframe = Timeframe::parse(name).unwrap();
        let day = (OPEN - 86_400_000, OPEN + 86_400_000);
        let read = store.range(symbol, timeframe, &new_york(), day, Gaps::Leave).await.unwrap();
        assert!(read.windows(2).all(|pair| pair[0].period.end_ms <= pair[1].period.start_ms));
        let prefix = format!("candle:{symbol}:{name}:");
        assert_eq!(read.len(), expected.keys().filter(|key| key.starts_with(&prefix)).count(), "{prefix}");
        for candle in read {
            let fields = &expected[&format!("{prefix}{}", candle.period.start_ms)];
            let prices = [candle.open, candle.high, candle.low, candle.close].map(|price| price.to_string());
            assert_eq!(prices, ["open", "high", "low", "close"].map(|name| fields[name].clone()), "{candle:?}");
            let numbers = [candle.volume.to_string(), candle.trades.to_string()];
            assert_eq!(numbers, [fields["volume"].clone(), fields["trades"].clone()], "{candle:?}");
            let times = [candle.first_ms.to_string(), candle.last_ms.to_string()];
            assert_eq!(times, [fields["first_ms"].clone(), fields["last_ms"].clone()], "{candle:?}");
        }
    }
}

#[tokio::test]
async fn a_real_day_gives_what_a_sort_and_a_cut_give() {
    let Some(prints) = prints() else { return };
    assert_eq!(prints.keys().collect::<Vec<_>>(), SYMBOLS);
    let redis = Redis::with(Options::plain());
    let [store, other] = stores(&redis).await;
    let mut expected = Candles::new();
    for (symbol, prints) in &prints {
        build(&store, symbol, prints).await;
        expected.extend(calculate(symbol, prints));
    }
    // 390 + 78 + 26 + 7 + 1 of each symbol, if it was traded in every minute.
    assert!((1_990..=4 * 502).contains(&expected.len()), "{}", expected.len());
    assert_eq!(stored(&mut redis.conn()), expected);
    for symbol in SYMBOLS {
        compare_ranges(&other, symbol, &expected).await;
    }
}

#[tokio::test]
async fn a_real_day_out_of_order_gives_the_same() {
    let Some(mut prints) = prints() else { return };
    let mut rng = Rng::new(20_131_008);
    let redis = Redis::with(Options::plain());
    let [store, _] = stores(&redis).await;
    let ibm = prints.remove("IBM").unwrap();
    // Each is up to five seconds late.
    let mut arrivals: Vec<_> = ibm.iter().map(|print| (print.0 + rng.below(5_000) as i64, *print)).collect();
    arrivals.sort_by_key(|(arrives_ms, _)| *arrives_ms);
    let arrivals: Vec<_> = arrivals.into_iter().map(|(_, print)| print).collect();
    let late = build(&store, "IBM", &arrivals).await;
    assert!(late > 1_000, "{late}");
    assert_eq!(stored(&mut redis.conn()), calculate("IBM", &arrivals));
}
