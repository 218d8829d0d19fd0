//! Open positions: how far each is from its stop and its target, and calm mode, which shows a word instead of an amount.
//!
//! Everything is read from what the module and the feed keep: strategies' hashes, `price:{symbol}` and `trail:{symbol}`. Where
//! there is no fresh price, a position has no standing: none is invented.

mod calm;

pub use calm::{Calm, CalmSettings, CalmState};

use crate::commands::StratCommands;
use crate::error::Result;
use crate::request::ListQuery;
use crate::strategy::Strategy;
use redis::aio::ConnectionLike;
use std::collections::{BTreeMap, BTreeSet};
use strat_core::book::best_said;
use strat_core::key::{self, prefix_of_tag};
use strat_core::strategy::{Mood, Standing};
use strat_core::{Price, Side};

/// Strategies on one page of the listing.
const PAGE: u32 = 500;
/// Most positions that are looked at for one user.
const POSITIONS_MAX: usize = 10_000;

/// An open position and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The strategy.
    pub strategy: Strategy,
    /// LONG or SHORT.
    pub side: Side,
    /// The last price of its symbol, as the feed gave it; `None` where there is no fresh one.
    pub last: Option<String>,
    /// Distance to stop and target, profit and loss, at that price.
    pub standing: Option<Standing>,
}

impl Position {
    /// How it does at its last price, as a word; `None` where there is no fresh price.
    #[must_use]
    pub fn mood(&self) -> Option<Mood> {
        let price = Price::parse(self.last.as_deref()?.as_bytes()).ok()?;
        self.strategy.state().ok()?.mood(price)
    }
}

/// Every open position of a user's RUNNING strategies, at most 10,000, in the partition of `tag`. Three round trips,
/// besides one for each further 500 strategies.
///
/// # Errors
/// Of the server; [`crate::Error::Unavailable`] while it is away.
pub async fn open_positions<C>(connection: &mut C, user: &str, tag: Option<&str>) -> Result<Vec<Position>>
where
    C: ConnectionLike + Send,
{
    standing(connection, ListQuery::new().user(user), tag, usize::MAX).await
}

/// The open positions among the first RUNNING strategies of all users, about so many of those, in the partition of `tag`: for
/// operators, who may read every key.
///
/// # Errors
/// As [`open_positions`].
pub async fn all_open_positions<C>(
    connection: &mut C,
    tag: Option<&str>,
    strategies_max: usize,
) -> Result<Vec<Position>>
where
    C: ConnectionLike + Send,
{
    standing(connection, ListQuery::new(), tag, strategies_max).await
}

async fn standing<C>(
    connection: &mut C,
    query: ListQuery,
    tag: Option<&str>,
    strategies_max: usize,
) -> Result<Vec<Position>>
where
    C: ConnectionLike + Send,
{
    let held = held(connection, query, tag, strategies_max).await?;
    let prefix = prefix_of_tag(tag);
    let symbols: BTreeSet<&str> = held.iter().map(|(_, state)| state.symbol.as_str()).collect();
    let trails = held.iter().filter(|(_, state)| state.trailing().is_some());
    let trails: BTreeSet<&str> = trails.map(|(_, state)| state.symbol.as_str()).collect();
    if symbols.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("MGET").arg(symbols.iter().map(|symbol| key::price(&prefix, symbol)).collect::<Vec<_>>());
    for symbol in &trails {
        pipeline.cmd("HGETALL").arg(key::trail(&prefix, symbol));
    }
    let replies: Vec<redis::Value> = pipeline.query_async(connection).await?;
    let mut replies = replies.into_iter();
    let prices: Vec<Option<String>> =
        redis::from_redis_value(replies.next().unwrap_or(redis::Value::Nil)).map_err(redis::RedisError::from)?;
    let prices: BTreeMap<&str, String> =
        symbols.iter().zip(prices).filter_map(|(symbol, price)| Some((*symbol, price?))).collect();
    let mut followed: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (symbol, reply) in trails.iter().zip(replies) {
        followed.insert(symbol, redis::from_redis_value(reply).map_err(redis::RedisError::from)?);
    }
    Ok(held
        .iter()
        .map(|(strategy, state)| {
            let last = prices.get(state.symbol.as_str()).cloned();
            let best = state.trailing().and_then(|trailing| {
                let fields = followed.get(state.symbol.as_str())?;
                let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                best_said(&fields, &trailing)
            });
            let price = last.as_deref().and_then(|text| Price::parse(text.as_bytes()).ok());
            let standing = price.and_then(|price| state.standing(price, best));
            Position { strategy: strategy.clone(), side: state.side, last, standing }
        })
        .collect())
}

/// Strategies with an open position; those whose hash does not parse are the module's to complain about.
async fn held<C>(
    connection: &mut C,
    query: ListQuery,
    tag: Option<&str>,
    strategies_max: usize,
) -> Result<Vec<(Strategy, strat_core::Strategy)>>
where
    C: ConnectionLike + Send,
{
    let mut held = Vec::new();
    let mut looked = 0;
    let mut query = query.count(PAGE);
    if let Some(tag) = tag {
        query = query.tag(tag);
    }
    while held.len() < POSITIONS_MAX && looked < strategies_max {
        let page = connection.strat_list_values(&query).await?;
        looked += PAGE as usize;
        let open = page.items.into_iter().filter_map(|strategy| {
            let state = strategy.state().ok().filter(|state| state.open_quantity() > strat_core::Quantity::ZERO)?;
            Some((strategy, state))
        });
        held.extend(open.take(POSITIONS_MAX - held.len()));
        let Some(cursor) = page.cursor else { break };
        query = query.cursor(cursor);
    }
    Ok(held)
}
