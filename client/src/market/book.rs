//! Order books: some levels of each side, as texts, best first.

use super::bounds::ttl_ms;
use super::{Decimal, Market};
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use redis::cmd;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use strat_core::{Code, Price, Quantity, Refusal};

const BOOK: &str = "market:orderbook:";

/// A price of a side, and how much is offered at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    texts: (String, String),
    price: Price,
    quantity: Quantity,
}

impl Level {
    fn new(texts: (String, String)) -> std::result::Result<Self, String> {
        let price = texts.0.parse().map_err(|why| format!("price '{}' {why}", texts.0))?;
        let quantity = Quantity::parse_positive(texts.1.as_bytes());
        let quantity = quantity.map_err(|why| format!("quantity '{}' {why}", texts.1))?;
        Ok(Self { texts, price, quantity })
    }

    /// The price.
    #[must_use]
    pub const fn price(&self) -> Price {
        self.price
    }

    /// The quantity, above 0.
    #[must_use]
    pub const fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// The price as it was given.
    #[must_use]
    pub fn price_text(&self) -> &str {
        &self.texts.0
    }

    /// The quantity as it was given.
    #[must_use]
    pub fn quantity_text(&self) -> &str {
        &self.texts.1
    }
}

/// An order book at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBook {
    ts_ms: i64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// As it stands in Redis: `{"ts_ms":1,"bids":[["99.5","10"]],"asks":[]}`.
#[derive(Serialize, Deserialize)]
struct Wire<T> {
    ts_ms: i64,
    bids: Vec<(T, T)>,
    asks: Vec<(T, T)>,
}

impl OrderBook {
    /// From texts of price and quantity, sorted or not.
    ///
    /// # Errors
    /// `BADFIELD` naming a price that is no exact decimal, or a quantity that is not above 0.
    pub fn new(ts_ms: i64, bids: Vec<(String, String)>, asks: Vec<(String, String)>) -> Result<Self> {
        Self::read(Wire { ts_ms, bids, asks }).map_err(|why| Refusal::new(Code::BadField, why).into())
    }

    fn read(wire: Wire<String>) -> std::result::Result<Self, String> {
        let side = |texts: Vec<_>| texts.into_iter().map(Level::new).collect::<std::result::Result<Vec<_>, _>>();
        let (mut bids, mut asks) = (side(wire.bids)?, side(wire.asks)?);
        bids.sort_by_key(|level| Reverse(level.price));
        asks.sort_by_key(|level| level.price);
        Ok(Self { ts_ms: wire.ts_ms, bids, asks })
    }

    fn wire(&self, depth: usize) -> Wire<&str> {
        let bids = self.bids.iter().take(depth).map(texts).collect();
        Wire { ts_ms: self.ts_ms, bids, asks: self.asks.iter().take(depth).map(texts).collect() }
    }

    /// When it was so, epoch ms, as the feed has it.
    #[must_use]
    pub const fn ts_ms(&self) -> i64 {
        self.ts_ms
    }

    /// What is bid for, highest first.
    #[must_use]
    pub fn bids(&self) -> &[Level] {
        &self.bids
    }

    /// What is asked, lowest first.
    #[must_use]
    pub fn asks(&self) -> &[Level] {
        &self.asks
    }

    /// The highest bid.
    #[must_use]
    pub fn best_bid(&self) -> Option<&Level> {
        self.bids.first()
    }

    /// The lowest ask.
    #[must_use]
    pub fn best_ask(&self) -> Option<&Level> {
        self.asks.first()
    }

    /// Best ask less best bid, exact; negative where the book is crossed, `None` where a side is empty.
    #[must_use]
    pub fn spread(&self) -> Option<Decimal> {
        Some(Decimal::from(self.best_ask()?.price) - Decimal::from(self.best_bid()?.price))
    }
}

fn texts(level: &Level) -> (&str, &str) {
    (&level.texts.0, &level.texts.1)
}

impl<C: ConnectionLike + Clone + Send + Sync> Market<C> {
    /// Stores a symbol's order book, the best [`super::MarketSettings::depth_max`] levels of each side, for
    /// [`super::MarketSettings::book_ttl`]. One command, so both sides are of the same moment; may be repeated.
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; whatever the server or the connection says.
    pub async fn set_order_book(&self, symbol: &str, book: &OrderBook) -> Result<()> {
        let text = serde_json::to_string(&book.wire(self.settings.depth_max));
        let text = text.map_err(|why| Error::BadReply(format!("the order book of {symbol}: {why}")))?;
        let mut set = cmd("SET");
        set.arg(self.key(BOOK, symbol)?).arg(text).arg("PX").arg(ttl_ms(self.settings.book_ttl));
        self.link.command(&set).await
    }

    /// The order book; `None` where there is none, or none since [`super::MarketSettings::book_ttl`].
    ///
    /// # Errors
    /// `BADFIELD` for a symbol that is none; [`Error::BadReply`] where the key holds no order book; whatever the server or the
    /// connection says.
    pub async fn order_book(&self, symbol: &str) -> Result<Option<OrderBook>> {
        let mut get = cmd("GET");
        get.arg(self.key(BOOK, symbol)?);
        let Some(text) = self.link.command::<Option<String>>(&get).await? else { return Ok(None) };
        let wire = serde_json::from_str(&text).map_err(|why| why.to_string());
        let book = wire.and_then(OrderBook::read);
        book.map(Some).map_err(|why| Error::BadReply(format!("the order book of {symbol}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(levels: &[(&str, &str)]) -> Vec<(String, String)> {
        levels.iter().map(|(price, quantity)| ((*price).to_owned(), (*quantity).to_owned())).collect()
    }

    #[test]
    fn each_side_is_best_first_and_keeps_its_texts() {
        let bids = side(&[("99.50", "1"), ("100.00", "2.0"), ("9", "3")]);
        let book = OrderBook::new(7, bids, side(&[("100.10", "4"), ("100.05", "5")])).unwrap();
        let prices: Vec<_> = book.bids().iter().map(Level::price_text).collect();
        assert_eq!(prices, ["100.00", "99.50", "9"]);
        assert_eq!(book.best_bid().unwrap().quantity_text(), "2.0");
        assert_eq!(book.best_ask().unwrap().price(), "100.05".parse().unwrap());
        assert_eq!(book.spread().unwrap().to_string(), "0.05");
        let kept = serde_json::to_string(&book.wire(1)).unwrap();
        assert_eq!(kept, r#"{"ts_ms":7,"bids":[["100.00","2.0"]],"asks":[["100.05","5"]]}"#);
    }

    #[test]
    fn a_crossed_book_has_a_negative_spread_and_half_a_book_none() {
        let book = OrderBook::new(0, side(&[("101", "1")]), side(&[("100", "1")])).unwrap();
        assert_eq!(book.spread().unwrap().to_string(), "-1");
        assert_eq!(OrderBook::new(0, side(&[("101", "1")]), Vec::new()).unwrap().spread(), None);
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        for (price, quantity, named) in
            [("1e5", "1", "price '1e5'"), ("1", "0", "quantity '0'"), ("1", "", "quantity ''")]
        {
            let error = OrderBook::new(0, side(&[(price, quantity)]), Vec::new()).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
