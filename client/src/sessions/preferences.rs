//! A user's small settings.

use super::session::NAME_BYTES_MAX;
use super::{Settings, bad_field, check_count, check_name, check_text, ms};
use crate::error::Result;
use crate::link::Link;
use crate::shared::{NUMBER_BYTES, keyed};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, Script, cmd};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use strat_core::key::check_id;

/// Preferences of users, each a hash `preferences:{user_id}`.
///
/// They live for [`Settings::preferences_ttl`] after their last use, be it a look or a change: those of a user who left go by
/// themselves, and nobody who comes back within the season finds his gone. What must never go belongs into the database.
///
/// While Redis does not answer, every call ends with an error; go on with your own defaults.
#[derive(Clone)]
pub struct Preferences<C> {
    link: Link<C>,
    settings: Settings,
}

impl<C: ConnectionLike + Clone + Send + Sync> Preferences<C> {
    /// Preferences over this connection.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a prefix that cannot be.
    pub fn new(connection: C, settings: &Settings) -> Result<Self> {
        let link = Link::new(connection, &settings.prefix, settings.timeout)?;
        Ok(Self { link, settings: settings.clone() })
    }

    /// Sets these and leaves the others.
    ///
    /// # Errors
    /// `BADFIELD`, and nothing is set, for what cannot be kept, or if it would be more than [`Settings::fields_max`] in all.
    /// Safe to repeat.
    pub async fn set(&self, user_id: &str, preferences: &[(&str, &str)]) -> Result<()> {
        let most = self.settings.fields_max;
        check_count("preferences", preferences.len(), most)?;
        for (name, value) in preferences {
            check_name("the name of a preference", name, NAME_BYTES_MAX)?;
            check_text(name, value, self.settings.value_bytes_max)?;
        }
        let mut script = SET.key(self.key(user_id)?);
        if preferences.is_empty() {
            return Ok(());
        }
        script.arg(ms(self.settings.preferences_ttl)).arg(most);
        preferences.iter().for_each(|(name, value)| {
            script.arg(name).arg(value);
        });
        match self.link.script(&script).await? {
            true => Ok(()),
            false => Err(bad_field(format!("it would be more than {most} preferences; remove some first"))),
        }
    }

    /// All of a user's.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be.
    pub async fn get_all(&self, user_id: &str) -> Result<BTreeMap<String, String>> {
        let key = self.key(user_id)?;
        let (all,) = self.link.pipeline(&self.used(&key, keyed("HGETALL", &key, (0, 0)))).await?;
        Ok(all)
    }

    /// One of a user's.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be.
    pub async fn get(&self, user_id: &str, name: &str) -> Result<Option<String>> {
        let key = self.key(user_id)?;
        let mut ask = keyed("HGET", &key, (1, name.len()));
        ask.arg(name);
        let (value,) = self.link.pipeline(&self.used(&key, ask)).await?;
        Ok(value)
    }

    /// Removes one. `false`: it was not there.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be. Safe to repeat.
    pub async fn remove(&self, user_id: &str, name: &str) -> Result<bool> {
        self.link.command(cmd("HDEL").arg(self.key(user_id)?).arg(name)).await
    }

    /// Removes all of a user's. `false`: there were none.
    ///
    /// # Errors
    /// `BADFIELD` for a user id that cannot be. Safe to repeat.
    pub async fn remove_all(&self, user_id: &str) -> Result<bool> {
        self.link.command(cmd("UNLINK").arg(self.key(user_id)?)).await
    }

    /// A look, which lets them live on.
    fn used(&self, key: &str, look: Cmd) -> Pipeline {
        let mut expire = keyed("PEXPIRE", key, (1, NUMBER_BYTES));
        expire.arg(ms(self.settings.preferences_ttl));
        let mut ask = Pipeline::with_capacity(2);
        ask.add_command(look).add_command(expire).ignore();
        ask
    }

    fn key(&self, user_id: &str) -> Result<String> {
        check_id("user id", user_id)?;
        Ok(self.link.key(&["preferences:", user_id]))
    }
}

/// Counts and sets in one step: two changes at once could not pass the bound together.
static SET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/set_preferences.lua")));
