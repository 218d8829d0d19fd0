//! Lists: the orders of the day and what the account holds.

use super::BinanceBroker;
use super::gate::Purpose;
use super::sign::Query;
use super::wire::{self, Listed};
use crate::broker::{BrokerError, BrokerOrder, BrokerPosition};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hyper::Method;
use std::collections::{BTreeMap, HashSet};
use strat_core::Quantity;

/// "The current day": whatever the time zone, it lies within so much, which is also the longest span that Binance lists.
const DAY_MS: i64 = 86_400_000;
/// Orders of a page.
const PAGE: usize = 1_000;
/// Pages of a symbol: a day of more orders than this has is an error, not half a list.
const PAGES_MAX: usize = 50;
/// Symbols asked for at a time.
const AT_ONCE: usize = 6;

impl BinanceBroker {
    /// Every open order, and those of the last 24 hours; symbol by symbol, for Binance has no other list of what has ended.
    pub(super) async fn list_orders(&self) -> Result<Vec<BrokerOrder>, BrokerError> {
        let since_ms = self.rest.server_now_ms(Purpose::Patient).await? - DAY_MS;
        let of_symbol = |symbol: &String| self.orders_of(symbol.clone(), since_ms);
        let lists: Vec<_> =
            stream::iter(self.settings.symbols.iter().map(of_symbol)).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(lists.into_iter().flatten().collect())
    }

    async fn orders_of(&self, symbol: String, since_ms: i64) -> Result<Vec<BrokerOrder>, BrokerError> {
        let named = Query::default().with("symbol", &symbol);
        let mut all: BTreeMap<i64, BrokerOrder> = BTreeMap::new();
        // Open ones first: what ends in between is in the second list, which counts.
        for listed in self.page("/api/v3/openOrders", &named).await? {
            all.insert(listed.order_id, listed.order);
        }
        let limit = PAGE.to_string();
        let mut query = named.clone().with("startTime", &since_ms.to_string()).with("limit", &limit);
        for _ in 0..PAGES_MAX {
            let page = self.page("/api/v3/allOrders", &query).await?;
            let (length, last) = (page.len(), page.iter().map(|listed| listed.order_id).max());
            for Listed { order_id, order } in page {
                let newer = all.get(&order_id).is_none_or(|known| known.state.ts_ms <= order.state.ts_ms);
                if newer {
                    all.insert(order_id, order);
                }
            }
            let Some(last) = last.filter(|_| length >= PAGE) else { return Ok(all.into_values().collect()) };
            query = named.clone().with("orderId", &last.saturating_add(1).to_string()).with("limit", &limit);
        }
        Err(BrokerError::Unknown(format!("{symbol} has more than {} orders of a day", PAGE * PAGES_MAX)))
    }

    async fn page(&self, path: &str, query: &Query) -> Result<Vec<Listed>, BrokerError> {
        let body = self.rest.signed(Method::GET, path, query, Purpose::Patient).await?;
        wire::orders(&body, &self.settings.user).map_err(BrokerError::Unknown)
    }

    /// What the account has of the symbols' base assets, free and locked together. Two symbols of one base asset share one
    /// holding, which is told under the first of them.
    pub(super) async fn list_positions(&self) -> Result<Vec<BrokerPosition>, BrokerError> {
        let rules = self.rules.read(&self.rest, &self.settings.symbols).await?;
        let query = Query::default().with("omitZeroBalances", "true");
        let body = self.rest.signed(Method::GET, "/api/v3/account", &query, Purpose::Patient).await?;
        let balances = wire::balances(&body).map_err(BrokerError::Unknown)?;
        let mut told = HashSet::new();
        let mut positions = Vec::new();
        for symbol in &self.settings.symbols {
            let Some(asset) = rules.get(symbol).map(|rules| rules.base_asset.as_str()) else { continue };
            if !told.insert(asset) {
                continue;
            }
            let held = balances.iter().find(|(name, _)| name == asset).map_or(Quantity::ZERO, |(_, held)| *held);
            if held > Quantity::ZERO {
                positions.push(BrokerPosition {
                    user: self.settings.user.clone(),
                    symbol: symbol.clone(),
                    quantity: held,
                });
            }
        }
        Ok(positions)
    }
}
