//! Makes the files of `samples/`: a synthetic day of ticks, strategies for it, and strategies for `make run`.
//!
//! `cargo run -p strat-engine --example make_samples -- samples` writes them again; a test makes sure that what is in the
//! repository is what this makes.

use crate::random::SplitMix;
use flate2::{Compression, GzBuilder};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// 2025-06-03T08:00:00-04:00 in New York, a Tuesday: before the session, as a real feed begins.
const DAY_START_MS: i64 = 1_748_952_000_000;
/// Nine hours: until an hour after the close.
const DAY_MS: u64 = 9 * 3_600_000;
const TICKS: usize = 24_000;
/// Invented symbols and first prices in cents.
const SYMBOLS: [(&str, i64); 4] = [("ACME", 10_125), ("BOLT", 4_860), ("CORE", 25_340), ("DUNE", 1_275)];
const DAY_STRATEGIES: usize = 200;
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const HEADER: &str = "user_id,strategy_id,symbol,side,quantity,buy_time,sell_time,timezone,stop_loss,take_profit";

/// The synthetic day: `ts_ms,symbol,price,size`, in time order.
#[must_use]
pub fn ticks() -> String {
    let mut random = SplitMix::new(20_250_603);
    let mut times: Vec<u64> = (0..TICKS).map(|_| random.below(DAY_MS)).collect();
    times.sort_unstable();
    let mut prices = SYMBOLS.map(|(_, cents)| cents);
    let mut text = String::from("ts_ms,symbol,price,size\n");
    for after_ms in times {
        let which = random.below(SYMBOLS.len() as u64) as usize;
        // A walk of up to 0.06 %, now and then a jump.
        let largest = (prices[which] * 6 / 10_000).max(1);
        let jump = if random.chance(1) { random.around(largest * 5) } else { 0 };
        prices[which] = (prices[which] + random.around(largest) + jump).max(100);
        let size = (1 + random.below(20)) * 50;
        let _ =
            writeln!(text, "{},{},{},{size}", DAY_START_MS + after_ms as i64, SYMBOLS[which].0, cents(prices[which]));
    }
    text
}

/// Strategies for the synthetic day: both sides, timed exits, stops, targets, trailing stops, some that never enter, some
/// that stay open.
#[must_use]
pub fn day_strategies() -> String {
    let mut random = SplitMix::new(7);
    let mut text = format!("{HEADER},trail\n");
    for index in 0..DAY_STRATEGIES {
        let (symbol, home) = SYMBOLS[random.below(SYMBOLS.len() as u64) as usize];
        let long = random.chance(55);
        let entry = 8 * 3_600 + random.below(8 * 3_600);
        let exit = match index % 20 {
            // Over before any tick can fill it.
            0 => entry + 1,
            // Beyond the day's last tick.
            1 => 20 * 3_600,
            _ => (entry + 300 + random.below(4 * 3_600)).min(17 * 3_600 - 1),
        };
        let (buy, sell) = if long { (entry, exit) } else { (exit, entry) };
        let level = |random: &mut SplitMix, above: bool| {
            let distance = home * (50 + random.below(350) as i64) / 10_000;
            if random.chance(25) { String::new() } else { cents(if above { home + distance } else { home - distance }) }
        };
        let (stop, target) = (level(&mut random, !long), level(&mut random, long));
        // In hundredths of a percent.
        let distance = 15 + 10 * (index as i64 % 7);
        let trail = match index % 6 {
            2 => cents((home * distance / 10_000).max(1)),
            5 => format!("{}%", cents(distance)),
            _ => String::new(),
        };
        let quantity = ["10", "25", "100", "2.5"][random.below(4) as usize];
        let (user, side) = (USERS[index % USERS.len()], if long { "LONG" } else { "SHORT" });
        // Never traded on this day.
        let symbol = if index % 50 == 49 { "ECHO" } else { symbol };
        let _ = writeln!(
            text,
            "{user},day-{index:03},{symbol},{side},{quantity},{},{},America/New_York,{stop},{target},{trail}",
            clock(buy),
            clock(sell)
        );
    }
    text
}

/// Strategies for `make run`: their entries are due whenever it is started (a whole day of grace), their stops and targets
/// are near the prices where the simulated market starts, and what is left is sold before midnight in India.
#[must_use]
pub fn run_strategies() -> String {
    let symbols = [("RELIANCE", 250_000), ("INFY", 150_000), ("TCS", 350_000), ("HDFCBANK", 165_000), ("SBIN", 82_000)];
    let mut text = format!("{HEADER},grace_seconds\n");
    for index in 0..20 {
        let (symbol, home) = symbols[index % symbols.len()];
        let long = index % 3 != 2;
        // From 0.15 % to 1.5 %: the first exits come within seconds, the last take a while.
        let distance = home * (15 + 7 * index as i64) / 10_000;
        let (stop, target) = if long { (home - distance, home + distance) } else { (home + distance, home - distance) };
        let (buy, sell) = if long { ("00:00:00", "23:59:00") } else { ("23:59:00", "00:00:00") };
        let (user, side) = (USERS[index % 3], if long { "LONG" } else { "SHORT" });
        let quantity = 5 * (1 + index % 4);
        let _ = writeln!(
            text,
            "{user},sample-{:02},{symbol},{side},{quantity},{buy},{sell},Asia/Kolkata,{},{},86400",
            index + 1,
            cents(stop),
            cents(target)
        );
    }
    text
}

/// Writes all files into `folder`.
///
/// # Errors
/// Where one cannot be written.
pub fn write(folder: &Path) -> std::io::Result<()> {
    let file = std::fs::File::create(folder.join("ticks.csv.gz"))?;
    // Without a time stamp, so that the same ticks give the same file.
    let mut gz = GzBuilder::new().mtime(0).write(file, Compression::best());
    gz.write_all(ticks().as_bytes())?;
    gz.finish()?.sync_all()?;
    std::fs::write(folder.join("strategies-day.csv"), day_strategies())?;
    std::fs::write(folder.join("strategies.csv"), run_strategies())
}

fn cents(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendars;
    use std::io::Read as _;

    #[test]
    fn the_repositorys_samples_are_what_this_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text("strategies-day.csv"), day_strategies());
        assert_eq!(text("strategies.csv"), run_strategies());
        let mut unpacked = String::new();
        let file = std::fs::File::open(folder.join("ticks.csv.gz")).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == ticks(), "ticks.csv.gz differs; make it again with the example make_samples");
    }

    #[test]
    fn the_samples_read_without_a_complaint() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let calendars = Calendars::load(None).unwrap();
        for (name, count) in [("strategies-day.csv", DAY_STRATEGIES), ("strategies.csv", 20)] {
            let file = crate::strategies_csv::read(&folder.path().join(name), false, &calendars).unwrap();
            assert_eq!(file.lines.len(), count);
        }
        let mut feed =
            crate::feed::CsvFeed::open(&folder.path().join("ticks.csv.gz"), crate::feed::CsvOptions::default())
                .unwrap();
        let mut count = 0;
        while let Some(tick) = feed.read() {
            tick.unwrap();
            count += 1;
        }
        assert_eq!(count, TICKS);
    }
}
