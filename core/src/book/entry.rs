//! What the book keeps of one strategy: one cache line.

use crate::decimal::Price;
use crate::strategy::{Arming, Status};

/// Longest id that is kept without memory of its own.
const SHORT_ID_BYTES: usize = 14;
/// In place of a level or time that there is not: no price and no epoch ms is this number.
const NONE: i64 = i64::MIN;

/// A strategy id, within 16 bytes where it is short.
#[derive(Debug)]
enum Id {
    Short(u8, [u8; SHORT_ID_BYTES]),
    Long(Box<LongId>),
}

/// One pointer instead of two words.
#[derive(Debug)]
struct LongId(Box<str>);

impl Id {
    fn new(id: &str) -> Self {
        let mut bytes = [0; SHORT_ID_BYTES];
        match (u8::try_from(id.len()), bytes.get_mut(..id.len())) {
            (Ok(len), Some(place)) => {
                place.copy_from_slice(id.as_bytes());
                Self::Short(len, bytes)
            }
            _ => Self::Long(Box::new(LongId(id.into()))),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // It was made of a text.
            Self::Short(len, bytes) => std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default(),
            Self::Long(id) => &id.0,
        }
    }
}

/// The ways in which a strategy may be waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// For a price at or below a level.
    Fall,
    /// For a price at or above a level.
    Rise,
    /// For the time of its entry.
    EntryTime,
    /// For the time of its exit, or of a retry.
    ExitTime,
}

impl Wait {
    pub(super) const ALL: [Self; 4] = [Self::Fall, Self::Rise, Self::EntryTime, Self::ExitTime];
}

/// What a strategy waits for, in the order of [`Wait::ALL`]; [`NONE`] where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waits([i64; 4]);

impl Waits {
    pub(super) fn of(arming: &Arming) -> Self {
        let units = |level: Option<Price>| level.map_or(NONE, Price::units);
        let at = |time: Option<i64>| time.unwrap_or(NONE);
        Self([units(arming.fall), units(arming.rise), at(arming.entry_due), at(arming.exit_due)])
    }

    fn arming(self) -> Arming {
        let [fall, rise, entry, exit] = self.0;
        let price = |units: i64| (units != NONE).then(|| Price::from_units(units));
        let time = |at: i64| (at != NONE).then_some(at);
        Arming { fall: price(fall), rise: price(rise), trail: None, entry_due: time(entry), exit_due: time(exit) }
    }

    /// The rank in the order of what waits like that: the first to be fired has the lowest. `None` where it does not wait.
    pub(super) const fn rank(self, wait: Wait) -> Option<i64> {
        let [fall, rise, entry, exit] = self.0;
        let rank = match wait {
            Wait::Fall => fall_rank(fall),
            Wait::Rise => rise,
            Wait::EntryTime => entry,
            // Two equal times of one strategy are one place in the time book.
            Wait::ExitTime if exit == entry => NONE,
            Wait::ExitTime => exit,
        };
        if rank == NONE { None } else { Some(rank) }
    }
}

/// One strategy.
#[derive(Debug)]
pub(super) struct Entry {
    id: Id,
    /// Index of the user.
    pub(super) user: u32,
    /// Index of the symbol.
    pub(super) symbol: u32,
    pub(super) waits: Waits,
    /// The book's sequence number when the levels were armed as they are, and the status in the lowest bits.
    seq_and_status: u64,
}

const STATUS_BITS: u32 = 2;
const STATUSES: [Status; 1 << STATUS_BITS] = [Status::Running, Status::Stopped, Status::Completed, Status::Failed];

impl Entry {
    /// A strategy that waits for nothing yet and is not RUNNING.
    pub(super) fn new(id: &str, user: u32, symbol: u32) -> Self {
        let mut entry = Self { id: Id::new(id), user, symbol, waits: Waits([NONE; 4]), seq_and_status: 0 };
        entry.set(Status::Stopped, entry.waits, 0);
        entry
    }

    pub(super) fn id(&self) -> &str {
        self.id.as_str()
    }

    pub(super) const fn seq(&self) -> u64 {
        self.seq_and_status >> STATUS_BITS
    }

    pub(super) const fn status(&self) -> Status {
        STATUSES[self.seq_and_status as usize & (STATUSES.len() - 1)]
    }

    pub(super) fn running(&self) -> bool {
        self.status() == Status::Running
    }

    pub(super) fn arming(&self) -> Arming {
        self.waits.arming()
    }

    /// Takes over what changed.
    pub(super) fn set(&mut self, status: Status, waits: Waits, seq: u64) {
        self.waits = waits;
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or_default();
        self.seq_and_status = seq << STATUS_BITS | status as u64;
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.id {
            Id::Short(..) => 0,
            Id::Long(id) => size_of::<LongId>() + id.0.len(),
        }
    }
}

/// The highest level fires first. Prices are far from `i64::MIN`, so the negation is exact, and [`NONE`] stays itself.
pub(super) const fn fall_rank(units: i64) -> i64 {
    units.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fills_one_cache_line() {
        assert_eq!(size_of::<Option<Entry>>(), 64);
    }

    #[test]
    fn an_id_of_any_length_is_kept() {
        for len in 0..=crate::key::ID_BYTES_MAX {
            let id = "x".repeat(len);
            assert_eq!(Entry::new(&id, 0, 0).id(), id);
        }
    }

    #[test]
    fn every_status_is_kept_beside_the_sequence_number() {
        for status in Status::ALL.iter().copied() {
            let mut entry = Entry::new("s", 0, 0);
            entry.set(status, Waits::of(&Arming::default()), u64::MAX >> STATUS_BITS);
            assert_eq!((entry.status(), entry.seq()), (status, u64::MAX >> STATUS_BITS));
            assert_eq!(entry.arming(), Arming::default());
        }
    }
}
