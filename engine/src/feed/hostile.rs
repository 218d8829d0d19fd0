//! Ticks of any bytes, from a file and over a socket.

use super::csv::CsvOptions;
use super::lines::{LINE_BYTES_MAX, Lines, LinesFeed};
use super::{CsvFeed, Stamp, Tick};
use crate::clock::ReplayClock;
use crate::table::TableError;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use strat_core::Price;
use strat_core::key::check_symbol;

fn feed() -> LinesFeed {
    LinesFeed::new("nowhere:1", Duration::ZERO, Arc::new(ReplayClock::at(77)))
}

/// Bytes of lines, nearly ticks.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 16] = [
        b"IBM,1\n",
        b"M&M,2.50,7\r\n",
        b"IBM",
        b",",
        b"\n",
        b"\r",
        b"-1",
        b"1.5",
        b"nan",
        b"\xff",
        b"\0",
        b"\x1b[2J",
        b" ",
        b"9223372036854775807",
        b"9223372036854775808",
        &[b'x'; 200],
    ];
    vec(
        prop_oneof![9 => prop::sample::select(pieces.to_vec()).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..300)],
        0..16,
    )
    .prop_map(|pieces| pieces.concat())
}

/// The lines of chunks; `None` for one that is too long.
fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut lines, mut all) = (Lines::default(), Vec::new());
    for chunk in chunks {
        lines.push(chunk);
        while let Some(line) = lines.next() {
            all.push(line.ok());
        }
        assert!(lines.kept() <= LINE_BYTES_MAX, "bounded");
    }
    all
}

fn is_sound(tick: &Tick) -> bool {
    check_symbol(&tick.symbol).is_ok() && Price::parse(tick.price_text.as_bytes()) == Ok(tick.price) && tick.ts_ms >= 0
}

fn ticks_of_file(bytes: &[u8]) -> (Vec<Tick>, u64, Option<TableError>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.csv");
    std::fs::write(&path, bytes).unwrap();
    let mut feed = match CsvFeed::open(&path, CsvOptions { skip_bad: true }) {
        Ok(feed) => feed,
        Err(error) => return (Vec::new(), 0, Some(error)),
    };
    let mut ticks = Vec::new();
    loop {
        match feed.read() {
            Some(Ok(tick)) => ticks.push(tick),
            Some(Err(error)) => return (ticks, feed.skipped(), Some(error)),
            None => return (ticks, feed.skipped(), None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn lines_do_not_depend_on_the_packets(bytes in bytes(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        ends.sort_unstable();
        let chunks = cut(ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]));
        let long = bytes.split(|byte| *byte == b'\n').filter(|line| line.len() > LINE_BYTES_MAX + 1).count();
        prop_assert!(chunks.iter().filter(|line| line.is_none()).count() >= long);
        prop_assert_eq!(chunks, cut([&*bytes]));
    }

    #[test]
    fn a_line_is_a_sound_tick_or_the_complaint_names_what_is_wrong(bytes in bytes()) {
        let mut feed = feed();
        for line in bytes.split(|byte| *byte == b'\n') {
            match feed.tick(line) {
                Ok(tick) => prop_assert!(is_sound(&tick), "{tick:?}"),
                Err(why) => {
                    let named = ["UTF-8", "symbol", "price", "epoch"].iter().any(|word| why.contains(word));
                    prop_assert!(named && !why.chars().any(char::is_control), "{why:?}");
                }
            }
        }
    }

    #[test]
    fn a_tick_that_is_written_is_read_back(
        symbol in "[A-Z][A-Z0-9&./_^=-]{0,63}",
        text in "[0-9]{1,10}(\\.[0-9]{1,8})?",
        ts_ms in prop::option::of(0..=i64::MAX),
    ) {
        let ts = ts_ms.map_or_else(String::new, |ts| format!(",{ts}"));
        let tick = feed().tick(format!("{symbol},{text}{ts}").as_bytes()).map_err(TestCaseError::fail)?;
        prop_assert_eq!((&*tick.symbol, &*tick.price_text, tick.ts_ms), (&*symbol, &*text, ts_ms.unwrap_or(77)));
        let file = format!("ts_ms,symbol,price\n{},{symbol},{text}\n", ts_ms.unwrap_or(77));
        let (ticks, skipped, error) = ticks_of_file(file.as_bytes());
        // A line without a time has none of the market's; a file has always one.
        let tick = Tick { stamp: Stamp::Market, ..tick };
        prop_assert_eq!((ticks, skipped, error.is_none()), (vec![tick], 0, true));
    }

    #[test]
    fn a_file_gives_sound_ticks_in_the_order_of_time(bytes in bytes(), times in vec(-3..9i64, 0..6)) {
        let good: String = times.iter().map(|ts| format!("{ts},IBM,1\n")).collect();
        let file = [b"ts_ms,symbol,price\n", good.as_bytes(), &bytes].concat();
        let (ticks, _, error) = ticks_of_file(&file);
        prop_assert!(ticks.iter().all(is_sound) && ticks.is_sorted_by_key(|tick| tick.ts_ms), "{ticks:?}");
        if let Some(error) = error {
            prop_assert!(error.to_string().contains("t.csv, line "), "{error}");
        }
    }
}
