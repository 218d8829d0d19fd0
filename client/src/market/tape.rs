//! Raw ticks and last trades: lists of a bounded length, newest first.

use super::Market;
use super::bounds::{check_count, ttl_ms};
use crate::error::{Error, Result};
use crate::reply::one_line;
use crate::shared::{NUMBER_BYTES, keyed};
use redis::aio::ConnectionLike;
use redis::{Pipeline, cmd};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use strat_core::{Price, Quantity};

const TICKS: &str = "tick:";
const TRADES: &str = "trades:";
/// Room for a tick or a trade, so that a command does not grow piece by piece.
const ENTRY_BYTES: usize = 64;

/// A price that a feed reported. Its text is `ts_ms price quantity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tick {
    /// Epoch ms, as the feed has it.
    pub ts_ms: i64,
    /// The price.
    pub price: Price,
    /// What was traded; 0 where the feed does not tell.
    pub quantity: Quantity,
}

/// Who crossed the spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggressor {
    /// The buyer: the trade was at the ask.
    Buy,
    /// The seller: the trade was at the bid.
    Sell,
}

/// A trade. Its text is `ts_ms price quantity side`, where the side is `BUY`, `SELL` or `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trade {
    /// Epoch ms, as the feed has it.
    pub ts_ms: i64,
    /// The price.
    pub price: Price,
    /// What was traded.
    pub quantity: Quantity,
    /// Who crossed the spread, where the feed tells.
    pub side: Option<Aggressor>,
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.ts_ms, self.price, self.quantity)
    }
}

impl fmt::Display for Trade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Some(Aggressor::Buy) => "BUY",
            Some(Aggressor::Sell) => "SELL",
            None => "-",
        };
        write!(f, "{} {} {} {side}", self.ts_ms, self.price, self.quantity)
    }
}

/// What stands in a list is none of ours.
fn bad(what: &str, text: &str) -> Error {
    Error::BadReply(one_line(&format!("'{text}' is no {what}")))
}

impl FromStr for Tick {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let mut words = text.split(' ');
            let tick = Self {
                ts_ms: words.next()?.parse().ok()?,
                price: words.next()?.parse().ok()?,
                quantity: words.next()?.parse().ok()?,
            };
            words.next().is_none().then_some(tick)
        };
        parse().ok_or_else(|| bad("tick", text))
    }
}

impl FromStr for Trade {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (tick, side) = text.rsplit_once(' ')?;
            let Tick { ts_ms, price, quantity } = tick.parse().ok()?;
            let side = match side {
                "BUY" => Some(Aggressor::Buy),
                "SELL" => Some(Aggressor::Sell),
                "-" => None,
                _ => return None,
            };
            Some(Self { ts_ms, price, quantity, side })
        };
        parse().ok_or_else(|| bad("trade", text))
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Adds raw ticks in the order in which they came, and keeps the newest [`super::MarketSettings::ticks_max`] for
    /// [`super::MarketSettings::tick_ttl`] after this call. In one round trip, all or none.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none and for more than [`super::MarketSettings::batch_max`]; whatever the server or the
    /// connection says. Repeated after an unknown outcome, they may stand there twice.
    pub async fn add_ticks(&self, symbol: &str, ticks: &[Tick]) -> Result<()> {
        self.push(self.key(TICKS, symbol)?, ticks, self.settings.ticks_max, self.settings.tick_ttl).await
    }

    /// The last ticks, newest first, at most `count` and at most what is kept.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; [`Error::BadReply`] where something else stands in the list; whatever the
    /// server or the connection says.
    pub async fn ticks(&self, symbol: &str, count: usize) -> Result<Vec<Tick>> {
        self.newest(&self.key(TICKS, symbol)?, count.min(self.settings.ticks_max)).await
    }

    /// As [`Market::add_ticks`] for trades, with [`super::MarketSettings::trades_max`] and
    /// [`super::MarketSettings::trade_ttl`].
    ///
    /// # Errors
    /// As [`Market::add_ticks`].
    pub async fn add_trades(&self, symbol: &str, trades: &[Trade]) -> Result<()> {
        self.push(self.key(TRADES, symbol)?, trades, self.settings.trades_max, self.settings.trade_ttl).await
    }

    /// The last trades, newest first, at most `count` and at most what is kept.
    ///
    /// # Errors
    /// As [`Market::ticks`].
    pub async fn trades(&self, symbol: &str, count: usize) -> Result<Vec<Trade>> {
        self.newest(&self.key(TRADES, symbol)?, count.min(self.settings.trades_max)).await
    }

    async fn push(&self, key: String, entries: &[impl ToString], keep: usize, ttl: Duration) -> Result<()> {
        check_count("entries of one call", entries.len(), self.settings.batch_max)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut push = keyed("LPUSH", &key, (entries.len(), entries.len() * ENTRY_BYTES));
        for entry in entries {
            push.arg(entry.to_string());
        }
        let (mut trim, mut expire) =
            (keyed("LTRIM", &key, (2, NUMBER_BYTES)), keyed("PEXPIRE", &key, (1, NUMBER_BYTES)));
        trim.arg(0).arg(keep - 1);
        expire.arg(ttl_ms(ttl));
        let mut pipeline = Pipeline::with_capacity(3);
        // A transaction, or a connection that breaks in the middle would leave a list without an end.
        pipeline.atomic().add_command(push).ignore().add_command(trim).ignore().add_command(expire).ignore();
        self.link.pipeline(&pipeline).await
    }

    async fn newest<T: FromStr<Err = Error>>(&self, key: &str, count: usize) -> Result<Vec<T>> {
        // LRANGE 0 -1 would be all of it.
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut range = cmd("LRANGE");
        range.arg(key).arg(0).arg(count - 1);
        let texts: Vec<String> = self.link.command(&range).await?;
        texts.iter().map(|text| text.parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "1 2", "1 2 3 4", "x 2 3", "1 x 3", "1 2 x", "1  2 3", " 1 2 3", "1 2 3 "] {
            assert!(matches!(text.parse::<Tick>(), Err(Error::BadReply(_))), "{text:?}");
        }
        for text in ["", "1 2 3", "1 2 3 buy", "1 2 3 BUY BUY", "1 2 3 ", "1 2 BUY"] {
            assert!(matches!(text.parse::<Trade>(), Err(Error::BadReply(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ts_ms in any::<i64>(), price in -9_000_000_000_i64..9_000_000_000, quantity in 0..9_000_000_000_i64, side in 0..3_usize,
        ) {
            let (price, quantity) = (Price::from_units(price), Quantity::from_units(quantity));
            let tick = Tick { ts_ms, price, quantity };
            prop_assert_eq!(tick.to_string().parse::<Tick>().unwrap(), tick);
            let side = [None, Some(Aggressor::Buy), Some(Aggressor::Sell)][side];
            let trade = Trade { ts_ms, price, quantity, side };
            prop_assert_eq!(trade.to_string().parse::<Trade>().unwrap(), trade);
        }
    }
}
