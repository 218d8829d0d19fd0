//! What can still be told of a hash that does not parse.

use super::{Change, Position, Reader, Strategy};
use crate::decimal::Quantity;
use crate::event::EventType;
use crate::order::Action;

/// The few facts that replacing or deleting a strategy needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salvaged {
    /// Changes so far; 0 where that does not parse.
    pub version: u64,
    /// Entries so far; 0 where that does not parse.
    pub cycle: u64,
    /// Certainly nothing held, nothing enqueued, nothing at the broker.
    pub idle: bool,
}

impl Strategy {
    /// Reads what it can, field by field, from a hash that [`Strategy::read`] refuses.
    #[must_use]
    pub fn salvage<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Salvaged {
        let reader = Reader { get };
        let action = |name| reader.word(name, Action::parse);
        let in_flight = !matches!((action("pending"), action("working")), (Ok(None), Ok(None)));
        Salvaged {
            version: reader.bounded("version").unwrap_or(0),
            cycle: reader.bounded("cycle").unwrap_or(0),
            idle: !in_flight && reader.open_quantity() == Some(Quantity::ZERO),
        }
    }
}

impl<'a, F: Fn(&str) -> Option<&'a [u8]>> Reader<F> {
    /// Quantity held; `None` where a field that decides it does not parse.
    fn open_quantity(&self) -> Option<Quantity> {
        let position = self.word("position", Position::parse).ok()?.unwrap_or(Position::None);
        let (filled, exited) = (self.quantity("filled_quantity").ok()?, self.quantity("exit_quantity").ok()?);
        if !position.is_open() {
            return Some(Quantity::ZERO);
        }
        let filled = match filled {
            Some(filled) => filled,
            None => self.entry_quantity().ok()??,
        };
        Some(filled.minus(exited.unwrap_or_default()))
    }
}

impl Salvaged {
    /// The version that the next change leads to.
    #[must_use]
    pub const fn next_version(&self) -> u64 {
        self.version + 1
    }

    /// The hash is deleted, as [`Strategy::remove`] does it: what it may leave in the market is said loudly.
    #[must_use]
    pub fn remove(&self) -> Change {
        let mut change = Change::new(EventType::StrategyRemoved);
        if !self.idle {
            change
                .with("reason", "the deleted hash did not parse and may have been in the market")
                .publish
                .push(EventType::StrategyError);
        }
        change
    }
}

impl From<&Strategy> for Salvaged {
    fn from(strategy: &Strategy) -> Self {
        Self { version: strategy.version, cycle: strategy.cycle, idle: strategy.is_idle() }
    }
}
