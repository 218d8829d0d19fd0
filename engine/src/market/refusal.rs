//! Why a tick is kept away from the stops.

use crate::feed::Tick;

/// Why a tick is kept away from the stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its price is not above 0.
    Price,
    /// It lies far from the last price, and the next one did not confirm it.
    Jump,
    /// Its stamp lies ahead of this machine's clock.
    Future,
    /// A newer one of its symbol was taken before.
    Late,
    /// It was taken before.
    Duplicate,
    /// The market is closed for those who hold its symbol.
    Session,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Price, Self::Jump, Self::Future, Self::Late, Self::Duplicate, Self::Session];

    /// The label of its count.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Jump => "jump",
            Self::Future => "future",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Session => "session",
        }
    }
}

/// Ticks that were kept away from the stops, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// How many there were for a reason.
    #[must_use]
    pub const fn of(&self, why: Refusal) -> u64 {
        self.0[why as usize]
    }

    /// Counts one, and says so: the first time and whenever the count has doubled, for a feed that has gone mad must not
    /// fill the disk.
    pub(super) fn add(&mut self, why: Refusal, tick: &Tick, now_ms: i64) {
        let total = &mut self.0[why as usize];
        *total += 1;
        if total.is_power_of_two() {
            tell(why, tick, now_ms, *total);
        }
    }
}

fn tell(why: Refusal, tick: &Tick, now_ms: i64, total: u64) {
    let Tick { symbol, price_text: price, ts_ms, .. } = tick;
    let (symbol, age_ms) = (&**symbol, now_ms.saturating_sub(*ts_ms));
    match why {
        Refusal::Price => tracing::error!(symbol, price, total, "a price that is not above 0 is refused"),
        Refusal::Jump => {
            tracing::warn!(symbol, price, total, "a jump that the next tick does not confirm is dropped");
        }
        Refusal::Future => tracing::error!(
            symbol,
            price,
            ts_ms,
            age_ms,
            total,
            "a tick from the future is refused: the feed's clock or this machine's is wrong"
        ),
        Refusal::Late => tracing::warn!(symbol, price, age_ms, total, "a tick older than the last one is refused"),
        Refusal::Duplicate => tracing::info!(symbol, price, age_ms, total, "a tick that was told before is refused"),
        Refusal::Session => tracing::info!(symbol, price, age_ms, total, "a tick outside the sessions is refused"),
    }
}
