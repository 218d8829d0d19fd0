//! Market data.

mod alpaca;
mod binance;
mod csv;
#[cfg(test)]
mod hostile;
pub(crate) mod kite;
mod lines;
mod mapped;
mod rejected;
mod sim;
mod socket;
mod stream;
mod trade_id;

pub use self::alpaca::{AlpacaFeed, AlpacaFeedError, AlpacaFeedSettings};
pub use self::binance::{BINANCE_STREAMS_MAX, BinanceFeed};
pub use self::csv::{CsvFeed, CsvOptions, PacedCsv};
pub use kite::{KiteFeed, KiteMode};
pub use lines::LinesFeed;
pub use mapped::{MappedFeed, Mapping, Pointer, TimeUnit};
pub use sim::{SimFeed, SimSettings};
pub use stream::{StreamFeed, StreamSettings};
pub use trade_id::TradeId;

use crate::table::TableError;
use async_trait::async_trait;
use std::sync::Arc;
use strat_core::{Price, Quantity};

/// Whose time a tick bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// The market's: of two ticks of a symbol it tells which trade was first.
    Market,
    /// That of its arrival, because the feed tells none: it says nothing of the trade.
    Arrival,
}

/// One trade on the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Epoch ms.
    pub ts_ms: i64,
    /// Whose time that is.
    pub stamp: Stamp,
    /// Exchange symbol.
    pub symbol: Arc<str>,
    /// Price.
    pub price: Price,
    /// The price as the feed gave it, which is how it is stored and shown.
    pub price_text: String,
    /// Traded quantity where the feed tells it.
    pub size: Option<Quantity>,
    /// Which trade it is, where the feed tells it.
    pub id: Option<TradeId>,
}

/// Why a feed cannot give its next tick.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A file that cannot be read, or a line of it that does not parse.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A source of ticks, in the order in which they happened.
#[async_trait]
pub trait Feed: Send {
    /// The next tick; `None` at the feed's end.
    ///
    /// Cancel safe: a call that is dropped loses no tick.
    async fn next(&mut self) -> Option<Result<Tick, FeedError>>;

    /// Whether its next tick is there already, as those of one message are: they are sent to Redis together.
    fn has_more(&self) -> bool {
        false
    }

    /// Whether it can wait: then each of its ticks is sent, however slow Redis is, and none is merged with others.
    fn can_wait(&self) -> bool {
        false
    }

    /// Whether its ticks are of now, from a market that may repeat itself, come late or be closed. Files and simulations have
    /// clocks of their own.
    fn is_live(&self) -> bool {
        true
    }
}
