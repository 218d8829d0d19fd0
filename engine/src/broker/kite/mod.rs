//! Zerodha's Kite Connect, version 3: shares, futures and options of India's exchanges.
//!
//! Kite keeps no client order id: an order carries a tag, and the same order sent twice is two orders. So an order is
//! **never sent again by the engine** ([`Idempotency::None`](super::Idempotency::None)); after a lost answer it is looked for in
//! the order book by what was sent ([`matching`]), and where it is not found a person decides.
//!
//! Not the official crate `kiteconnect`: its prices are floats.

mod book;
mod config;
mod execution;
mod instruments;
mod matching;
mod order;
mod rest;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod wire;

pub use config::{KiteSettings, MarketProtection, Product};
use instruments::Instruments;
pub(crate) use rest::Rest;
pub(crate) use session::Session;
pub use session::Standing;
pub(crate) use stream::Ticker;
pub(crate) use wire::{News, news};

use super::{LimitSettings, OrderRequest, OrderSide, ReportQueue};
use crate::broker::BrokerError;
use crate::clock::Clock;
use crate::net::{AddressError, check_rest, check_socket};
use book::Book;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strat_core::Quantity;
use tokio::sync::Notify;

/// Orders that an account may send, refused ones included (<https://kite.trade/docs/connect/v3/exceptions/>).
pub const KITE_LIMITS: LimitSettings =
    LimitSettings { per_second: 10, per_minute: 400, per_day: 5_000, exit_share: 30 };
/// Where Kite's HTTP interface and its ticker are.
pub const KITE_URLS: (&str, &str) = ("https://api.kite.trade", "wss://ws.kite.trade");
/// Orders whose side and quantity are remembered: four days of as many as Kite takes.
const SENT_MAX: usize = 20_000;

/// Why settings cannot be those of an account at Kite; in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KiteError {
    /// A setting that has no default is empty.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// More symbols than two connections may subscribe to.
    #[error("feed.subscribe names {0} symbols; two connections to Kite's ticker take 6000")]
    TooMany(usize),
    /// An address that cannot be used.
    #[error("{0} {1}")]
    Address(&'static str, AddressError),
}

/// An order that was sent.
struct Sent {
    side: OrderSide,
    quantity: Quantity,
    /// Kite's number for it, where the answer came.
    order_id: Option<String>,
}

/// An account at Kite.
pub struct KiteBroker {
    settings: KiteSettings,
    session: Arc<Session>,
    rest: Rest,
    ticker: Ticker,
    book: Book,
    instruments: Mutex<Option<Arc<Instruments>>>,
    /// What was sent since this engine was started, by tag.
    sent: Mutex<HashMap<String, Sent>>,
    /// Rings when the order book should be read soon.
    look: Notify,
    reports: ReportQueue,
    clock: Arc<dyn Clock>,
}

impl KiteBroker {
    /// The account of the settings; nothing is sent yet. Reports arrive while [`KiteBroker::run`] runs.
    ///
    /// # Errors
    /// Where a setting is missing or an address cannot be used.
    pub fn new(settings: KiteSettings, clock: Arc<dyn Clock>) -> Result<Self, KiteError> {
        for (name, value) in [("kite.user", &settings.user), ("kite.api_key", &settings.api_key)] {
            if value.is_empty() {
                return Err(KiteError::Missing(name));
            }
        }
        let (session, rest, ticker) = roads(&settings, &clock)?;
        Ok(Self {
            settings,
            session,
            rest,
            ticker,
            book: Book::default(),
            instruments: Mutex::default(),
            sent: Mutex::default(),
            look: Notify::new(),
            reports: ReportQueue::default(),
            clock,
        })
    }

    /// Whether orders can be sent, or what a person has to see to.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.session.standing()
    }

    fn remember(&self, order: &OrderRequest) {
        let mut sent = lock(&self.sent);
        if sent.len() >= SENT_MAX {
            // Orders of days ago; what is forgotten of a newer one is only what its tag implies.
            sent.clear();
        }
        let OrderRequest { side, quantity, .. } = *order;
        sent.insert(order.client_order_id.clone(), Sent { side, quantity, order_id: None });
    }

    fn taken(&self, tag: &str, order_id: &str) {
        if let Some(sent) = lock(&self.sent).get_mut(tag) {
            sent.order_id = Some(order_id.to_owned());
        }
    }

    /// Side and quantity of an order that was sent.
    fn sent(&self, tag: &str) -> Option<(OrderSide, Quantity)> {
        lock(&self.sent).get(tag).map(|sent| (sent.side, sent.quantity))
    }

    /// Whether nothing is known that speaks against this being the order that was sent under its tag.
    fn is_what_was_sent(&self, order: &order::Listed) -> bool {
        lock(&self.sent).get(&order.tag).is_none_or(|sent| {
            (sent.side, sent.quantity) == (order.side, order.quantity)
                && sent.order_id.as_ref().is_none_or(|order_id| *order_id == order.order_id)
        })
    }
}

/// Everything that leads to Kite.
pub(crate) fn roads(
    settings: &KiteSettings,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Session>, Rest, Ticker), KiteError> {
    let rest_url = check_rest(&settings.rest_url).map_err(|why| KiteError::Address("kite.url", why))?;
    let stream_url = check_socket(&settings.stream_url).map_err(|why| KiteError::Address("kite.stream_url", why))?;
    let session = Arc::new(Session::new(&settings.token_file, &settings.api_key, Arc::clone(clock)));
    let rest = Rest::new(settings, &rest_url, Arc::clone(&session));
    let ticker = Ticker::new(settings, &stream_url, Arc::clone(&session));
    Ok((session, rest, ticker))
}

/// Exchanges the request token that a login in the browser gave for the access token of the day, and writes that into its
/// file, from which a running engine takes it. Answers until when it is good, for people.
///
/// # Errors
/// In words for people.
pub async fn kite_log_in(settings: &KiteSettings, request_token: &str, clock: &dyn Clock) -> Result<String, String> {
    let base = check_rest(&settings.rest_url).map_err(|why| format!("kite.url {why}"))?;
    rest::log_in(settings, &base, request_token, clock).await
}

/// Where a person logs in with a browser, which comes back with the request token.
#[must_use]
pub fn kite_log_in_url(settings: &KiteSettings) -> String {
    format!("https://kite.zerodha.com/connect/login?v=3&api_key={}", settings.api_key)
}

/// The list of instruments of the day: from its file, or else from Kite.
pub(crate) async fn instruments_of_the_day(
    settings: &KiteSettings,
    rest: &Rest,
    clock: &dyn Clock,
) -> Result<Instruments, BrokerError> {
    let read = |list: &[u8]| {
        Instruments::read(list, &settings.exchange)
            .map_err(|why| BrokerError::Unknown(format!("the list of instruments {why}")))
    };
    let path = &settings.instruments_file;
    if let Some(list) = instruments::kept(path, clock.now_ms()) {
        match read(&list) {
            Ok(instruments) => return Ok(instruments),
            Err(error) => tracing::warn!(%error, file = %path.display(), "the list is fetched again"),
        }
    }
    let asked_ms = clock.now_ms();
    let list = rest.instruments().await?;
    let instruments = read(&list)?;
    if let Err(error) = instruments::keep(path, &list, asked_ms) {
        tracing::warn!(%error, file = %path.display(), "the list of instruments cannot be kept; it is fetched at each start");
    }
    Ok(instruments)
}

/// When the list after the one of that moment is there; epoch ms.
pub(crate) fn list_due_after(now_ms: i64) -> i64 {
    time::next(time::LISTED_AT, now_ms)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
