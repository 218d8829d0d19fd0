//! Brokers. What the engine needs of one is [`Broker`]; `paper` is the simulated one, `bridge` speaks to a program
//! of its own that speaks to a broker.
//!
//! **A timeout is never a rejection.** [`BrokerError::Unknown`] says that an order may exist; only a look-up by
//! client order id can prove that it does not.

mod accounts;
mod alpaca;
mod binance;
mod bridge;
pub(crate) mod kite;
mod ledger;
mod limited;
mod noted;
mod paper;
mod reports;
pub(crate) mod wire;

pub use accounts::Accounts;
pub(crate) use alpaca::credentials as alpaca_credentials;
pub use alpaca::{AlpacaBroker, AlpacaError, AlpacaSettings};
pub use binance::{BINANCE_SYMBOLS_MAX, BinanceBroker, BinanceError, BinanceSettings};
pub(crate) use bridge::check_url;
pub use bridge::{Bridge, BridgeError, BridgeSettings};
pub use kite::{
    KITE_LIMITS, KITE_URLS, KiteBroker, KiteError, KiteSettings, MarketProtection, Product, Standing, kite_log_in,
    kite_log_in_url,
};
pub use ledger::{Ledger, LedgerError, LedgerEvent, LedgerLine};
pub use limited::{EXIT_WAIT_MAX, LimitSettings, Limited};
pub use noted::{BrokerHealth, BrokerStatus, Line, Noted, Trouble};
pub use paper::{PaperBroker, PaperSettings};
pub use reports::ReportQueue;

use async_trait::async_trait;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use strat_core::order::ExecType;
use strat_core::risk::{Intent, Order};
use strat_core::{Action, Leg, Price, Protection, Quantity, Side};

/// Side of an order at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderSide {
    /// Buys.
    Buy,
    /// Sells.
    Sell,
}

impl OrderSide {
    /// The side on which `action` trades for a strategy of `side`.
    #[must_use]
    pub fn of(action: Action, side: Side) -> Self {
        match (action.leg(side), side) {
            (Leg::Entry, Side::Long) | (Leg::Exit, Side::Short) => Self::Buy,
            _ => Self::Sell,
        }
    }
}

/// A market order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// Deterministic: a retry is the same order.
    pub client_order_id: String,
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
    /// BUY or SELL.
    pub side: OrderSide,
    /// Above 0.
    pub quantity: Quantity,
    /// Whether it opens a position or ends one: an exit goes first wherever calls are limited.
    pub leg: Leg,
    /// How far from the last price it may trade; `None`: at any price, or as the broker's own settings have it.
    pub protection: Option<Protection>,
    /// The last price, where a fresh one is known.
    pub last_price: Option<Price>,
}

impl OrderRequest {
    /// The worst price at which it may trade, for brokers that protect market orders by no percentage of their own. `None`:
    /// any price. An exit without a price to measure from is still an exit.
    #[must_use]
    pub fn limit(&self) -> Option<Price> {
        self.protection?.limit(self.last_price?, self.side == OrderSide::Buy)
    }
}

impl Order for OrderRequest {
    fn leg(&self) -> Leg {
        self.leg
    }

    fn intent(&self) -> Intent {
        let Self { client_order_id, symbol, quantity, .. } = self.clone();
        Intent { client_order_id, symbol, quantity }
    }
}

/// Names an order: some brokers want the account or the symbol with the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRef<'a> {
    /// Client order id.
    pub client_order_id: &'a str,
    /// Whose account.
    pub user: &'a str,
    /// Exchange symbol.
    pub symbol: &'a str,
}

/// An order as the broker has it. Quantities are cumulative, so a repeat says nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// Client order id.
    pub client_order_id: String,
    /// State in terms of the last execution report.
    pub status: ExecType,
    /// Quantity filled so far.
    pub cum_qty: Quantity,
    /// Average price of that; `None` if nothing is filled.
    pub avg_px: Option<Price>,
    /// The broker's words.
    pub text: String,
    /// Epoch ms of the last change.
    pub ts_ms: i64,
}

/// An order with what was asked for: how a broker lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerOrder {
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
    /// BUY or SELL.
    pub side: OrderSide,
    /// What was asked for.
    pub quantity: Quantity,
    /// What became of it so far.
    pub state: OrderState,
}

/// What an account holds of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerPosition {
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
    /// Net: above 0 long, below 0 short.
    pub quantity: Quantity,
}

/// Why a request to a broker failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The broker refused the order for good. It does not exist.
    #[error("rejected: {0}")]
    Rejected(String),
    /// No usable answer: time-out, lost connection, server error. The request may have been carried out.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The broker did not look at the request; try again after a while.
    #[error("rate limited for {} ms", retry_after.as_millis())]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The request was never sent (no connection, no credentials yet).
    #[error("broker not reachable: {0}")]
    Unavailable(String),
}

/// What a broker does with a client order id that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Refuses or answers with the first order, for ever: sending again is safe.
    Dedupes,
    /// Can be asked for it: prove that it is absent, then send again.
    Queryable,
    /// Neither: match it in the day's orders; never send again by oneself.
    None,
}

/// What a person has to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong, and what to do.
    pub text: String,
    /// Whether no order can be sent until then; else it is an announcement.
    pub urgent: bool,
}

/// Whose orders go to an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountOf {
    /// Those of everybody who has none of his own.
    Others,
    /// This user's.
    User(String),
}

impl fmt::Display for AccountOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Others => f.write_str("the main account"),
            Self::User(user) => write!(f, "the account of {user}"),
        }
    }
}

/// A broker.
#[async_trait]
pub trait Broker: Send + Sync {
    /// How it treats repeated client order ids.
    fn idempotency(&self) -> Idempotency;

    /// How far its clock may be from Redis's.
    fn clock_skew(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// A request that was sent shows in a look-up after this at the latest: before, "the broker does not have it" is
    /// no proof.
    fn settles_within(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Asked before an entry is claimed: whether it has to wait for its account's limit of calls. Where it has not, room is kept
    /// for it.
    fn puts_off(&self, _entry: OrderRef<'_>) -> bool {
        false
    }

    /// What a person has to see to, where there is something: a login that has ended, or soon will.
    fn complaint(&self) -> Option<Complaint> {
        None
    }

    /// Places an order.
    ///
    /// # Errors
    /// [`BrokerError`]; only `Rejected` means that the order does not exist. A refusal because the id is in use says
    /// that it does: that is `Unknown`, and a look-up finds it.
    async fn submit(&self, order: &OrderRequest) -> Result<OrderState, BrokerError>;

    /// Looks an order up; `None` is proof that the broker does not have it.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker gives no answer.
    async fn lookup(&self, order: OrderRef<'_>) -> Result<Option<OrderState>, BrokerError>;

    /// Asks for cancellation. Done twice, or on an order that has ended or never was, it changes nothing; how the
    /// order stands afterwards is what [`Broker::lookup`] says.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker gives no answer.
    async fn cancel(&self, order: OrderRef<'_>) -> Result<(), BrokerError>;

    /// The accounts behind it.
    fn accounts(&self) -> BTreeSet<AccountOf> {
        BTreeSet::from([AccountOf::Others])
    }

    /// Which of them a user's orders go to.
    fn account_of(&self, _user: &str) -> AccountOf {
        AccountOf::Others
    }

    /// As [`Broker::orders`], of one of [`Broker::accounts`].
    ///
    /// # Errors
    /// [`BrokerError`] where that one gives no answer that can be believed as a whole.
    async fn orders_of(&self, _account: &AccountOf) -> Result<Vec<BrokerOrder>, BrokerError> {
        self.orders().await
    }

    /// As [`Broker::positions`], of one of [`Broker::accounts`].
    ///
    /// # Errors
    /// [`BrokerError`] where that one gives no answer that can be believed as a whole.
    async fn positions_of(&self, _account: &AccountOf) -> Result<Vec<BrokerPosition>, BrokerError> {
        self.positions().await
    }

    /// Every open order, and those of the current day that have ended.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker gives no answer that can be believed as a whole.
    async fn orders(&self) -> Result<Vec<BrokerOrder>, BrokerError>;

    /// Every position that is not flat.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker gives no answer that can be believed as a whole.
    async fn positions(&self) -> Result<Vec<BrokerPosition>, BrokerError>;

    /// Execution reports as they arrive.
    fn reports(&self) -> &ReportQueue;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_trade_against_the_position() {
        assert_eq!(OrderSide::of(Action::Buy, Side::Long), OrderSide::Buy);
        assert_eq!(OrderSide::of(Action::StopLoss, Side::Long), OrderSide::Sell);
        assert_eq!(OrderSide::of(Action::Sell, Side::Short), OrderSide::Sell);
        assert_eq!(OrderSide::of(Action::Buy, Side::Short), OrderSide::Buy);
        assert_eq!(OrderSide::of(Action::TakeProfit, Side::Short), OrderSide::Buy);
    }
}
