//! Market data: prices, ticks, trades, order books and statistics.
//!
//! [`Market`] keeps what a feed says of each symbol in Redis and reads it back exactly: prices and quantities are
//! [`strat_core::Price`] and [`strat_core::Quantity`] or the text as given, sums and percentages are [`Decimal`]s.
//! Every key has a time to live, every list a length.
//!
//! **Without Redis** every call answers an error, [`crate::Error::Unavailable`] where nothing was sent. Nothing is
//! remembered here and no price is made up: whoever cannot read a price does not know it. A write whose outcome is unknown
//! may be repeated, except [`Market::add_ticks`] and [`Market::add_trades`], which would then hold it twice.

mod book;
pub(crate) mod bounds;
mod change;
mod decimal;
mod history;
mod info;
mod price;
mod settings;
mod stats;
mod symbols;
mod tape;

pub use book::{Level, OrderBook};
pub use change::{Change, PricePoint};
pub use decimal::Decimal;
pub use info::SymbolInfo;
pub use price::AgedPrice;
pub use settings::MarketSettings;
pub use stats::Stats;
pub use symbols::Symbols;
pub use tape::{Aggressor, Tick, Trade};

use crate::error::Result;
use crate::link::Link;
use redis::Cmd;
use redis::aio::ConnectionLike;
use std::sync::Arc;
use strat_core::key::check_symbol;

/// The market data of one partition. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Market<C> {
    link: Link<C>,
    settings: Arc<MarketSettings>,
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Over a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the setting that is not usable.
    pub fn new(connection: C, settings: MarketSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self { link: Link::bare(connection, settings.call_timeout), settings: Arc::new(settings) })
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &MarketSettings {
        &self.settings
    }

    /// The key of a symbol; `name` ends with a colon.
    fn key(&self, name: &str, symbol: &str) -> Result<String> {
        check_symbol(symbol)?;
        Ok([&self.settings.prefix, name, symbol].concat())
    }

    /// A command and the keys of these symbols, written once.
    fn of_keys(&self, command: &str, name: &str, symbols: &[&str]) -> Result<Cmd> {
        bounds::check_count("symbols of one call", symbols.len(), self.settings.batch_max)?;
        let each = self.settings.prefix.len() + name.len();
        let bytes = command.len() + symbols.iter().map(|symbol| each + symbol.len()).sum::<usize>();
        let mut whole = Cmd::with_capacity(1 + symbols.len(), bytes);
        whole.arg(command);
        let mut key = [&self.settings.prefix, name].concat();
        let start = key.len();
        for symbol in symbols {
            check_symbol(symbol)?;
            key.truncate(start);
            key.push_str(symbol);
            whole.arg(&key);
        }
        Ok(whole)
    }

    fn keys(&self, name: &str, symbols: &[&str]) -> Result<Vec<String>> {
        bounds::check_count("symbols of one call", symbols.len(), self.settings.batch_max)?;
        symbols.iter().map(|symbol| self.key(name, symbol)).collect()
    }
}
