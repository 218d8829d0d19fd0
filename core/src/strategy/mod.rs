//! A strategy as its hash says it is, and the rules by which it changes.
//!
//! [`Strategy::read`] parses a hash; the other files hold one kind of transition each and answer with a
//! [`Change`]: what to write, enqueue and publish. Nothing here writes anything.

mod after;
mod arming;
mod change;
mod due;
mod edit;
mod fire;
mod report;
mod salvage;
mod standing;
mod trail;

pub use arming::Arming;
pub use change::{Change, Enqueue, Fields};
pub use edit::{DEFAULTS, SetInput};
pub use report::{Backoff, Report};
pub use salvage::Salvaged;
pub use standing::{Distance, Mood, Standing};
pub use trail::{Offset, Trailing};

use crate::decimal::{Price, Quantity};
use crate::field::{self, OnStop};
use crate::key::check_symbol;
use crate::order::{Action, Leg, wire_enum};
use crate::refusal::{Code, Refusal, shown};

wire_enum! {
    /// Direction of the position.
    Side {
        /// Buys first.
        Long = "LONG",
        /// Sells first.
        Short = "SHORT",
    }
}

wire_enum! {
    /// Life of a strategy.
    Status {
        /// Timers and levels are watched.
        Running = "RUNNING",
        /// Stopped by its user.
        Stopped = "STOPPED",
        /// Its work is done.
        Completed = "COMPLETED",
        /// Its entry was refused.
        Failed = "FAILED",
    }
}

wire_enum! {
    /// State of the position.
    Position {
        /// No entry was filled in this cycle.
        None = "NONE",
        /// A long is open.
        Bought = "BOUGHT",
        /// A short is open.
        Shorted = "SHORTED",
        /// A long was closed at its time or by square-off.
        Sold = "SOLD",
        /// A short was closed at its time or by square-off.
        Covered = "COVERED",
        /// Closed by the stop-loss.
        ExitedBySl = "EXITED_BY_SL",
        /// Closed by the take-profit.
        ExitedByTp = "EXITED_BY_TP",
    }
}

impl Position {
    /// Whether quantity is held.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Bought | Self::Shorted)
    }

    /// The open position of a side.
    #[must_use]
    pub const fn opened(side: Side) -> Self {
        match side {
            Side::Long => Self::Bought,
            Side::Short => Self::Shorted,
        }
    }

    /// The position after `action` closed it.
    #[must_use]
    pub const fn closed_by(action: Action, side: Side) -> Self {
        match (action, side) {
            (Action::StopLoss, _) => Self::ExitedBySl,
            (Action::TakeProfit, _) => Self::ExitedByTp,
            (_, Side::Long) => Self::Sold,
            (_, Side::Short) => Self::Covered,
        }
    }
}

/// A strategy's live state, parsed from its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// Exchange symbol.
    pub symbol: String,
    /// Direction.
    pub side: Side,
    /// Quantity that the entry is to fill.
    pub quantity: Quantity,
    /// Stop-loss level.
    pub stop_loss: Option<Price>,
    /// Take-profit level.
    pub take_profit: Option<Price>,
    /// How far a stop stays behind the best price.
    pub trail: Option<Offset>,
    /// A best price to begin with.
    pub trail_ref: Option<Price>,
    /// Epoch ms from which on prices count for it.
    pub trail_from: Option<i64>,
    /// What stopping does to an open position.
    pub on_stop: OnStop,
    /// Life.
    pub status: Status,
    /// Position.
    pub position: Position,
    /// Enqueued action.
    pub pending: Option<Action>,
    /// Action whose order works at the broker.
    pub working: Option<Action>,
    /// Filled by this cycle's entry.
    pub filled: Quantity,
    /// Filled by this cycle's exits.
    pub exited: Quantity,
    /// Part of `exited` that dead attempts filled, and at what average price.
    pub prior_exit: (Quantity, Price),
    /// Average price of the entry.
    pub entry_price: Option<Price>,
    /// Average price of the exits so far.
    pub exit_price: Option<Price>,
    /// Attempt of the exit leg.
    pub attempt: u64,
    /// No further exit attempt before this time, epoch ms.
    pub retry_at: Option<i64>,
    /// The exit to try again then.
    pub retry_action: Option<Action>,
    /// Epoch ms to buy.
    pub buy_at: Option<i64>,
    /// Epoch ms to sell.
    pub sell_at: Option<i64>,
    /// Entries so far.
    pub cycle: u64,
    /// Epoch ms when the cycle began; none of its orders is older.
    pub cycle_at: Option<i64>,
    /// Changes so far.
    pub version: u64,
    /// Epoch ms of the last change.
    pub updated_at: i64,
}

/// Names of the fields that [`Strategy::read`] asks for, in its order.
pub const FIELDS_READ: [&str; 28] = [
    "symbol",
    "side",
    "quantity",
    "stop_loss",
    "take_profit",
    "trail",
    "trail_ref",
    "trail_from",
    "on_stop",
    "status",
    "position",
    "pending",
    "working",
    "filled_quantity",
    "exit_quantity",
    "prior_exit_quantity",
    "prior_exit_price",
    "entry_price",
    "exit_price",
    "attempt",
    "retry_at",
    "retry_action",
    "buy_at",
    "sell_at",
    "cycle",
    "cycle_at",
    "version",
    "updated_at",
];

/// Place of each field in [`FIELDS_READ`] by a number that none of them shares with another; 0xff for none.
const FIELD_PLACES: [u8; 256] = {
    let mut places = [u8::MAX; 256];
    let mut index = 0;
    while index < FIELDS_READ.len() {
        let number = field_number(FIELDS_READ[index].as_bytes());
        assert!(places[number] == u8::MAX, "two fields share a number: choose other factors");
        places[number] = index as u8;
        index += 1;
    }
    places
};

const fn field_number(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() + *first as usize * 2 + *last as usize * 6) % 256,
        _ => 0,
    }
}

/// Place of a field in [`FIELDS_READ`]; `None` where [`Strategy::read`] does not ask for it.
#[must_use]
pub fn field_place(name: &[u8]) -> Option<usize> {
    let place = usize::from(FIELD_PLACES[field_number(name)]);
    FIELDS_READ.get(place).filter(|known| known.as_bytes() == name).map(|_| place)
}

impl Strategy {
    /// Parses a hash, given a way to look fields up. Absent and empty fields take their defaults.
    ///
    /// # Errors
    /// The first field that does not parse. Such a hash is not guarded; the module says so loudly.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, Refusal> {
        let reader = Reader { get };
        let symbol = reader.text("symbol")?.unwrap_or_default().to_owned();
        check_symbol(&symbol)?;
        let quantity = reader.entry_quantity()?.ok_or_else(|| Refusal::new(Code::BadField, "quantity is missing"))?;
        let position = reader.word("position", Position::parse)?.unwrap_or(Position::None);
        let filled = reader.quantity("filled_quantity")?;
        // Somebody who writes position BOUGHT by hand means the whole quantity.
        let assumed = if position.is_open() { quantity } else { Quantity::ZERO };
        Ok(Self {
            symbol,
            quantity,
            position,
            filled: filled.unwrap_or(assumed),
            side: reader.word("side", Side::parse)?.unwrap_or(Side::Long),
            stop_loss: reader.price("stop_loss")?,
            take_profit: reader.price("take_profit")?,
            trail: reader.offset("trail")?,
            trail_ref: reader.price("trail_ref")?,
            trail_from: reader.count("trail_from")?,
            on_stop: reader.word("on_stop", OnStop::parse)?.unwrap_or(OnStop::SquareOff),
            status: reader.word("status", Status::parse)?.unwrap_or(Status::Running),
            pending: reader.word("pending", Action::parse)?,
            working: reader.word("working", Action::parse)?,
            exited: reader.quantity("exit_quantity")?.unwrap_or_default(),
            prior_exit: (
                reader.quantity("prior_exit_quantity")?.unwrap_or_default(),
                reader.price("prior_exit_price")?.unwrap_or_default(),
            ),
            entry_price: reader.price("entry_price")?,
            exit_price: reader.price("exit_price")?,
            attempt: reader.bounded("attempt")?,
            retry_at: reader.count("retry_at")?,
            retry_action: reader.word("retry_action", Action::parse)?,
            buy_at: reader.count("buy_at")?,
            sell_at: reader.count("sell_at")?,
            cycle: reader.bounded("cycle")?,
            cycle_at: reader.count("cycle_at")?,
            version: reader.bounded("version")?,
            updated_at: reader.count("updated_at")?.unwrap_or(0),
        })
    }

    /// Quantity held now: what the entry filled less what the exits filled.
    #[must_use]
    pub fn open_quantity(&self) -> Quantity {
        if self.position.is_open() { self.filled.minus(self.exited) } else { Quantity::ZERO }
    }

    /// Epoch ms of the entry.
    #[must_use]
    pub const fn entry_at(&self) -> Option<i64> {
        match self.side {
            Side::Long => self.buy_at,
            Side::Short => self.sell_at,
        }
    }

    /// Epoch ms of the timed exit.
    #[must_use]
    pub const fn exit_at(&self) -> Option<i64> {
        match self.side {
            Side::Long => self.sell_at,
            Side::Short => self.buy_at,
        }
    }

    /// The version that the next change leads to.
    #[must_use]
    pub const fn next_version(&self) -> u64 {
        self.version + 1
    }

    /// Whether an entry is enqueued or works at the broker.
    #[must_use]
    pub fn entry_in_flight(&self) -> bool {
        [self.pending, self.working].into_iter().flatten().any(|action| action.leg(self.side) == Leg::Entry)
    }

    /// The entry, if it works at the broker.
    pub(crate) fn working_entry(&self) -> Option<Action> {
        self.working.filter(|working| working.leg(self.side) == Leg::Entry)
    }

    /// Whether an exit is enqueued or works at the broker.
    #[must_use]
    pub fn exit_in_flight(&self) -> bool {
        [self.pending, self.working].into_iter().flatten().any(|action| action.leg(self.side) == Leg::Exit)
    }

    /// Nothing held, nothing enqueued, nothing at the broker.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open_quantity() == Quantity::ZERO && self.pending.is_none() && self.working.is_none()
    }
}

struct Reader<F> {
    get: F,
}

impl<'a, F: Fn(&str) -> Option<&'a [u8]>> Reader<F> {
    fn parsed<T>(&self, name: &str, code: Code, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Refusal> {
        let Some(value) = (self.get)(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| Refusal::new(code, format!("{name} {} does not parse", shown(value))))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match (self.get)(name) {
            None => Ok(None),
            Some(value) => std::str::from_utf8(value)
                .map(Some)
                .map_err(|_| Refusal::new(Code::BadField, format!("{name} is not UTF-8"))),
        }
    }

    fn word<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.parsed(name, Code::BadField, |value| std::str::from_utf8(value).ok().and_then(&parse))
    }

    fn price(&self, name: &str) -> Result<Option<Price>, Refusal> {
        self.parsed(name, Code::BadPrice, |value| Price::parse(value).ok())
    }

    fn offset(&self, name: &str) -> Result<Option<Offset>, Refusal> {
        self.parsed(name, Code::BadPrice, |value| Offset::parse(value).ok())
    }

    fn quantity(&self, name: &str) -> Result<Option<Quantity>, Refusal> {
        self.parsed(name, Code::BadField, |value| Quantity::parse(value).ok().filter(|q| *q >= Quantity::ZERO))
    }

    fn entry_quantity(&self) -> Result<Option<Quantity>, Refusal> {
        self.parsed("quantity", Code::BadField, |value| Quantity::parse_positive(value).ok())
    }

    /// A count that we go on counting, or 0. Bounded like every count that a command takes, so that the next one
    /// can still be written and read.
    fn bounded(&self, name: &str) -> Result<u64, Refusal> {
        Ok(self.count(name)?.unwrap_or(0).min(field::COUNT_MAX).unsigned_abs())
    }

    fn count(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.parsed(name, Code::BadField, field::parse_count)
    }
}

#[cfg(test)]
mod tests;
