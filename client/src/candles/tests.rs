//! Rules of periods and candles, each against a simpler reckoning.

use super::*;
use crate::market::{Decimal, Tick};
use jiff::civil::date;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strat_core::{Price, Quantity};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Epoch ms of a time of UTC.
fn utc(day: (i16, i8, i8), hour: i64, minute: i64) -> i64 {
    let midnight = date(day.0, day.1, day.2).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    midnight.timestamp().as_millisecond() + hour * HOUR + minute * MINUTE
}

fn new_york() -> Hours {
    Hours::new("America/New_York", "09:30", "16:00").unwrap()
}

fn tick(ts_ms: i64, price: i64, quantity: i64) -> Tick {
    Tick { ts_ms, price: Price::from_units(price), quantity: Quantity::from_units(quantity) }
}

#[test]
fn an_hour_begins_at_the_open_and_the_last_one_ends_with_the_session() {
    let open = utc((2013, 10, 8), 13, 30);
    let hours = new_york().periods(Timeframe::Hour, open, open + DAY, 10).unwrap();
    let lengths: Vec<_> = hours.iter().map(|hour| (hour.start_ms - open, hour.end_ms - hour.start_ms)).collect();
    let full = (0..6).map(|n| (n * HOUR, HOUR));
    assert_eq!(lengths, full.chain([(6 * HOUR, HOUR / 2)]).collect::<Vec<_>>());
    let minutes = new_york().periods(Timeframe::Minute, open, open + DAY, 390).unwrap();
    assert_eq!(minutes.len(), 390);
    assert!(new_york().periods(Timeframe::Minute, open, open + DAY, 389).is_err());
    assert_eq!(new_york().period_at(Timeframe::Day, open + 390 * MINUTE), None, "the close does not belong to it");
}

#[test]
fn a_session_stays_at_its_local_time_when_clocks_change() {
    for (day, hour, minute) in
        [((2025, 3, 7), 14, 30), ((2025, 3, 10), 13, 30), ((2025, 10, 31), 13, 30), ((2025, 11, 3), 14, 30)]
    {
        let open = utc(day, hour, minute);
        let session = Period { start_ms: open, end_ms: open + 390 * MINUTE };
        assert_eq!(new_york().session_at(open), Some(session), "{day:?}");
        assert_eq!(new_york().session_at(open - 1), None, "{day:?}");
    }
}

#[test]
fn a_whole_day_has_an_hour_less_or_more_when_clocks_change() {
    let always_open = [true; 7];
    for (zone, day, midnight, length) in [
        ("America/New_York", (2025, 3, 9), 5, 23),
        ("America/New_York", (2025, 11, 2), 4, 25),
        ("Europe/Berlin", (2025, 3, 30), -1, 23),
        ("Europe/Berlin", (2025, 10, 26), -2, 25),
        // Clocks go forward at midnight: the day begins at 01:00.
        ("Africa/Cairo", (2025, 4, 25), -2, 23),
        ("Asia/Kolkata", (2025, 3, 30), -5, 24),
    ] {
        let hours = Hours::new(zone, "00:00", "24:00").unwrap().on_weekdays(always_open);
        let minutes = if zone == "Asia/Kolkata" { -30 } else { 0 };
        let start_ms = utc(day, midnight, minutes);
        let session = Period { start_ms, end_ms: start_ms + length * HOUR };
        assert_eq!(hours.session_at(start_ms), Some(session), "{zone}");
        let before = hours.session_at(start_ms - 1).unwrap();
        assert_eq!(before.end_ms, start_ms, "{zone}: no moment between two days");
        let periods = hours.periods(Timeframe::Hour, start_ms, session.end_ms, 100).unwrap();
        assert_eq!(periods.len(), usize::try_from(length).unwrap(), "{zone}");
        assert!(periods.iter().all(|hour| hour.end_ms - hour.start_ms == HOUR), "{zone}");
    }
}

#[test]
fn a_session_may_end_on_the_next_day() {
    let sunday_to_thursday = [true, true, true, true, false, false, true];
    let globex = Hours::new("America/Chicago", "17:00", "16:00").unwrap().on_weekdays(sunday_to_thursday);
    let sunday = utc((2025, 6, 1), 22, 0);
    let session = Period { start_ms: sunday, end_ms: sunday + 23 * HOUR };
    for ts_ms in [sunday, sunday + 12 * HOUR, sunday + 23 * HOUR - 1] {
        assert_eq!(globex.session_at(ts_ms), Some(session));
    }
    assert_eq!(globex.session_at(sunday + 23 * HOUR), None, "the pause");
    assert_eq!(globex.session_at(sunday - 1), None, "the weekend");
    let days = globex.periods(Timeframe::Day, sunday, sunday + 7 * DAY, 10).unwrap();
    assert_eq!(days.len(), 5);
}

#[test]
fn days_may_differ() {
    let hours = new_york().closed_on("2025-12-25").unwrap().with_day("2025-12-24", "09:30", "13:00").unwrap();
    let days = hours.periods(Timeframe::Day, utc((2025, 12, 24), 0, 0), utc((2025, 12, 27), 0, 0), 10).unwrap();
    let open = utc((2025, 12, 24), 14, 30);
    assert_eq!(days[0], Period { start_ms: open, end_ms: open + 210 * MINUTE });
    assert_eq!((days.len(), days[1].start_ms), (2, utc((2025, 12, 26), 14, 30)));
}

#[test]
fn settings_that_make_no_sense_are_named() {
    for (made, named) in [
        (Hours::new("Mars/Olympus", "09:30", "16:00"), "Mars/Olympus"),
        (Hours::new("UTC", "9:30", "16:00"), "9:30"),
        (Hours::new("UTC", "24:00", "16:00"), "24:00"),
        (new_york().closed_on("2025-13-01"), "2025-13-01"),
    ] {
        assert!(made.unwrap_err().to_string().contains(named));
    }
    assert!(CandleBuilder::new(Arc::new(Hours::always()), Duration::from_secs(3_601)).is_err());
    assert!(Hours::always().periods(Timeframe::Day, 0, 30 * 366 * DAY, 100_000).is_err());
    assert!(Hours::always().periods(Timeframe::Day, i64::MIN, i64::MAX, 100_000).is_err());
}

#[test]
fn what_is_late_finds_its_place_and_what_is_too_late_is_counted() {
    let open = utc((2013, 10, 8), 13, 30);
    let mut builder = CandleBuilder::new(Arc::new(new_york()), Duration::from_secs(5)).unwrap();
    for (ts_ms, price, taken) in [
        (open - 1, 99, Taken::Outside),
        (open + MINUTE - 2_000, 10, Taken::Newest),
        (open + MINUTE + 1_000, 20, Taken::Newest),
        // Into the minute before: it becomes its close, and the lowest.
        (open + MINUTE - 1_000, 5, Taken::Late),
        // Before all others: the open.
        (open + MINUTE - 4_000, 12, Taken::Late),
        (open + MINUTE - 4_001, 1, Taken::TooLate),
        // Outside ticks do not make others late.
        (open + 390 * MINUTE, 99, Taken::Outside),
        (open + MINUTE + 1_000, 21, Taken::Newest),
    ] {
        assert_eq!(builder.push(&tick(ts_ms, price, 1)), taken, "{price} at {}", ts_ms - open);
    }
    let minutes: Vec<_> = builder.changes(2).iter().map(ohlc).collect();
    assert_eq!(minutes, [[12, 12, 5, 5], [20, 21, 20, 21]]);
    let counts = builder.counts();
    assert_eq!((counts.newest, counts.late, counts.too_late, counts.outside, counts.dropped), (3, 2, 1, 2, 0));
}

fn ohlc(candle: &Candle) -> [i64; 4] {
    [candle.open, candle.high, candle.low, candle.close].map(Price::units)
}

#[test]
fn candles_that_nobody_writes_are_let_go_and_counted() {
    let mut builder = CandleBuilder::new(Arc::new(Hours::always()), Duration::ZERO).unwrap();
    for minute in 0..2_500 {
        builder.push(&tick(minute * MINUTE, 1, 0));
    }
    assert_eq!(builder.counts().dropped, 500);
    let changes = builder.changes(usize::MAX);
    builder.written(&changes);
    let changes = builder.changes(usize::MAX);
    assert!(changes.is_empty(), "{}", changes.len());
}

#[test]
fn no_time_makes_it_panic() {
    let mut builder = CandleBuilder::new(Arc::new(Hours::always()), LATENESS_MAX).unwrap().resume([], i64::MAX);
    for ts_ms in [i64::MIN, -1, 0, i64::MAX] {
        builder.push(&tick(ts_ms, 1, 1));
    }
    builder.written(&[]);
}

/// By hand: those that count, in the order of their times and else as they came, cut at the boundaries of a session that
/// begins at 0.
fn naive(ticks: &[Tick], timeframe: Timeframe) -> BTreeMap<i64, ([i64; 4], i64, u64)> {
    let mut sorted = ticks.to_vec();
    sorted.sort_by_key(|tick| tick.ts_ms);
    let mut periods: BTreeMap<i64, Vec<Tick>> = BTreeMap::new();
    for tick in sorted {
        let length = timeframe.length_ms().unwrap_or(DAY);
        periods.entry(tick.ts_ms / length * length).or_default().push(tick);
    }
    let candle = |ticks: Vec<Tick>| {
        let prices: Vec<_> = ticks.iter().map(|tick| tick.price.units()).collect();
        let (high, low) = (*prices.iter().max().unwrap(), *prices.iter().min().unwrap());
        let volume = ticks.iter().map(|tick| tick.quantity.units()).sum();
        ([prices[0], high, low, *prices.last().unwrap()], volume, ticks.len() as u64)
    };
    periods.into_iter().map(|(start, ticks)| (start, candle(ticks))).collect()
}

/// A walk in time that mostly goes forward, and how often what changed is written.
fn walks() -> impl Strategy<Value = (Vec<(i64, i64, i64)>, usize)> {
    let step = (
        prop_oneof![3 => Just(0), 9 => 0..90_000_i64, 3 => -40_000..0_i64, 1 => 0..2_000_000_i64],
        -50..50_i64,
        0..9_i64,
    );
    (prop::collection::vec(step, 1..200), 1..40_usize)
}

proptest! {
    #[test]
    fn candles_are_those_of_a_sort_and_a_cut((steps, every) in walks(), cut in 0..200_usize) {
        let lateness = 30_000;
        let (mut now, mut newest) = (DAY, i64::MIN);
        let hours = Arc::new(Hours::always());
        let made = || CandleBuilder::new(Arc::clone(&hours), Duration::from_millis(30_000)).unwrap();
        let mut builder = made();
        let (mut counted, mut stored) = (Vec::new(), BTreeMap::new());
        for (n, (step, price, quantity)) in steps.into_iter().enumerate() {
            now += step;
            let tick = tick(now, price, quantity);
            let counts = now >= newest.saturating_sub(lateness);
            if counts {
                newest = newest.max(now);
                counted.push(tick);
            }
            prop_assert_eq!(builder.push(&tick) != Taken::TooLate, counts);
            if n % every == 0 || n == cut {
                let changes = builder.changes(usize::MAX);
                builder.written(&changes);
                stored.extend(changes.into_iter().map(|candle| ((candle.timeframe, candle.period.start_ms), candle)));
            }
            if n == cut {
                // A new builder goes on from what is stored.
                builder = made().resume(stored.values().copied(), newest);
            }
        }
        stored.extend(builder.changes(usize::MAX).into_iter().map(|c| ((c.timeframe, c.period.start_ms), c)));
        for timeframe in Timeframe::ALL {
            let expected = naive(&counted, timeframe);
            let ours = stored.iter().filter(|((of, _), _)| *of == timeframe);
            let ours: BTreeMap<_, _> = ours
                .map(|((_, start), candle)| (*start, (ohlc(candle), candle.volume, candle.trades)))
                .collect();
            let expected: BTreeMap<_, _> = expected
                .into_iter()
                .map(|(start, (ohlc, volume, trades))| (start, (ohlc, Decimal::from_units(volume.into()), trades)))
                .collect();
            prop_assert_eq!(ours, expected, "{}", timeframe);
        }
    }

    #[test]
    fn every_moment_of_a_session_lies_in_one_period(
        from in 0..400 * DAY, length in 0..3 * DAY, overnight in any::<bool>(), zone in 0..3_usize,
    ) {
        let zone = ["America/New_York", "Europe/Berlin", "Asia/Kolkata"][zone];
        let (open, close) = if overnight { ("17:00", "16:30") } else { ("09:15", "15:40") };
        let hours = Hours::new(zone, open, close).unwrap();
        for timeframe in Timeframe::ALL {
            let periods = hours.periods(timeframe, from, from + length, 10_000).unwrap();
            prop_assert!(periods.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
            for period in &periods {
                prop_assert!((from..from + length).contains(&period.start_ms));
                prop_assert_eq!(hours.period_at(timeframe, period.start_ms), Some(*period));
                prop_assert_eq!(hours.period_at(timeframe, period.end_ms - 1), Some(*period));
            }
            if let Some(period) = hours.period_at(timeframe, from + length / 2) {
                let listed = periods.contains(&period);
                prop_assert_eq!(listed, (from..from + length).contains(&period.start_ms));
            }
        }
    }
}
