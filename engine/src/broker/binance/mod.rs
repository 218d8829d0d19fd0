//! Binance Spot: orders over REST, the account's events over the WebSocket API.
//!
//! Binance is of class B: an order can be looked up by our id, but once it has ended its id is taken again, as a second
//! real order. So a repeat asks first, here and in the executor; and a look-up that finds nothing is proof only when a
//! request that was sent cannot be carried out any more, which its window (`recvWindow`) bounds.
//!
//! The pages that rules come from are those of <https://github.com/binance/binance-spot-api-docs>: `rest-api.md`,
//! `web-socket-api.md`, `user-data-stream.md`, `errors.md`, `filters.md`, `enums.md`.
//!
//! Binance's own crate (`binance-sdk`) is not used: it brings a second HTTP client and reads prices into floats, and
//! what may be sent again is its decision there.

mod clock;
mod codes;
mod config;
mod events;
mod execution;
mod filters;
mod gate;
mod lists;
mod rest;
mod rules;
mod sent;
mod sign;
mod stream;
mod wire;

pub use config::{BINANCE_SYMBOLS_MAX, BinanceError, BinanceSettings};

use super::ReportQueue;
use crate::clock::Clock;
use rest::Rest;
use rules::RuleBook;
use sent::Sent;
use std::sync::Arc;
use std::time::Duration;

/// How long Binance works on a request at the longest before it says that it does not know ("General API Information").
const PROCESSING_MAX: Duration = Duration::from_secs(10);

/// One account at Binance Spot.
pub struct BinanceBroker {
    settings: BinanceSettings,
    rest: Rest,
    rules: RuleBook,
    sent: Sent,
    reports: ReportQueue,
}

impl BinanceBroker {
    /// The account; nothing is sent yet. Reports arrive while [`BinanceBroker::run`] does.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn new(settings: BinanceSettings, clock: Arc<dyn Clock>) -> Result<Self, BinanceError> {
        let settings = settings.checked()?;
        let rest = Rest::new(&settings, clock).ok_or(BinanceError::NoKeys)?;
        Ok(Self { settings, rest, rules: RuleBook::default(), sent: Sent::default(), reports: ReportQueue::default() })
    }
}

#[cfg(test)]
mod tests;
