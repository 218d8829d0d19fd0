//! Open positions as they are shown, and calm mode kept up: its words are written anew while there are positions, because they
//! end by themselves.

use crate::sync::SyncHandle;
use crate::upkeep::Duty;
use redis::aio::ConnectionLike;
use std::collections::BTreeSet;
use std::time::Duration;
use strat_client::positions::{Calm, CalmState, Position, open_positions};
use strat_client::{Connection, ListQuery, Result, StratCommands as _};
use strat_core::StrategyKey;
use strat_core::strategy::Mood;
use tokio_util::sync::CancellationToken;

/// Strategies on one page.
const PAGE: u32 = 500;
/// Pages of one look: a million strategies.
const PAGES_MAX: usize = 2_000;

/// A position as its user wants to see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The position. In calm mode its standing says nothing of profit and loss.
    pub position: Position,
    /// Its user wants a word instead of an amount.
    pub calm: bool,
    /// That word, at the last price or at the one before; `None` where there was none for half an hour.
    pub mood: Option<Mood>,
}

/// Every open position of a user, of those in the partition without a tag. Five round trips, besides one for each further 500
/// strategies.
///
/// # Errors
/// Of Redis; while it is away [`strat_client::Error::Unavailable`]. A page then shows neither words nor amounts.
pub async fn of_user<C: ConnectionLike + Send>(redis: &mut C, user: &str) -> Result<Vec<Shown>> {
    let calm = Calm::default();
    let positions = open_positions(redis, user, None).await?;
    let keys = keys_of(&positions);
    let states = calm.states(redis, &keys).await?;
    let stored = calm.moods(redis, &keys).await?;
    let shown = positions.iter().zip(states).zip(stored).map(|((position, state), stored)| {
        let (mut position, calm) = (position.clone(), state.is_calm());
        let mood = position.mood().or(stored);
        if let Some(standing) = position.standing.as_mut().filter(|_| calm) {
            standing.gain = None;
        }
        Shown { position, calm, mood }
    });
    Ok(shown.collect())
}

/// Keeps calm mode up for those who chose it.
pub struct CalmKeeper {
    calm: Calm,
    redis: Connection,
    sync: SyncHandle,
    every: Duration,
}

impl CalmKeeper {
    /// Over a connection of its own.
    #[must_use]
    pub fn new(redis: Connection, every: Duration, sync: SyncHandle) -> Self {
        Self { calm: Calm::default(), redis, sync, every }
    }

    /// Works until cancelled; one engine of several does.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut duty = Duty::new(self.every, self.sync.clone(), cancel.clone());
        while duty.comes().await {
            match cancel.run_until_cancelled(self.look()).await {
                None => return,
                Some(Ok(0)) => {}
                Some(Ok(words)) => tracing::debug!(words, "wrote the words of calm mode anew"),
                Some(Err(error)) => {
                    tracing::debug!(%error, "calm mode is not kept up now; its words go after a while");
                }
            }
        }
    }

    /// One look at all RUNNING strategies; answers how many words were written.
    async fn look(&mut self) -> Result<usize> {
        let (mut query, mut words) = (ListQuery::new().count(PAGE), 0);
        // A user whose strategies are on several pages is looked at once.
        let mut done = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            let page = self.redis.strat_list(&query).await?;
            let keys: Vec<_> = page.items.iter().filter_map(|key| StrategyKey::parse(key)).collect();
            let states = self.calm.states(&mut self.redis, &keys).await?;
            let ended = keys.iter().zip(&states).filter(|(_, state)| **state == CalmState::Ended);
            let ended: Vec<_> = ended.map(|(key, _)| *key).collect();
            self.calm.end(&mut self.redis, &ended).await?;
            let calm = keys.iter().zip(&states).filter(|(_, state)| state.is_calm());
            for user in calm.map(|(key, _)| key.user).collect::<BTreeSet<_>>() {
                if done.insert(user.to_owned()) {
                    words += self.keep(user).await?;
                }
            }
            let Some(cursor) = page.cursor else { break };
            query = query.cursor(cursor);
        }
        Ok(words)
    }

    /// Flags the positions of a user who chose so, and writes the words of those that are shown calmly.
    async fn keep(&mut self, user: &str) -> Result<usize> {
        let positions = open_positions(&mut self.redis, user, None).await?;
        let keys = keys_of(&positions);
        let states = self.calm.states(&mut self.redis, &keys).await?;
        let chosen = keys.iter().zip(&states).filter(|(_, state)| **state == CalmState::Chosen);
        let chosen: Vec<_> = chosen.map(|(key, _)| *key).collect();
        self.calm.renew(&mut self.redis, &chosen).await?;
        let calm = positions.iter().zip(&states).filter(|(_, state)| state.is_calm());
        let calm: Vec<Position> = calm.map(|(position, _)| position.clone()).collect();
        self.calm.store(&mut self.redis, &calm).await
    }
}

/// Their keys, in their order: the server lists nothing else than strategies.
fn keys_of(positions: &[Position]) -> Vec<StrategyKey<'_>> {
    let nobody = StrategyKey { prefix: "", user: "-", strategy: "-" };
    positions.iter().map(|position| StrategyKey::parse(position.strategy.key()).unwrap_or(nobody)).collect()
}
