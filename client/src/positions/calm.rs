//! Calm mode: a user who does not want to see amounts gets a word for each position, and nothing else.

use super::Position;
use crate::error::{Error, Result};
use redis::aio::ConnectionLike;
use std::time::Duration;
use strat_core::StrategyKey;
use strat_core::key::is_id;
use strat_core::strategy::Mood;

/// How long what is stored lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalmSettings {
    /// A position's flag. Default 1 h.
    pub flag_ttl: Duration,
    /// A position's word. Default 30 min.
    pub mood_ttl: Duration,
    /// A user's choice, renewed whenever it is made. Default 90 days.
    pub choice_ttl: Duration,
}

impl Default for CalmSettings {
    fn default() -> Self {
        Self {
            flag_ttl: Duration::from_secs(3_600),
            mood_ttl: Duration::from_secs(1_800),
            choice_ttl: Duration::from_secs(90 * 86_400),
        }
    }
}

/// What a flag says that stands there because of its user's choice.
const BY_CHOICE: &str = "user";

/// How a position is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalmState {
    /// With its amounts.
    Plain,
    /// Calmly, by a flag of its own.
    Flagged,
    /// Calmly, because its user chose so for all.
    Chosen,
    /// With its amounts: its flag is left over from a choice that the user has ended since.
    Ended,
}

impl CalmState {
    /// From a position's flag and its user's choice.
    fn of(found: &[Option<Vec<u8>>]) -> Self {
        match found {
            [Some(flag), None] if flag == BY_CHOICE.as_bytes() => Self::Ended,
            [Some(flag), _] if flag != BY_CHOICE.as_bytes() => Self::Flagged,
            [_, Some(_)] => Self::Chosen,
            _ => Self::Plain,
        }
    }

    /// Whether a word stands for the amounts.
    #[must_use]
    pub const fn is_calm(self) -> bool {
        matches!(self, Self::Flagged | Self::Chosen)
    }
}

/// The flags and words of calm mode: `calm:{user}:{strategy}`, `calm:mood:{user}:{strategy}` and `calm:user:{user}`, with
/// the tag's prefix before them where there is one.
///
/// While Redis is away every call answers [`Error::Unavailable`]; a page then shows neither word nor amount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calm {
    settings: CalmSettings,
}

impl Calm {
    /// With these times to live.
    #[must_use]
    pub const fn new(settings: CalmSettings) -> Self {
        Self { settings }
    }

    /// A user chooses calm mode for all of his positions, or ends it.
    ///
    /// # Errors
    /// Of the server; [`Error::Config`] for an id that is none.
    pub async fn choose<C: ConnectionLike + Send>(&self, connection: &mut C, user: &str, calm: bool) -> Result<()> {
        let name = user_key(user)?;
        let command = if calm { set(&name, "1", self.settings.choice_ttl) } else { delete(&name) };
        Ok(command.exec_async(connection).await?)
    }

    /// One position is shown calmly for a while, or not any more.
    ///
    /// # Errors
    /// Of the server.
    pub async fn flag<C: ConnectionLike + Send>(
        &self,
        connection: &mut C,
        key: &StrategyKey<'_>,
        calm: bool,
    ) -> Result<()> {
        let name = flag_key(key);
        let command = if calm { set(&name, "1", self.settings.flag_ttl) } else { delete(&name) };
        Ok(command.exec_async(connection).await?)
    }

    /// Whether a position is shown calmly: by its own flag, or because its user chose so.
    ///
    /// # Errors
    /// Of the server.
    pub async fn is_calm<C: ConnectionLike + Send>(&self, connection: &mut C, key: &StrategyKey<'_>) -> Result<bool> {
        Ok(self.states(connection, &[*key]).await?.first().is_some_and(|state| state.is_calm()))
    }

    /// How some positions are shown, in one round trip.
    ///
    /// # Errors
    /// Of the server.
    pub async fn states<C: ConnectionLike + Send>(
        &self,
        connection: &mut C,
        keys: &[StrategyKey<'_>],
    ) -> Result<Vec<CalmState>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(flag_key(key)).arg(user_key(key.user)?);
        }
        let found: Vec<Option<Vec<u8>>> = command.query_async(connection).await?;
        Ok(found.chunks(2).map(CalmState::of).collect())
    }

    /// Flags positions whose user chose calm mode, for a while: those who read the flag alone see it then. Those that were
    /// flagged by themselves stay so. One round trip.
    ///
    /// # Errors
    /// Of the server.
    pub async fn renew<C: ConnectionLike + Send>(&self, connection: &mut C, keys: &[StrategyKey<'_>]) -> Result<()> {
        let flags = keys.iter().map(|key| set(&flag_key(key), BY_CHOICE, self.settings.flag_ttl));
        send(connection, flags).await
    }

    /// Takes flags away, such as those of users who ended calm mode. One round trip.
    ///
    /// # Errors
    /// Of the server.
    pub async fn end<C: ConnectionLike + Send>(&self, connection: &mut C, keys: &[StrategyKey<'_>]) -> Result<()> {
        send(connection, keys.iter().map(|key| delete(&flag_key(key)))).await
    }

    /// Stores the word of each position that has a price, in one round trip. Answers how many have one.
    ///
    /// # Errors
    /// Of the server.
    pub async fn store<C: ConnectionLike + Send>(&self, connection: &mut C, positions: &[Position]) -> Result<usize> {
        let mut pipeline = redis::pipe();
        let mut stored = 0;
        for position in positions {
            if let (Some(mood), Some(key)) = (position.mood(), StrategyKey::parse(position.strategy.key())) {
                pipeline.add_command(set(&mood_key(&key), mood.as_str(), self.settings.mood_ttl)).ignore();
                stored += 1;
            }
        }
        if stored > 0 {
            pipeline.exec_async(connection).await?;
        }
        Ok(stored)
    }

    /// The words of some positions, in one round trip; `None` where none was stored lately.
    ///
    /// # Errors
    /// Of the server.
    pub async fn moods<C: ConnectionLike + Send>(
        &self,
        connection: &mut C,
        keys: &[StrategyKey<'_>],
    ) -> Result<Vec<Option<Mood>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        command.arg(keys.iter().map(mood_key).collect::<Vec<_>>());
        let words: Vec<Option<String>> = command.query_async(connection).await?;
        Ok(words.into_iter().map(|word| word.as_deref().and_then(Mood::parse)).collect())
    }
}

async fn send<C: ConnectionLike + Send>(connection: &mut C, commands: impl Iterator<Item = redis::Cmd>) -> Result<()> {
    let mut pipeline = redis::pipe();
    for command in commands {
        pipeline.add_command(command).ignore();
    }
    if !pipeline.is_empty() {
        pipeline.exec_async(connection).await?;
    }
    Ok(())
}

fn set(name: &str, value: &str, ttl: Duration) -> redis::Cmd {
    let mut command = redis::cmd("SET");
    // 0 would be refused.
    command.arg(name).arg(value).arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
    command
}

fn delete(name: &str) -> redis::Cmd {
    let mut command = redis::cmd("DEL");
    command.arg(name);
    command
}

fn flag_key(key: &StrategyKey<'_>) -> String {
    [key.prefix, "calm:", &key.member()].concat()
}

fn mood_key(key: &StrategyKey<'_>) -> String {
    [key.prefix, "calm:mood:", &key.member()].concat()
}

/// A colon more than a position's flag never has: no strategy is mistaken for a user.
fn user_key(user: &str) -> Result<String> {
    if is_id(user) {
        return Ok(["calm:user:", user, ":"].concat());
    }
    Err(Error::Config(format!("'{user}' is no user id: 1 to 128 of A-Z a-z 0-9 _ . @ -")))
}
