//! A symbol's filters, applied before an order is sent ("Filters"; `GET /api/v3/exchangeInfo`).
//!
//! Orders here are market orders, and protected exits, which are limit orders. `PRICE_FILTER` concerns only orders that carry
//! a price; what a market order is worth is judged by the average price, as Binance does it.

use super::super::wire::read::{decimal, json};
use serde::Deserialize;
use std::fmt;
use strat_core::decimal::{DecimalError, Money, SCALE};
use strat_core::protection::outward;
use strat_core::{Price, Quantity};

/// What an order asks for, as far as filters look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) quantity: Quantity,
    /// Of a limit order.
    pub(super) price: Option<Price>,
    /// What a market order is valued at; `None` where that is not known, and then its value is left to Binance.
    pub(super) average: Option<Price>,
}

/// A filter's refusal, with its name and the value that it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    filter: &'static str,
    what: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}: {}", self.filter, self.what)
    }
}

/// What a symbol allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) base_asset: String,
    /// Status, where it is another than `TRADING`.
    closed: Option<String>,
    market_orders: bool,
    filters: Vec<Filter>,
}

/// Least, largest and step, in units of 10⁻⁸; 0 switches one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    least: i64,
    largest: i64,
    step: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Price(Steps),
    /// The name, and whether it is for market orders alone.
    Lot(&'static str, bool, Steps),
    Notional(Notional),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Notional {
    name: &'static str,
    least: Option<Money>,
    largest: Option<Money>,
    /// Which of the two bind market orders.
    for_market: (bool, bool),
}

impl Rules {
    /// Whether an order passes.
    ///
    /// # Errors
    /// The first filter that refuses it.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), Refusal> {
        let refuse = |filter, what| Err(Refusal { filter, what });
        if let Some(status) = &self.closed {
            return refuse("status", format!("the symbol is {status}, not TRADING"));
        }
        if asked.price.is_none() && !self.market_orders {
            return refuse("orderTypes", "the symbol takes no MARKET orders".to_owned());
        }
        self.filters.iter().try_for_each(|filter| filter.check(asked))
    }

    /// The nearest price that a limit order may have and that takes no less than `limit` does.
    pub(super) fn price_within(&self, limit: Price, buys: bool) -> Price {
        let step = self.filters.iter().find_map(|filter| match filter {
            Filter::Price(steps) if steps.step > 0 => Some(steps.step),
            _ => None,
        });
        outward(limit, step.unwrap_or(1), buys)
    }

    /// Whether what an order is worth matters to any filter.
    pub(super) fn wants_average(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::Notional(rule) if rule.for_market != (false, false)))
    }
}

impl Filter {
    fn check(&self, asked: &Asked) -> Result<(), Refusal> {
        match self {
            Self::Price(steps) => {
                let Some(price) = asked.price else { return Ok(()) };
                let named = |units| Price::from_units(units).to_string();
                steps.check(price.units(), "PRICE_FILTER", ("price", ["minPrice", "maxPrice", "tickSize"]), named)
            }
            Self::Lot(_, true, _) if asked.price.is_some() => Ok(()),
            Self::Lot(name, _, steps) => {
                let named = |units| Quantity::from_units(units).to_string();
                steps.check(asked.quantity.units(), name, ("quantity", ["minQty", "maxQty", "stepSize"]), named)
            }
            Self::Notional(rule) => rule.check(asked),
        }
    }
}

impl Steps {
    fn check(
        &self,
        units: i64,
        filter: &'static str,
        (value, names): (&str, [&str; 3]),
        text: impl Fn(i64) -> String,
    ) -> Result<(), Refusal> {
        let refuse = |what: String| Err(Refusal { filter, what: format!("{value} {} {what}", text(units)) });
        if self.least > 0 && units < self.least {
            return refuse(format!("is below {} {}", names[0], text(self.least)));
        }
        if self.largest > 0 && units > self.largest {
            return refuse(format!("is above {} {}", names[1], text(self.largest)));
        }
        if self.step > 0 && units % self.step != 0 {
            return refuse(format!("is no multiple of {} {}", names[2], text(self.step)));
        }
        Ok(())
    }
}

impl Notional {
    fn check(&self, asked: &Asked) -> Result<(), Refusal> {
        let (binds, price) = match asked.price {
            Some(price) => ((true, true), Some(price)),
            None => (self.for_market, asked.average),
        };
        let Some(price) = price else { return Ok(()) };
        let value = Money::of(price, asked.quantity);
        let refuse = |what: String| {
            let what = format!("{} at {price} is worth {value}, {what}", asked.quantity);
            Err(Refusal { filter: self.name, what })
        };
        match (self.least, self.largest) {
            (Some(least), _) if binds.0 && value < least => refuse(format!("below minNotional {least}")),
            (_, Some(largest)) if binds.1 && value > largest => refuse(format!("above maxNotional {largest}")),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Info {
    symbols: Vec<Symbol>,
    #[serde(default, rename = "rateLimits")]
    rate_limits: Vec<RateLimit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    rate_limit_type: String,
    interval: String,
    interval_num: u64,
    limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    symbol: String,
    status: String,
    base_asset: String,
    order_types: Vec<String>,
    filters: Vec<Told>,
}

#[derive(Deserialize)]
#[serde(tag = "filterType", rename_all_fields = "camelCase")]
enum Told {
    #[serde(rename = "PRICE_FILTER")]
    Price { min_price: String, max_price: String, tick_size: String },
    #[serde(rename = "LOT_SIZE")]
    Lot { min_qty: String, max_qty: String, step_size: String },
    #[serde(rename = "MARKET_LOT_SIZE")]
    MarketLot { min_qty: String, max_qty: String, step_size: String },
    #[serde(rename = "MIN_NOTIONAL")]
    MinNotional { min_notional: String, apply_to_market: bool },
    #[serde(rename = "NOTIONAL")]
    Notional { min_notional: String, apply_min_to_market: bool, max_notional: String, apply_max_to_market: bool },
    /// What concerns neither price nor size of one order: Binance looks at it itself.
    #[serde(other)]
    Other,
}

/// What `exchangeInfo` says.
#[derive(Debug)]
pub(super) struct ExchangeInfo {
    pub(super) rules: Vec<(String, Rules)>,
    /// Request weight that an address may use a minute.
    pub(super) weight_per_minute: Option<u64>,
}

/// Reads the answer.
///
/// # Errors
/// Where a filter that is applied here is not as documented.
pub(super) fn read(body: &[u8]) -> Result<ExchangeInfo, String> {
    let Info { symbols, rate_limits } = json::<Info>(body)?;
    let minute = |limit: &&RateLimit| {
        limit.rate_limit_type == "REQUEST_WEIGHT" && limit.interval == "MINUTE" && limit.interval_num == 1
    };
    let weight_per_minute = rate_limits.iter().find(minute).map(|limit| limit.limit);
    let rules = symbols.into_iter().map(|symbol| {
        let filters = symbol.filters.iter().filter_map(|told| told.filter().transpose()).collect::<Result<_, _>>();
        let filters = filters.map_err(|why| format!("a filter of {} cannot be read: {why}", symbol.symbol))?;
        let market_orders = symbol.order_types.iter().any(|kind| kind == "MARKET");
        let closed = (symbol.status != "TRADING").then_some(symbol.status);
        Ok((symbol.symbol, Rules { base_asset: symbol.base_asset, closed, market_orders, filters }))
    });
    Ok(ExchangeInfo { rules: rules.collect::<Result<_, String>>()?, weight_per_minute })
}

/// In units of 10⁻⁸. A limit beyond every quantity that there is here is none.
fn units(text: &str) -> Result<i64, String> {
    match Quantity::parse(text.as_bytes()) {
        Err(DecimalError::TooLarge) => Ok(0),
        _ => decimal("value", text, Quantity::parse).map(Quantity::units),
    }
}

fn steps(least: &str, largest: &str, step: &str) -> Result<Steps, String> {
    Ok(Steps { least: units(least)?, largest: units(largest)?, step: units(step)? })
}

/// An amount of the quote asset; `None` for 0.
fn amount(text: &str) -> Result<Option<Money>, String> {
    let one = Quantity::from_units(SCALE);
    Ok(Some(units(text)?).filter(|units| *units > 0).map(|units| Money::of(Price::from_units(units), one)))
}

impl Told {
    fn filter(&self) -> Result<Option<Filter>, String> {
        Ok(Some(match self {
            Self::Price { min_price, max_price, tick_size } => Filter::Price(steps(min_price, max_price, tick_size)?),
            Self::Lot { min_qty, max_qty, step_size } => {
                Filter::Lot("LOT_SIZE", false, steps(min_qty, max_qty, step_size)?)
            }
            Self::MarketLot { min_qty, max_qty, step_size } => {
                Filter::Lot("MARKET_LOT_SIZE", true, steps(min_qty, max_qty, step_size)?)
            }
            Self::MinNotional { min_notional, apply_to_market } => Filter::Notional(Notional {
                name: "MIN_NOTIONAL",
                least: amount(min_notional)?,
                largest: None,
                for_market: (*apply_to_market, false),
            }),
            Self::Notional { min_notional, apply_min_to_market, max_notional, apply_max_to_market } => {
                Filter::Notional(Notional {
                    name: "NOTIONAL",
                    least: amount(min_notional)?,
                    largest: amount(max_notional)?,
                    for_market: (*apply_min_to_market, *apply_max_to_market),
                })
            }
            Self::Other => return Ok(None),
        }))
    }
}
