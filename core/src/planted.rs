//! Known mistakes that the test harnesses must catch, each behind a switch that only test builds have.
//!
//! Without the feature `planted` every question is answered "no" at compile time: a released binary holds none of them.

/// A mistake that others made, and lost money by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mistake {
    /// After a time-out the order is sent again without a look-up.
    BlindResend = 1,
    /// That a look-up does not show an order is taken for proof at once.
    AbsenceUnproven,
    /// A time-out is booked as a rejection.
    TimeoutIsRejection,
    /// A lock's token is not compared.
    NoTokenCheck,
    /// An order is claimed with an epoch that is over.
    StaleEpoch,
    /// The queue entry is acknowledged when the order is sent, not when it has ended.
    AckBeforeReport,
    /// A trigger that fired is not latched: the next tick fires it again.
    UnlatchedTrigger,
    /// Exits sell what was wanted, not what was filled.
    IntentSizedExit,
    /// Each exit action has an order id of its own.
    TwoExitIds,
    /// Partial fills are not reported.
    LostPartialFill,
    /// The journal is trimmed before Postgres has it.
    JournalTrimmedEarly,
    /// An exit is carried out when its event is heard, instead of from the queue.
    PublishAsDelivery,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::BlindResend,
        Self::AbsenceUnproven,
        Self::TimeoutIsRejection,
        Self::NoTokenCheck,
        Self::StaleEpoch,
        Self::AckBeforeReport,
        Self::UnlatchedTrigger,
        Self::IntentSizedExit,
        Self::TwoExitIds,
        Self::LostPartialFill,
        Self::JournalTrimmedEarly,
        Self::PublishAsDelivery,
    ];
}

#[cfg(feature = "planted")]
mod switch {
    use super::Mistake;
    use std::sync::atomic::{AtomicU8, Ordering};

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Makes this mistake from now on, in the whole process; none with `None`.
    pub fn plant(mistake: Option<Mistake>) {
        PLANTED.store(mistake.map_or(0, |mistake| mistake as u8), Ordering::Relaxed);
    }

    /// Whether this mistake is to be made.
    #[must_use]
    pub fn is(mistake: Mistake) -> bool {
        PLANTED.load(Ordering::Relaxed) == mistake as u8
    }
}

#[cfg(feature = "planted")]
pub use switch::{is, plant};

/// Whether this mistake is to be made: never, in a build without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_: Mistake) -> bool {
    false
}
