//! Strategies for a day of ticks, with every corner that the fill rule has.

use super::calc::{Day, Tick};
use super::decimal::{PRICE_PLACES, text};
use super::input::{COLUMNS, DAY_MS, midnight_ms};
use crate::rng::Rng;
use std::fmt::Write;

/// Zones and their offsets from UTC on 2013-10-08 in minutes, from the published rules: summer time
/// still in North America and Europe, already in New Zealand (29 September) and New South Wales
/// (6 October), not yet in Brazil (20 October).
pub const ZONES: &[(&str, i64)] = &[
    ("America/New_York", -240),
    ("America/Chicago", -300),
    ("America/Los_Angeles", -420),
    ("America/St_Johns", -150),
    ("America/Sao_Paulo", -180),
    ("Europe/London", 60),
    ("UTC", 0),
    ("Asia/Kolkata", 330),
    ("Asia/Kathmandu", 345),
    ("Asia/Tokyo", 540),
    ("Australia/Sydney", 660),
    ("Pacific/Auckland", 780),
    ("Pacific/Honolulu", -600),
];

/// The offset of a zone of [`ZONES`].
pub fn offset_min(zone: &str) -> i64 {
    ZONES.iter().find(|(name, _)| *name == zone).unwrap_or_else(|| panic!("no offset for {zone}")).1
}

/// Entry and exit as seconds of the local day.
type Times = (i64, i64);

struct Generator<'a> {
    rng: &'a mut Rng,
    day: &'a Day,
}

/// `count` strategies as a CSV file.
pub fn strategies_csv(day: &Day, count: usize, rng: &mut Rng) -> String {
    let mut csv = format!("{COLUMNS}\n");
    let mut generator = Generator { rng, day };
    for number in 0..count {
        let line = generator.line(number);
        writeln!(csv, "{line}").unwrap();
    }
    csv
}

impl Generator<'_> {
    fn line(&mut self, number: usize) -> String {
        let symbol = self.rng.below(self.day.symbols.len());
        // Half trade in the exchange's own zone, where the session is the middle of the day.
        let (zone, offset) = if self.rng.chance(50) { ZONES[0] } else { *self.rng.pick(ZONES) };
        let midnight = midnight_ms(offset, self.day.ticks[0].ts_ms);
        let times = self.times(midnight, symbol);
        let long = self.rng.chance(50);
        let price = self.price_at(midnight + times.0 * 1_000, symbol);
        let (stop, target) = self.levels(price, symbol, long);
        let trail = if self.rng.chance(40) { self.trail(price, symbol) } else { String::new() };
        let (buy, sell) = if long { times } else { (times.1, times.0) };
        let (buy, sell) = (self.time_text(buy), self.time_text(sell));
        let quantity = self.quantity();
        let side = if long { "LONG" } else { "SHORT" };
        let (user, symbol) = (number % 37, &self.day.symbols[symbol]);
        format!("user{user},s{number},{symbol},{side},{quantity},{buy},{sell},{zone},{stop},{target},{trail}")
    }

    fn times(&mut self, midnight: i64, symbol: usize) -> Times {
        let second_of = |ts_ms: i64| ((ts_ms - midnight) / 1_000).clamp(0, DAY_MS / 1_000 - 1);
        let first = second_of(self.day.ticks[0].ts_ms);
        let last = second_of(self.day.ticks[self.day.ticks.len() - 1].ts_ms);
        let any = |rng: &mut Rng| rng.between(0, DAY_MS / 1_000 - 1);
        match self.rng.below(100) {
            // Equal times: the exit comes first.
            0..3 => {
                let time = self.rng.between(first, last);
                (time, time)
            }
            // The exit before the entry, anywhere in the day.
            3..7 => {
                let (a, b) = (any(self.rng), any(self.rng));
                (a.max(b), a.min(b))
            }
            // Any order, also outside the session and the file.
            7..14 => (any(self.rng), any(self.rng)),
            // The ends of the day.
            14..17 => (0, DAY_MS / 1_000 - 1),
            // Too short for a symbol that rarely trades.
            17..25 => {
                let entry = self.rng.between(first, last);
                (entry, (entry + self.rng.between(1, 20)).min(DAY_MS / 1_000 - 1))
            }
            // At the very time of a tick, for one of the two.
            25..33 => {
                let on_tick = self.exact_tick().map_or(first, |tick| second_of(tick.ts_ms));
                let other = self.rng.between(first, last);
                if self.rng.chance(50) { (on_tick, other.max(on_tick)) } else { (other.min(on_tick), on_tick) }
            }
            // The usual: in while the symbol trades, out later.
            _ => {
                let tick = self.tick_of(symbol);
                let entry = second_of(tick.ts_ms);
                (entry, self.rng.between(entry, DAY_MS / 1_000 - 1))
            }
        }
    }

    fn any_tick(&mut self) -> Tick {
        self.day.ticks[self.rng.below(self.day.ticks.len())]
    }

    /// A tick of a symbol, or nearly any where it is rare.
    fn tick_of(&mut self, symbol: usize) -> Tick {
        (0..200).map(|_| self.any_tick()).find(|tick| tick.symbol == symbol).unwrap_or(self.day.ticks[0])
    }

    /// A tick at a full second.
    fn exact_tick(&mut self) -> Option<Tick> {
        (0..20_000).map(|_| self.any_tick()).find(|tick| tick.ts_ms % 1_000 == 0)
    }

    /// Where an entry at that time would fill; some price of the symbol where it would not.
    fn price_at(&mut self, entry_ms: i64, symbol: usize) -> i128 {
        let from = self.day.ticks.partition_point(|tick| tick.ts_ms < entry_ms);
        let later = self.day.ticks[from..].iter().find(|tick| tick.symbol == symbol);
        later.map_or_else(|| self.tick_of(symbol).price, |tick| tick.price)
    }

    /// Stop-loss and take-profit around the price at the entry; each may be missing.
    fn levels(&mut self, price: i128, symbol: usize, long: bool) -> (String, String) {
        let losing = if long { -1 } else { 1 };
        let stop = if self.rng.chance(70) { self.level(price, losing, symbol) } else { String::new() };
        let target = if self.rng.chance(60) { self.level(price, -losing, symbol) } else { String::new() };
        (stop, target)
    }

    fn level(&mut self, price: i128, direction: i128, symbol: usize) -> String {
        let hundred_thousandths = match self.rng.below(10) {
            // Crossed already when the position is entered.
            0 => -i128::from(self.rng.between(0, 300)),
            // Never reached.
            1 => i128::from(self.rng.between(20_000, 50_000)),
            // Exactly a price that was traded: at or beyond the level fires, so this must.
            2 => return text(self.tick_of(symbol).price, PRICE_PLACES),
            _ => i128::from(self.rng.between(5, 900)),
        };
        let level = price + direction * price * hundred_thousandths / 100_000;
        // From whole cents to all eight decimals, with and without trailing zeros.
        let unit = 10_i128.pow(self.rng.between(0, 6) as u32);
        let exact = text(level / unit * unit, PRICE_PLACES);
        if exact.contains('.') && !exact.ends_with("00") && exact.len() < 10 && self.rng.chance(30) {
            exact + "0"
        } else {
            exact
        }
    }

    /// A trailing distance: fired by the next small step, in the course of the day, or never.
    fn trail(&mut self, price: i128, symbol: usize) -> String {
        let hundred_thousandths = i128::from(match self.rng.below(10) {
            0..2 => self.rng.between(1, 60),
            2 => self.rng.between(20_000, 99_999),
            _ => self.rng.between(60, 900),
        });
        // From whole cents, or thousandths of a percent, to all eight decimals.
        let unit = 10_i128.pow(self.rng.between(0, 6) as u32);
        let rounded = |exact: i128| text((exact / unit).max(1) * unit, PRICE_PLACES);
        match self.rng.below(10) {
            // Exactly the distance of two prices that were traded, so that some price is exactly at the stop.
            0..2 => text((self.tick_of(symbol).price - price).abs().max(1), PRICE_PLACES),
            2..6 => rounded(price * hundred_thousandths / 100_000 + i128::from(self.rng.between(0, 99_999))),
            // In 10⁻⁸ percent.
            _ => rounded(hundred_thousandths * 100_000 + i128::from(self.rng.between(0, 99_999))) + "%",
        }
    }

    fn quantity(&mut self) -> String {
        match self.rng.below(4) {
            0 => text(i128::from(self.rng.between(1, 5_000_000_000)), PRICE_PLACES),
            1 => "100000".to_owned(),
            2 => format!("{}.50", self.rng.between(1, 99)),
            _ => self.rng.between(1, 1_000).to_string(),
        }
    }

    fn time_text(&mut self, second: i64) -> String {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        if second == 0 && self.rng.chance(50) {
            format!("{hour:02}:{minute:02}")
        } else {
            format!("{hour:02}:{minute:02}:{second:02}")
        }
    }
}
