//! Messages that are nearly right: documented ones with a few bytes, numbers or texts changed.

use crate::random::SplitMix;
use std::ops::Range;

/// Longest message.
const BYTES_MAX: usize = 4_096;
/// Changes in one message.
const CHANGES_MAX: u64 = 4;

/// Numbers at which something may give way, as they may be written.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "1",
    "-1",
    "+1",
    "01",
    "5.",
    ".5",
    "1e2",
    "1E-2",
    "-1.5",
    "0.00000001",
    "0.000000001",
    "0.000000005",
    "1.999999999999",
    "106.001234567891",
    "89999999999.99999999",
    "90000000000",
    "92233720368.54775807",
    "92233720368.54775808",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1760000000123",
    "253402300800000",
    "NaN",
    "Infinity",
    "null",
    "true",
    "\"1.5\"",
    "{}",
    "[]",
    "1 2",
    "１",
    "\\u0031",
];

/// Bytes at which something may give way.
const BYTES: &[u8] =
    &[0, 1, 3, 6, 8, 12, 28, 32, 44, 127, 128, 184, 255, b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'.'];

/// Changes messages.
pub(super) struct Mutator(SplitMix);

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix::new(seed))
    }

    /// One of these, changed.
    pub(super) fn message(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.one_of(corpus).clone();
        // Mostly few: more often than not a message with many makes no sense at all.
        let most = self.0.below(CHANGES_MAX);
        for _ in 0..=self.0.below(most + 1) {
            self.change(&mut message, corpus);
        }
        message.truncate(BYTES_MAX);
        message
    }

    fn change(&mut self, message: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let part = self.part(message.len());
        match self.0.below(12) {
            0 => self.with_byte(message, |byte, random| byte ^ (1 << random.below(8))),
            1 => self.with_byte(message, |_, random| random.below(256) as u8),
            2 => self.with_byte(message, |_, random| BYTES[random.below(BYTES.len() as u64) as usize]),
            3 => drop(message.drain(part)),
            4 => {
                let again = message[part.clone()].to_vec();
                drop(message.splice(part.end..part.end, again));
            }
            5 => message.truncate(part.start),
            6 => {
                let other = self.one_of(corpus);
                let from = self.part(other.len());
                drop(message.splice(part, other[from].iter().copied()));
            }
            7 => self.with_number(message, part.start),
            8 | 9 => {
                self.replace(message, numbers, |random| NUMBERS[random.below(NUMBERS.len() as u64) as usize].to_owned())
            }
            10 => self.replace(message, numbers, any_decimal),
            // Names and texts of one message in the places of others: doubled names come of it, too.
            _ => {
                let other = self.one_of(corpus).clone();
                let from = texts(&other);
                if let Some(from) = from.get(self.0.below(from.len() as u64) as usize) {
                    let text = String::from_utf8_lossy(&other[from.clone()]).into_owned();
                    self.replace(message, texts, |_| text.clone());
                }
            }
        }
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.0.below(all.len() as u64) as usize]
    }

    /// A short part of so many bytes.
    fn part(&mut self, length: usize) -> Range<usize> {
        let start = self.0.below(length as u64 + 1) as usize;
        let most = if self.0.chance(20) { length } else { 8 };
        start..(start + self.0.below(most as u64 + 1) as usize).min(length)
    }

    fn with_byte(&mut self, message: &mut [u8], change: impl Fn(u8, &mut SplitMix) -> u8) {
        let at = self.0.below(message.len() as u64) as usize;
        if let Some(byte) = message.get_mut(at) {
            *byte = change(*byte, &mut self.0);
        }
    }

    /// A big-endian number over what is there.
    fn with_number(&mut self, message: &mut [u8], at: usize) {
        let number = match self.0.below(4) {
            0 => self.0.below(256) as u32,
            1 => u32::MAX - self.0.below(3) as u32,
            2 => (1 << 31) - self.0.below(3) as u32,
            _ => self.0.next_bits() as u32,
        };
        let width = if self.0.chance(50) { 2 } else { 4 };
        for (byte, new) in message.iter_mut().skip(at).zip(&number.to_be_bytes()[4 - width..]) {
            *byte = *new;
        }
    }

    fn replace(
        &mut self,
        message: &mut Vec<u8>,
        find: fn(&[u8]) -> Vec<Range<usize>>,
        new: impl Fn(&mut SplitMix) -> String,
    ) {
        let found = find(message);
        if let Some(part) = found.get(self.0.below(found.len() as u64) as usize) {
            let new = new(&mut self.0);
            drop(message.splice(part.clone(), new.into_bytes()));
        }
    }
}

fn any_decimal(random: &mut SplitMix) -> String {
    let (whole, part) = (random.next_bits() >> random.below(64), random.next_bits() >> random.below(64));
    if random.chance(30) { whole.to_string() } else { format!("{whole}.{part}") }
}

/// Runs of digits, with their signs and points.
fn numbers(message: &[u8]) -> Vec<Range<usize>> {
    runs(message, |byte| byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// What stands between quotes, by and large.
fn texts(message: &[u8]) -> Vec<Range<usize>> {
    runs(message, |byte| byte != b'"').into_iter().skip(1).collect()
}

fn runs(message: &[u8], within: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, _) in message.iter().enumerate().filter(|(_, byte)| within(**byte)) {
        match runs.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}
