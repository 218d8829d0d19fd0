//! Reads the files that a replay reads, in the simplest way: by splitting lines at commas.

use super::calc::{Day, Plan, Tick};
use super::decimal::{PRICE_PLACES, units};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The columns of a generated `strategies.csv`.
pub const COLUMNS: &str =
    "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit,trail";

/// Reads ticks, plain or gzipped.
pub fn day(path: &Path) -> Day {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = if zipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut lines = BufReader::new(bytes).lines().map(Result::unwrap);
    let header = lines.next().unwrap();
    let columns: Vec<_> = header.split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (ts_ms, symbol, price) = (column("ts_ms"), column("symbol"), column("price"));
    let mut day = Day::default();
    for line in lines {
        let cells: Vec<_> = line.split(',').collect();
        let known = day.symbols.iter().position(|known| known == cells[symbol]);
        let index = known.unwrap_or_else(|| {
            day.symbols.push(cells[symbol].to_owned());
            day.symbols.len() - 1
        });
        let tick =
            Tick { ts_ms: cells[ts_ms].parse().unwrap(), symbol: index, price: units(cells[price], PRICE_PLACES) };
        day.ticks.push(tick);
    }
    day
}

/// Reads strategies, with the columns of [`COLUMNS`] in any order; one of their levels may have none. `offset_min` gives
/// a zone's offset from UTC on the replayed day, in minutes.
pub fn plans(csv: &str, first_tick_ms: i64, offset_min: impl Fn(&str) -> i64) -> Vec<Plan> {
    let mut lines = csv.lines();
    let columns: Vec<_> = lines.next().unwrap().split(',').collect();
    // What the calculation does not know, it would leave out of the result without a word.
    assert!(columns.iter().all(|name| COLUMNS.split(',').any(|known| known == *name)), "columns {columns:?}");
    let plan = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        assert_eq!(cells.len(), columns.len(), "cells of '{line}'");
        let cell = |name: &str| {
            let index = columns.iter().position(|column| *column == name);
            index.map_or_else(String::new, |index| cells[index].to_owned())
        };
        let at = |name: &str| epoch_ms(&cell(name), offset_min(&cell("timezone")), first_tick_ms);
        let long = cell("side") == "LONG";
        let (buy, sell) = (at("buy_time"), at("sell_time"));
        Plan {
            user: cell("user_id"),
            id: cell("strategy_id"),
            symbol: cell("symbol"),
            long,
            quantity: cell("quantity"),
            entry_at: if long { buy } else { sell },
            exit_at: if long { sell } else { buy },
            stop_loss: cell("stop_loss"),
            take_profit: cell("take_profit"),
            trail: cell("trail"),
        }
    };
    lines.map(plan).collect()
}

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// When the day that the first tick falls on begins in a zone.
pub fn midnight_ms(offset_min: i64, first_tick_ms: i64) -> i64 {
    let offset_ms = offset_min * 60_000;
    (first_tick_ms + offset_ms).div_euclid(DAY_MS) * DAY_MS - offset_ms
}

/// A local time `HH:MM` or `HH:MM:SS` of that day.
fn epoch_ms(time: &str, offset_min: i64, first_tick_ms: i64) -> i64 {
    let parts: Vec<i64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    let seconds = parts[0] * 3_600 + parts[1] * 60 + parts.get(2).copied().unwrap_or(0);
    midnight_ms(offset_min, first_tick_ms) + seconds * 1_000
}

#[test]
fn the_day_is_the_first_ticks_date_in_the_zone() {
    // 2013-10-08T08:00:17Z is the 7th, 22:00, in Honolulu.
    let first = 1_381_219_217_034;
    assert_eq!(epoch_ms("09:30", -240, first), 1_381_239_000_000);
    assert_eq!(epoch_ms("22:00:17", -600, first), 1_381_219_217_000);
    assert_eq!(epoch_ms("00:00", 345, first), 1_381_169_700_000);
}
